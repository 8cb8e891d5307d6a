"""Connect to Temporal, in one place, so that all processes use the same server, namespace and encoding.

The address comes from the SDK's own variables and profiles (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
`TEMPORAL_API_KEY`, `TEMPORAL_PROFILE`, a `temporal.toml`). Without an address it is the server of `make up`.
"""

import asyncio
import logging

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from core import traces
from core.payloads import data_converter
from core.settings import Settings, WrongSettings

CONNECT_TIMEOUT = 5.0
"""Seconds after which a server without an answer counts as unreachable."""

log = logging.getLogger("holdgate.temporal")


class TemporalUnreachable(Exception):
    """No Temporal server answers at the address. `str()` is one line with the address and where it is configured."""


def profile() -> ClientConfigProfile:
    """Return the SDK's configuration. Raises TemporalUnreachable when it cannot be read."""
    try:
        return ClientConfigProfile.load()
    except (RuntimeError, ValueError, OSError) as error:
        raise TemporalUnreachable(f"the Temporal SDK's configuration cannot be read: {_one_line(error)}") from error


def external() -> bool:
    """Return True if the SDK's configuration names a server, so that `make up` starts none."""
    return bool(profile().address)


def address(settings: Settings) -> str:
    """Return `host:port` of the Temporal server."""
    return profile().address or f"127.0.0.1:{settings.temporal_port}"


def namespace() -> str:
    """Return the Temporal namespace of all cases."""
    return profile().namespace or "default"


async def connect(settings: Settings, *, lazy: bool = False, runtime: Runtime | None = None) -> Client:
    """Return a client of the configured server, with the Pydantic converter.

    `lazy` connects at the first call; such a client cannot serve a Worker. `runtime` serves the SDK's own metrics.
    Raises TemporalUnreachable.
    """
    target = address(settings)
    try:
        config = profile().to_client_connect_config()
        config["target_host"] = target
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await Client.connect(
                **config,
                data_converter=data_converter,
                interceptors=traces.interceptors(),
                lazy=lazy,
                runtime=runtime,
            )
    except (RuntimeError, ValueError, OSError) as error:  # the SDK raises RuntimeError for any failure
        raise TemporalUnreachable(_unreachable(target, _one_line(error))) from error


async def connect_when_reachable(settings: Settings, runtime: Runtime | None) -> Client:
    """Wait until the server answers and return a client. A worker that gave up would need a restart."""
    while True:
        try:
            return await connect(settings, runtime=runtime)
        except TemporalUnreachable as error:
            log.warning("%s; trying again", error)
            await asyncio.sleep(1)


def metrics_of_sdk(address: str | None) -> Runtime | None:
    """Return the runtime that serves the SDK's own metrics; None without an address. Raises WrongSettings."""
    if address is None:
        return None
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    except (RuntimeError, ValueError) as error:
        raise WrongSettings(f"HOLDGATE_WORKER_METRICS={address}: nothing can be served there ({error})") from error


def _unreachable(target: str, reason: str) -> str:
    where = "set TEMPORAL_ADDRESS, or unset it to let `make up` start one" if external() else "is `make up` running?"
    return f"no Temporal server answers at {target} ({where}): {reason or 'no answer in time'}"


def _one_line(error: BaseException) -> str:
    """Return the message of an error, without the Rust structures that the SDK adds."""
    return " ".join(str(error).split()).split("tonic::")[0].rstrip(": ")[:200]

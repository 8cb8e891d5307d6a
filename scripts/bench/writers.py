"""`python -m scripts.bench.writers`: how many transactions a second writers make together on one PostgreSQL database.

A transaction records three events of a case and its new status, as a Workflow does. Each writer has cases of its own.
The writers are spread over `PROCESSES` processes, and each process runs the sequencer like a worker. Measured are one
database, one database behind a proxy that adds time to each round trip, and a database for each writer.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import make_url, select

from domain.case import CaseEvent
from domain.records import CaseRecord
from domain.status import Status
from store.audit.sequencer import Sequencer
from store.cases import cases
from store.db.database import Database, migrate
from store.tables.audit import event_positions, events
from tests.support import postgres
from tests.support.postgres import Postgres

WRITERS = (1, 2, 4, 8, 16, 32)
PROCESSES = 2
SEPARATE = (1, 8)
"""Numbers of writers that are also measured on a database for each writer."""
WARM_UP_S = 0.5
EVENTS = 3


class Run(NamedTuple):
    """The result of some writers: of one process, or added up over all processes."""

    commits: int
    seconds: float
    cpu_s: float
    latencies_ms: list[float]
    """Milliseconds from the commit of an event to the moment at which a reader sees its position."""


def measure(urls: Sequence[str], seconds: float, pool: ProcessPoolExecutor) -> Run:
    """Run a writer for each URL, spread over the processes of the pool, and add up their results."""
    parts = [urls[first::PROCESSES] for first in range(min(PROCESSES, len(urls)))]
    begin = time.time() + 1.0
    runs = list(pool.map(_process, parts, [begin] * len(parts), [seconds] * len(parts)))
    return Run(
        sum(run.commits for run in runs),
        max(run.seconds for run in runs),
        sum(run.cpu_s for run in runs),
        [each for run in runs for each in run.latencies_ms],
    )


def _process(urls: Sequence[str], begin: float, seconds: float) -> Run:
    return asyncio.run(_writers(urls, begin, seconds))


async def _writers(urls: Sequence[str], begin: float, seconds: float) -> Run:
    databases = [Database(url) for url in urls]
    sequencing = [asyncio.create_task(Sequencer(url).run()) for url in dict.fromkeys(urls)]
    for database in databases:
        async with database.read() as conn:  # connect before the clock starts
            await conn.execute(select(events.c.number).limit(1))
    made = [0]
    stop = asyncio.Event()
    writing = [asyncio.create_task(_writer(database, made, stop)) for database in databases]
    await asyncio.sleep(max(begin - time.time(), 0) + WARM_UP_S)
    first, at, cpu_s = made[0], time.monotonic(), time.process_time()
    latencies_ms = []
    until = at + seconds
    while time.monotonic() < until:
        latencies_ms.append(await _latency_ms(databases[0]))
        await asyncio.sleep(0.1)
    run = Run(made[0] - first, time.monotonic() - at, time.process_time() - cpu_s, latencies_ms)
    stop.set()
    await asyncio.gather(*writing)
    for task in sequencing:
        task.cancel()
    await asyncio.gather(*sequencing, return_exceptions=True)
    for database in databases:
        await database.close()
    return run


async def _writer(database: Database, made: list[int], stop: asyncio.Event) -> None:
    for number in count():
        if stop.is_set():
            return
        if number % 100 == 0:
            case_id = await _new_case(database)
        await _commit(database, case_id, number)
        made[0] += 1


async def _commit(database: Database, case_id: str, number: int) -> str:
    """Record three events of a case, and return the id of the last one."""
    now = datetime.now(UTC)
    told = [
        CaseEvent(
            event_id=f"{case_id}/{number}-{place}",
            case_id=case_id,
            at=now,
            kind="step_done",
            actor="holdgate",
            summary="A step is done",
            data={"step": "reserve_funds", "result": "held 120.00 GBP on operating"},
        )
        for place in range(EVENTS)
    ]
    async with database.write() as conn:
        await cases.record(conn, CaseRecord(case_id=case_id, status=Status.RUNNING, events=told))
    return told[-1].event_id


async def _new_case(database: Database) -> str:
    reference = os.urandom(8).hex()
    new = cases.NewCaseRow(
        case_id=f"payment:{reference}",
        process="payment",
        reference=reference,
        reference_key=reference,
        title=f"Pay for {reference}",
        requester="rita",
        policy_hash="0" * 64,
        input={"amount": "120.00", "currency": "GBP", "payee": "Acme Ltd"},
        submitted_at=datetime.now(UTC),
    )
    first = CaseEvent(
        event_id=f"{new.case_id}/0",
        case_id=new.case_id,
        at=new.submitted_at,
        kind="submitted",
        actor=new.requester,
        summary="Submitted",
        data={},
    )
    async with database.write() as conn:
        await cases.insert(conn, new, first)
    return new.case_id


async def _latency_ms(database: Database) -> float:
    """Write like the writers, and return how many ms a reader waits for the position of the last event."""
    event_id = await _commit(database, await _new_case(database), 0)
    began = time.monotonic()
    query = select(event_positions.c.position).join(events, events.c.number == event_positions.c.number)
    while True:
        async with database.read() as conn:
            if await conn.scalar(query.where(events.c.event_id == event_id)):
                return (time.monotonic() - began) * 1000
        await asyncio.sleep(0.001)


@contextmanager
def delayed(url: str, delay_ms: float) -> Iterator[str]:
    """Yield the URL of the database behind a proxy, which runs in a process of its own until the block ends."""
    where = make_url(url)
    command = [sys.executable, "-m", "scripts.bench.delay", str(where.port), str(delay_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            port = int(proxy.stdout.readline())
            yield where.set(port=port).render_as_string(hide_password=False)
        finally:
            proxy.terminate()


def curve(server: Postgres, writers: Sequence[int], seconds: float, rounds: int, delay_ms: float) -> dict[str, Any]:
    """Return figures by number of writers: medians of alternating rounds."""
    template = server.create()
    migrate(server.url(template))
    found: dict[str, dict[int, list[Run]]] = {"one": {}, "delayed": {}, "separate": {}}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        for _ in range(rounds):
            for number in writers:
                names = [server.create(template) for _ in range(number)]
                one = server.url(names[0])
                found["one"].setdefault(number, []).append(measure([one] * number, seconds, pool))
                with delayed(one, delay_ms) as behind:
                    found["delayed"].setdefault(number, []).append(measure([behind] * number, seconds, pool))
                if number in SEPARATE:
                    apart = [server.url(name) for name in names]
                    found["separate"].setdefault(number, []).append(measure(apart, seconds, pool))
                for name in names:
                    server.drop(name)
    return {name: {number: _figures(runs) for number, runs in rows.items()} for name, rows in found.items()}


def _figures(runs: Sequence[Run]) -> dict[str, float]:
    """Return the medians of some runs. Processor time is that of writers and sequencer, without PostgreSQL."""
    latencies = sorted(each for run in runs for each in run.latencies_ms)
    return {
        "transactions_per_s": round(median(run.commits / run.seconds for run in runs), 1),
        "cpu_ms_per_transaction": round(median(1000 * run.cpu_s / max(run.commits, 1) for run in runs), 2),
        "position_after_ms": round(median(latencies), 1),
        "position_after_ms_p95": round(latencies[int(len(latencies) * 0.95)], 1),
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.writers", description=__doc__)
    parser.add_argument("--writers", type=int, nargs="+", default=WRITERS)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=2.0, help="added to each round trip")
    asked = parser.parse_args()
    with postgres.server() as server:
        found = curve(server, asked.writers, asked.seconds, asked.rounds, asked.delay_ms)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

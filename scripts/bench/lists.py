"""Measure lists with many open tasks, with requests to the gateway over HTTP.

The tasks are written directly into the database.
"""

import argparse
import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import create_engine, insert, text

from core.settings import Settings
from core.signing_keys import make_missing_keys
from domain.task import Quorum, TaskView
from scripts.bench.databases import on_both, show
from scripts.bench.figures import milliseconds, write_json
from store.cases.tasks import open_all
from store.db.database import Database, migrate, normalised
from store.tables.cases import cases
from store.tables.people import memberships, people, tokens
from tests.support.installed_app import ROOT, free_port

AT_ONCE = 2_000
ASKED = {
    "inbox page of 50": "/api/v1/tasks?mine=true&status=open&sort=due_at&limit=50",
    "inbox by newest": "/api/v1/tasks?mine=true&status=open&sort=-opened_at&limit=50",
    "search in the inbox": "/api/v1/tasks?mine=true&status=open&q=inv-0000777&limit=50",
    "newest cases": "/api/v1/cases?limit=50",
    "start page": "/",
    "metrics": "/metrics",
}


def run(arguments: Sequence[str]) -> None:
    """Measure lists on both databases, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench lists", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="open tasks (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="requests of each kind (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    asked = parser.parse_args(arguments)
    found = on_both(partial(lists, open_tasks=asked.tasks, repeats=asked.repeats))
    show(found, f"{asked.tasks:,} open tasks, median / p95 in ms")
    write_json(asked.json, found)


def lists(url: str, folder: Path, open_tasks: int, repeats: int) -> dict[str, Any]:
    """Measure the lists with this number of open tasks. Return latencies in milliseconds by query."""
    migrate(url)
    add_people(url, PEOPLE)
    seed(url, 0, open_tasks, view_of)
    with gateway(url, folder) as address, client_of(address, "mia") as client:
        return {name: milliseconds(times(client, path, repeats)) for name, path in ASKED.items()}


def times(client: httpx2.Client, path: str, repeats: int) -> list[float]:
    """Send the request `repeats` + 2 times and return the seconds of all but the first two, which fill caches.

    After each request for metrics wait 0.2 s if there are at least 10 repeats, because some figures are cached for 5 s.
    """
    took = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        answer = client.get(path)
        took.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
        if path == "/metrics":
            time.sleep(0 if repeats < 10 else 0.2)
    return took[2:]


@contextmanager
def gateway(url: str, folder: Path) -> Iterator[str]:
    """Run a gateway on this database and yield its address. No Temporal server runs, because lists do not need one."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))},
        "HOLDGATE_DATABASE_URL": url,
        "HOLDGATE_RATE_LIMITS": "off",
        "HOLDGATE_VAR": str(folder),
        "HOLDGATE_PORT": str(port),
        "HOLDGATE_TEMPORAL_PORT": str(free_port()),  # no server listens there
    }
    make_missing_keys(Settings(var=folder))
    with (folder / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "cli", "api"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                httpx2.get(f"{address}/health/live", trust_env=False)
                break
            except httpx2.TransportError:
                assert time.monotonic() < deadline, (folder / "gateway.log").read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def client_of(address: str, person: str) -> httpx2.Client:
    """Return an HTTP client of the gateway that sends the token of one person."""
    return httpx2.Client(base_url=address, headers={"Authorization": f"Bearer {_token(person)}"}, timeout=60)


def add_people(url: str, groups: Mapping[str, str]) -> None:
    """Store people in the database, each with a group and a token."""
    now = datetime.now(UTC)
    engine = create_engine(synchronous(url))
    tokens_of = [{"hash": _digest(name), "person": name, "label": "bench", "created_at": now} for name in groups]
    with engine.begin() as conn:
        conn.execute(insert(people), [{"id": name, "name": name, "active": True, "created_at": now} for name in groups])
        conn.execute(insert(memberships), [{"person": name, "group_name": group} for name, group in groups.items()])
        conn.execute(insert(tokens), tokens_of)
    engine.dispose()


def _token(person: str) -> str:
    return f"hg_bench_{person}"


def _digest(person: str) -> str:
    return hashlib.sha256(_token(person).encode()).hexdigest()


PEOPLE = {"rita": "requesters", "mia": "managers", "dan": "directors"}


View = Callable[[int, datetime], TaskView]


def seed(url: str, first: int, last: int, view: View, batch_of: Callable[[int], str | None] = lambda _: None) -> None:
    """Store the open tasks with the numbers `first` to `last` - 1, each with its case.

    `view` returns a task for its number and the time when it opens; `batch_of` returns the batch of its case, or None.
    """
    asyncio.run(_seed(Database(url), first, last, view, batch_of))
    engine = create_engine(synchronous(url))
    if engine.dialect.name == "postgresql":
        # PostgreSQL's autovacuum does this within a minute; without it, queries are planned for empty tables. SQLite
        # needs nothing.
        with engine.connect() as conn:
            conn.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    engine.dispose()


async def _seed(db: Database, first: int, last: int, view: View, batch_of: Callable[[int], str | None]) -> None:
    began = datetime.now(UTC) - timedelta(days=1)
    for start in range(first, last, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, last))
        views = [view(number, began + timedelta(seconds=number / 10)) for number in numbers]
        async with db.write() as conn:
            rows = [
                case_row(each) | {"batch_id": batch_of(number)} for number, each in zip(numbers, views, strict=True)
            ]
            await conn.execute(insert(cases), rows)
            known = [
                view.model_copy(update={"batch_id": row["batch_id"]}) for view, row in zip(views, rows, strict=True)
            ]
            await open_all(conn, known)
    await db.close()


def view_of(number: int, opened: datetime) -> TaskView:
    """Return a task: nine in ten for managers, the rest for directors."""
    payee, amount = f"Supplier {number % 977} Ltd", f"{500 + number % 9000}.00"
    return TaskView(
        task_id=f"t{number:024x}",
        case_id=f"payment:inv-{number:07}",
        process="payment",
        gate="manager-approval",
        title=f"Pay {payee} {amount} GBP",
        summary=f"May {amount} GBP be paid to {payee}?",
        key_fields={"Payee": payee, "Amount": amount, "Currency": "GBP"},
        money={"amount": amount, "currency": "GBP"},
        requester="rita",
        candidate_groups=["directors" if number % 10 == 0 else "managers"],
        excluded_users=["dan"],
        quorum=Quorum(needed=1),
        opened_at=opened,
        due_at=opened + timedelta(days=1, seconds=number % 5000),
        expires_at=opened + timedelta(days=14),
        rule="amount >= limits.manager",
        input={"payee": payee, "amount": amount, "currency": "GBP", "account": "operating", "memo": "Goods"},
        facts={"score": 0, "reasons": [], "earlier_payments": 3},
    )


def case_row(view: TaskView) -> dict[str, Any]:
    """Return the case of a task, as a row of the database."""
    reference = view.case_id.partition(":")[2]
    return {
        "case_id": view.case_id,
        "process": view.process,
        "reference": reference.upper(),
        "reference_key": reference,
        "round": 1,
        "status": "awaiting_approval",
        "title": view.title,
        "requester": view.requester,
        "priority": 3,
        "policy_hash": "0" * 64,
        "input": view.input,
        "submitted_at": view.opened_at,
        "updated_at": view.opened_at,
        "head_count": 5,
        "head_hash": "0" * 64,
        "start_digest": "0" * 64,
    }


def synchronous(url: str) -> str:
    """Return the database URL with a driver that blocks instead of an asynchronous driver."""
    return normalised(url).render_as_string(hide_password=False)

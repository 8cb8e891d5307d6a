"""Lists over many open tasks, at the gateway over HTTP. The tasks are written straight into the database."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import create_engine, insert, text

from bench.engine import milliseconds
from store.database import migrate, normalised
from store.tables import candidates, cases, memberships, people, tasks, tokens
from tests.product import ROOT, free_port
from workflows.models import Quorum, TaskView

AT_ONCE = 2_000
ASKED = {
    "inbox page of 50": "/api/v1/tasks?mine=true&status=open&sort=due_at&limit=50",
    "inbox by newest": "/api/v1/tasks?mine=true&status=open&sort=-opened_at&limit=50",
    "search in the inbox": "/api/v1/tasks?mine=true&status=open&q=inv-0000777&limit=50",
    "newest cases": "/api/v1/cases?limit=50",
    "start page": "/",
    "metrics": "/metrics",
}
TOKEN = "hg_bench"


def lists(url: str, folder: Path, sizes: tuple[int, ...], repeats: int) -> dict[str, Any]:
    """Latencies by number of open tasks and by question."""
    migrate(url)
    found: dict[str, Any] = {}
    have = 0
    _people(url)
    for size in sizes:
        _seed(url, have, size)
        have = size
        with gateway(url, folder) as client:
            found[str(size)] = {name: milliseconds(_times(client, path, repeats)) for name, path in ASKED.items()}
    return found


def _times(client: httpx2.Client, path: str, repeats: int) -> list[float]:
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
def gateway(url: str, folder: Path) -> Iterator[httpx2.Client]:
    """A gateway on this database, as one of its people speaks to it."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))},
        "HOLDGATE_DATABASE_URL": url,
        "HOLDGATE_VAR": str(folder),
        "HOLDGATE_PORT": str(port),
        "HOLDGATE_TEMPORAL_PORT": str(free_port()),  # nobody is there: lists do not ask
    }
    with (folder / "gateway.log").open("wb") as log:
        command = [sys.executable, "holdgate.py", "api"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/health/live")
                    break
                except httpx2.TransportError:
                    assert time.monotonic() < deadline, (folder / "gateway.log").read_text()
                    time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def _people(url: str) -> None:
    import hashlib

    now = datetime.now(UTC)
    engine = create_engine(_sync(url))
    with engine.begin() as conn:
        conn.execute(insert(people), [{"id": name, "name": name, "active": True, "created_at": now} for name in PEOPLE])
        conn.execute(insert(memberships), [{"person": name, "group_name": group} for name, group in PEOPLE.items()])
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        conn.execute(insert(tokens), [{"hash": digest, "person": "mia", "label": "bench", "created_at": now}])
    engine.dispose()


PEOPLE = {"rita": "requesters", "mia": "managers", "dan": "directors"}


def _seed(url: str, first: int, last: int) -> None:
    """Nine in ten wait for managers, the rest for directors."""
    engine = create_engine(_sync(url))
    began = datetime.now(UTC) - timedelta(days=1)
    for start in range(first, last, AT_ONCE):
        views = [
            _view(number, began + timedelta(seconds=number / 10)) for number in range(start, min(start + AT_ONCE, last))
        ]
        with engine.begin() as conn:
            conn.execute(insert(cases), [_case(view) for view in views])
            conn.execute(insert(tasks), [_task(view) for view in views])
            named = [
                {"task_id": view.task_id, "kind": kind, "name": name}
                for view in views
                for kind, name in (("group", view.candidate_groups[0]), ("excluded", "dan"))
            ]
            conn.execute(insert(candidates), named)
    with engine.connect() as conn:
        # As the autovacuum of PostgreSQL does it within a minute; without, it plans for empty tables.
        conn.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    engine.dispose()


def _view(number: int, opened: datetime) -> TaskView:
    payee, amount = f"Supplier {number % 977} Ltd", f"{500 + number % 9000}.00"
    return TaskView(
        task_id=f"t{number:024x}",
        case_id=f"payment:inv-{number:07}",
        process="payment",
        gate="manager-approval",
        title=f"Pay {payee} {amount} GBP",
        summary=f"May {amount} GBP be paid to {payee}?",
        key_fields={"Payee": payee, "Amount": amount, "Currency": "GBP"},
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


def _case(view: TaskView) -> dict[str, Any]:
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
    }


def _task(view: TaskView) -> dict[str, Any]:
    named = view.model_dump(
        include={"task_id", "case_id", "process", "gate", "kind", "title", "requester", "status", "opened_at"}
    )
    clock = view.model_dump(include={"due_at", "expires_at", "priority", "revision"})
    return {**named, **clock, "given": 0, "view": view.model_dump(mode="json")}


def _sync(url: str) -> str:
    return normalised(url).render_as_string(hide_password=False).replace("+aiosqlite", "")

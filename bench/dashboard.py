"""The dashboard over many open tasks and as many ended cases, at the gateway over HTTP.

All is written straight into the database. Figures are kept for some seconds, so of several looks one has to count and
the others do not: counting is measured by itself.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import create_engine, insert, text

from bench.engine import milliseconds
from bench.lists import AT_ONCE, PEOPLE, add_people, case_row, client_of, gateway, seed, synchronous, view_of
from store.database import migrate
from store.tables import candidates, cases, decisions, tasks
from workflows.models import TaskView

PERIODS = ("24h", "7d", "30d")
ZONES = (
    *("Abidjan", "Accra", "Bamako", "Banjul", "Bissau", "Conakry", "Dakar", "Freetown", "Lome", "Monrovia"),
    *("Nouakchott", "Ouagadougou", "Sao_Tome", "Algiers", "Bangui", "Brazzaville", "Douala", "Kinshasa", "Lagos"),
    "Tunis",
)
"""In Africa, 20 of them. Another zone is another question, which has not been counted yet."""


def dashboard(url: str, folder: Path, size: int) -> dict[str, Any]:
    """Latencies by who looks and at which period."""
    migrate(url)
    add_people(url, {**PEOPLE, "ada": "admins"})
    seed(url, 0, size, view_of)
    _ended(url, size, 2 * size)
    found: dict[str, Any] = {}
    with gateway(url, folder) as address:
        for name, person in (("an admin", "ada"), ("a manager", "mia")):
            with client_of(address, person) as client:
                for period in PERIODS:
                    counted = [_took(client, period, f"Africa/{zone}") for zone in ZONES]
                    found[f"{name}, {period}, counted"] = milliseconds(counted)
                    kept = [_took(client, period, f"Africa/{ZONES[-1]}") for _ in ZONES]
                    found[f"{name}, {period}, kept"] = milliseconds(kept)
    return found


def _took(client: httpx2.Client, period: str, zone: str) -> float:
    began = time.perf_counter()
    answer = client.get("/api/v1/dashboard", params={"period": period, "zone": zone})
    assert answer.status_code == 200, answer.text
    return time.perf_counter() - began


def _ended(url: str, first: int, last: int) -> None:
    """Cases that ended within the last 30 days, each after one task; one in fifty was taken back."""
    engine = create_engine(synchronous(url))
    now = datetime.now(UTC)
    for start in range(first, last, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, last))
        ended = {number: now - timedelta(days=30) * ((number * 7919) % last) / last for number in numbers}
        # From minutes to days, none like another.
        waits = {number: timedelta(seconds=60 + (number * 104_729) % 400_009) for number in numbers}
        views = [view_of(number, ended[number] - waits[number]) for number in numbers]
        with engine.begin() as conn:
            done = {"status": "closed", "outcome": "approved"}
            rows = [(n, v, ended[n]) for n, v in zip(numbers, views, strict=True)]
            conn.execute(insert(cases), [_closed(case_row(v), at, waits[n], n) for n, v, at in rows])
            conn.execute(insert(tasks), [_task_row(v) | done | {"closed_at": at} for _, v, at in rows])
            named = [{"task_id": v.task_id, "kind": "group", "name": v.candidate_groups[0]} for v in views]
            conn.execute(insert(candidates), named)
            conn.execute(insert(decisions), [_decision(v, at) for _, v, at in rows])
    with engine.connect() as conn:
        conn.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    engine.dispose()


def _closed(row: dict[str, Any], ended: datetime, waited: timedelta, number: int) -> dict[str, Any]:
    took = waited + timedelta(milliseconds=500 + number % 9_973)
    kind = "completed" if number % 10 else "rejected"
    return row | {
        "status": "rolled_back" if number % 50 == 1 else kind,
        "submitted_at": ended - took,
        "closed_at": ended,
        "ended_at": ended,
        "ended_as": kind,
        "took_ms": took // timedelta(milliseconds=1),
        "waited_ms": waited // timedelta(milliseconds=1),
    }


def _task_row(view: TaskView) -> dict[str, Any]:
    named = view.model_dump(
        include={"task_id", "case_id", "process", "gate", "kind", "title", "requester", "status", "opened_at"}
    )
    clock = view.model_dump(include={"due_at", "expires_at", "priority", "revision"})
    return {**named, **clock, "given": 0, "asked": view.candidate_groups[0], "view": view.model_dump(mode="json")}


def _decision(view: TaskView, at: datetime) -> dict[str, Any]:
    return {
        "decision_id": f"d{view.task_id}",
        "task_id": view.task_id,
        "case_id": view.case_id,
        "person": ("mia", "dan")[int(view.task_id[1:], 16) % 10 == 0],
        "verdict": "approve",
        "comment": "",
        "content": "0" * 64,
        "status": "accepted",
        "via": "api",
        "at": at,
    }

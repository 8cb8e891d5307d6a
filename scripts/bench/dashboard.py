"""Measure the dashboard with many open tasks and as many ended cases, with requests to the gateway over HTTP.

All data is written straight into the database. The gateway caches figures for some seconds, so the time for counting is
measured separately.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import bindparam, insert, text, update

from domain.task import TaskView
from scripts.bench.databases import on_both, show
from scripts.bench.figures import milliseconds, write_json
from scripts.bench.lists import AT_ONCE, PEOPLE, add_people, case_row, client_of, gateway, seed, view_of
from store.cases.tasks import open_all
from store.db.database import Database, migrate
from store.tables.base import Instant
from store.tables.cases import cases, decisions, tasks

GOAL_MS = 800.0
"""The goal for the 95th percentile of the latency, in milliseconds."""
PERIODS = ("24h", "7d", "30d")
ZONES = (
    *("Abidjan", "Accra", "Bamako", "Banjul", "Bissau", "Conakry", "Dakar", "Freetown", "Lome", "Monrovia"),
    *("Nouakchott", "Ouagadougou", "Sao_Tome", "Algiers", "Bangui", "Brazzaville", "Douala", "Kinshasa", "Lagos"),
    "Tunis",
)
"""20 African time zones.

The gateway caches the figures of each zone separately, so that a new zone makes the gateway count again.
"""


def run(arguments: Sequence[str]) -> None:
    """Measure the dashboard on both databases, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench dashboard", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="open tasks (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    asked = parser.parse_args(arguments)
    found = on_both(partial(dashboard, size=asked.tasks))
    show(found, f"{asked.tasks:,} open tasks and as many ended cases, median / p95 in ms, goal {GOAL_MS:g}")
    write_json(asked.json, found)


def dashboard(url: str, folder: Path, size: int) -> dict[str, Any]:
    """Measure the dashboard with `size` open tasks. Return latencies in milliseconds by person and period."""
    migrate(url)
    add_people(url, {**PEOPLE, "ada": "admins"})
    seed(url, 0, size, view_of)
    asyncio.run(_end(Database(url), size, 2 * size))
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


async def _end(db: Database, first: int, last: int) -> None:
    """Store cases that ended within the last 30 days, each after one task; one in fifty was rolled back.

    The numbers of the cases go from `first` to `last` - 1. Close the database at the end.
    """
    now = datetime.now(UTC)
    close = update(tasks).where(tasks.c.task_id == bindparam("of")).values(status="closed", outcome="approved")
    close = close.values(closed_at=bindparam("at", type_=Instant))
    for start in range(first, last, AT_ONCE):
        rows, views, decided = [], [], []
        for number in range(start, min(start + AT_ONCE, last)):
            ended = now - timedelta(days=30) * ((number * 7919) % last) / last
            waited = timedelta(seconds=60 + (number * 104_729) % 400_009)  # from minutes to days, with few equal times
            view = view_of(number, ended - waited)
            views.append(view)
            rows.append(_ended(case_row(view), ended, waited, number))
            decided.append(_decision(view, "dan" if number % 10 == 0 else "mia", ended))
        async with db.write() as conn:
            await conn.execute(insert(cases), rows)
            await open_all(conn, views)
            await conn.execute(close, [{"of": row["task_id"], "at": row["at"]} for row in decided])
            await conn.execute(insert(decisions), decided)
    async with db.write() as conn:
        await conn.execute(text("ANALYZE"))
    await db.close()


def _ended(row: dict[str, Any], ended: datetime, waited: timedelta, number: int) -> dict[str, Any]:
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


def _decision(view: TaskView, person: str, at: datetime) -> dict[str, Any]:
    return {
        "decision_id": f"d{view.task_id}",
        "task_id": view.task_id,
        "case_id": view.case_id,
        "person": person,
        "verdict": "approve",
        "comment": "",
        "content": "0" * 64,
        "status": "accepted",
        "via": "api",
        "at": at,
    }

"""Measure the inbox with very many open tasks, as page and as JSON.

The inbox is measured for a person who can decide most of the tasks, for one who can decide a few, for one who can
decide none, and for one who sees all tasks. The tasks are written directly into the database.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from domain.task import Quorum, TaskView
from scripts.bench.databases import on_both, show
from scripts.bench.figures import milliseconds, write_json
from scripts.bench.lists import add_people, client_of, gateway, seed, times
from store.db.database import migrate

GOAL_MS = 300.0
"""The goal for the first page and for groups: the 95th percentile of the latency, in milliseconds."""
PEOPLE = {"rita": "requesters", "mia": "managers", "dan": "directors", "fay": "fraud-analysts", "ann": "auditors"}
ASKED: dict[str, tuple[str, str]] = {
    "first page, nine in ten of all": ("mia", "/"),
    "first page, a few": ("fay", "/"),
    "first page, nothing": ("rita", "/"),
    "first page, all of them (auditor)": ("ann", "/?whose=all"),
    "all I may see": ("mia", "/?whose=all"),
    "all I asked for": ("rita", "/?whose=all"),
    "all I may see, a few": ("fay", "/?whose=all"),
    "claimed by me": ("mia", "/?whose=claimed"),
    "newest first": ("mia", "/?sort=-opened_at"),
    "by priority": ("mia", "/?sort=priority"),
    "by priority, auditor": ("ann", "/?whose=all&sort=priority"),
    "one process": ("mia", "/?process=payment"),
    "one step": ("mia", "/?process=payment&step=fraud-review"),
    "overdue": ("mia", "/?due=overdue"),
    "due today": ("mia", "/?due=today"),
    "no due time": ("mia", "/?due=none"),
    "priority 1": ("mia", "/?priority=1"),
    "one group": ("mia", "/?group=managers"),
    "a requester": ("mia", "/?requester=rita"),
    "a payee": ("mia", "/?payee=Supplier%207%20Ltd"),
    "a batch": ("mia", "/?batch=b-7"),
    "search, few": ("mia", "/?q=inv-0000777"),
    "search, nothing": ("mia", "/?q=nobody%20has%20this"),
    "by step": ("mia", "/?by=step"),
    "by payee": ("mia", "/?by=payee"),
    "by requester": ("mia", "/?by=requester"),
    "by batch": ("mia", "/?by=batch"),
    "by step, auditor": ("ann", "/?whose=all&by=step"),
    "by payee, a few": ("fay", "/?by=payee"),
    "by payee, all I may see": ("mia", "/?whose=all&by=payee"),
    "JSON, mine": ("mia", "/api/v1/tasks?mine=true&status=open"),
    "JSON, mine, a few": ("fay", "/api/v1/tasks?mine=true&status=open"),
    "JSON, all": ("mia", "/api/v1/tasks"),
    "JSON, all (auditor)": ("ann", "/api/v1/tasks"),
    "JSON, all open": ("rita", "/api/v1/tasks?status=open"),
}


def run(arguments: Sequence[str]) -> None:
    """Measure the inbox on both databases, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench inbox", description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000, help="open tasks (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="requests of each kind (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only what has this text in its name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    asked = parser.parse_args(arguments)
    names = [name for name in ASKED if asked.only in name]
    found = on_both(partial(inbox, open_tasks=asked.tasks, repeats=asked.repeats, names=names))
    show(found, f"{asked.tasks:,} open tasks, median / p95 in ms, goal of each {GOAL_MS:g}")
    write_json(asked.json, found)


def inbox(url: str, folder: Path, open_tasks: int, repeats: int, names: Sequence[str]) -> dict[str, Any]:
    """Measure the inbox with this number of open tasks. Return latencies in milliseconds by query."""
    migrate(url)
    add_people(url, PEOPLE)
    seed(url, 0, open_tasks, _view, lambda number: f"b-{number // 500}" if number % 2 else None)
    found: dict[str, Any] = {}
    with gateway(url, folder) as address:
        for name in names:
            person, path = ASKED[name]
            with client_of(address, person) as client:
                found[name] = milliseconds(times(client, path, repeats))
    return found


def _view(number: int, opened: datetime) -> TaskView:
    """Return a task with this number.

    One in ten is for directors, one in a thousand for analysts, the rest for managers; one in twenty has no due time.
    """
    payee, amount = f"Supplier {number % 977} Ltd", f"{500 + number % 9000}.{number % 100:02}"
    group = "fraud-analysts" if number % 1000 == 5 else "directors" if number % 10 == 0 else "managers"
    currency = ("GBP", "EUR", "USD")[number % 3]
    return TaskView(
        task_id=f"t{number * 2654435761 % 2**32:024x}",  # spread like real ids
        case_id=f"payment:inv-{number:07}",
        process="payment",
        gate="fraud-review" if group == "fraud-analysts" else "manager-approval",
        title=f"Pay {payee} {amount} {currency}",
        summary=f"May {amount} {currency} be paid to {payee}?",
        key_fields={"Payee": payee, "Amount": amount, "Currency": currency},
        money={"amount": amount, "currency": currency},
        requester="rita",
        candidate_groups=[group],
        excluded_users=["dan"],
        quorum=Quorum(needed=1),
        opened_at=opened,
        due_at=None if number % 20 == 1 else opened + timedelta(days=1, seconds=number * 7919 % 500_000),
        expires_at=opened + timedelta(days=14),
        priority=1 + number % 5,
        rule="amount >= limits.manager",
        input={"payee": payee, "amount": amount, "currency": currency, "account": "operating", "memo": "Goods"},
        facts={"score": 0, "reasons": [], "earlier_payments": 3},
    )

"""The inbox over many open tasks, at a gateway over HTTP on SQLite: the page and the JSON route, as people ask them."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from bench.engine import milliseconds
from bench.lists import AT_ONCE, gateway
from store import cases, people, tasks
from store.cases import NewCase
from store.database import Database, migrate
from workflows.models import CaseEvent, Quorum, Status, TaskView

PEOPLE = {
    "mia": ["managers"],  # all tasks wait for her
    "dan": ["directors"],  # twenty of them do
    "ann": ["auditors"],  # sees all, decides none
    "ray": ["requesters"],  # asked for a third of them
}
ASKED = {
    "mia": {
        "the inbox": "/",
        "by priority": "/?sort=priority",
        "newest first": "/?sort=-opened_at",
        "one step": "/?process=payment&step=manager-approval",
        "late ones": "/?due=overdue",
        "due today": "/?due=today",
        "without due time": "/?due=none",
        "one group": "/?group=managers",
        "one requester": "/?requester=ray",
        "one priority": "/?priority=1",
        "one payee": "/?payee=Supplier+7+Ltd",
        "one batch": "/?batch=b7",
        "words found": "/?q=supplier+7",
        "words not found": "/?q=nowhere+to+be+found",
        "grouped by step": "/?by=step",
        "grouped by payee": "/?by=payee",
        "grouped by batch": "/?by=batch",
        "grouped by requester": "/?by=requester",
        "JSON": "/api/v1/tasks?mine=true&status=open&limit=100",
    },
    "dan": {
        "the inbox": "/",
        "by priority": "/?sort=priority",
        "one step": "/?process=payment&step=manager-approval",
        "late ones": "/?due=overdue",
        "all they may see": "/?whose=all",
        "claimed": "/?whose=claimed",
        "JSON": "/api/v1/tasks?mine=true&status=open&limit=100",
    },
    "ann": {
        "the inbox": "/",
        "all": "/?whose=all",
        "all by priority": "/?whose=all&sort=priority",
        "late ones": "/?whose=all&due=overdue",
        "one step": "/?whose=all&process=payment&step=manager-approval",
        "JSON": "/api/v1/tasks?status=open&limit=100",
    },
    "ray": {"all of their own": "/?whose=all", "JSON": "/api/v1/tasks?status=open&limit=100"},
}
"""What is asked, by whom."""
BATCHES, PAYEES, CURRENCIES = 50, 300, ("GBP", "EUR", "JPY")


def inbox(folder: Path, *, size: int, repeats: int) -> dict[str, Any]:
    """Latencies and sizes by person and question, over so many open tasks."""
    url = f"sqlite:///{folder / 'holdgate.db'}"
    migrate(url)
    tokens = asyncio.run(_seed(url, size))
    found: dict[str, Any] = {"open_tasks": size, "asked": {}}
    with gateway(url, folder) as client:
        for person, questions in ASKED.items():
            client.headers["Authorization"] = f"Bearer {tokens[person]}"
            found["asked"][person] = {
                name: {**milliseconds(took), "kilobytes": kilobytes}
                for name, (took, kilobytes) in _measured(client, questions, repeats)
            }
    return found


def _measured(
    client: httpx2.Client, questions: dict[str, str], repeats: int
) -> Iterator[tuple[str, tuple[list[float], float]]]:
    for name, path in questions.items():
        took = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            answer = client.get(path)
            took.append(time.perf_counter() - began)
            assert answer.status_code == 200, answer.text
        yield name, (took[1:], round(len(answer.content) / 1000, 1))


async def _seed(url: str, size: int) -> dict[str, str]:
    """The people and their tasks; answers the people's tokens."""
    db, tokens = Database(url), {}
    async with db.write() as conn:
        for name, groups in PEOPLE.items():
            await people.add(conn, name, name.title(), groups, by="bench")
            tokens[name] = await people.new_token(conn, name, "bench", by="bench")
    opened = datetime.now(UTC) - timedelta(days=2)
    for start in range(0, size, AT_ONCE):
        views = [view(n, opened + timedelta(seconds=n)) for n in range(start, min(start + AT_ONCE, size))]
        async with db.write() as conn:
            await cases.insert_many(conn, [(_case(each, n + start), _submitted(each)) for n, each in enumerate(views)])
            await cases.started(conn, [each.case_id for each in views], Status.AWAITING_APPROVAL)
            await tasks.open_all(conn, views)
    await db.close()
    return tokens


def view(number: int, opened: datetime) -> TaskView:
    """A task as a payment opens it: a fifth of them flagged, one in 5,000 for directors, one in ten without a due
    time."""
    payee, currency = f"Supplier {number % PAYEES} Ltd", CURRENCIES[number % len(CURRENCIES)]
    amount = Decimal(500 + number % 9000) if currency == "JPY" else Decimal(50_000 + number % 900_000) / 100
    flagged = [{"name": "new_payee", "points": 20, "text": f"{payee} has never been paid before"}]
    return TaskView(
        task_id=f"t{number * 2654435761 % 2**32:024x}",
        case_id=f"payment:inv-{number:07}",
        process="payment",
        gate="manager-approval" if number % 4 else "director-approval",
        title=f"Pay {payee} {amount:,} {currency} (INV-{number:07})",
        summary=f"May {amount:,} {currency} be paid to {payee}?",
        key_fields={"Payee": payee, "Amount": str(amount), "Currency": currency, "Account": "operating"},
        requester="ray" if number % 3 == 0 else f"requester-{number % 40}",
        candidate_groups=["managers", "directors"] if number % 5000 == 0 else ["managers"],
        excluded_users=[f"requester-{number % 40}"],
        quorum=Quorum(needed=1 + number % 2),
        opened_at=opened,
        due_at=None if number % 10 == 9 else opened + timedelta(days=1, seconds=number * 7919 % 400_000),
        expires_at=opened + timedelta(days=14),
        priority=1 + number * 31 % 5,
        rule="amount >= limits.manager",
        input={
            **{"payee": payee, "amount": str(amount), "currency": currency, "account": "operating"},
            **{"payee_account": "GB82WEST12345698765432", "memo": "Goods as ordered, delivered and counted"},
        },
        facts={"score": 20 * (number % 5 == 0), "reasons": flagged if number % 5 == 0 else [], "earlier_payments": 3},
    )


def _case(task: TaskView, number: int) -> NewCase:
    reference = task.case_id.partition(":")[2]
    return NewCase(
        case_id=task.case_id,
        process=task.process,
        reference=reference.upper(),
        reference_key=reference,
        title=task.title,
        requester=task.requester,
        batch_id=f"b{number % BATCHES}",
        policy_hash="0" * 64,
        input=task.input,
        submitted_at=task.opened_at,
    )


def _submitted(task: TaskView) -> CaseEvent:
    return CaseEvent(
        event_id=f"{task.case_id}/0",
        case_id=task.case_id,
        at=task.opened_at,
        kind="case_submitted",
        actor=task.requester,
        summary="Submitted",
    )

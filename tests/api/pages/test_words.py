"""Pages of tasks and cases in each state, and mails, contain no words for engineers."""

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote
from uuid import uuid4

from channels.message_writer import MessageWriter
from domain.notification import Letter, Notice, NoticeKind, NoticeTask
from domain.status import Outcome, Status
from store.receivers.ledger import Ledger
from tests.api.conftest import Gate
from tests.api.pages.visits import Element, parsed, signed_in

ENGINEERS = re.compile(
    r"\b(gates?|quorum|compensat\w*|veto\w*|facts?|intervention\w*|payload|idempoten\w*|workflow|saga|null|none|true|false"
    r"|[a-z]+_[a-z_]+|&&|>=|<=|\{|\}|\w+\.\w+\(|limits\.\w+)\b",
    re.IGNORECASE,
)
"""`none` alone is a word of Python; people read `None yet.`"""
FINE = re.compile(r"None yet|payment:\S+|INV-\S+|Temporal Web UI|in Temporal", re.IGNORECASE)


def words_of_engineers(page: str) -> list[str]:
    """What of the visible words of a page, and of what is read out, is for engineers."""
    main = parsed(page).one("main")
    said = [
        _visible(main),
        *(each.attrs[name] for each in main.walk() for name in ("aria-label", "title") if name in each.attrs),
    ]
    return [found[0] for each in said for found in ENGINEERS.finditer(FINE.sub(" ", each))]


def _visible(element: Element) -> str:
    parts = (each if isinstance(each, str) else _visible(each) for each in element.parts)
    return "" if element.tag in ("script", "style") else f" {' '.join(parts)} "


async def cases_of_every_kind(gate: Gate) -> dict[str, str]:
    """A case in each state that requesters and reviewers meet, by what it is."""
    account = f"locked-{uuid4().hex[:8]}"
    await Ledger(gate.database).fund(f"fund/{account}", account, "GBP", Decimal(1_000_000), locked=True)

    async def made(verdict: str = "", until: str = "", **input: str) -> str:
        case_id = await gate.start(**input)
        if verdict:
            answer = await gate.decide("manager-1", await gate.open_task(case_id), verdict, comment="So it is")
            assert answer.status_code == 200, answer.text
        await gate.until(case_id, lambda case: case["status"] == until)
        return case_id

    made_ = await asyncio.gather(
        made("", "awaiting_approval", amount="12000.00"),
        made("", "completed", amount="120.00"),
        made("reject", "rejected"),
        made("request_changes", "awaiting_changes"),
        made("", "needs_intervention", account=account),
        made("", "awaiting_approval", amount="60000.00", currency="GBP"),
        made("approve", "completed"),
    )
    kinds = ("two", "by rule", "rejected", "changes", "stuck", "large", "rolled back")
    found = dict(zip(kinds, made_, strict=True))
    path = f"/cases/{quote(found['rolled back'], safe='')}/rollback"
    assert (await gate.post("operator-1", path, {"reason": "Paid twice"})).status_code == 202
    await gate.until(found["rolled back"], lambda case: case["status"] == "rolled_back")
    two = await gate.open_task(found["two"])
    for person, verdict in (("requester-1", "approve"), ("manager-1", "approve"), ("manager-1", "approve")):
        await gate.decide(person, two, verdict)  # the last and the first are refused, which is told in the timeline
    await gate.post("manager-2", f"/tasks/{two['task_id']}/questions", {"to": "requester-1", "text": "Whose is it?"})
    return found


async def test_pages_of_tasks_and_cases_have_no_words_of_engineers(gate: Gate) -> None:
    found = await cases_of_every_kind(gate)
    wrong: dict[str, list[str]] = {}
    for person in ("requester-1", "manager-1"):
        async with signed_in(gate, person) as client:
            for kind, case_id in found.items():
                case = await gate.case(case_id)
                tasks = [f"/tasks/{task['task_id']}" for task in case["tasks"]]
                for address in (f"/cases/{quote(case_id, safe='')}", *tasks):
                    answer = await client.get(address)
                    if answer.status_code == 404:  # a manager does not see what needed none
                        continue
                    assert answer.status_code == 200, answer.text
                    if said := words_of_engineers(answer.text):
                        wrong[f"{person}, {kind}: {address}"] = said
    assert not wrong


def test_mails_have_no_words_of_engineers() -> None:
    now = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
    writer = MessageWriter("https://holdgate.example.org", {"payment": ("payment", "payments")})
    reason = "Rejected by rule at manager approval: facts.score > 90"
    for kind in NoticeKind:
        for status in Status:
            for outcome in (None, *Outcome):
                task = NoticeTask(
                    task_id="t1",
                    gate="manager-approval",
                    kind="gate",
                    question="May it be paid?",
                    waiting=outcome is None,
                    outcome=outcome,
                    due_at=now,
                    expires_at=now,
                )
                notice = Notice(
                    kind=kind,
                    case_id="payment:inv-1",
                    process="payment",
                    title="Pay Acme Ltd 1.00 GBP",
                    status=status,
                    requester="rita",
                    requester_name="Rita",
                    reason=reason,
                    rule_at="manager-approval",
                    undone=["Release the held 1.00 GBP"],
                    task=task,
                )
                for person in ("rita", "mary"):
                    letter = Letter(message_id="m1", person=person, name=person, address=None, notices=[notice])
                    text = writer.write(letter, now)
                    said = [found[0] for found in ENGINEERS.finditer(f"{text.subject}\n{text.plain}")]
                    assert not said, f"{kind} {status} {outcome}: {said} in {text.plain}"

"""`audit verify` finds an audit log that was rewritten as a whole, because nobody else can sign what it says."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from core.signed_client import signed
from domain.case import CaseEvent
from domain.messages import Act, Action, Actor, Cancellation, Decision
from domain.proof.envelope import SignedText
from domain.proof.keys import KeyRegistry
from domain.records import CaseRecord, DecisionRecord
from domain.status import Status
from plugins.testing.signatures import TEST_KEY, TEST_KEYS
from store.audit.verification import verify, verify_case
from store.cases import proofs
from store.db.database import Database
from tests.store.sample_cases import MORNING, decision, event, opening, recorded, submitted, task

CASE = "payment:inv-1"
LONG = f"{CASE}/{'x' * 990}/cancel"
"""The id of a cancellation that a worker sends contains an idempotency key."""


def made() -> Decision:
    given = decision(task(CASE), comment="as agreed", via="page")
    proven = signed(given, TEST_KEY, "default", CASE)
    assert isinstance(proven, Decision)
    return proven


def told(given: Decision, **lie: Any) -> CaseEvent:
    """The event about a decision, with a lie in it."""
    data = {
        "task_id": given.task_id,
        "decision_id": given.id,
        "verdict": given.verdict.value,
        "comment": given.comment,
        "groups": given.by.groups,
        "via": given.via,
    }
    actor = lie.pop("actor", given.by.id)
    return event(CASE, 2, "decided", **(data | lie)).model_copy(update={"actor": actor})


async def stored(db: Database, given: Decision, about: CaseEvent, *, workflow_id: str = CASE) -> None:
    """Write all of it as Holdgate would, so that every hash and every seal is right."""
    await submitted(db)
    await recorded(db, opening(task(CASE)))
    kept = [SignedText.of(given, "default", workflow_id)] if given.proof else []
    record = CaseRecord(
        case_id=CASE,
        status=Status.RUNNING,
        events=[about],
        decisions=[DecisionRecord(decision=given)],
        proofs=kept,
    )
    await recorded(db, record)


async def test_the_signature_of_an_honest_event_is_valid(db: Database) -> None:
    await stored(db, made(), told(made()))
    assert (await verify(db, keys=TEST_KEYS)).problems == []
    async with db.read() as conn:
        assert (await verify_case(conn, CASE, keys=TEST_KEYS)).problems == []


@pytest.mark.parametrize(
    "lie",
    [
        {"actor": "manager-2"},
        {"verdict": "reject"},
        {"comment": "pay twice"},
        {"groups": ["directors"]},
        {"task_id": "another"},
        {"via": "api"},
    ],
    ids=str,
)
async def test_an_event_that_does_not_say_what_was_signed_is_found(db: Database, lie: dict[str, Any]) -> None:
    await stored(db, made(), told(made(), **lie))
    assert (await verify(db)).problems == [], "without the keys nothing shows it"
    assert (await verify(db, keys=TEST_KEYS)).problems == [
        f"event {CASE}/2 of case {CASE}: it does not say what manager-1 signed"
    ]


@pytest.mark.parametrize("left_out", ["decision_id", "verdict", "task_id"])
async def test_an_event_about_a_decision_leaves_out_nothing_that_was_signed(db: Database, left_out: str) -> None:
    about = told(made())
    about.data.pop(left_out)
    await stored(db, made(), about)
    (found,) = (await verify(db, keys=TEST_KEYS)).problems
    assert found.startswith(f"event {CASE}/2 of case {CASE}: ")


@pytest.mark.parametrize("kind", ["decided", "task_reassigned", "cancel_requested"])
@pytest.mark.parametrize("actor", ["manager-1", "temporal"])
async def test_what_a_person_does_needs_a_signed_message_of_this_kind(db: Database, kind: str, actor: str) -> None:
    claim = Action(id="a1", task_id="t1", act=Act.CLAIM, by=Actor(id=actor), text="x", at=MORNING)
    other = Cancellation(id="c1", by=Actor(id=actor), reason="x", at=MORNING)
    sent = signed(other if kind != "cancel_requested" else claim, TEST_KEY, "default", CASE)
    names = "action_id" if kind == "task_reassigned" else "message_id"
    about = [
        event(CASE, 1, kind, **{names: sent.id}).model_copy(update={"actor": actor}),
        event(CASE, 2, kind).model_copy(update={"actor": actor}),
    ]
    await submitted(db)
    proven = [SignedText.of(sent, "default", CASE)]
    await recorded(db, CaseRecord(case_id=CASE, status=Status.RUNNING, events=about, proofs=proven))
    assert (await verify(db, keys=TEST_KEYS)).problems == [
        f"event {CASE}/1 of case {CASE}: it does not say what {actor} signed",
        f"event {CASE}/2 of case {CASE}: no valid signature of its message is stored",
    ]


async def test_an_event_without_a_signature_is_found(db: Database) -> None:
    await stored(db, made().model_copy(update={"proof": None}), told(made()))
    assert (await verify(db, keys=TEST_KEYS)).problems == [
        f"event {CASE}/2 of case {CASE}: no valid signature of its message is stored"
    ]


async def test_a_signature_for_another_case_or_by_an_unknown_key_is_found(db: Database) -> None:
    given = made()
    await stored(db, given, told(given), workflow_id="payment:inv-2")
    found = (await verify(db, keys=TEST_KEYS)).problems
    assert (
        found[0] == f"table proofs, row {given.id}: the signed text is about another message: one of the two was edited"
    )
    assert len(found) == 2
    assert len((await verify(db, keys=KeyRegistry())).problems) == 2


async def test_a_cancellation_by_temporal_needs_no_signature_and_any_other_does(db: Database) -> None:
    await submitted(db)
    asked = signed(
        Cancellation(id=LONG, by=Actor(id="ada"), reason="x" * 5000, at=MORNING + timedelta(hours=1)),
        TEST_KEY,
        "default",
        f"{CASE}~rollback",
    )
    events = [
        event(CASE, 1, "cancel_requested", reason="x", via="temporal", message_id="t").model_copy(
            update={"actor": "temporal"}
        ),
        event(CASE, 2, "cancel_requested", reason="x", via="api", message_id=LONG).model_copy(update={"actor": "ada"}),
        event(CASE, 3, "cancel_requested", reason="x", via="api", message_id="c2").model_copy(update={"actor": "ada"}),
    ]
    await recorded(db, CaseRecord(case_id=CASE, status=Status.RUNNING, events=events))
    async with db.write() as conn:
        await proofs.add(conn, [SignedText.of(asked, "default", f"{CASE}~rollback")], CASE)
    assert (await verify(db, keys=TEST_KEYS)).problems == [
        f"event {CASE}/3 of case {CASE}: no valid signature of its message is stored"
    ]


@pytest.mark.parametrize(
    "value", [7, b"\xff", "x", '{"at": []}', "a\n" + "[" * 100_000], ids=["int", "bytes", "x", "json", "deep"]
)
@pytest.mark.parametrize("column", ["message_id", "case_id", "kind", "text", "proof"])
async def test_any_value_of_a_row_is_read(sqlite_url: str, column: str, value: Any) -> None:
    db = Database(sqlite_url)
    await stored(db, made(), told(made()))
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as raw:
        raw.execute(f"UPDATE proofs SET {column} = ?", (value,))
        raw.commit()
    found = (await verify(db, keys=TEST_KEYS)).problems
    assert any("signed" in problem or "signature" in problem for problem in found), found
    await db.close()

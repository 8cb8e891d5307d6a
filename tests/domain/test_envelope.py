"""The signed text covers every field of every message, and a signature is valid for one message only."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from domain.batch import BatchAct, BatchOrder
from domain.confirmation import Confirm, Confirmation
from domain.messages import Absent, Act, Action, Actor, Cancellation, Decision, Resynchronise, Signed, StartNow
from domain.proof.challenge import challenge
from domain.proof.envelope import Kind, NotCanonical, kind_of, signed_fields, signed_text, uncanonical
from domain.proof.keys import FRESH, SKEW, Fault, KeyRegistry, Role, SigningKey
from domain.ruling import GateRuling
from domain.status import Verdict

NOW = datetime(2026, 11, 30, 12, 30, 15, 250_001, tzinfo=UTC)
BY = Actor(id="mia", groups=["managers", "admins"], stands_in_for=[Absent(id="max", groups=["directors"])])
RULING = GateRuling(needed=True, rule="always", names={"amount": 2**60}, due_at=NOW, groups=["managers"])
MESSAGES: dict[Kind, Signed] = {
    Kind.DECISION: Decision(
        id="d1",
        task_id="t1",
        verdict=Verdict.APPROVE,
        by=BY,
        comment="fine",
        revision=3,
        edits={"amount": "1"},
        confirmation=Confirmation(method=Confirm.PASSKEY, name="Mia", nonce="n", credential_id="c", signature="s"),
        at=NOW,
    ),
    Kind.ACTION: Action(
        id="a1",
        task_id="t1",
        act=Act.NEW_RULES,
        by=BY,
        to=Actor(id="moe", groups=["managers"]),
        text="why",
        question="q1",
        replaces="max",
        due_at=NOW,
        expires_at=NOW,
        ruling=RULING,
        policy_hash="h",
        revision=3,
        at=NOW,
    ),
    Kind.RECOUNT: Action(id="r1", task_id="t1", act=Act.RECOUNT, by=Actor(id="holdgate"), via="worker", at=NOW),
    Kind.CANCELLATION: Cancellation(id="c1", by=BY, reason="not needed", at=NOW),
    Kind.START_NOW: StartNow(id="s1", by=BY, at=NOW),
    Kind.BATCH_ORDER: BatchOrder(id="o1", act=BatchAct.CANCEL, by=BY, reason="wrong file", at=NOW),
    Kind.RESYNCHRONISE: Resynchronise(id="y1", run_id="run", at=NOW),
}
KEY = SigningKey.generate()
REGISTRY = KeyRegistry([KEY.trusted(Role.GATEWAY, NOW - timedelta(days=1))])


def text(message: Signed, namespace: str = "default", workflow_id: str = "payment:1") -> bytes:
    return signed_text(message, namespace, workflow_id)


def changed(value: Any) -> Iterator[Any]:
    """Yield values that differ from a value in one place: for a model, each of its fields in turn."""
    match value:
        case Signed() | Actor() | Absent() | Confirmation():
            for name in type(value).model_fields:
                if name != "proof":
                    yield from (value.model_copy(update={name: other}) for other in changed(getattr(value, name)))
        case GateRuling():
            yield value.model_copy(update={"groups": ["directors"]})
        case bool():
            yield not value
        case Act():
            yield Act.CLAIM
        case BatchAct():
            yield BatchAct.PAUSE
        case Confirm():
            yield Confirm.PASSWORD
        case Verdict():
            yield Verdict.REJECT
        case str():
            yield value + "x"
        case int():
            yield value + 1
        case datetime():
            yield value + timedelta(microseconds=1)
        case dict():
            yield {**value, "more": None}
        case list():
            yield from ([*value, each] for each in value[:1])
            yield from ([other, *value[1:]] for each in value[:1] for other in changed(each))
        case None:
            yield from ()
        case _:
            raise AssertionError(value)


def test_each_kind_of_message_has_an_example() -> None:
    assert {kind: kind_of(message) for kind, message in MESSAGES.items()} == {kind: kind for kind in Kind}
    subclasses = {*Signed.__subclasses__()}
    assert {type(message) for message in MESSAGES.values()} == subclasses


@pytest.mark.parametrize("kind", Kind)
def test_the_signature_covers_each_field(kind: Kind) -> None:
    message = MESSAGES[kind]
    proof = KEY.sign(text(message))
    assert REGISTRY.fault(kind, text(message), proof, NOW) is None
    others = [*changed(message)]
    touched = {name for other in others for name in type(message).model_fields if _differs(message, other, name)}
    empty = {name for name in type(message).model_fields if getattr(message, name) is None} if kind == "recount" else {}
    assert touched == {*type(message).model_fields} - {"proof"} - {*empty}
    for other in others:
        assert REGISTRY.fault(kind, text(other), proof, NOW) is Fault.WRONG_SIGNATURE, other
    assert REGISTRY.fault(kind, text(message, namespace="finance"), proof, NOW) is Fault.WRONG_SIGNATURE
    assert REGISTRY.fault(kind, text(message, workflow_id="payment:2"), proof, NOW) is Fault.WRONG_SIGNATURE


def _differs(message: Signed, other: Signed, name: str) -> bool:
    return bool(getattr(message, name) != getattr(other, name))


@pytest.mark.parametrize("kind", Kind)
def test_a_message_keeps_its_text_on_the_way_to_the_workflow(kind: Kind) -> None:
    message = MESSAGES[kind]
    assert text(type(message).model_validate_json(message.model_dump_json())) == text(message)


def test_the_kind_is_the_first_line() -> None:
    lines = {kind: text(message).split(b"\n", 1)[0] for kind, message in MESSAGES.items()}
    assert lines == {kind: f"holdgate-{kind}-v1".encode() for kind in Kind}
    assert text(MESSAGES[Kind.START_NOW]) == (
        b'holdgate-start-now-v1\n{"at":"2026-11-30T12:30:15.250001+00:00","by":{"groups":["admins","managers"],'
        b'"id":"mia","kind":"person","stands_in_for":[{"groups":["directors"],"id":"max"}]},"id":"s1","namespace":"default","v":1,'
        b'"via":"api","workflow_id":"payment:1"}'
    )


def test_the_challenge_covers_each_field_except_the_confirmation() -> None:
    decision = MESSAGES[Kind.DECISION]

    def challenge_of(message: Signed, nonce: str = "n", namespace: str = "default", workflow_id: str = "p:1") -> bytes:
        return challenge(signed_fields(message, namespace, workflow_id), nonce)

    made = challenge_of(decision)
    assert made == challenge_of(decision.model_copy(update={"confirmation": None}))
    others = [other for other in changed(decision) if not _differs(decision, other, "confirmation")]
    assert {made} & {challenge_of(other) for other in others} == set() and len(others) > 10
    assert made not in (challenge_of(decision, "m"), challenge_of(decision, "n", "finance"))
    assert made != challenge_of(decision, workflow_id="p:2")
    stored = json.loads(text(decision, workflow_id="p:1").partition(b"\n")[2])
    assert challenge(stored, "n") == made, "from the stored text, as the check of the audit log does"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), json_values, max_size=4))
def test_edits_of_any_canonical_value_keep_their_text(edits: dict[str, Any]) -> None:
    decision = MESSAGES[Kind.DECISION].model_copy(update={"edits": edits})
    assert text(Decision.model_validate_json(decision.model_dump_json())) == text(decision)


@pytest.mark.parametrize("bad", [2**53, -(2**53), float("nan"), float("inf"), "\ud800", {"\udfff": 1}])
def test_edits_without_a_canonical_form_are_named(bad: Any) -> None:
    decision = MESSAGES[Kind.DECISION].model_copy(update={"edits": {"title": "x", "payload": {"list": [1, bad]}}})
    with pytest.raises(NotCanonical) as refused:
        text(decision)
    assert refused.value.fields == ["edits.payload.list.1"]
    assert uncanonical({"a": 1, "b": [None, 1.5]}) == []


# --------------------------------------------------------------------------------------------------------------- keys

DECISION = MESSAGES[Kind.DECISION]
PROOF = KEY.sign(text(DECISION))


@pytest.mark.parametrize(
    ("proof", "fault"),
    [
        (None, Fault.UNSIGNED),
        ("", Fault.UNSIGNED),
        ("yes", Fault.MALFORMED),
        (PROOF + ".x", Fault.MALFORMED),
        (PROOF.replace("v1", "v2"), Fault.MALFORMED),
        (PROOF[:-3] + "é", Fault.MALFORMED),
        (PROOF[:-4], Fault.WRONG_SIGNATURE),
        (f"v1.{KEY.key_id}.", Fault.WRONG_SIGNATURE),
        (SigningKey.generate().sign(text(DECISION)), Fault.UNKNOWN_KEY),
        (f"v1.{KEY.key_id}.{SigningKey.generate().sign(text(DECISION)).rpartition('.')[2]}", Fault.WRONG_SIGNATURE),
        (PROOF, None),
    ],
    ids=range(11),  # the texts hold a key that is new in each process, and xdist wants the same names in all
)
def test_a_proof_is_read_and_checked(proof: str | None, fault: Fault | None) -> None:
    assert REGISTRY.fault(Kind.DECISION, text(DECISION), proof, NOW) is fault


def fault_of(at: datetime = NOW, role: Role = Role.GATEWAY, kind: Kind = Kind.DECISION, **of_key: Any) -> Fault | None:
    key = KEY.trusted(role, NOW).model_copy(update=of_key)
    message = MESSAGES[kind].model_copy(update={"at": at})
    return KeyRegistry([key]).fault(kind, text(message), KEY.sign(text(message)), at)


def test_a_key_is_valid_from_its_first_moment_until_it_is_retired() -> None:
    assert fault_of(NOW - SKEW - timedelta(seconds=1)) is Fault.TOO_EARLY
    assert fault_of(NOW - SKEW) is None
    later = NOW + timedelta(days=90)
    assert fault_of(later - timedelta(microseconds=1), retired_at=later) is None
    assert fault_of(later, retired_at=later) is Fault.RETIRED
    assert fault_of(revoked_at=later) is Fault.REVOKED
    assert FRESH > SKEW


def test_the_key_of_a_worker_signs_only_what_workers_send() -> None:
    allowed = {kind for kind in Kind if fault_of(role=Role.WORKER, kind=kind) is None}
    assert allowed == {Kind.RECOUNT, Kind.RESYNCHRONISE, Kind.CANCELLATION}
    assert fault_of(role=Role.WORKER) is Fault.WRONG_ROLE

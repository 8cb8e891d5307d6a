"""How old the signature of an Update may be, and what cannot be signed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.engine.signatures import Signatures
from core.signed_client import signed
from domain.messages import Actor, Decision
from domain.proof.envelope import SignedText
from domain.proof.keys import FRESH, SKEW, Fault
from domain.status import Verdict
from plugins.testing.signatures import TEST_KEY, TEST_KEYS

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SIGNATURES = Signatures(lambda: TEST_KEYS, lambda: NOW)
MOMENT = timedelta(microseconds=1)


def fault(age: timedelta, *, repeated: bool = False, **more: Any) -> Fault | None:
    decision = Decision(id="d", task_id="t", verdict=Verdict.APPROVE, by=Actor(id="mia"), at=NOW - age)
    sent = signed(decision, TEST_KEY, "default", "case").model_copy(update=more)
    return SIGNATURES.fault_of_update(sent, "default", "case", repeated=repeated)


@pytest.mark.parametrize(
    ("age", "expected"),
    [(timedelta(0), None), (FRESH, None), (FRESH + MOMENT, Fault.STALE), (-SKEW, None), (-SKEW - MOMENT, Fault.STALE)],
)
def test_an_update_is_new_and_not_of_tomorrow(age: timedelta, expected: Fault | None) -> None:
    assert fault(age) is expected
    assert fault(age, repeated=True) is None


def test_a_wrong_signature_is_wrong_at_any_age() -> None:
    assert fault(FRESH * 2, comment="x") is Fault.WRONG_SIGNATURE
    assert fault(FRESH * 2, comment="x", repeated=True) is Fault.WRONG_SIGNATURE
    assert fault(timedelta(0), edits={"n": 2**60}) is Fault.WRONG_SIGNATURE


async def test_a_signal_may_be_old() -> None:
    old = Decision(id="d", task_id="t", verdict=Verdict.APPROVE, by=Actor(id="mia"), at=NOW - timedelta(days=90))
    text = SignedText.of(signed(old, TEST_KEY, "default", "case"), "default", "case")
    assert await SIGNATURES.verify_signature(text) is None
    assert await SIGNATURES.verify_signature(text.model_copy(update={"proof": None})) is Fault.UNSIGNED

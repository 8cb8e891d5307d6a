"""The payment steps on the real ledger: as a Workflow calls them, repeated, late, and undone."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.payment.request import PaymentRequest
from activities.payment.screening import Screening
from activities.payment.steps import FundsHold, PaymentReceipt, Payments
from domain.errors import Refused
from domain.step import StepCall
from store.db.database import Database
from store.receivers.ledger import Ledger

Call = Callable[..., StepCall[PaymentRequest]]


@pytest.fixture
async def ledger(sqlite_url: str) -> AsyncIterator[Ledger]:
    """A ledger with 10,000.00 GBP in `operating`."""
    db = Database(sqlite_url)
    ledger = Ledger(db)
    await ledger.fund("fund/operating/GBP", "operating", "GBP", Decimal(10_000))
    yield ledger
    await db.close()


@pytest.fixture
def payments(ledger: Ledger) -> Payments:
    async def lists(policy_hash: str) -> Mapping[str, Sequence[str]]:
        return {"denied_payees": ["Shell Holdings"]} if policy_hash == "strict" else {}

    return Payments(ledger, lists)


@pytest.fixture
def temporal() -> ActivityEnvironment:
    return ActivityEnvironment()


def call(
    step: str,
    reference: str = "INV-1",
    undoes: str | None = None,
    policy: str = "p",
    at: datetime | None = None,
    **more: Any,
) -> Any:
    """A call as the Workflow of the case makes it."""
    case_id = f"payment:{reference.lower()}"
    asked = {"payee": "Acme Paper Ltd", "amount": "250.00", "currency": "GBP", "account": "operating", **more}
    return StepCall[PaymentRequest](
        case_id=case_id,
        reference=reference,
        requester="requester-1",
        policy_hash=policy,
        key=f"{case_id}/{undoes}/undo" if undoes else f"{case_id}/{step}",
        at=at or datetime.now(UTC),
        undoes=f"{case_id}/{undoes}" if undoes else None,
        input=PaymentRequest.model_validate(asked),
    )


async def available(ledger: Ledger) -> str:
    return (await ledger.balance("operating", "GBP")).available


async def test_a_payment_is_screened_held_and_paid(
    ledger: Ledger, payments: Payments, temporal: ActivityEnvironment
) -> None:
    screening: Screening = await temporal.run(payments.screen_payment, call("screen_payment"))
    assert (screening.score, [reason.code for reason in screening.reasons]) == (0, ["new_payee"])
    held: FundsHold = await temporal.run(payments.reserve_funds, call("reserve_funds"))
    assert (held.account, held.amount, held.currency) == ("operating", Decimal("250.00"), "GBP")
    paid: PaymentReceipt = await temporal.run(payments.capture_payment, call("capture_payment"))
    assert (paid.payee, paid.amount) == ("Acme Paper Ltd", Decimal("250.00"))
    assert paid.entry_id > held.entry_id
    assert await available(ledger) == "9750.00"
    assert await ledger.check() == []


@pytest.mark.undoes("release_funds", "refund_payment")
async def test_a_paid_payment_is_undone_newest_first(
    ledger: Ledger, payments: Payments, temporal: ActivityEnvironment
) -> None:
    await temporal.run(payments.reserve_funds, call("reserve_funds"))
    await temporal.run(payments.capture_payment, call("capture_payment"))
    for _ in range(2):  # each attempt of an undo may have taken effect
        await temporal.run(payments.refund_payment, call("refund_payment", undoes="capture_payment"))
        await temporal.run(payments.release_funds, call("release_funds", undoes="reserve_funds"))
    assert await available(ledger) == "10000.00"
    assert [entry.kind for entry in await ledger.entries("INV-1")] == ["hold", "capture", "refund"]


async def test_a_step_that_is_tried_again_gives_its_first_answer(
    payments: Payments, temporal: ActivityEnvironment
) -> None:
    first = await temporal.run(payments.reserve_funds, call("reserve_funds"))
    assert await temporal.run(payments.reserve_funds, call("reserve_funds")) == first


async def test_a_late_attempt_of_a_dead_worker_does_not_slip_in_behind_its_undo(
    ledger: Ledger, payments: Payments, temporal: ActivityEnvironment
) -> None:
    await temporal.run(payments.release_funds, call("release_funds", undoes="reserve_funds"))
    with pytest.raises(Refused, match="already undone"):
        await temporal.run(payments.reserve_funds, call("reserve_funds"))
    assert await available(ledger) == "10000.00"


async def test_not_enough_money_is_a_refusal_in_words(payments: Payments, temporal: ActivityEnvironment) -> None:
    with pytest.raises(Refused) as refused:
        await temporal.run(payments.reserve_funds, call("reserve_funds", amount="10000.01"))
    assert refused.value.message == (
        "Not enough money in account 'operating': 10,000.01 GBP is needed, 10,000.00 GBP is available. "
        "Fund the account, or request a smaller amount."
    )
    assert refused.value.non_retryable


async def test_the_policy_pinned_to_the_case_says_who_is_denied(
    payments: Payments, temporal: ActivityEnvironment
) -> None:
    await temporal.run(payments.screen_payment, call("screen_payment", payee="SHELL holdings"))
    with pytest.raises(Refused, match="must not be paid"):
        await temporal.run(payments.screen_payment, call("screen_payment", payee="SHELL holdings", policy="strict"))


async def test_the_screening_sees_other_cases_and_never_its_own(
    payments: Payments, temporal: ActivityEnvironment
) -> None:
    await temporal.run(payments.reserve_funds, call("reserve_funds", "INV-1", payee_account="GB33BUKB20201555555555"))
    own = await temporal.run(payments.screen_payment, call("screen_payment", "INV-1"))
    assert [reason.code for reason in own.reasons] == ["new_payee"]
    twin = await temporal.run(
        payments.screen_payment, call("screen_payment", "INV-2", payee_account="DE89370400440532013000")
    )
    assert [reason.code for reason in twin.reasons] == ["repeated_amount", "changed_account"]
    assert "INV-1" in twin.reasons[0].text
    await temporal.run(payments.release_funds, call("release_funds", "INV-1", undoes="reserve_funds"))
    after = await temporal.run(payments.screen_payment, call("screen_payment", "INV-2"))
    assert [reason.code for reason in after.reasons] == ["new_payee"]


async def test_the_clock_of_the_screening_is_that_of_the_case(
    payments: Payments, temporal: ActivityEnvironment
) -> None:
    await temporal.run(payments.reserve_funds, call("reserve_funds", "INV-1"))
    late = datetime.now(UTC) + timedelta(days=8)
    week_after = await temporal.run(payments.screen_payment, call("screen_payment", "INV-2", at=late))
    assert week_after.reasons == []


async def test_an_undo_without_the_key_of_its_step_is_a_defect(
    payments: Payments, temporal: ActivityEnvironment
) -> None:
    with pytest.raises(ValueError, match="needs the key"):
        await temporal.run(payments.release_funds, call("release_funds"))

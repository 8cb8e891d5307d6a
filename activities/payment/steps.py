"""The steps of a payment and their undos. The ledger detects repeated and late attempts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from temporalio import activity

from activities.payment.request import PaymentRequest
from activities.payment.screening import PastPayment, Screening, ScreeningReason, score
from domain.base import Message
from domain.money import payee_key
from domain.step import StepCall

__all__ = ["FundsHold", "Ledger", "PaymentReceipt", "Payments", "Screening", "ScreeningReason"]

Lists = Callable[[str], Awaitable[Mapping[str, Sequence[str]]]]
"""A function that returns the lists of names for payments (`denied_payees`) in the policy with a given hash."""


class Booking(Protocol):
    """One effect in the ledger. If a key is used several times, the ledger returns the effect of its first use."""

    @property
    def entry_id(self) -> int: ...
    @property
    def at(self) -> datetime: ...


class Ledger(Protocol):
    """The interface to the ledger.

    A key has one effect only. If an undo names a key in `undoes` that was never used, the ledger makes this key void: a
    later step with the key is refused. A refusal for a business reason is raised as Refused.
    """

    async def hold(
        self,
        key: str,
        case_id: str,
        reference: str,
        account: str,
        currency: str,
        amount: Decimal,
        payee: str,
        payee_account: str | None = None,
    ) -> Booking: ...

    async def release(self, key: str, undoes: str, case_id: str, reference: str) -> bool: ...

    async def capture(
        self,
        key: str,
        case_id: str,
        account: str,
        currency: str,
        amount: Decimal,
        *,
        payee: str,
        payee_account: str | None = None,
    ) -> Booking: ...

    async def refund(self, key: str, undoes: str, case_id: str, reference: str) -> bool: ...

    async def payee_history(self, key: str, *, before_case: str) -> Sequence[PastPayment]: ...


class FundsHold(Message):
    """The output of `reserve_funds`: money that is held for one payment."""

    entry_id: int
    account: str
    amount: Decimal
    currency: str
    held_at: datetime


class PaymentReceipt(Message):
    """The output of `capture_payment`: money that was paid."""

    entry_id: int
    payee: str
    amount: Decimal
    currency: str
    account: str
    paid_at: datetime


class Payments:
    """The steps of a payment: screen it, and hold and pay money in the ledger."""

    def __init__(self, ledger: Ledger, lists: Lists) -> None:
        self._ledger = ledger
        self._lists = lists

    @activity.defn
    async def screen_payment(self, call: StepCall[PaymentRequest]) -> Screening:
        """Score the payment against the payee's history and the denied payees of the pinned policy.

        The step runs after `reserve_funds`, because the order of the holds says which of two equal payments is the
        second.
        """
        history = await self._ledger.payee_history(payee_key(call.input.payee), before_case=call.case_id)
        denied = (await self._lists(call.policy_hash)).get("denied_payees", [])
        # The scheduled time is the same for each attempt, and correct when tests skip time.
        now = activity.info().scheduled_time
        return score(call.input, history, denied, now)

    @activity.defn
    async def reserve_funds(self, call: StepCall[PaymentRequest]) -> FundsHold:
        """Hold the amount on the account, so that no other payment can use the money."""
        asked = call.input
        held = await self._ledger.hold(
            key=call.key,
            case_id=call.case_id,
            reference=call.reference,
            account=asked.account,
            currency=asked.currency,
            amount=asked.amount,
            payee=asked.payee,
            payee_account=asked.payee_account,
        )
        return FundsHold(
            entry_id=held.entry_id,
            account=asked.account,
            amount=asked.amount,
            currency=asked.currency,
            held_at=held.at,
        )

    @activity.defn
    async def release_funds(self, call: StepCall[PaymentRequest]) -> bool:
        """Undo `reserve_funds`: release the held money unless it was paid. Return True if a hold was undone."""
        return await self._ledger.release(call.key, call.undone, call.case_id, call.reference)

    @activity.defn
    async def capture_payment(self, call: StepCall[PaymentRequest]) -> PaymentReceipt:
        """Pay the payee with the money that `reserve_funds` has held."""
        asked = call.input
        paid = await self._ledger.capture(
            key=call.key,
            case_id=call.case_id,
            account=asked.account,
            currency=asked.currency,
            amount=asked.amount,
            payee=asked.payee,
            payee_account=asked.payee_account,
        )
        return PaymentReceipt(
            entry_id=paid.entry_id,
            payee=asked.payee,
            amount=asked.amount,
            currency=asked.currency,
            account=asked.account,
            paid_at=paid.at,
        )

    @activity.defn
    async def refund_payment(self, call: StepCall[PaymentRequest]) -> bool:
        """Undo `capture_payment`: refund the money. Return True if there was anything to undo."""
        return await self._ledger.refund(call.key, call.undone, call.case_id, call.reference)

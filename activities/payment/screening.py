"""The fraud rules that screen a payment. The functions are pure: the same history gives the same score.

The rules only add points. The policy says which score needs a decision.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from activities.payment.request import PaymentRequest
from domain.base import Message
from domain.errors import Refused
from domain.masking import masked
from domain.money import in_words, payee_key
from domain.normalization import search_key

REPEAT_WINDOW = timedelta(days=7)
SELDOM = 3
"""A payee with at most this many payments in the window, including this one, is taken as one that rarely gets the same
amount twice.
"""
_KEYS = (payee_key, search_key)
VELOCITY_WINDOW = timedelta(days=1)
VELOCITY = 20
SMALL = Decimal(5000)
"""A first payment below this amount gets a note and no points."""
ENOUGH_CAPTURED = 3
"""How many payments to a payee in the same currency are needed to compare an amount with the largest of them."""


class PastPayment(Protocol):
    """An earlier payment to the same payee, whose money is held, or was paid and not refunded."""

    @property
    def reference(self) -> str: ...
    @property
    def at(self) -> datetime: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def currency(self) -> str: ...
    @property
    def payee_account(self) -> str | None: ...
    @property
    def captured(self) -> bool: ...


class ScreeningReason(Message):
    """One rule that found something, with a sentence for the people who decide."""

    code: str
    points: int
    text: str


class Screening(Message):
    """The result of the screening. Conditions of the policy read the result as `facts`."""

    score: int
    """The sum of the points; 0 when no rule found anything."""
    reasons: list[ScreeningReason]
    earlier_payments: int
    """The number of earlier payments to this payee that are held or paid."""


def score(request: PaymentRequest, history: Sequence[PastPayment], denied: Iterable[str], now: datetime) -> Screening:
    """Screen `request` against the `history` of the payee, which does not contain the case itself.

    Raises Refused for a payee on the list of `denied` names.
    """
    # Accents are ignored, because a denied payee must not pass with a missing accent.
    if {payee_key(request.payee), search_key(request.payee)} & {key(name) for name in denied for key in _KEYS}:
        raise Refused(f"'{request.payee}' is on the list of payees who must not be paid.")
    rules = (
        _new_payee(request, history),
        _repeated_amount(request, history, now),
        _changed_account(request, history),
        _unusual_amount(request, history),
        _velocity(history, now),
    )
    reasons = [reason for reason in rules if reason]
    return Screening(score=sum(reason.points for reason in reasons), reasons=reasons, earlier_payments=len(history))


def _new_payee(request: PaymentRequest, history: Sequence[PastPayment]) -> ScreeningReason | None:
    if history:
        return None
    if request.amount < SMALL:
        return ScreeningReason(code="new_payee", points=0, text="This is the first payment to this payee.")
    return ScreeningReason(
        code="new_payee",
        points=30,
        text=f"This is the first payment to this payee, and {_words(request.amount, request)} is not a small one.",
    )


def _repeated_amount(request: PaymentRequest, history: Sequence[PastPayment], now: datetime) -> ScreeningReason | None:
    """Return a reason if the payee got the same amount in the last seven days; else None.

    The invoice may have been sent twice, which is the most common fraud and the most common mistake.
    """
    recent = [past for past in history if past.at > now - REPEAT_WINDOW]
    same = [past for past in recent if (past.amount, past.currency) == (request.amount, request.currency)]
    if not same:
        return None
    latest = max(same, key=lambda past: past.at)
    often = len(recent) + 1 > SELDOM
    return ScreeningReason(
        code="repeated_amount",
        points=25 if often else 50,
        text=f"The same amount, {_words(request.amount, request)}, was sent to this payee within the last "
        f"{REPEAT_WINDOW.days} days, for {latest.reference}"
        + (f"; this payee is paid often, {len(recent)} times in those days." if often else "."),
    )


def _changed_account(request: PaymentRequest, history: Sequence[PastPayment]) -> ScreeningReason | None:
    known = [past.payee_account for past in history if past.payee_account]
    if not request.payee_account or not known or request.payee_account in known:
        return None
    return ScreeningReason(
        code="changed_account",
        points=60,
        text=f"The bank details changed: this payment goes to {masked(request.payee_account)}, "
        f"earlier ones to this payee went to {masked(known[0])}.",
    )


def _unusual_amount(request: PaymentRequest, history: Sequence[PastPayment]) -> ScreeningReason | None:
    captured = [past.amount for past in history if past.captured and past.currency == request.currency]
    if len(captured) < ENOUGH_CAPTURED:
        return None
    largest = max(captured)
    for times, points in ((10, 50), (3, 30)):
        if request.amount > times * largest:
            return ScreeningReason(
                code="unusual_amount",
                points=points,
                text=f"{_words(request.amount, request)} is more than {times} times the largest amount paid to this "
                f"payee so far, {_words(largest, request)}.",
            )
    return None


def _velocity(history: Sequence[PastPayment], now: datetime) -> ScreeningReason | None:
    payments = 1 + sum(past.at > now - VELOCITY_WINDOW for past in history)
    if payments <= VELOCITY:
        return None
    return ScreeningReason(
        code="velocity",
        points=10,
        text=f"This is payment number {payments} to this payee within 24 hours.",
    )


def _words(amount: Decimal, request: PaymentRequest) -> str:
    return in_words(amount, request.currency)

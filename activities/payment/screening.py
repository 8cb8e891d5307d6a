"""The rules that screen a payment for fraud: pure, so that the same history gives the same score.

They only count points. Which score needs a person is for the policy to say.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from activities.payment.request import PaymentRequest
from domain.base import Message
from domain.errors import Refused
from domain.money import in_words, last_four, payee_key
from domain.normalization import search_key

REPEAT_WINDOW = timedelta(days=7)
SELDOM = 3
"""A payee paid at most this often within the window, this payment included, has little reason to repeat an amount."""
_KEYS = (payee_key, search_key)
VELOCITY_WINDOW = timedelta(days=1)
VELOCITY = 20
SMALL = Decimal(5000)
"""A first payment below this is worth a note and no points."""
ENOUGH_CAPTURED = 3
"""So many payments must have gone through before their amounts say anything."""


class PastPayment(Protocol):
    """An earlier payment to the same payee that still stands: its money is held, or was paid and not refunded."""

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
    """One rule that had something to say, in a sentence for the people who decide."""

    code: str
    points: int
    text: str


class Screening(Message):
    """What the screening found. Conditions of the policy see it as `facts`."""

    score: int
    """The sum of the points; 0 when nothing stands out."""
    reasons: list[ScreeningReason]
    earlier_payments: int
    """To this payee, of those that still stand."""


def score(request: PaymentRequest, history: Sequence[PastPayment], denied: Iterable[str], now: datetime) -> Screening:
    """Screen `request` against the payee's `history`, in which the case itself does not occur.

    Raises Refused for a payee on the list of `denied` names.
    """
    # Accents do not count here: one that was left out must not make a denied payee another one.
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
    """The commonest fraud and the commonest mistake are one: an invoice that comes twice."""
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
        text=f"The bank details changed: this payment goes to {last_four(request.payee_account)}, "
        f"earlier ones to this payee went to {last_four(known[0])}.",
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

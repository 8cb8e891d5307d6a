"""The request of a payment: one invoice to pay."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from activities.shared.text_fields import blank_is_none, lines, printable
from domain.base import Message
from domain.column_headings import PAYMENT
from domain.moments import Day
from domain.money import EXPECTED_AMOUNT, PLAIN_NUMBER, check_iban, decimals_of, payee_key
from domain.normalization import check_visible, identity_key

MAX_AMOUNT = Decimal(10) ** 15
MAX_PAYEE_KEY = 300
"""The maximum number of characters of a payee's key in the ledger.

A key can be longer than the name, because some characters are replaced with several.
"""


class _Asked(NamedTuple):
    amount: Any
    currency: Any


def _plain_decimal(value: Any) -> Decimal:
    """Return a decimal string or a number as an exact Decimal.

    Raises ValueError for any other text, and for a JSON number whose value is not exact, as with more than 15 digits.
    """
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return Decimal(int(value))
    if isinstance(value, float) and math.isfinite(value):
        number = Decimal(repr(value))
        # A float with more digits is no longer the number that was sent.
        if len(number.as_tuple().digits) <= 15:
            return number
        raise ValueError("this JSON number has more than 15 digits: send the amount as a string such as '2640.00'")
    if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    raise ValueError(EXPECTED_AMOUNT)


def _exact_amount(value: Any) -> Decimal:
    """Return the amount with exactly the decimals of its currency, if both are valid.

    Raises ValueError for an amount with more decimals, such as `1.000` GBP, which means one thousand in some countries.
    """
    asked = value if isinstance(value, _Asked) else _Asked(value, None)
    amount = _plain_decimal(asked.amount)
    if amount <= 0:
        raise ValueError("an amount is more than 0")
    if amount > MAX_AMOUNT:
        raise ValueError(f"an amount is at most {MAX_AMOUNT:,f}")
    try:
        decimals = decimals_of(str(asked.currency).strip())
    except ValueError:
        return amount  # The error is in the currency, and its own field reports it.
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals:
        raise ValueError(f"{asked.currency} has {decimals or 'no'} decimals, and {amount} has {-exponent}")
    return amount.quantize(Decimal(1).scaleb(-decimals))


class PaymentRequest(Message):
    """A request for one payment."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    headings: ClassVar[Mapping[str, Sequence[str]]] = PAYMENT

    payee: str = Field(
        min_length=1, max_length=200, description="Who is paid, as on the invoice.", examples=["Acme Paper Ltd"]
    )
    amount: Annotated[Decimal, BeforeValidator(_exact_amount, json_schema_input_type=str | float)] = Field(
        description="More than 0, with at most the decimals of the currency, such as 2640.00.",
        examples=["2640.00"],
    )
    currency: str = Field(
        description="The three capital letters of ISO 4217.",
        examples=["GBP"],
        json_schema_extra={"pattern": "^[A-Z]{3}$"},
    )
    account: str = Field(
        min_length=1, max_length=120, description="The ledger account to pay from.", examples=["operating"]
    )
    due_date: Annotated[Day | None, BeforeValidator(blank_is_none)] = Field(
        default=None, description="When the invoice is due.", examples=["2026-12-15"]
    )
    memo: str = Field(
        default="",
        max_length=500,
        description="A note for the people who decide.",
        examples=["October paper delivery"],
        json_schema_extra={"format": "multiline"},
    )
    payee_account: str | None = Field(
        default=None,
        max_length=50,
        description="The payee's IBAN; people are shown its last four characters.",
        examples=["GB33 BUKB 2020 1555 5555 55"],
    )

    @field_validator("payee")
    @classmethod
    def _has_a_name(cls, payee: str) -> str:
        key = payee_key(printable(check_visible(payee, joiners=True)))
        if not key:
            raise ValueError("enter the name of the payee")
        if len(key) > MAX_PAYEE_KEY:
            raise ValueError("the name of the payee is too long: shorten the name")
        return payee

    @field_validator("currency")
    @classmethod
    def _is_in_iso_4217(cls, currency: str) -> str:
        decimals_of(currency)
        return currency

    @field_validator("account")
    @classmethod
    def _is_a_name(cls, account: str) -> str:
        return identity_key(account)

    @field_validator("memo")
    @classmethod
    def _is_text(cls, memo: str) -> str:
        return lines(memo)

    @field_validator("payee_account")
    @classmethod
    def _is_an_iban(cls, payee_account: str | None) -> str | None:
        return check_iban(payee_account) if payee_account else None

    @model_validator(mode="before")
    @classmethod
    def _amount_goes_with_currency(cls, data: Any) -> Any:
        """Check the amount against the currency as a field, so that all errors of a row are reported together."""
        if isinstance(data, dict) and "amount" in data:
            return {**data, "amount": _Asked(data["amount"], data.get("currency"))}
        return data

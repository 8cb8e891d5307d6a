"""Money, payees and bank accounts as values: decimals of currencies, wording, IBAN checks."""

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from iso4217 import Currency
from stdnum import iban
from stdnum.be import iban as belgium
from stdnum.es import iban as spain
from stdnum.exceptions import ValidationError as IbanError
from stdnum.me import iban as montenegro
from stdnum.no import iban as norway

from domain.moments import moment_text
from domain.normalization import fold

_NATIONAL = {"BE": belgium, "ES": spain, "ME": montenegro, "NO": norway}
"""The countries with check digits of their own. Left to itself, stdnum imports the module of each country at the first
number of that country: inside a Workflow, the sandbox would import the module again and warn.
"""
PLAIN_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")
EXPECTED_AMOUNT = "write the amount as a plain number such as 2640.00, without thousands marks or a currency sign"


def decimals_of(currency: str) -> int:
    """Return the number of decimals of a currency in ISO 4217 (GBP 2, JPY 0, KWD 3).

    Raises ValueError for a code that is not in ISO 4217 or has no minor unit (gold, test codes).
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        exponent = None
    if exponent is None:
        raise ValueError(f"'{currency}' is not an ISO 4217 currency code such as GBP, EUR or USD")
    return exponent


def exact(amount: Decimal, currency: str) -> Decimal:
    """Return the amount with the decimals of its currency.

    Return the amount unchanged if it has more decimals or the currency is unknown.
    """
    try:
        rounded = amount.quantize(Decimal(1).scaleb(-decimals_of(currency)))
    except (ValueError, InvalidOperation):  # An amount can have more digits than Decimal keeps.
        return amount
    return rounded if rounded == amount else amount


def in_words(amount: Decimal, currency: str) -> str:
    """Return an amount with the decimals of its currency and thousands separators: `2,640.00 GBP`.

    Raises ValueError as `decimals_of` does.
    """
    return f"{amount:,.{decimals_of(currency)}f} {currency}"


def minor_units(amount: Decimal, currency: str) -> int:
    """Return the amount in minor units (pence, cents).

    Raises ValueError for a fraction of a minor unit, and for an unknown currency.
    """
    minor = amount.scaleb(decimals_of(currency))
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} {currency} has more decimals than the currency allows")
    return int(minor)


def major_units(minor: int, currency: str) -> Decimal:
    """Return minor units as an amount."""
    return Decimal(minor).scaleb(-decimals_of(currency))


def payee_key(payee: str) -> str:
    """Return the key by which names of payees are compared: see `domain.normalization`.

    Invisible characters are removed, because a name with an invisible character would look like a new payee.
    """
    return fold(payee)


def check_iban(text: str) -> str:
    """Return the IBAN without spaces and in capitals. Raises ValueError when its checksum or length is wrong."""
    try:
        number = str(iban.validate(text, check_country=False))
        if national := _NATIONAL.get(number[:2]):
            national.validate(number)
        return number
    except IbanError as wrong:
        raise ValueError("not a valid IBAN: check its length and its check digits") from wrong


def shown(value: Any) -> str:
    """Return the value of a field as people read it in titles and key fields."""
    if isinstance(value, datetime):
        return moment_text(value)
    return f"{value:,}" if isinstance(value, Decimal) else str(value)

"""Account numbers of all countries are checked, without importing a module at the first number of a country."""

import sys

import pytest
from stdnum import iban

from domain.money import check_iban

VALID = [
    "GB33BUKB20201555555555",
    "DE89370400440532013000",
    "BE71096123456769",
    "ES9121000418450200051332",
    "ME25505000012345678951",
    "NO9386011117947",
    "FR1420041010050500013M02606",
    "MT84MALT011000012345MTLCAST001S",
]
WRONG_IN_THE_COUNTRY = ["BE17096123456768", "ES2121000418460200051332", "NO6686011117948"]
"""Their general check digits are right, and those of the country are wrong."""


def national_digits_wrong(number: str) -> str:
    """Return the number with the general check digits that belong to it."""
    rest = number[4:] + number[:2] + "00"
    remainder = int("".join(str(int(sign, 36)) for sign in rest)) % 97
    return f"{number[:2]}{98 - remainder:02}{number[4:]}"


@pytest.mark.parametrize("number", VALID)
def test_a_valid_number_is_returned_in_capitals_and_imports_nothing(number: str) -> None:
    before = set(sys.modules)
    spaced = " ".join(number[at : at + 4] for at in range(0, len(number), 4)).lower()
    assert check_iban(spaced) == number == iban.validate(number, check_country=False)
    assert {name for name in sys.modules if name.startswith("stdnum.")} <= before


@pytest.mark.parametrize("number", [national_digits_wrong(each) for each in WRONG_IN_THE_COUNTRY])
def test_check_digits_of_the_country_count(number: str) -> None:
    assert iban.is_valid(number, check_country=False)
    with pytest.raises(ValueError, match="not a valid IBAN"):
        check_iban(number)

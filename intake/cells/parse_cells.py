"""Turn one cell into the text that a field accepts: amounts with marks and signs, dates in any order.

Nothing is guessed: a cell with two possible values is refused, and the error names both values.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Literal

from domain.money import decimals_of
from intake.cells.currencies import SHARED, is_currency as is_currency, joined
from intake.cells.month_names import in_english

Decimals = Literal[".", ",", "either"]
"""The decimal mark of numbers. `either`: the mark is found for each cell, if the cell makes the mark clear."""


class Misread(ValueError):
    """Raised for a cell with a wrong value.

    `str()` is the rest of a sentence that begins with the cell; `expected` is the right form.
    """

    def __init__(self, message: str, expected: str) -> None:
        super().__init__(message)
        self.expected = expected


class Ambiguous(Misread):
    """Raised for a cell that can be read in two ways, with different values."""


# -------------------------------------------------------------------------------------------------------------- amounts

AMOUNT = "an amount such as 1250.00"
_CODE = re.compile(r"(?i)^([a-z]{3})\s*(?=[\d.,(+-])|(?<=[\d.,)-])\s*([a-z]{3})$")
_SIMPLE = {
    ".": re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?"),
    ",": re.compile(r"-?[0-9]{1,15}(,[0-9]{1,9})?"),
    "either": re.compile(r"-?[0-9]{1,15}([.,][0-9]{1,2})?"),
}
_BLANKS = " \u00a0\u2009\u202f"
_MINUS = "\u2212\u2013"


@dataclass(frozen=True)
class Marks:
    """How numbers are written in a column.

    If `thousands` is empty, any mark between thousands that differs from the decimal mark is accepted. `none`: no mark
    between thousands is accepted.
    """

    decimal: Decimals = "either"
    thousands: str = ""
    signs: tuple[tuple[str, str], ...] = ()
    """Pairs of a currency sign and the code of its currency, such as `("$", "USD")`."""


@dataclass(frozen=True)
class Amount:
    """A number as plain decimal text, and the currency in its cell, if there is one."""

    text: str
    currency: str | None = None


def amount_of(cell: str, marks: Marks, told: str | None = None) -> Amount:
    """Read a cell that holds an amount: `£1,500.00`, `1.500,00 €`, `(500.00)`, `500.00-`, `GBP 12`, `500.00 CR`.

    Raises Misread.

    `told` is the currency of the amount, if it is known: `1,500` JPY has no decimals, so its comma groups thousands.
    """
    if _SIMPLE[marks.decimal].fullmatch(cell):  # most cells
        text = cell.replace(",", ".")
        return Amount(_fitting(text if text.strip("-0.") else text.removeprefix("-"), told))
    if len(cell) > _LONGEST:
        raise Misread("is not a number", AMOUNT)
    # Spreadsheets put an apostrophe before a text that must stay text.
    rest = cell.strip().removeprefix("'").strip()
    if rest.endswith("%"):
        raise Misread("is a percentage: write the amount itself", AMOUNT)
    currency, rest = _currency_beside(rest, marks, told)
    negative = False
    if (credit := rest.upper().endswith("CR")) and rest[:-2].rstrip()[-1:].isdigit():
        negative, rest = credit, rest[:-2].rstrip()
    if rest.startswith("(") and rest.endswith(")"):
        negative, rest = True, rest[1:-1].strip()
    for minus in ("-", *_MINUS):
        if rest.startswith(minus) or rest.endswith(minus):
            if negative:
                raise Misread("is not a number: it has two signs for a negative number", AMOUNT)
            negative, rest = True, rest.removeprefix(minus).removesuffix(minus).strip()
            break
    if currency is None:  # between the minus and the digits
        currency, rest = _currency_beside(rest, marks, told)
    text = _fitting(_plain(rest.removeprefix("+").strip(), marks, currency or told), currency or told)
    return Amount(f"-{text}" if negative and text.strip("0.") else text, currency)


_LONGEST = 100
"""The maximum number of characters of an amount."""


def _currency_beside(text: str, marks: Marks, told: str | None) -> tuple[str | None, str]:
    for sign, code in marks.signs:
        if (rest := _without(text, sign)) is not None:
            return code, rest
    for sign, codes in SHARED.items():
        if (rest := _without(text, sign)) is not None:
            if told in codes:
                return told, rest
            known = (
                f"says {joined(codes)}, and the currency is {told}" if told else "has the sign of several currencies"
            )
            example = "USD" if "USD" in codes else min(codes)
            hint = f"set the currency in the mapping, such as currency_signs {sign} = {example}"
            raise Misread(f"{known}: {hint}", AMOUNT)
    if (found := _CODE.search(text)) and is_currency(code := (found[1] or found[2]).upper()):
        return code, f"{text[: found.start()]}{text[found.end() :]}".strip()
    return None, text


def _without(text: str, sign: str) -> str | None:
    """Return the text without the currency sign `sign` at its start or end; None if the sign is not there."""
    if text.startswith(sign) or text.endswith(sign):
        return text.removeprefix(sign).removesuffix(sign).strip()
    return f"-{text[1 + len(sign) :].strip()}" if text.startswith(f"-{sign}") else None


@lru_cache(256)
def _decimals(currency: str) -> int | None:
    try:
        return decimals_of(currency)
    except ValueError:
        return None


def _fitting(text: str, currency: str | None) -> str:
    """Return the number without `.0` or `.00` if the currency has no decimals.

    Three zeros stay, so that the number is refused later: 1.000 can be a thousand.
    """
    whole, _, part = text.partition(".")
    return whole if currency and part in ("0", "00") and _decimals(currency) == 0 else text


@lru_cache(64)
def _number(decimal: str, thousands: str) -> re.Pattern[str]:
    groups = {"": f"{'.' if decimal == ',' else ','}'\u2019{_BLANKS}", "none": "", " ": _BLANKS}.get(
        thousands, thousands
    )
    grouped = rf"\d{{1,3}}(?:([{re.escape(groups)}])\d{{3}})(?:\1\d{{3}})*|" if groups else ""
    if "," in groups and decimal == ".":
        grouped += r"\d{1,2}(?:,\d{2})+,\d{3}|"  # as in India: 1,23,456.00
    return re.compile(rf"(?:{grouped}\d+)?(?:{re.escape(decimal)}\d*)?")


def _plain(text: str, marks: Marks, currency: str | None) -> str:
    """Return a number as plain digits with a decimal point.

    Raises Misread, or Ambiguous if two numbers are possible.
    """
    if len(text) > 60 or not any(char.isdigit() for char in text) or (not text.isascii() and not _blanks_only(text)):
        raise Misread("is not a number", AMOUNT)
    found = set()
    for mark in (".", ",") if marks.decimal == "either" else (marks.decimal,):
        if _number(mark, marks.thousands).fullmatch(text):
            whole, _, part = text.rpartition(mark) if mark in text else (text, "", "")
            digits = re.sub(r"\D", "", whole) or "0"
            found.add(f"{digits}.{part}" if part else digits)
    if len(found) > 1 and currency and _decimals(currency) == 0:
        found = {each for each in found if "." not in each}
    if len(found) > 1:
        one, other = sorted(found, key=len)
        raise Ambiguous(f"may be {one} or {other}: set the decimal mark in the mapping, such as decimal = ','", AMOUNT)
    if not found:
        why = "" if marks.decimal == "either" else f" with '{marks.decimal}' before the decimals"
        raise Misread(f"is not a number{why}", AMOUNT)
    return found.pop()


_WITH_CURRENCY = re.compile(r"(-?)([$¥])?([0-9]{1,20}(?:\.[0-9]{1,20})?)(?: ([A-Z]{3}|kr))?")


def number_of_workbook(cell: str, told: str | None = None) -> str:
    """Return the plain number of a workbook cell whose format shows a currency: `12.50 EUR`, `$5.00`. Raises Misread.

    Return any other text unchanged: the field of the cell then checks this text.
    """
    found = _WITH_CURRENCY.fullmatch(cell)
    if not found:
        return cell
    code = found[2] or found[4]
    if code and told and told not in SHARED.get(code, frozenset((code,))):
        raise Misread(f"says {joined(SHARED[code]) if code in SHARED else code}, and the currency is {told}", AMOUNT)
    return _fitting(f"{found[1]}{found[3]}", told)


def _blanks_only(text: str) -> bool:
    return all(char.isascii() or char in f"{_BLANKS}\u2019" for char in text)


def decimal_in(cells: Iterable[str], signs: Marks) -> Decimals:
    """Return the decimal mark of a column, found from the cells that can be read in one way only.

    Return `either` if the cells that can be read in one way only disagree, or if there is no such cell and a cell can
    be read as two numbers. Return `.` if the mark makes no difference.
    """
    found: set[Decimals] = set()
    doubtful = False
    for cell in {cell.translate(_SHAPE) for cell in cells}:
        reads: list[Decimals] = []
        texts = set()
        for mark in _MARKS:
            try:
                texts.add(amount_of(cell, Marks(mark, "", signs.signs)).text)
                reads.append(mark)
            except Misread:
                continue
        if len(reads) == 1:
            found.add(reads[0])
        doubtful |= len(texts) > 1
    if len(found) == 1:
        return found.pop()
    return "either" if found or doubtful else "."


_MARKS: tuple[Decimals, ...] = (".", ",")
_SHAPE = str.maketrans("123456789", "111111111")
"""Translate the digits 1 to 9 of a number to 1, which gives its shape: a column of many numbers has few shapes.

Zeros stay, because 0,500 cannot be a number in thousands.
"""


# ---------------------------------------------------------------------------------------------------------------- dates

DATE = "a date such as 2027-03-31"
_WORDS = (
    ("YYYY", "%Y"),
    ("YY", "%y"),
    ("MMMM", "%B"),
    ("MMM", "%b"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("M", "%m"),
    ("D", "%d"),
)
KNOWN_DATES = (
    "YYYY-MM-DD",
    *(order.replace("/", mark) for order in ("DD/MM/YYYY", "MM/DD/YYYY", "DD/MM/YY", "MM/DD/YY") for mark in "/-."),
    *("YYYY/MM/DD", "YYYYMMDD", "DD MMM YYYY", "DD-MMM-YYYY", "DD-MMM-YY", "DD MMM YY", "DD MMMM YYYY", "MMM DD, YYYY"),
    *("MMMM DD, YYYY", "DD/MMM/YYYY"),
)
"""The date formats that `formats_in` tries if a mapping names no format."""
_TIME = re.compile(r"[ T](?:0{1,2}:00(?::00(?:\.0{1,9})?)?Z|\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm])?)$")
"""A local time of day.

A time in another zone can mean another day, so of times with a zone only midnight in UTC is accepted.
"""


def strptime_of(words: str) -> str:
    """Return a format such as `DD/MM/YYYY` as Python's `strptime` needs it; return a format that is one of `strptime`
    unchanged.

    Raises ValueError for a format without day, month and year.
    """
    made = words
    if "%" not in words:
        made = re.sub("|".join(word for word, _ in _WORDS), lambda word: dict(_WORDS)[word[0]], words)
    sample = datetime(2027, 3, 31)
    try:
        day = datetime.strptime(sample.strftime(made), made).date()
    except (ValueError, re.error) as wrong:  # re.error: a part of the date occurs twice
        raise ValueError(f"'{words}' is not a date format. Use YYYY, MM and DD, such as DD/MM/YYYY") from wrong
    if day != sample.date():
        raise ValueError(f"'{words}' does not have day, month and year. Use YYYY, MM and DD, such as DD/MM/YYYY")
    return made


@lru_cache(16_384)
def dates_in(cell: str, formats: tuple[str, ...]) -> dict[str, date]:
    """Return the possible dates of a cell, by format. A time after the date does not change the day."""
    if len(cell) > _LONGEST:
        return {}
    whole = " ".join(cell.split())
    text = _TIME.sub("", whole)
    if any(char.isalpha() for char in text):
        text = in_english(text)
    found = {}
    for words in formats:
        made = _strptime_of(words)
        try:
            found[words] = datetime.strptime(whole if "%H" in made or "%I" in made else text, made).date()
        except ValueError:
            continue
    return found


_strptime_of = lru_cache(256)(strptime_of)


def date_of(cell: str, formats: tuple[str, ...]) -> str:
    """Return the date as YYYY-MM-DD. Raises Misread, also if two formats read the cell as different dates."""
    days = sorted(set(dates_in(cell, formats).values()))
    if not days:
        raise Misread(f"is not a date written as {' or '.join(formats)}", f"a date written as {' or '.join(formats)}")
    if len(days) > 1:
        either = " or ".join(f"{day.day} {day:%B %Y}" for day in days)
        raise Ambiguous(f"may be {either}: set the date format in the mapping, such as dates = 'DD/MM/YYYY'", DATE)
    return days[0].isoformat()


def formats_in(cells: Iterable[str]) -> tuple[str, ...]:
    """Return the formats of the dates of a column: several if all fit the cells, none if the cells are not dates.

    If two formats read a cell as different dates, and only one of them fits all cells, the other is left out.
    """
    reads = [found for cell in cells if (found := dates_in(cell, KNOWN_DATES))]
    fits = {words: {number for number, found in enumerate(reads) if words in found} for words in KNOWN_DATES}
    rivals: Mapping[str, set[str]] = {words: set() for words in KNOWN_DATES}
    for found in reads:
        for words, day in found.items():
            rivals[words].update(other for other, another in found.items() if another != day)
    return tuple(
        words
        for words in KNOWN_DATES
        if fits[words]
        and not any(fits[other] > fits[words] for other in rivals[words])
        and not any(_same_reading(words, earlier, fits, rivals) for earlier in KNOWN_DATES[: KNOWN_DATES.index(words)])
    )


def _same_reading(words: str, earlier: str, fits: Mapping[str, set[int]], rivals: Mapping[str, set[str]]) -> bool:
    """Return True if a format in `earlier` reads all cells that the format `words` reads, as the same dates."""
    return earlier not in rivals[words] and bool(fits[words]) and fits[earlier] >= fits[words]

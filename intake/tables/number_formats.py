"""Show a number of a workbook as its cell does: leading zeros, decimals, currency, percent, dates.

Grouping marks are left out and dates are written as 2027-03-31, so that their meaning is clear. A cell that shows `13`
and holds `12.5` is marked as doubtful.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import NamedTuple

from intake.cells.currencies import MAJOR, SHARED, SIGNS, of_format

EXACT = 15
"""How many digits of a number a spreadsheet shows. Later digits are rounding errors of binary numbers."""

BUILT_IN: Mapping[int, str] = {
    **{1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 49: "@"},
    # The currency of these formats depends on the reader's locale, so it is ignored.
    **{5: "#,##0", 6: "#,##0", 7: "#,##0.00", 8: "#,##0.00", 42: "#,##0", 44: "#,##0.00"},
    **{37: "#,##0;(#,##0)", 38: "#,##0;(#,##0)", 39: "#,##0.00;(#,##0.00)", 40: "#,##0.00;(#,##0.00)"},
    **{41: "#,##0", 43: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0"},
    **dict.fromkeys((14, 15, 16, 17, *range(27, 37), *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((18, 19, 20, 21), "hh:mm:ss"),
    22: "yyyy-mm-dd hh:mm",
}
"""By number: the formats that a workbook names by their number only.

A format with any other number that the workbook does not define shows the plain number.
"""


class Shown(NamedTuple):
    """The text of a number as a workbook shows it, and what is unclear about it."""

    text: str
    flaw: str = ""
    """Why the meaning of the number is unclear; empty if it is clear."""
    rounded: bool = False
    """True if the cell stores more decimals than it shows."""


Format = Callable[[str], "str | Shown"]
"""A function that shows a number of a cell: as Shown, or as plain text if nothing is unclear about the number."""


def general(digits: str) -> str:
    """Return a number as a person would type it: 1500, not 1500.0.

    For an integer of at least 2^53 return the number with an exponent: `1.200000000000000E+19`.

    Raises ValueError for a text that is not a number.
    """
    if digits.isdigit() and len(digits) < EXACT and digits[0] != "0":
        return digits
    number = float(digits)
    if number.is_integer():
        return str(int(number)) if abs(number) < 2**53 else f"{number:.15E}"
    if not math.isfinite(number):
        raise ValueError("is not a number")
    short = f"{number:.{EXACT}g}"
    return f"{Decimal(short):f}" if "e" in short else short


def format_of(code: str, *, since_1904: bool = False) -> Format:
    """Return the function that shows numbers in this format."""
    sections = [_section(tokens) for tokens in _sections(code)]
    if any(section.is_date for section in sections[:1]):
        elapsed, day = sections[0].is_elapsed, sections[0].has_day
        return lru_cache(4096)(lambda digits: _moment(digits, since_1904, elapsed=elapsed, day=day))
    if not sections or any(section.unusual for section in sections) or sections[0].text:
        return general
    if sections[0].is_plain:
        return _decimals(sections)
    return lambda digits: _in_section(digits, sections)


def _decimals(sections: list["_Section"]) -> Format:
    """Return a fast function for simple formats of amounts: `#,##0.00`."""
    behind = sections[0].places[sections[0].places.index(".") + 1 :]
    most, least = len(behind), behind.count("0")

    def shown(digits: str) -> str | Shown:
        whole, _, part = digits.partition(".")
        if len(part) <= most and len(digits) < EXACT and whole.isdigit() and (not part or part.isdigit()):
            part = part.ljust(least, "0")
            if whole.strip("0") or part.strip("0"):
                return f"{whole}.{part}" if part else whole
        return _in_section(digits, sections)

    return shown


# --------------------------------------------------------------------------------------------------------- the sections

_TOKEN = re.compile(r'"[^"]*"|\\.|[_*].|\[[^\]]{0,100}\]|General|AM/PM|A/P|[Ee][+-]|.', re.DOTALL)


@dataclass
class _Section:
    """One section of a number format. A format has sections for numbers above, below and equal to 0."""

    before: str = ""
    """The text before the first placeholder for a digit."""
    places: list[str] = field(default_factory=list)
    """Placeholders for digits and the decimal point. Texts between them begin with a NUL."""
    currency: str = ""
    percent: bool = False
    thousands: int = 0
    """How many times the number is divided by 1,000."""
    grouped: bool = False
    unusual: bool = False
    """True for a fraction, an exponent or a condition. The plain number is then shown."""
    general: bool = False
    text: bool = False
    is_date: bool = False
    is_elapsed: bool = False
    has_day: bool = False

    @property
    def holds_digits(self) -> bool:
        return self.general or any(place in "0#?" for place in self.places)

    @property
    def is_plain(self) -> bool:
        """Return True if the section shows decimals and nothing else."""
        dressed = self.before or self.behind or self.currency or self.percent or self.thousands or self.general
        return not dressed and "." in self.places and self.places[: self.places.index(".")].count("0") <= 1

    @property
    def of_an_identifier(self) -> bool:
        """Return True if the texts of the section belong to the value, as in INV-00042, and are not marks around an
        amount.
        """
        return self.places.count("0") > 1 and not ("." in self.places or self.grouped or self.percent)

    @property
    def behind(self) -> str:
        return "".join(place[1:] for place in self.places if place[0] == "\0")


def _sections(code: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for token in _TOKEN.findall(code[:1000]):
        if token == ";":
            found.append([])
        else:
            found[-1].append(token)
    return found


def _section(tokens: list[str]) -> _Section:
    made = _Section()
    commas = 0
    for token in tokens:
        if token in "0#?":
            made.grouped |= commas > 0
            commas = 0
            made.places.append(token)
        elif token == ".":
            made.thousands, commas = commas, 0
            made.places.append(token)
        elif token == "," and made.places:
            commas += 1
        elif token == "General":
            made.general = True
        elif token == "@":
            made.text = True
        elif token == "%":
            made.percent = True
        elif token[0] == "[" and len(token) > 1:
            _bracket(made, token[1:-1])
        elif token[0] in "_*" and len(token) > 1:
            continue  # space, not text
        elif token in ("E+", "E-", "e+", "e-", "/") and made.places:
            made.unusual = True
        elif token in ("AM/PM", "A/P") or token.lower() in "ymdhs":
            made.is_date = True
            made.has_day |= token.lower() in "yd"
        else:
            _literal(made, token[1:-1] if len(token) > 1 and token[0] == '"' else token.removeprefix("\\"))
    made.thousands += commas
    made.is_date = made.is_date or made.is_elapsed
    return made


def _bracket(made: _Section, inside: str) -> None:
    if inside.startswith("$"):
        symbol, _, place = inside[1:].partition("-")
        if symbol.strip():
            made.currency = of_format(symbol, place)
    elif inside and set(inside.lower()) <= set("hms"):
        made.is_elapsed = True
    elif inside[:1] in "<>=":
        made.unusual = True


def _literal(made: _Section, text: str) -> None:
    sign = text.strip()
    if sign in SIGNS or sign in SHARED or sign in MAJOR:
        made.currency = of_format(sign, "")
    elif made.places or made.general:
        made.places.append(f"\0{text}")
    else:
        made.before += text


def _in_section(digits: str, sections: list[_Section]) -> Shown:
    plain = general(digits)
    if "E" in plain:
        return Shown(plain)
    value = Decimal(plain)
    section, minus = sections[0], "-" if value < 0 else ""
    if value < 0 and len(sections) > 1:
        section = sections[1]
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    if not section.holds_digits:
        return _without_digits(section, value, plain)
    if section.general:
        return Shown(_dressed(section, plain.removeprefix("-"), minus))
    point = section.places.index(".") if "." in section.places else len(section.places)
    decimals = [place for place in section.places[point + 1 :] if place in "0#?"]
    held = abs(value) * (100 if section.percent else 1) / 1000**section.thousands
    shown = held.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP) if len(decimals) < EXACT else held
    text = _padded(section, f"{shown:f}", point, decimals.count("0"))
    text = _dressed(section, f"{text}%" if section.percent else text, minus if shown else "")
    if shown == held and not section.thousands:
        return Shown(text)
    if len(decimals) < 2 or section.thousands or section.percent:
        return Shown(text, f"shows {text} and holds {plain}: show the whole number, or round it")
    return Shown(text, rounded=True)


def _without_digits(section: _Section, value: Decimal, plain: str) -> Shown:
    text = section.before.strip()
    if value == 0:
        return Shown(text if any(char.isalpha() for char in text) else "0")
    return Shown(text, f"shows {text or 'nothing'} and holds {plain}: show the number")


def _padded(section: _Section, digits: str, point: int, least: int) -> str:
    """Add the zeros of the format, and the texts between the digits of an identifier."""
    whole, _, part = digits.partition(".")
    while len(part) > least and part.endswith("0"):
        part = part[:-1]
    whole = whole.zfill(section.places[:point].count("0"))
    if section.of_an_identifier:
        out, left = [], list(whole)
        for place in reversed(section.places):
            if place[0] == "\0":
                out.append(place[1:])
            elif left:
                out.append(left.pop())
        whole = "".join([*left, *reversed(out)])
    return f"{whole}.{part}" if part else whole


def _dressed(section: _Section, text: str, minus: str) -> str:
    """Return the number with the texts and the currency of the section.

    Brackets, minus and blanks are removed: the sign comes first.
    """
    if section.of_an_identifier:
        return f"{minus}{section.before}{text}".strip()
    before, behind = _letters(section.before), _letters(section.behind)
    if minus and behind.strip().upper() in ("CR", "DR"):
        behind = ""
    dressed = f"{minus}{before}{text}{behind}".strip()
    if not section.currency:
        return dressed
    return f"{dressed} {section.currency}" if section.currency[0].isalpha() else f"{minus}{section.currency}{text}"


def _letters(text: str) -> str:
    return text if any(char.isalpha() for char in text) else ""


# ------------------------------------------------------------------------------------------------------------ the days


def _moment(digits: str, since_1904: bool, *, elapsed: bool, day: bool) -> Shown:
    number = float(digits)
    if elapsed:
        seconds = round(abs(number) * 86_400)
        minus = "-" if number < 0 else ""
        return Shown(f"{minus}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}")
    of_day = timedelta(milliseconds=round(number % 1 * 86_400_000))
    if 0 <= number < 1 and not day:
        return Shown((datetime.min + of_day).time().isoformat())
    if since_1904:
        number += 1462
    elif number < 60:
        number += 1  # spreadsheets count a 29 February 1900
    if not 0 <= number < 2_958_466:
        return Shown(general(digits), "is not a date in the supported range")
    at = datetime(1899, 12, 30) + timedelta(days=int(number)) + of_day
    return Shown(at.date().isoformat() if at.time() == time() else at.isoformat(sep=" "))

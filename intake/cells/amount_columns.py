"""Check that a column holds the amounts to pay, in whole units. Refuse a file if only people can decide which column or
unit is right.

An invoice has a net and a gross amount, a paid part and a balance due: that a heading looks likelier is no reason to
pay its amount. And 120 under the heading `£000` is not a payment of 120.00.
"""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from domain.base import FieldProblem
from domain.input_errors import quoted, shortened
from intake.cells import amount_currency
from intake.cells.currencies import SIGNS
from intake.cells.parse_cells import Ambiguous, Marks, Misread, amount_of
from intake.mapping.bound_mapping import Source, is_total
from intake.mapping.column_mapping import WrongMapping
from intake.mapping.target_process import Target
from intake.tables.table import SEARCHED, Table

_MANY = (
    r"(?:thousands?|tausend|tsd|millions?|millionen|mio|mln|mrd|milliarden|billions?|milliers|miles|millones|migliaia|"
    r"milioni|milhares|milhões|duizend|miljoen|tys|mila|тыс|млн|lakhs?|crores?)\b"
)
_SMALL_COINS = (
    r"(?:pence|pennies|cents?|centimes?|céntimos?|centavos?|centesimi|cêntimos?|groszy|rappen|öre|øre|копе\w{0,5}|"
    r"minor units?|subunits?)\b"
)
_SHORT = (
    r"[£€$¥] ?(?:'?0{3}s?|[km]|mn|bn|mio)\b|(?:^|[\s(\['])'?0{3}'?s\b|[(\[ ]'?0{3}'?[)\]]|\b[kmt] ?[£€$¥]"
    r"|\b[kmt](?:eur|usd|gbp|chf)\b|\b(?:eur|usd|gbp|chf) ?(?:k|m|mn|mio|0{3})\b|[千万百億亿][円元圆]"
)
_UNIT = re.compile(rf"\b{_MANY}|\b{_SMALL_COINS}|{_SHORT}")
_TOLD = re.compile(
    rf"(?:\b(?:in|en|em|im|w|v|в|amounts|figures|all) |[(\[])(?:[^\W\d_]{{1,12}} )?(?:{_MANY}|{_SMALL_COINS})|{_SHORT}"
)
"""Match a unit in a title above the headings.

The words must be clearer than in a heading, because a title can also be about something else.
"""


def check_unit(source: Source, table: Table, line: int, target: Target) -> None:
    """Raise WrongMapping if the heading, or a title above it, says that amounts are in another unit, such as thousands
    or cents.
    """
    name = (target.money or ("", ""))[0]
    titles = [cell for number, row in table.head(SEARCHED) if number < line for cell in row if cell.strip()]
    for text, unit in [*((each, _UNIT) for each in source.names), *((each, _TOLD) for each in titles)]:
        if found := unit.search(text[:200].replace("_", " ").casefold()):
            said = quoted(found[0].strip(" ([])"))
            message = f"{quoted(shortened(text.strip()))} says {said}, and amounts are read as whole units of their "
            hint = "currency: write the amounts in full, and remove the unit from the heading"
            raise WrongMapping([FieldProblem(column=f"columns.{name}", message=f"{message}{hint}")])


def check_rivals(
    table: Table, line: int, headings: Sequence[str], sources: dict[str, Source], rivals: Sequence[int], target: Target
) -> None:
    """Raise WrongMapping if another column could also hold the amount and has different values."""
    name, currency = target.money or ("", "")
    chosen = sources[name]
    if currency in sources:  # each row names the currency in which it is paid
        rivals = [place for place in rivals if not amount_currency.of_the_books(headings[place], chosen.heading)]
    if chosen.column is None or not rivals:
        return
    for number, row in table.seen_below(line):
        mine = _cell(row, chosen.column)
        if not mine or is_total(next(cell for cell in row if cell.strip())):
            continue
        for place in rivals:
            other = _cell(row, place)
            if other and other != mine and _differ(mine, other):
                both = f"{quoted(chosen.heading)} and {quoted(headings[place].strip())}"
                values = f"{shortened(mine)} and {shortened(other)} in line {number}"
                message = f"{both} both look like the amount, with different values: {values}. Name the column to pay"
                raise WrongMapping([FieldProblem(column=f"columns.{name}", message=message)])


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


_SIGNED = Marks(signs=tuple(SIGNS.items()))


def _differ(one: str, other: str) -> bool:
    """Return True if two cells are different amounts.

    A cell that cannot be read is not an amount. If one of the cells can be read in two ways, their texts are compared.
    """
    values = []
    for cell in (one, other):
        try:
            values.append(Decimal(amount_of(cell, _SIGNED).text))
        except Ambiguous:
            return one != other
        except (Misread, InvalidOperation):
            return False
    return values[0] != values[1]

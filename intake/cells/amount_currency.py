"""Find the currency of amounts if the file has no currency column: in a heading, or in a title above the headings.

If only people can decide the currency, refuse the file.

A payment in the wrong currency is worse than a question. So the usual currency of an organisation is used only if the
file names no currency, or also names the usual one.
"""

from collections.abc import Mapping, Sequence

from domain.base import FieldProblem
from domain.input_errors import quoted
from intake.cells.currencies import MAJOR, currencies_in, is_currency, joined
from intake.mapping.bound_mapping import Source
from intake.mapping.column_mapping import ColumnMapping, WrongMapping
from intake.mapping.heading_words import plain, words_of
from intake.mapping.target_process import Target

Said = tuple[frozenset[str], ...]


def told_by_heading(source: Source | None, given: ColumnMapping) -> Said:
    """Return the currency codes that the heading of the amount column names."""
    if source is None:
        return ()
    found = [currencies_in(name, tuple(given.currency_signs.items())) for name in source.names]
    return tuple(dict.fromkeys(each for said in found for each in said))


def check_constant(said: Said, source: Source, constants: Mapping[str, str], target: Target) -> None:
    """Raise WrongMapping if the mapping sets one currency and the heading of the amount names another."""
    _, currency = target.money or ("", "")
    told = constants.get(currency)
    if told and said and not any(told in codes for codes in said):
        message = f"{quoted(told)}, but the heading {quoted(source.heading)} says {_all(said)}"
        raise WrongMapping([FieldProblem(column=f"constants.{currency}", message=message)])


_OF_THE_BOOKS = frozenset(("local", "lc", "company", "base", "functional", "group", "hw", "hauswahrung"))
_OF_THE_DOCUMENT = frozenset(("document", "doc", "transaction", "foreign", "original", "belegwahrung", "bw", "fw"))


def check_pair(amount: Source, currency: Source, target: Target) -> None:
    """Raise WrongMapping if one heading (amount, currency) is about the currency of the books, and the other about the
    currency of the document.
    """
    money, of_books = [], []
    for source in (amount, currency):
        words = set(plain(words_of(source.heading)).split())
        money.append(bool(words & _OF_THE_DOCUMENT))
        of_books.append(bool(words & _OF_THE_BOOKS))
    if (of_books[0] and money[1]) or (money[0] and of_books[1]):
        name = (target.money or ("", ""))[1]
        message = (
            f"{quoted(currency.heading)} may not be the currency of {quoted(amount.heading)}. Name both in the mapping"
        )
        raise WrongMapping([FieldProblem(column=f"columns.{name}", message=message)])


def of_the_books(heading: str, chosen: str) -> bool:
    """Return True if `heading` is about the currency of the books (such as `local currency`), and `chosen` is not."""
    said, other = (set(plain(words_of(each)).split()) & _OF_THE_BOOKS for each in (heading, chosen))
    return bool(said) and not other


def settled(said: Said, where: str, usual: str | None, target: Target, *, sure: bool) -> tuple[str | None, list[str]]:
    """Return the currency of a file without a currency column, and notes for people.

    `said` has the currencies found at `where`. `sure` is True if these currencies are about the amounts. If `sure` is
    False, several currencies are no reason to refuse the file, as long as the usual currency is one of them. Raises
    WrongMapping if only people can decide.
    """
    _, currency = target.money or ("", "")
    if len(said) == 1 and len(said[0]) == 1:
        code = next(iter(said[0]))
        return code, [f"{where} says that the {currency} is {code}"] if code != usual or sure else []
    if not said or (usual and any(usual in codes for codes in said) and (len(said) == 1 or not sure)):
        return usual, []
    message = f"{where} says {_all(said)}: set one {currency} for every row, or map the column that holds it"
    raise WrongMapping([FieldProblem(column=f"constants.{currency}", message=message)])


def column_of_codes(rows: Sequence[Sequence[str]], headings: Sequence[str], unused: Sequence[int]) -> int | None:
    """Return the place of a column in `unused` that holds currency codes; None if there is no such column."""
    for place in unused:
        cells = {row[place].strip() for row in rows if place < len(row) and row[place].strip()}
        if headings[place].strip() and cells and len(cells) <= 30 and cells & MAJOR and all(map(is_currency, cells)):
            return place
    return None


def ask_about_column(heading: str, usual: str, target: Target) -> None:
    """Raise WrongMapping, because the column `heading` holds currencies and the mapping does not name this column."""
    _, currency = target.money or ("", "")
    message = f"the column {quoted(heading)} holds currencies: map this column, or set {usual} for every row"
    raise WrongMapping([FieldProblem(column=f"columns.{currency}", message=message)])


def _all(said: Said) -> str:
    return " and ".join(joined(codes) for codes in said)

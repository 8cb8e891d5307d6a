"""Suggest a mapping that fits the headings and the cells of a file.

The suggestion is always shown to the person who sent the file.

Headings decide first: a heading can be the name of the field, then one of its aliases in their order, then a misspelt
one. If headings leave a choice, cells decide. Cells also rule out columns, such as a column for amounts without
numbers. Of two possible columns the likelier one is used, and a note names the other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from domain.column_headings import FIRST_NAME, LAST_NAME
from domain.input_errors import quoted
from intake.cells import parse_cells
from intake.cells.error_cells import is_error
from intake.cells.parse_cells import Marks, Misread
from intake.mapping.bound_mapping import is_total
from intake.mapping.column_mapping import SIGNS, Target
from intake.mapping.heading_words import forms_of, meant_of, slip, spellings
from intake.parse_rows import MAX_COLUMNS
from intake.parsed_row import PRIORITY, REFERENCE, SCHEDULED, START_AT
from intake.tables.open_table import Named
from intake.tables.table import Table, filled

LOOKED_AT = 500
"""How many rows of a file are read to find out whether a column holds numbers or dates."""
DISTINCT = 2_000
"""How many different dates of a column are read to find their format.

If a later date does not fit this format, its row is invalid.
"""

_BLANK = 0.1
"""If at least this share of the rows has no reference in a column, a column that is filled with unique values is
preferred.
"""
_NAMES = ("payee", "full_name")
"""Fields that hold names. A column of numbers does not fit such a field."""


@dataclass
class Suggestion:
    """A suggested mapping: columns and constants by field, with notes for people."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    misfits: dict[str, list[str]] = field(default_factory=dict)
    """For each field, sentences about columns that were not used: the heading fits the field, but the cells do not."""
    rivals: dict[str, list[int]] = field(default_factory=dict)
    """By field: the places of further columns that fit the field as well as the suggested column."""


def namer(target: Target) -> Named:
    """Return a function that counts how many fields the headings in a line name, by their names or by aliases."""
    known = _known(target)
    return lambda line: len(
        {name for cell in line[:MAX_COLUMNS] for form in forms_of(cell) if (name := known.get(form))}
    )


def heading_line(head: Sequence[tuple[int, list[str]]], named: Named) -> tuple[int, list[str]]:
    """Return the line that names most fields; the first one if several lines name the same number.

    If no line names two fields, return the first line that has about as many cells as most lines.
    """
    best = max(head, key=lambda each: named(each[1]))
    if named(best[1]) > 1:
        return best
    widths = Counter(sum(bool(cell.strip()) for cell in row) for _, row in head)
    width = max(widths, key=lambda each: (widths[each] > 1, each))
    wide = (each for each in head if sum(bool(cell.strip()) for cell in each[1]) >= max(2, width - 1))
    return next((each for each in wide if named(each[1]) == named(best[1])), best)


def suggest(table: Table, line: int, headings: Sequence[str], target: Target, given: Mapping[str, str]) -> Suggestion:
    """Suggest columns for the fields from `headings`, which are in `line`. Suggest none for the fields in `given`."""
    made = Suggestion()
    seen = (_readable(table, number, row) for number, row in table.seen_below(line) if filled(row))
    sample = list(
        islice((row for row in seen if not is_total(next((cell for cell in row if cell.strip()), ""))), LOOKED_AT)
    )
    taken: set[int] = set()
    fields = [name for name in target.fields if name not in given]
    found = {name: _candidates(name, headings, target) for name in fields}
    notes: dict[str, list[str]] = {name: [] for name in fields}
    # The nearest match is used first, so that no field uses the column of another.
    for name in sorted((name for name in fields if found[name]), key=lambda each: found[each][0].rank):
        chosen = None
        free = [each for each in found[name] if each.place not in taken]
        for each in _best_filled(free, sample) if name == REFERENCE else free:
            title = quoted(headings[each.place].strip())
            if why := _misfit(name, each.place, sample, target):
                notes[name].append(f"{title} could stand for {name}, but {why}")
                made.misfits.setdefault(name, []).append(notes[name][-1])
            elif chosen is None:
                chosen = each
                slip = f", as it is close to '{chosen.close}'" if chosen.close else ""
                if title.lower() != f"'{name}'":
                    notes[name].append(f"{title} stands for {name}{slip}")
            else:
                read = quoted(headings[chosen.place].strip())
                notes[name].append(f"{title} could stand for {name} too, but {read} is read as {name}")
                made.rivals.setdefault(name, []).append(each.place)
        if chosen:
            taken.add(chosen.place)
            made.columns[name] = (headings[chosen.place].strip(),)
    for name in _NAMES:
        if name in fields:
            _full_name(name, made, headings, taken, notes[name])
    made.notes = [note for name in fields for note in notes[name]]
    _currency(made, headings, sample, target, given)
    made.columns = {name: made.columns[name] for name in target.fields if name in made.columns}
    return made


def _readable(table: Table, line: int, row: list[str]) -> list[str]:
    """Return a row in which each cell that cannot be read is replaced by an error text.

    Such cells say nothing about what their column holds.
    """
    flaws = table.flaws.get(line)
    return [("#ERROR!" if place in flaws else cell) for place, cell in enumerate(row)] if flaws else row


# ---------------------------------------------------------------------------------------------------------------- names


@dataclass(frozen=True)
class _Candidate:
    place: int
    rank: int
    close: str = ""
    """The alias from which the heading differs by one or two letters in a word; empty if the heading equals an alias.
    """


def _aliases(name: str, target: Target) -> list[frozenset[str]]:
    """Return the names of a field, its own name first, each with its spellings."""
    own = [name, SCHEDULED] if name == START_AT else [name]
    return [spellings(each) for each in dict.fromkeys([*own, *target.aliases.get(name, ())])]


def _known(target: Target) -> dict[str, str]:
    """Return the fields by each name that a heading can have for them."""
    known: dict[str, str] = {}
    for name in target.fields:
        for written in _aliases(name, target):
            for each in written:
                known.setdefault(each, name)
    return known


def _candidates(name: str, headings: Sequence[str], target: Target) -> list[_Candidate]:
    """Return the columns that can fill a field, the nearest first; misspelt headings only if no other heading fits."""
    aliases = _aliases(name, target)
    forms = [forms_of(heading) for heading in headings]
    found = [
        _Candidate(place, rank)
        for place, said in enumerate(forms)
        if (rank := next((number for number, names in enumerate(aliases) if names & set(said)), None)) is not None
    ]
    if not found and name not in (PRIORITY, START_AT):
        known = _known(target)
        for place, said in enumerate(forms):
            if any(form in known for form in said):
                continue
            for number, names in enumerate(aliases):
                meant = meant_of(names)
                if any(slip(form, meant) for form in said):
                    found.append(_Candidate(place, len(aliases) + number, meant))
                    break
    return sorted(found, key=lambda each: (each.rank, each.place))


def _best_filled(found: Sequence[_Candidate], sample: Sequence[Sequence[str]]) -> list[_Candidate]:
    """Return the columns with the likeliest first.

    If the likeliest column is blank in a tenth of the rows or more, a column that is filled with unique values comes
    first.
    """

    def blank(each: _Candidate) -> float:
        return 1 - len(column_of(sample, each.place)) / max(1, len(sample))

    def good(each: _Candidate) -> bool:
        column = column_of(sample, each.place)
        return len(column) == len(sample) == len(set(column))

    if not found or blank(found[0]) < _BLANK:
        return list(found)
    return sorted(found, key=lambda each: not good(each))


def _full_name(name: str, made: Suggestion, headings: Sequence[str], taken: set[int], notes: list[str]) -> None:
    """Suggest `{First name} {Last name}` for the full name, if no column holds the full name."""
    firsts, lasts = (
        [place for place, heading in enumerate(headings) if _is_one_of(heading, words)]
        for words in (FIRST_NAME, LAST_NAME)
    )
    single = made.columns.get(name)
    place = [heading.strip() for heading in headings].index(single[0]) if single else None
    if place is not None and place not in firsts + lasts:
        return
    for first in firsts:
        for last in lasts:
            one, other = headings[first].strip(), headings[last].strip()
            if first == last or ({first, last} - {place}) & taken or set("{}") & set(one + other):
                continue
            made.columns[name] = (f"{{{one}}} {{{other}}}",)
            taken |= {first, last}
            notes[:] = [f"{quoted(one)} and {quoted(other)} together stand for {name}"]
            return


def _is_one_of(heading: str, words: Sequence[str]) -> bool:
    return bool(_known_words(tuple(words)) & set(forms_of(heading)))


@lru_cache(16)
def _known_words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(each for word in words for each in spellings(word))


# ---------------------------------------------------------------------------------------------------------------- cells


def column_of(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """Return the cells of a column that are not blank."""
    return [row[place].strip() for row in rows if place < len(row) and row[place].strip()]


def _misfit(name: str, place: int, sample: Sequence[Sequence[str]], target: Target) -> str:
    """Return why the cells of a column do not fit a field; empty if they fit."""
    there = column_of(sample, place)
    values = [cell for cell in there if not is_error(cell)]
    if name == REFERENCE or not values:
        return "" if there or name in target.needed else "it is blank"
    if name in target.numbers and sum(_is_number(each) for each in values) * 2 < len(values):
        return "the column has hardly any numbers"
    if name in target.dates and not any(parse_cells.dates_in(each, parse_cells.KNOWN_DATES) for each in set(values)):
        return "the column has no dates"
    if name == PRIORITY and not all(each in "12345" for each in values):
        return "the column has values other than 1 to 5"
    if name in _NAMES and sum(any(char.isalpha() for char in each) for each in values) * 2 < len(values):
        return "the column has numbers, not names"
    return ""


_ANY = Marks(signs=(*SIGNS.items(), ("$", "USD")))


def _is_number(cell: str) -> bool:
    try:
        parse_cells.amount_of(cell, _ANY)
    except Misread as misread:
        return str(misread).startswith(("may be", "has the sign"))
    return True


def _currency(
    made: Suggestion,
    headings: Sequence[str],
    sample: Sequence[Sequence[str]],
    target: Target,
    given: Mapping[str, str],
) -> None:
    """If the cells of the amounts hold their currency, suggest the amount column for the currency, too.

    Currencies in headings are checked later, also those of columns that a mapping names.
    """
    amount, currency = target.money or ("", "")
    if amount not in made.columns or currency in made.columns or currency in given:
        return
    (title,) = made.columns[amount]
    place = [heading.strip() for heading in headings].index(title)
    beside = []
    for cell in column_of(sample, place):
        try:
            beside.append(parse_cells.amount_of(cell, Marks(signs=tuple(SIGNS.items()))).currency)
        except Misread:
            continue
    if beside and all(beside):
        made.columns[currency] = (title,)
        made.notes.append(f"the {currency} is the one that stands with each amount in {quoted(title)}")


def repeated(table: Table, line: int, headings: Sequence[str], place: int, unused: Sequence[int]) -> str:
    """Return a note for people if references appear in several rows; empty if all references are unique."""

    def references() -> Iterator[tuple[str, list[str]]]:
        return ((row[place].strip().lower(), row) for _, row in table.seen_below(line) if place < len(row))

    times = Counter(reference for reference, _ in references())
    rows: dict[str, list[list[str]]] = {each: [] for each, often in times.items() if each and often > 1}
    if not rows:
        return ""
    for reference, row in references():
        if reference in rows:
            rows[reference].append(row)
    several = list(rows.values())
    title = headings[place].strip()
    note = f"{len(several):,} values of {quoted(title)} stand in several rows"
    for other in unused:
        if headings[other].strip() and all(
            len({row[other].strip() for row in found if other < len(row) and row[other].strip()}) == len(found)
            for found in several
        ):
            return f'{note}; a mapping can tell them apart: reference = "{{{title}}}/{{{headings[other].strip()}}}"'
    return note

"""A mapping that fits the headings and the cells of a file nobody has described: proposed, shown, and never hidden.

Names come first: a field's own name, then the aliases of its model in their order, then a slip of the finger. Cells
decide on what names leave open, and speak against a column of amounts without numbers. Of two columns that could be a
field the likelier one is taken, and the other is told of.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from intake import cells
from intake.cells import Marks, Misread
from intake.mapping import SIGNS, Target
from intake.problems import quoted
from intake.rows import MAX_COLUMNS, PRIORITY, REFERENCE, SCHEDULED, START_AT
from intake.tables import Named, Table, filled

LOOKED_AT = 500
"""Rows by which a column is judged to hold numbers or dates."""
DISTINCT = 2_000
"""Different dates of a column by which their order is found; a later one that does not fit is an invalid row."""

_VAT = re.compile(r"\b(ex|exc|excl|excluding|inc|incl|including|net of|less|before|after)\.? ?(vat|tax)\b")
_CLOSE = 0.85
_LONGEST = 80
"""Characters of a heading. What is longer is text."""


@dataclass
class Suggestion:
    """Columns by field, and what is to be told about them."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def namer(target: Target) -> Named:
    """Counts the fields that a line of headings names, one way or another."""
    known = _known(target)
    return lambda line: len({name for cell in line[:MAX_COLUMNS] for form in _forms(cell) if (name := known.get(form))})


def suggest(table: Table, line: int, headings: Sequence[str], target: Target, given: Mapping[str, str]) -> Suggestion:
    """A mapping for the columns below the heading `line`; none for fields that are `given` already."""
    made = Suggestion()
    sample = list(islice((row for _, row in table.below(line) if filled(row)), LOOKED_AT))
    taken: set[int] = set()
    fields = [name for name in target.fields if name not in given]
    found = {name: _candidates(name, headings, target) for name in fields}
    notes: dict[str, list[str]] = {name: [] for name in fields}
    # Whatever is nearest to its field is taken first, so that no field takes the column of another.
    for name in sorted((name for name in fields if found[name]), key=lambda each: found[each][0].rank):
        chosen = None
        for each in found[name]:
            title = quoted(headings[each.place].strip())
            if each.place in taken:
                continue
            if why := _misfit(name, each.place, sample, target):
                notes[name].append(f"{title} could stand for {name}, but {why}")
            elif chosen is None:
                chosen = each
                slip = f", as it is close to '{chosen.close}'" if chosen.close else ""
                if title.lower() != f"'{name}'":
                    notes[name].append(f"{title} stands for {name}{slip}")
            else:
                read = quoted(headings[chosen.place].strip())
                notes[name].append(f"{title} could stand for {name} too; {read} is read")
        if chosen:
            taken.add(chosen.place)
            made.columns[name] = (headings[chosen.place].strip(),)
    made.notes = [note for name in fields for note in notes[name]]
    _currency(made, headings, sample, target, given)
    made.columns = {name: made.columns[name] for name in target.fields if name in made.columns}
    return made


# ---------------------------------------------------------------------------------------------------------------- names


@dataclass(frozen=True)
class _Candidate:
    place: int
    rank: int
    close: str = ""
    """The alias that it is close to, if it is none itself."""


_SHORT = {
    **dict.fromkeys(("number", "num", "nr", "numb"), "no"),
    **dict.fromkeys(("trans", "tran", "txn", "trx"), "transaction"),
    **{"amt": "amount", "ref": "reference", "inv": "invoice", "doc": "document", "desc": "description"},
    **{"supp": "supplier", "benef": "beneficiary", "pymt": "payment", "pmt": "payment"},
}


def words_of(heading: str) -> str:
    """A heading as words in small letters."""
    text = unicodedata.normalize("NFKC", heading).casefold()
    text = re.sub(r"(?<=[a-z])['\u2019](?=s\b)", "", text)
    return " ".join(re.findall(r"[^\W_]+|[£€$]", text))


def _in_full(words: str) -> str:
    return " ".join(_SHORT.get(word, word) for word in words.split())


def _forms(heading: str) -> list[str]:
    """The names that a heading may be meant as, the whole of it first: with and without what stands in brackets."""
    if len(heading) > _LONGEST:
        return []
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", heading)  # SupplierName
    outside = re.sub(r"\([^)]*\)|\[[^\]]*\]", " ", heading)
    inside = " ".join(re.findall(r"[(\[]([^)\]]*)[)\]]", heading))
    forms = [words_of(heading), words_of(split), words_of(outside), words_of(inside)]
    forms += [" ".join(_VAT.sub(" ", form).split()) for form in list(forms)]
    forms += [" ".join(word for word in form.split() if not _of_currency(word)) for form in list(forms)]
    forms += [form.removeprefix("sum of ") for form in list(forms)]  # a pivot table
    forms += [_in_full(form) for form in list(forms)]
    return list(dict.fromkeys(form for form in forms if form))


def _of_currency(word: str) -> bool:
    return word in ("£", "€", "$", "gbp", "eur", "usd", "sterling", "pounds", "in")


def _aliases(name: str, target: Target) -> list[set[str]]:
    """Its own name first, then the others in their order; each with its spellings."""
    own = [name, SCHEDULED] if name == START_AT else [name]
    return [_spellings(words_of(each)) for each in dict.fromkeys([*own, *target.aliases.get(name, ())])]


def _spellings(words: str) -> set[str]:
    full = _in_full(words)
    return {words, full, words.replace(" ", ""), full.replace(" ", "")}


def _known(target: Target) -> dict[str, str]:
    """The field that each name stands for."""
    known: dict[str, str] = {}
    for name in target.fields:
        for spellings in _aliases(name, target):
            for each in spellings:
                known.setdefault(each, name)
    return known


def _candidates(name: str, headings: Sequence[str], target: Target) -> list[_Candidate]:
    """The columns that could be a field, the nearest first; a slip of the finger only where nothing else is."""
    aliases = _aliases(name, target)
    forms = [_forms(heading) for heading in headings]
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
                meant = max(names, key=len)
                if any(_slip(form, meant) for form in said):
                    found.append(_Candidate(place, len(aliases) + number, meant))
                    break
    return sorted(found, key=lambda each: (each.rank, each.place))


def _slip(form: str, alias: str) -> bool:
    """Whether a heading is an alias with a mistyped letter or two: word by word, so that an ID never is a name."""
    said, meant = form.split(), alias.split()
    if len(said) == len(meant):
        return all(one == other or _near(one, other) for one, other in zip(said, meant, strict=True))
    one, other = "".join(said), "".join(meant)
    return abs(len(one) - len(other)) <= 1 and _near(one, other)


def _near(one: str, other: str) -> bool:
    long_enough = min(len(one), len(other)) >= 5 and one[0] == other[0]
    return long_enough and difflib.SequenceMatcher(None, one, other).ratio() >= _CLOSE


# ---------------------------------------------------------------------------------------------------------------- cells


def column_of(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    """The cells of a column that are not blank."""
    return [row[place].strip() for row in rows if place < len(row) and row[place].strip()]


def _misfit(name: str, place: int, sample: Sequence[Sequence[str]], target: Target) -> str:
    """Why a column cannot be a field by what is in it."""
    values = column_of(sample, place)
    if name == REFERENCE or not values:
        return "" if values or name in target.needed else "it is blank"
    if name in target.numbers and sum(_is_number(each) for each in values) * 2 < len(values):
        return "it holds hardly any numbers"
    if name in target.dates and not any(cells.dates_in(each, cells.KNOWN_DATES) for each in set(values)):
        return "it holds no dates"
    if name == PRIORITY and not all(each in "12345" for each in values):
        return "it holds other than 1 to 5"
    return ""


_ANY = Marks(signs=(*SIGNS.items(), ("$", "USD")))


def _is_number(cell: str) -> bool:
    try:
        cells.amount_of(cell, _ANY)
    except Misread as misread:
        return str(misread).startswith("may be")
    return True


def _currency(
    made: Suggestion,
    headings: Sequence[str],
    sample: Sequence[Sequence[str]],
    target: Target,
    given: Mapping[str, str],
) -> None:
    """The currency that stands in the heading of the amount, or with every amount."""
    amount, currency = target.money or ("", "")
    if amount not in made.columns or currency in made.columns or currency in given:
        return
    (title,) = made.columns[amount]
    words = set(re.findall(r"[£€]|\w+", title.upper()))
    told = {code for sign, code in SIGNS.items() if sign in title} | {
        each for each in ("GBP", "EUR", "USD") if each in words
    }
    told |= {"GBP"} if "STERLING" in words else set()
    if len(told) == 1:
        made.constants[currency] = told.pop()
        made.notes.append(f"{quoted(title)} says that the {currency} is {made.constants[currency]}")
        return
    place = [heading.strip() for heading in headings].index(title)
    beside = []
    for cell in column_of(sample, place):
        try:
            beside.append(cells.amount_of(cell, Marks(signs=tuple(SIGNS.items()))).currency)
        except Misread:
            continue
    if beside and all(beside):
        made.columns[currency] = (title,)
        made.notes.append(f"the {currency} is the one that stands with each amount in {quoted(title)}")


def repeated(table: Table, line: int, headings: Sequence[str], place: int, unused: Sequence[int]) -> str:
    """What to tell of references that stand in several rows; nothing when each is there once."""

    def references() -> Iterator[tuple[str, list[str]]]:
        return ((row[place].strip().lower(), row) for _, row in table.below(line) if place < len(row))

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

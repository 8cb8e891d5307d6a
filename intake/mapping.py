"""Which columns of a file stand for which fields, and how its cells are written: given, saved or suggested.

A `ColumnMapping` is what people write; bound to the headings of one file it reads that file's rows. Bound, it is also
complete: given back, it reads the same file in the same way, whatever would be suggested by then.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, field_validator

from intake import cells, strict_json
from intake.cells import Amount, Marks, Misread
from intake.problems import problems_of, quoted, shortened
from intake.rows import PRIORITY, REFERENCE, START_AT, Row, Shown, quoted_whole, typed, uneven
from intake.tables import FileFormat, UnreadableFile
from workflows.models import Problem
from workflows.moments import asked_now

SIGNS = {"£": "GBP", "€": "EUR"}
EVERY_DATE = "*"


class WrongMapping(Exception):
    """A mapping that cannot be used, at all or for this file. Each problem's `column` is the key that is at fault."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"mapping.{each.column}: {each.message}".replace(".:", ":", 1) for each in problems))
        self.problems = list(problems)


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _formats(value: Any) -> Any:
    return {EVERY_DATE: value} if isinstance(value, (str, list, tuple)) else value


Several = Annotated[tuple[str, ...], BeforeValidator(_several)]


class ColumnMapping(BaseModel):
    """How the files of one kind are read. Keys of `columns`, `constants` and `dates` are fields of the process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: dict[str, Several] = {}
    """By field: the heading of its column, or several, of which the file has one. Headings match without case, blanks
    and underscores. `{Trans No}/{Line}` is made of several columns. Empty: suggested from the file."""
    constants: dict[str, str] = {}
    """By field: what every row has."""
    dates: Annotated[dict[str, Several], BeforeValidator(_formats)] = {}
    """By field, or for all: formats such as `DD/MM/YYYY`. Without: what the column's values leave no doubt of."""
    decimal: cells.Decimals | None = None
    """The decimal mark; `either`: what each cell leaves no doubt of. Without: the same of the column."""
    thousands: Literal["", ",", ".", " ", "'", "none"] = ""
    """The mark between thousands; empty: any but the decimal mark; `none`: there are none."""
    currency_signs: dict[str, str] = {}
    """Currencies by their signs, beside £ and €."""
    negative: Literal["refuse", "skip"] = "refuse"
    """What becomes of rows with an amount below 0: they are invalid, or credit notes that are left out."""
    skip: tuple[Literal["totals", "headings"], ...] = ("totals", "headings")
    """Rows that are none: totals without a reference, and headings that stand there again."""

    @field_validator("dates")
    @classmethod
    def _say_days(cls, dates: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for formats in dates.values():
            for words in formats:
                cells.strptime_of(words)
        return dates

    @field_validator("currency_signs")
    @classmethod
    def _are_currencies(cls, signs: dict[str, str]) -> dict[str, str]:
        for sign, code in signs.items():
            if not cells.is_currency(code):
                raise ValueError(f"{quoted(code)} for {sign} is not an ISO 4217 currency code such as GBP, EUR or USD")
        return signs

    @property
    def signs(self) -> tuple[tuple[str, str], ...]:
        """Currency signs, longer ones first: US$ before $."""
        return tuple(sorted({**SIGNS, **self.currency_signs}.items(), key=lambda each: -len(each[0])))


@dataclass(frozen=True)
class Target:
    """What rows are read into: one process, as far as a mapping goes."""

    model: type[BaseModel]
    shown: Shown = dict
    money: tuple[str, str] | None = None
    """The fields that hold an amount and its currency."""

    @property
    def aliases(self) -> Mapping[str, Sequence[str]]:
        """Other headings for its fields, the likeliest first, as its model says them in `headings`."""
        found: Mapping[str, Sequence[str]] = getattr(self.model, "headings", {})
        return found

    @cached_property
    def fields(self) -> list[str]:
        return list(dict.fromkeys([REFERENCE, *self.model.model_fields, PRIORITY, START_AT]))

    @cached_property
    def needed(self) -> list[str]:
        return [REFERENCE, *(name for name, info in self.model.model_fields.items() if info.is_required())]

    @cached_property
    def dates(self) -> list[str]:
        return [name for name in self.model.model_fields if self._types(name) & {date}]

    @cached_property
    def numbers(self) -> list[str]:
        return [name for name in self.model.model_fields if {each.__name__ for each in self._types(name)} & _NUMBERS]

    def _types(self, name: str) -> set[type]:
        return set(_types_of(self.model.model_fields[name].annotation))


_NUMBERS = {"int", "float", "Decimal"}


def _types_of(annotation: Any) -> Iterator[type]:
    if get_origin(annotation) in (Union, UnionType, Annotated):
        for part in get_args(annotation):
            yield from _types_of(part)
    elif isinstance(annotation, type) and annotation is not datetime:
        yield annotation


# ------------------------------------------------------------------------------------------------------- as it is given


def parse_mapping(given: object, fields: Sequence[str]) -> ColumnMapping:
    """A mapping as JSON or TOML has it, for a process with these fields. Raises WrongMapping with all that is wrong."""
    if isinstance(given, str):
        try:
            given = strict_json.loads(given)
        except (ValueError, RecursionError) as wrong:
            raise WrongMapping([Problem(column="", message=f"is not JSON: {wrong}")]) from wrong
    if not isinstance(given, Mapping):
        raise WrongMapping([Problem(column="", message="must be a JSON object, or the name of a saved mapping")])
    try:
        mapping = ColumnMapping.model_validate(given)
    except ValidationError as wrong:
        raise WrongMapping([_of_key(each) for each in problems_of(wrong, {})]) from wrong
    known = [*fields, EVERY_DATE]
    problems = [
        Problem(column=f"{table}.{name}", message=f"is not a field of this process{nearest(name, fields)}")
        for table in ("columns", "constants", "dates")
        for name in getattr(mapping, table)
        if name not in known or (name == EVERY_DATE and table != "dates")
    ]
    problems += [
        Problem(column=f"constants.{name}", message="has a column and a constant; leave one of them out")
        for name in mapping.constants
        if name in mapping.columns
    ]
    problems += [
        Problem(column=f"columns.{name}", message="name at least one column")
        for name, headings in mapping.columns.items()
        if not all(each.strip() for each in headings) or not headings
    ]
    if problems:
        raise WrongMapping(problems)
    return mapping


def _of_key(problem: Problem) -> Problem:
    column = problem.column or ""
    if problem.message == "is not a field of this process":
        near = nearest(column, list(ColumnMapping.model_fields))
        return Problem(column=column, message=f"is not a key of a mapping{near}")
    return problem


def nearest(name: str, known: Sequence[str]) -> str:
    """A question that names what was probably meant; else all that there is."""
    near = difflib.get_close_matches(name.lower(), {each.lower(): each for each in known}, n=1, cutoff=0.5)
    if near:
        return f"; is '{next(each for each in known if each.lower() == near[0])}' meant?"
    listed = ", ".join(quoted(each) for each in known[:30] if each.strip())
    return f"; there are {listed}" if listed else ""


def heading_key(heading: str) -> str:
    """A heading as it is compared: without case, blanks and underscores."""
    return re.sub(r"[\s_\ufeff]+", "", heading).casefold()


# ---------------------------------------------------------------------------------------------------- bound to headings


@dataclass(frozen=True)
class Source:
    """The column, or columns, that a field is read from."""

    heading: str
    """As the mapping says it again: the heading as it stands in the file, or the pattern."""
    parts: tuple[str | int, ...]
    """Texts, and the places of columns, counted from 0."""
    names: tuple[str, ...]
    """The headings of these columns."""

    @property
    def column(self) -> int | None:
        """The place of its column, if it is a single one."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], int) else None

    def of(self, row: Sequence[str]) -> str:
        """Its text in a row, blank where all of its cells are. Raises Misread where only some are."""
        if self.column is not None:
            return row[self.column].strip() if self.column < len(row) else ""
        found = [row[part].strip() if part < len(row) else "" for part in self.parts if isinstance(part, int)]
        if not any(found):
            return ""
        for name, cell in zip(self.names, found, strict=True):
            if not cell:
                raise Misread(f"the column {quoted(name)}, which is a part of it, is blank", "a value in each column")
        rest = iter(found)
        return "".join(next(rest) if isinstance(part, int) else part for part in self.parts)


def source_of(said: str, headings: Sequence[str]) -> Source | None:
    """Where a heading, or a pattern of several, stands. None when the file has it not. Raises ValueError when twice."""
    if "{" not in said:
        place = _place(said, headings)
        return None if place is None else Source(headings[place].strip(), (place,), (headings[place].strip(),))
    pieces = re.split(r"\{([^{}]*)\}", said)
    places = [_place(name, headings) for name in pieces[1::2]]
    if not places or None in places:
        return None
    parts: list[str | int] = []
    for number, piece in enumerate(pieces):
        parts += [places[number // 2] or 0] if number % 2 else [piece] if piece else []
    return Source(said, tuple(parts), tuple(headings[place or 0].strip() for place in places))


def _place(heading: str, headings: Sequence[str]) -> int | None:
    key = heading_key(heading)
    places = [place for place, each in enumerate(headings) if heading_key(each) == key]
    if len(places) > 1:
        raise ValueError(f"the heading {quoted(heading.strip())} stands in the file {len(places)} times")
    return places[0] if places else None


_TOTAL = re.compile(r"(?i)\W*(grand|sub|page|overall)?[\s-]*(totals?|sum)\b")


@dataclass(frozen=True)
class BoundMapping:
    """A mapping and the headings of one file: reads its rows."""

    target: Target
    mapping: ColumnMapping
    """Complete: every field's one column, formats and marks."""
    headings: list[str]
    format: FileFormat
    sources: Mapping[str, Source]
    notes: list[str] = field(default_factory=list)

    @property
    def unused(self) -> list[int]:
        """The places of columns that no field is read from; those without headings behind the last are no columns."""
        used = {part for source in self.sources.values() for part in source.parts if isinstance(part, int)}
        return [place for place in range(self._width) if place not in used]

    @property
    def ignored(self) -> list[str]:
        """Their headings."""
        return [self.headings[place].strip() or f"(column {place + 1})" for place in self.unused]

    def row(self, line: int, cells_: list[str]) -> Row:
        """The row of a line, with everything that is wrong with it under the file's own headings."""
        values, wrong, written = self._values(cells_)
        reference = values.get(REFERENCE, "")
        if why := self._none(cells_, values):
            return Row(line=line, reference=reference, key="", skipped=why)
        if problem := quoted_whole(cells_, self._width, self.format.delimiter):
            return Row(line=line, reference="", key="", errors=[problem])
        if len(cells_) < self._width or any(cell.strip() for cell in cells_[len(self.headings) :]):
            return uneven(line, self.headings, cells_, reference)
        amount = self.target.money[0] if self.target.money else ""
        if self.mapping.negative == "skip" and amount in written and values[amount].startswith("-") and not wrong:
            return Row(line, reference, key="", skipped=f"a credit note: the amount is {shortened(written[amount])}")
        return typed(line, values, self.target.model, self.target.shown, self._names, wrong, written)

    @cached_property
    def _width(self) -> int:
        """Columns up to the last one with a heading."""
        return max((place for place, heading in enumerate(self.headings) if heading.strip()), default=-1) + 1

    @cached_property
    def _names(self) -> dict[str, str]:
        return {name: source.heading for name, source in self.sources.items()}

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self.mapping.decimal or "either", self.mapping.thousands, self.mapping.signs)

    @cached_property
    def _again(self) -> list[str]:
        return [key for heading in self.headings if (key := heading_key(heading))]

    @cached_property
    def _readers(self) -> list[tuple[str, Source, Literal["number", "date", "text"]]]:
        money = self.target.money or ("", "")
        kinds: list[tuple[str, Source, Literal["number", "date", "text"]]] = []
        for name, source in self.sources.items():
            if name == money[1]:
                continue
            kind: Literal["number", "date", "text"] = "text"
            if name in self.target.numbers:
                kind = "number"
            elif name in self.target.dates:
                kind = "date"
            kinds.append((name, source, kind))
        return kinds

    def _values(self, row: list[str]) -> tuple[dict[str, Any], dict[str, Problem], dict[str, str]]:
        """The fields' texts, what could not be read, and numbers and dates as they stand there."""
        values: dict[str, Any] = dict(self.mapping.constants)
        wrong: dict[str, Problem] = {}
        beside: Amount | None = None
        written: dict[str, str] = {}
        amount, currency = self.target.money or ("", "")
        for name, source, kind in self._readers:
            cell = ""
            try:
                if not (cell := source.of(row)):
                    continue
                values[name] = cell
                if kind == "number":
                    written[name] = cell
                    read = cells.amount_of(cell, self._marks)
                    values[name] = read.text
                    beside = read if name == amount else beside
                elif kind == "date":
                    written[name] = cell
                    values[name] = cells.date_of(cell, self.mapping.dates.get(name, ()))
            except Misread as misread:
                wrong[name] = self._problem(name, source.heading, cell, str(misread), misread.expected)
        if currency:
            self._currency(row, values, wrong, beside)
        return values, wrong, written

    def _currency(
        self, row: list[str], values: dict[str, Any], wrong: dict[str, Problem], beside: Amount | None
    ) -> None:
        """The currency of its column, or of its amount; both must say the same."""
        amount, currency = self.target.money or ("", "")
        source = self.sources.get(currency)
        if source is not None and source.column is not None and source == self.sources.get(amount):
            if beside and beside.currency:
                values[currency] = beside.currency
            return
        if source is not None and (cell := source.of(row)):
            values[currency] = dict(self.mapping.signs).get(cell, cell.upper())
        told = values.get(currency)
        if beside and beside.currency and told and told != beside.currency:
            heading = self.sources[amount].heading
            cell = self.sources[amount].of(row)
            what = f"says {beside.currency}, and the currency is {told}"
            wrong[amount] = self._problem(amount, heading, cell, what, f"an amount in {told}")

    def _problem(self, name: str, heading: str, cell: str, message: str, expected: str) -> Problem:
        shown = self.target.shown({name: cell}).get(name, cell)
        says = f"{quoted(shown)} {message}" if shown else message
        return Problem(column=heading, message=says, value=shortened(shown) or None, expected=expected)

    def _repeats(self, first: str, row: list[str]) -> bool:
        # The first cell alone rules nearly every row out.
        return (
            heading_key(first) == self._again[0] and [key for cell in row if (key := heading_key(cell))] == self._again
        )

    def _none(self, row: list[str], values: Mapping[str, Any]) -> str:
        """Why a line is no row, if it is none."""
        first = next((cell.strip() for cell in row if cell.strip()), "")
        if "headings" in self.mapping.skip and first and self._repeats(first, row):
            return "the headings again"
        if "totals" in self.mapping.skip and _TOTAL.match(first):
            told = {str(values.get(name, "")) for name in self.sources if name not in self.target.numbers}
            if told <= {"", first}:
                return f"a total: {shortened(first)}"
        return ""


# ------------------------------------------------------------------------------------------------------------- binding


def missing_headings(missing: Sequence[str], found: Sequence[str], line: int) -> UnreadableFile:
    """The refusal of a file in which nothing stands for needed fields."""
    listed = ", ".join(quoted(cell) for cell in found[:20] if cell.strip()) or "none"
    hint = "give a mapping that says which columns they are, or what every row has"
    return UnreadableFile("headers", f"these headings are missing: {', '.join(missing)}. Found: {listed}; {hint}", line)


def sources_of(mapping: ColumnMapping, headings: Sequence[str]) -> dict[str, Source]:
    """Where each field of a mapping stands in a file. Raises WrongMapping for what does not stand there once."""
    found: dict[str, Source] = {}
    problems = []
    for name, said in mapping.columns.items():
        try:
            sources = [source for each in said if (source := source_of(each, headings))]
        except ValueError as wrong:
            problems.append(Problem(column=f"columns.{name}", message=str(wrong)))
            continue
        if sources:
            found[name] = sources[0]
        else:
            which = " or ".join(quoted(each) for each in said)
            wanted = next(
                (part for part in re.findall(r"\{([^{}]*)\}", said[0]) if not source_of(part, headings)), said[0]
            )
            near = nearest(wanted.strip(), [heading.strip() for heading in headings if heading.strip()])
            problems.append(Problem(column=f"columns.{name}", message=f"the file has no column {which}{near}"))
    if problems:
        raise WrongMapping(problems)
    return found


def check_constants(target: Target, constants: Mapping[str, str]) -> None:
    """Raises WrongMapping for a constant that its field would not take in any row."""
    values = {name: value for name, value in constants.items() if name in target.model.model_fields}
    try:
        target.model.model_validate(values, context=asked_now())
    except ValidationError as wrong:
        found = [each for each in problems_of(wrong, target.shown(values)) if each.column in values]
        if found:
            raise WrongMapping(
                [each.model_copy(update={"column": f"constants.{each.column}"}) for each in found]
            ) from wrong

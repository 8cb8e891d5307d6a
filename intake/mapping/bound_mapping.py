"""Bind a mapping to the headings of one file, and read the rows of the file, or say what is wrong with each cell.

A bound mapping is complete: if a person sends it together with the same file, the file is read in the same way, without
suggestions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from domain.base import FieldProblem
from domain.input_errors import quoted, shortened
from intake.cells import parse_cells
from intake.cells.currencies import joined
from intake.cells.parse_cells import Amount, Marks, Misread
from intake.mapping.column_mapping import ColumnMapping, WrongMapping, heading_key, nearest
from intake.mapping.target_process import Target
from intake.parse_rows import fits, flaw_of, quoted_whole, typed, uneven
from intake.parsed_row import REFERENCE, ParsedRow
from intake.tables.table import Table, UnreadableFile


@dataclass(frozen=True)
class Source:
    """The column, or the columns, from which a field is read."""

    heading: str
    """The heading as it is in the file, or the pattern of headings in the mapping."""
    parts: tuple[str | int, ...]
    """The parts from which the value is made: fixed texts, and places of columns counted from 0."""
    names: tuple[str, ...]
    """The headings of the columns from which the field is read."""

    @property
    def column(self) -> int | None:
        """Return the place of the column, counted from 0; None if the field is read from several columns."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], int) else None

    def of(self, row: Sequence[str]) -> str:
        """Return the text of the field in a row; blank if all cells of the field are blank.

        Raises Misread if only some of these cells are blank.
        """
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


def parts_of(pattern: str) -> list[str]:
    """Return the parts of a pattern such as `{Trans No}/{Line}`: fixed texts at even places, headings at odd places."""
    return re.split(r"\{([^{}]{0,200})\}", pattern[:2_000])


def source_of(said: str, headings: Sequence[str]) -> Source | None:
    """Return the source that a heading, or a pattern of headings, names in this file; None if a heading is missing.

    Raises ValueError if a heading appears twice.
    """
    if "{" not in said:
        place = _place(said, headings)
        return None if place is None else Source(headings[place].strip(), (place,), (headings[place].strip(),))
    pieces = parts_of(said)
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
        raise ValueError(
            f"the heading {quoted(heading.strip())} appears {len(places)} times in the file: "
            "give each column its own heading"
        )
    return places[0] if places else None


_TOTAL = re.compile(
    r"(?:(?:grand|sub|page|overall) ?)?(?:totals?|sum)\b|(?:gesamt|zwischen|end)?summe\b|insgesamt\b|gesamt\b"
    r"|(?:sous ?)?total\b|somme\b|suma\b|totale\b|totaal\b|summa\b|итого\b|всего\b|合計|总计|合计"
)


def is_total(cell: str) -> bool:
    """Return True if the first cell of a line shows that the line is a total: `Grand total`, `Summe:`, `** Total`."""
    return bool(_TOTAL.match(" ".join(re.findall(r"[^\W_]+", cell[:60].casefold()))))


_DOUBTFUL = ("#", "E")
"""The first characters that a spreadsheet error can have. Only cells that begin with one of them are checked."""


@dataclass(frozen=True)
class BoundMapping:
    """A mapping that is bound to the headings of one file. The bound mapping reads the rows of the file."""

    target: Target
    mapping: ColumnMapping
    """The complete mapping: the column or columns of each field that the file fills, with formats and marks."""
    headings: list[str]
    table: Table
    sources: Mapping[str, Source]
    notes: list[str] = field(default_factory=list)
    told: frozenset[str] = frozenset()
    """The currencies that the heading of the amount column names; empty if the heading names none."""

    @property
    def unused(self) -> list[int]:
        """Return the places of columns that are not read. Columns after the last heading are not included."""
        used = {part for source in self.sources.values() for part in source.parts if isinstance(part, int)}
        return [place for place in range(self._width) if place not in used]

    @property
    def ignored(self) -> list[str]:
        """Return the headings of columns that are not read. A column without a heading is named by its number."""
        return [self.headings[place].strip() or f"(column {place + 1})" for place in self.unused]

    def row(self, line: int, cells_: list[str]) -> ParsedRow:
        """Return the row of a line, with all its problems. The problems name columns as the headings of the file do."""
        values, wrong, written = self._values(line, cells_)
        reference = values.get(REFERENCE, "")
        if why := self._none(cells_, values):
            return ParsedRow(line=line, reference=reference, key="", skipped=why)
        if problem := quoted_whole(cells_, self._width, self.table.format.delimiter):
            return ParsedRow(line=line, reference="", key="", errors=[problem])
        if len(cells_) != len(self.headings) and not fits(cells_, len(self.headings), self._needed):
            return uneven(line, self.headings, cells_, reference)
        amount = self.target.money[0] if self.target.money else ""
        if self.mapping.negative == "skip" and amount in written and values[amount].startswith("-") and not wrong:
            return ParsedRow(
                line, reference, key="", skipped=f"a credit note: the amount is {shortened(written[amount])}"
            )
        return typed(line, values, self.target.model, self.target.shown, self._names, wrong, written)

    @cached_property
    def _needed(self) -> list[int]:
        """Return the places of columns that every valid row needs."""
        needed = [self.sources[name] for name in self.target.needed if name in self.sources]
        return [part for source in needed for part in source.parts if isinstance(part, int)]

    @cached_property
    def _width(self) -> int:
        """Return the number of columns up to the last column with a heading."""
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

    def _values(self, line: int, row: list[str]) -> tuple[dict[str, Any], dict[str, FieldProblem], dict[str, str]]:
        """Return the values of a row by field, the problems by field, and numbers and dates by field as they are in the
        file.
        """
        values: dict[str, Any] = dict(self.mapping.constants)
        wrong: dict[str, FieldProblem] = {}
        beside: Amount | None = None
        written: dict[str, str] = {}
        amount, currency = self.target.money or ("", "")
        flawed = line in self.table.flaws
        if currency:
            self._read_currency(row, values)
        for name, source, kind in self._readers:
            cell = ""
            try:
                cell = source.of(row)
                if (cell[:1] in _DOUBTFUL or flawed) and (flaw := self._flaw(line, source, row)):
                    raise Misread(flaw, "a value")
                if not cell:
                    continue
                values[name] = cell
                if kind == "number":
                    written[name] = cell
                    read = parse_cells.amount_of(cell, self._marks, values.get(currency) if name == amount else None)
                    values[name] = read.text
                    beside = read if name == amount else beside
                elif kind == "date":
                    written[name] = cell
                    values[name] = parse_cells.date_of(cell, self.mapping.dates.get(name, ()))
            except Misread as misread:
                wrong[name] = self._problem(name, source.heading, cell, str(misread), misread.expected)
                values.pop(name, None)
        if currency:
            self._compare_currencies(line, row, values, wrong, beside)
        return values, wrong, written

    def _flaw(self, line: int, source: Source, row: list[str]) -> str:
        """Return why a cell from which a field is made cannot be read; empty if all its cells can be read."""
        for part in source.parts:
            if isinstance(part, int) and (why := flaw_of(self.table, line, part, row)):
                return why
        return ""

    @cached_property
    def _beside(self) -> bool:
        """Return True if the mapping says that the currency is in the same cells as the amount."""
        amount, currency = self.target.money or ("", "")
        source = self.sources.get(currency)
        return source is not None and source.column is not None and source == self.sources.get(amount)

    def _read_currency(self, row: list[str], values: dict[str, Any]) -> None:
        """Set the currency in `values`: from its column, or, if this cell is blank, from the heading of the amount."""
        currency = (self.target.money or ("", ""))[1]
        source = self.sources.get(currency)
        if source is None or self._beside:
            return
        if cell := source.of(row):
            values[currency] = dict(self.mapping.signs).get(cell, cell.upper())
        elif len(self.told) == 1:
            values[currency] = next(iter(self.told))

    def _compare_currencies(
        self, line: int, row: list[str], values: dict[str, Any], wrong: dict[str, FieldProblem], beside: Amount | None
    ) -> None:
        """Note a problem if the sources of a row's currency disagree: its column, the amount's cell, the amount's
        heading.
        """
        amount, currency = self.target.money or ("", "")
        said = beside.currency if beside else None
        if self._beside:
            if said:
                values[currency] = said
        elif (source := self.sources.get(currency)) and (flaw := self._flaw(line, source, row)):
            wrong[currency] = self._problem(currency, source.heading, "", flaw, "a currency")
            return
        told = values.get(currency)
        if amount not in self.sources or amount in wrong:
            return
        heading = self.sources[amount].heading
        if said and told and told != said:
            what = f"says {said}, and the currency is {told}"
            wrong[amount] = self._problem(amount, heading, self.sources[amount].of(row), what, f"an amount in {told}")
        elif told and self.told and told not in self.told and parse_cells.is_currency(told):
            what = f"the currency is {told}, and the heading {quoted(heading)} says {joined(self.told)}"
            wrong[amount] = self._problem(amount, heading, "", what, f"an amount in {joined(self.told)}")

    def _problem(self, name: str, heading: str, cell: str, message: str, expected: str) -> FieldProblem:
        shown = self.target.shown({name: cell}).get(name, cell)
        says = f"{quoted(shown)} {message}" if shown else message
        return FieldProblem(column=heading, message=says, value=shortened(shown) or None, expected=expected)

    def _repeats(self, first: str, row: list[str]) -> bool:
        # The first cell alone rules out nearly every row.
        return (
            heading_key(first) == self._again[0] and [key for cell in row if (key := heading_key(cell))] == self._again
        )

    def _none(self, row: list[str], values: Mapping[str, Any]) -> str:
        """Return why a line is not a row, such as a total; empty if the line is a row."""
        first = next((cell.strip() for cell in row if cell.strip()), "")
        if "headings" in self.mapping.skip and first and self._repeats(first, row):
            return "the headings again"
        if "totals" in self.mapping.skip and is_total(first):
            told = {str(values.get(name, "")) for name in self.sources if name not in self.target.numbers}
            if told <= {"", first}:
                return f"a total: {shortened(first)}"
        return ""


# ------------------------------------------------------------------------------------------------------------- binding


def missing_headings(
    missing: Sequence[str], found: Sequence[str], line: int, besides: Sequence[str] = ()
) -> UnreadableFile:
    """Return the error for a file without columns for required fields; `besides` describes columns that nearly fit."""
    listed = ", ".join(quoted(cell) for cell in found[:20] if cell.strip()) or "none"
    hint = "give a mapping that names the column of each field, or one value for all rows"
    said = "; ".join([f"these headings are missing: {', '.join(missing)}. Found: {listed}", hint, *besides])
    return UnreadableFile("headers", said, line)


def sources_of(mapping: ColumnMapping, headings: Sequence[str]) -> dict[str, Source]:
    """Return the columns in the file for each field of a mapping.

    Raises WrongMapping for headings that are missing or appear twice.
    """
    found: dict[str, Source] = {}
    problems = []
    for name, said in mapping.columns.items():
        try:
            sources = [source for each in said if (source := source_of(each, headings))]
        except ValueError as wrong:
            problems.append(FieldProblem(column=f"columns.{name}", message=str(wrong)))
            continue
        if sources:
            found[name] = sources[0]
        else:
            which = " or ".join(quoted(each) for each in said)
            wanted = next((part for part in parts_of(said[0])[1::2] if not source_of(part, headings)), said[0])
            near = nearest(wanted.strip(), [heading.strip() for heading in headings if heading.strip()])
            problems.append(FieldProblem(column=f"columns.{name}", message=f"the file has no column {which}{near}"))
    if problems:
        raise WrongMapping(problems)
    return found

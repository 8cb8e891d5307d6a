"""Read a file of one process into rows: by the names of the fields, by a given mapping, or by a suggested one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel

from domain.base import FieldProblem
from domain.input_errors import quoted
from intake.cells import amount_columns, amount_currency, parse_cells
from intake.cells.currencies import currencies_in
from intake.cells.parse_cells import Marks
from intake.mapping.bound_mapping import BoundMapping, Source, missing_headings, parts_of, source_of, sources_of
from intake.mapping.column_mapping import EVERY_DATE, ColumnMapping, Target, WrongMapping, check_constants, heading_key
from intake.mapping.suggest_mapping import DISTINCT, LOOKED_AT, Suggestion, heading_line, namer, repeated, suggest
from intake.parse_rows import (
    MAX_COLUMNS,
    Rows,
    Sheet,
    check_headings,
    counted,
    needed_of,
    notes_of,
    plain_columns,
    read_plain,
)
from intake.parsed_row import REFERENCE
from intake.tables.open_table import Named, table_of
from intake.tables.table import SEARCHED, Table, UnreadableFile, WrongChoice, filled

LOOKED_AT_ROWS = 5


@dataclass(frozen=True)
class Look:
    """A preview of a file: its headings, its first rows as text, and how the file was opened."""

    headings: list[str]
    rows: list[list[str]]
    columns: dict[str, str]
    """By field: the heading, or the pattern of several headings, from which the field would be read."""
    sheets: tuple[str, ...] = ()
    """All sheets of a workbook."""
    sheet: str = ""
    """The sheet of this preview."""
    encoding: str = ""
    """The encoding of a CSV; empty for a workbook."""
    hides: bool = False
    """True if the workbook hides rows or columns of this sheet, or if hidden parts are read."""
    notes: tuple[str, ...] = ()
    """Notes for people on how the file was opened."""


def look(data: bytes, target: Target, mapping: ColumnMapping | None = None) -> Look:
    """Return a preview of a file, from which people can make a mapping.

    Raises UnreadableFile if the file as a whole cannot be read.
    """
    given = mapping or ColumnMapping()
    table, (line, cells_), plain = _opened(data, target, mapping)
    rows = [
        row
        for _, row in islice(((number, row) for number, row in table.seen_below(line) if filled(row)), LOOKED_AT_ROWS)
    ]
    headings = [heading.strip() for heading in cells_]
    if plain:
        columns = {name: headings[place] for place, name in enumerate(plain_columns(cells_)) if name in target.fields}
    elif given.columns:
        columns = {name: said for name, all_ in given.columns.items() for said in all_ if _stands(said, cells_)}
    else:
        columns = {
            name: said[0] for name, said in suggest(table, line, cells_, target, given.constants).columns.items()
        }
    return Look(
        headings,
        rows,
        columns,
        sheets=table.sheets,
        sheet=table.format.sheet or "",
        encoding=table.format.encoding or "",
        hides=bool(table.hidden or table.unseen or table.format.hidden == "read"),
        notes=table.notes,
    )


def read_file(
    data: bytes, target: Target, mapping: ColumnMapping | None = None, usual: Callable[[], Mapping[str, str]] = dict
) -> Sheet:
    """Return all rows of a file.

    `usual` returns the organisation's usual values, for fields that the file does not fill.

    A file whose headings are the names of the fields needs no mapping. Raises UnreadableFile, and WrongMapping for a
    mapping that does not fit the file.
    """
    given = mapping or ColumnMapping()
    table, heading, plain = _opened(data, target, mapping)
    try:
        if plain:
            return read_plain(table, target, mapping)
        return _read_mapped(table, heading, target, given, usual())
    except UnreadableFile as wrong:
        others = [name for name in table.sheets if name != table.format.sheet]
        if wrong.kind not in ("headers", "empty") or not others:
            raise
        listed = ", ".join(quoted(name) for name in others[:30])
        hint = f"the sheet {quoted(table.format.sheet)} was read; name another as 'sheet': {listed}"
        raise UnreadableFile(wrong.kind, f"{wrong}. Of the workbook {hint}") from wrong


def _read_mapped(
    table: Table, heading: tuple[int, list[str]], target: Target, given: ColumnMapping, usual: Mapping[str, str]
) -> Sheet:
    line = heading[0]
    bound = _bind(table, heading, target, given, usual)
    count, blank = counted(table, line)
    above = [number for number, _ in table.head(SEARCHED) if number < line]
    used = {part for source in bound.sources.values() for part in source.parts if isinstance(part, int)}
    notes = [*_above(above), *notes_of(table, line, used), *bound.notes]
    place = bound.sources[REFERENCE].column if REFERENCE in bound.sources else None
    if place is not None and not given.columns:
        notes += [note] if (note := repeated(table, line, bound.headings, place, bound.unused)) else []
    return Sheet(
        columns=[heading.strip() for heading in bound.headings],
        ignored_columns=bound.ignored,
        rows=Rows(table, line, bound.row, count),
        blank=blank,
        format=table.format.model_copy(update={"heading_line": line}),
        mapping=bound.mapping,
        notes=notes,
    )


def _opened(data: bytes, target: Target, mapping: ColumnMapping | None) -> tuple[Table, tuple[int, list[str]], bool]:
    """Return the table, the line with its headings, and whether the headings are the names of the fields.

    Raises UnreadableFile, and WrongMapping for a sheet or an encoding that does not fit the file.
    """
    given = mapping or ColumnMapping()
    named = _mapped(given) if given.columns else namer(target)
    table = opened(data, named, given)
    head = table.head(SEARCHED)
    if not head:
        raise UnreadableFile("empty", "the file is empty: upload a file with headings and rows")
    if given.only_opens and set(needed_of(target.model)) <= set(plain_columns(head[0][1])):
        return table, head[0], True
    return table, heading_line(head, named), False


def opened(data: bytes, named: Named, mapping: ColumnMapping) -> Table:
    """Open a file with the encoding, sheet and hidden rows that its mapping chooses.

    Raises UnreadableFile, and WrongMapping for a choice that does not fit."""
    try:
        return table_of(data, named, mapping.opening)
    except WrongChoice as wrong:
        raise WrongMapping([FieldProblem(column=wrong.key, message=str(wrong))]) from wrong


def _stands(said: str, headings: Sequence[str]) -> bool:
    with suppress(ValueError):  # a heading that appears twice is refused when the file is read
        return source_of(said, headings) is not None
    return False


def process_of(data: bytes, models: Mapping[str, type[BaseModel]]) -> str | None:
    """Return the one process whose required fields are all among the headings of a file; None for no process or
    several.

    Raises UnreadableFile.
    """
    fields = {name for model in models.values() for name in needed_of(model)}
    head = table_of(data, lambda cells: len(fields & set(plain_columns(cells)))).head(1)
    there = set(plain_columns(head[0][1])) if head else set()
    fitting = [name for name, model in models.items() if set(needed_of(model)) <= there]
    return fitting[0] if len(fitting) == 1 else None


def _above(lines: Sequence[int]) -> list[str]:
    if not lines:
        return []
    many = "1 line above the headings was" if len(lines) == 1 else f"{len(lines)} lines above the headings were"
    return [f"{many} left out"]


def _bind(
    table: Table,
    heading: tuple[int, list[str]],
    target: Target,
    given: ColumnMapping,
    usual: Mapping[str, str],
) -> BoundMapping:
    """Return the given mapping, completed for this file with suggestions and usual values."""
    line, headings = heading
    check_constants(target, given.constants)
    check_headings(line, headings, table.format.delimiter)
    if given.columns:
        sources_of(given, headings)  # report unknown headings of the mapping before missing fields
        made = _own_names(given, headings, target)
    else:
        made = suggest(table, line, headings, target, given.constants)
    columns = {**made.columns, **given.columns}
    constants = {**made.constants, **given.constants}
    currency = (target.money or ("", ""))[1]
    added = {name: value for name, value in usual.items() if name not in columns and name not in constants}
    there = {*columns, *constants, *added}
    if (target.money or ("", ""))[0] in columns:
        there.add(currency)  # the heading of the amount can name the currency
    missing = [name for name in target.needed if name not in there]
    if missing:
        _no_twice(line, headings)
        nearly = [note for name in missing for note in made.misfits.get(name, ())]
        raise missing_headings(missing, headings, line, [*nearly, *_hidden_headings(table, line)])
    try:
        sources = sources_of(given.model_copy(update={"columns": columns}), headings)
    except WrongMapping as wrong:
        if given.columns:
            raise
        raise UnreadableFile("headers", "; ".join(each.message for each in wrong.problems), line) from wrong
    notes = list(made.notes)
    said: amount_currency.Said = ()
    if (source := sources.get((target.money or ("", ""))[0])) is not None:
        amount_columns.check_unit(source, table, line, target)
        rivals = made.rivals.get((target.money or ("", ""))[0], ())
        amount_columns.check_rivals(table, line, headings, sources, rivals, target)
    if currency:
        said = _currency(table, line, headings, target, given, sources, constants, added, notes)
        if currency in target.needed and currency not in {*sources, *constants, *added}:
            raise missing_headings([currency], headings, line)
    constants |= added
    check_constants(target, constants)
    columns = {name: (source.heading,) for name, source in sources.items()}
    complete = given.model_copy(update={"columns": columns, "constants": constants})
    complete, of_cells = _from_cells(table, line, complete, sources, target)
    notes += [f"usual value: {name} = {_shown(target, name, value)}" for name, value in added.items()]
    notes += [
        f"{quoted(sources[name].heading)} stands for {name}, instead of the default {_shown(target, name, value)}"
        for name, value in usual.items()
        if name != currency and name in sources and name not in given.columns
    ]
    told = said[0] if len(said) == 1 else frozenset().union(*said)
    return BoundMapping(target, complete, headings, table, sources, [*notes, *of_cells], told)


def _currency(
    table: Table,
    line: int,
    headings: Sequence[str],
    target: Target,
    given: ColumnMapping,
    sources: dict[str, Source],
    constants: dict[str, str],
    added: dict[str, str],
    notes: list[str],
) -> amount_currency.Said:
    """Find the currency if no column holds it, and return the currencies that the amount's heading names.

    If the file names another currency than the usual one, the usual one is removed from `added`.
    """
    amount, currency = target.money or ("", "")
    source = sources.get(amount)
    said = amount_currency.told_by_heading(source, given)
    if source is None:
        return ()
    amount_currency.check_constant(said, source, constants, target)
    if currency in sources and currency not in given.columns:
        amount_currency.check_pair(source, sources[currency], target)
    if currency in sources or currency in constants:
        return said
    usual = added.pop(currency, None)
    found: tuple[str | None, list[str]] = (usual, [])
    if said:
        found = amount_currency.settled(said, quoted(source.heading), usual, target, sure=True)
    else:
        sample = list(islice((row for _, row in table.seen_below(line)), LOOKED_AT))
        used = {part for each in sources.values() for part in each.parts}
        unused = [place for place in range(min(len(headings), MAX_COLUMNS)) if place not in used]
        place = amount_currency.column_of_codes(sample, headings, unused)
        if place is not None and given.columns and usual:
            amount_currency.ask_about_column(headings[place].strip(), usual, target)
        if place is not None:
            title = headings[place].strip()
            sources |= {currency: Source(title, (place,), (title,))}
            notes.append(f"{quoted(title)} stands for {currency}, as it holds currencies")
            return said
        elsewhere = _above_the_amounts(table, line, given)
        if elsewhere:
            found = amount_currency.settled(elsewhere, "what stands above the headings", usual, target, sure=False)
    code, told = found
    notes += told
    if code is not None and (told or code != usual):
        constants[currency] = code
    elif code is not None:
        added[currency] = code
    return said


def _above_the_amounts(table: Table, line: int, given: ColumnMapping) -> amount_currency.Said:
    """Return the currencies in titles above the headings and in the name of the sheet."""
    texts = [cell for number, row in table.head(SEARCHED) if number < line for cell in row if cell.strip()]
    texts += [table.format.sheet or ""]
    signs = tuple(given.currency_signs.items())
    return tuple(dict.fromkeys(each for text in texts for each in currencies_in(text, signs)))


def _mapped(mapping: ColumnMapping) -> Named:
    """Return a function that counts how many headings in a line the mapping names."""
    named = {
        heading_key(heading)
        for said in mapping.columns.values()
        for each in said
        for heading in (parts_of(each)[1::2] or [each])
    }
    return lambda line: len(named & {heading_key(cell) for cell in line[:MAX_COLUMNS]})


def _own_names(given: ColumnMapping, headings: Sequence[str], target: Target) -> Suggestion:
    """Map each required field that the mapping does not name to the column whose heading is the name of the field."""
    made = Suggestion()
    keys = {heading_key(heading): heading.strip() for heading in headings if heading.strip()}
    for name in target.needed:
        if name not in given.columns and name not in given.constants and heading_key(name) in keys:
            made.columns[name] = (keys[heading_key(name)],)
    return made


def _hidden_headings(table: Table, line: int) -> list[str]:
    unseen = table.unseen.get(line, {})
    if not unseen:
        return []
    listed = ", ".join(quoted(unseen[place]) for place in sorted(unseen)[:10])
    return [f"the workbook hides the columns {listed}: show them, or read what is hidden with hidden = 'read'"]


def _no_twice(line: int, headings: Sequence[str]) -> None:
    keys = plain_columns(headings)
    twice = sorted({name for name in keys if name and keys.count(name) > 1})
    if twice:
        raise UnreadableFile("headers", f"these headings appear more than once: {', '.join(twice)}", line)


def _from_cells(
    table: Table, line: int, mapping: ColumnMapping, sources: Mapping[str, Source], target: Target
) -> tuple[ColumnMapping, list[str]]:
    """Return the mapping with formats for all dates and numbers, and notes.

    Formats that the mapping does not give are found from the cells of their columns.
    """
    formats = {
        name: found for name in target.dates if (found := mapping.dates.get(name) or mapping.dates.get(EVERY_DATE))
    }
    wanted = {name: sources[name] for name in target.dates if name in sources and name not in formats}
    numbers = {name: sources[name] for name in target.numbers if name in sources and mapping.decimal is None}
    notes: list[str] = []
    seen: dict[str, dict[str, None]] = {name: {} for name in (*wanted, *numbers)}
    if seen:
        places = [(source.column, seen[name]) for name, source in (*wanted.items(), *numbers.items())]
        for _, row in table.seen_below(line):
            for place, column in places:
                if place is not None and place < len(row) and row[place]:
                    column[row[place].strip()] = None
    for name, source in wanted.items():
        formats[name] = parse_cells.formats_in(islice(seen[name], DISTINCT)) or ("YYYY-MM-DD",)
        notes.append(_dates_in_words(source.heading, formats[name]))
    decimal = mapping.decimal
    if decimal is None and numbers:
        marks = Marks(signs=mapping.signs)
        decimal = parse_cells.decimal_in((cell for name in numbers for cell in seen[name]), marks)
        if decimal == ",":
            notes.append("numbers are read with a decimal comma")
        elif decimal == "either":
            notes.append("numbers are written in two ways, or are ambiguous: give the decimal separator as 'decimal'")
    kept = {name: formats[name] for name in target.dates if name in formats and name in sources}
    return mapping.model_copy(update={"dates": kept, "decimal": decimal}), notes


def _dates_in_words(heading: str, formats: Sequence[str]) -> str:
    doubt = "; a cell whose date can be two different days is invalid" if len(formats) > 1 else ""
    return f"dates in {quoted(heading)} are read as {' or '.join(formats)}{doubt}"


def _shown(target: Target, name: str, value: str) -> Any:
    return target.shown({name: value}).get(name, value)

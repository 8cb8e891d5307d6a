"""Read a file of several processes, in which `task_type` names the process of each row.

The columns of the file are `task_id, task_type, name, description, priority, amount, currency, scheduled_time`; the
first two are required. Each process declares which of its fields `name`, `description` and the others fill. Any other
column that is a field of a process is read for the rows of that process, so one file can hold everything.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from pydantic import BaseModel

from domain.base import FieldProblem
from domain.input_errors import quoted
from intake.mapping.column_mapping import ColumnMapping
from intake.mapping.target_process import Target
from intake.parse_rows import (
    ParsedRow,
    Sheet,
    fits,
    known_in,
    plain_numbers,
    plain_values,
    quoted_whole,
    sheet_of,
    typed,
    uneven,
)
from intake.parsed_row import PRIORITY, REFERENCE, SCHEDULED
from intake.read_file import opened

TASK_ID, TASK_TYPE = "task_id", "task_type"
_URGENCY = {"critical": "1", "urgent": "1", "high": "2", "medium": "3", "normal": "3", "low": "4"}
_COLUMNS = {TASK_ID, TASK_TYPE, SCHEDULED, PRIORITY}


class _Money(Protocol):
    """The part of a process's texts that reading its rows needs."""

    @property
    def money(self) -> tuple[str, str] | None: ...


class Kind(Protocol):
    """The data of a process that are needed to read its rows."""

    @property
    def input(self) -> type[BaseModel]: ...

    @property
    def words(self) -> "_Money": ...

    @property
    def seed(self) -> Mapping[str, str]: ...

    @property
    def seed_defaults(self) -> Mapping[str, str]: ...

    def shown_input(self, stored: Mapping[str, Any]) -> dict[str, Any]: ...


_AS_IT_IS = ColumnMapping()


def read_seed(
    data: bytes,
    kinds: Mapping[str, Kind],
    startable: Collection[str],
    mapping: ColumnMapping = _AS_IT_IS,
    not_allowed: Collection[str] = (),
) -> Sheet:
    """Read a whole file. A row whose process is not in `startable` is invalid.

    The requester may not start cases of the processes in `not_allowed`.

    `mapping` only says how to open the file. Raises UnreadableFile, and WrongMapping for a sheet or an encoding that
    does not fit the file.
    """
    known = {*_COLUMNS, *(name for kind in kinds.values() for name in (*kind.input.model_fields, *kind.seed))}

    table = opened(data, known_in(known), mapping)

    def row(line: int, columns: list[str], cells: list[str]) -> ParsedRow:
        values, wrong = plain_values(table, line, columns, cells, known)
        reference, name = values.pop(TASK_ID, ""), values.pop(TASK_TYPE, "")
        needed = [columns.index(TASK_ID), columns.index(TASK_TYPE)]
        if len(cells) != len(columns) and not fits(cells, len(columns), needed):
            if problem := quoted_whole(cells, len(columns), table.format.delimiter):
                return ParsedRow(line=line, reference="", key="", errors=[problem])
            return uneven(line, columns, cells, reference)
        if name not in startable:
            said = f"known are {', '.join(sorted(startable))}"
            if name in kinds:
                said = "only its requesters start it" if name in not_allowed else "the policy has no section for it"
            message = f"{quoted(name)} is not a process that you can start: {said}"
            return ParsedRow(
                line=line, reference=reference, key="", errors=[FieldProblem(column=TASK_TYPE, message=message)]
            )
        row = _row(line, name, {REFERENCE: reference, **values}, kinds[name], in_workbook=table.format.kind == "xlsx")
        return replace(row, input=None, errors=[*wrong.values(), *row.errors]) if wrong else row

    sheet = sheet_of(table, [TASK_ID, TASK_TYPE], known, row)
    return sheet if mapping == _AS_IT_IS else replace(sheet, mapping=mapping)


def _row(line: int, process: str, values: dict[str, str], kind: Kind, *, in_workbook: bool) -> ParsedRow:
    fields = set(kind.input.model_fields)
    own: dict[str, Any] = {name: cell for name, cell in values.items() if name in fields | {REFERENCE, SCHEDULED}}
    names = {REFERENCE: TASK_ID}
    for column, field in kind.seed.items():
        top, _, part = field.partition(".")
        if not part and field in own and field != column:
            continue
        if not part:
            names[field] = column
        if column not in values:
            continue
        if part:
            own[top] = {**(own[top] if isinstance(own.get(top), dict) else {}), part: values[column]}
        else:
            own[field] = values[column]
    if PRIORITY in values:
        own[PRIORITY] = _URGENCY.get(values[PRIORITY].lower(), values[PRIORITY])
    target = Target(kind.input, kind.shown_input, kind.words.money)
    own = {**kind.seed_defaults, **own}
    row = typed(line, own, kind.input, kind.shown_input, wrong=plain_numbers(own, target) if in_workbook else {})
    errors = [each.model_copy(update={"column": names.get(each.column or "", each.column)}) for each in row.errors]
    return replace(row, process=process, errors=errors)

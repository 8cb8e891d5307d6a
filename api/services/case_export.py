"""Export cases and their results as CSV, page by page: a million cases need no more memory than a few hundred."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Unpack

from pydantic import BaseModel

from intake.csv_output import BOM, record
from store.cases import case_fields, cases
from store.cases.case_fields import Fields
from store.cases.cases import CaseFilter, CaseRow, Viewer
from store.db.database import Database
from workflows.registry import PROCESSES, shown_input, shown_result

PAGE = 200
"""The number of cases that are read and written together. The gateway answers other requests in between."""
ABOUT = (
    "case_id",
    "process",
    "reference",
    "title",
    "status",
    "requester",
    "on_behalf_of",
    "priority",
    "batch_id",
    "round",
    "created_at",
    "closed_at",
    "decision",
    "decided_by",
    "reason",
    "undone",
)
"""The columns that all cases have. After these columns come `input.*` and `result.*`, and at the end `other`."""


class Columns(BaseModel):
    """The fields of inputs and results that have their own column.

    All other fields of a case go into the column `other`.
    """

    input: list[str]
    result: list[str]

    @property
    def heading(self) -> list[str]:
        fields = [f"input.{name}" for name in self.input] + [f"result.{name}" for name in self.result]
        return [*ABOUT, *fields, "other"]


async def export(db: Database, viewer: Viewer, **sought: Unpack[CaseFilter]) -> AsyncIterator[str]:
    """Yield the text of the CSV file in parts, heading first. Raises DatabaseUnavailable.

    If a case ends during the export with a result field that no case had at the start, this field goes into `other`.
    """
    async with db.read() as conn:
        columns = columns_of(await case_fields.fields(conn, viewer, **sought))
    yield BOM + record(columns.heading)
    cursor, more = None, True
    while more:
        # One snapshot for each page: a single snapshot would last as long as the slowest reader.
        async with db.read() as conn:
            rows, cursor = await cases.page(conn, viewer, cursor=cursor, limit=PAGE, **sought)
        yield "".join(record(cells(row, columns)) for row in rows)
        more = cursor is not None


def columns_of(found: Fields) -> Columns:
    """Return the fields that get a column: in the order of the input models, then fields that no model has any more."""
    processes = [process for name, process in sorted(PROCESSES.items()) if name in found.processes]
    known = [name for process in processes for name in process.input.model_fields]
    ordered = dict.fromkeys([*known, *sorted(found.input)])
    return Columns(input=list(ordered), result=sorted(found.output))


def cells(case: CaseRow, columns: Columns) -> list[Any]:
    """Return the cells of the row of a case, in the order of the columns. Masked fields are masked."""
    given, ended = shown_input(case.process, case.input), shown_result(case.process, case.input, case.result)
    result = (ended.output if ended else None) or {}
    other = _others("input", given, columns.input) | _others("result", result, columns.result)
    fields = [given.get(name) for name in columns.input] + [result.get(name) for name in columns.result]
    return [*_about(case), *fields, other or None]


def _about(case: CaseRow) -> list[Any]:
    result, decision = case.result, case.result.decision if case.result else None
    known = case.model_dump(mode="json", include={*ABOUT, "submitted_at"})
    known |= {
        "created_at": known["submitted_at"],
        "decision": decision.verdict if decision else None,
        "decided_by": decision.by if decision else None,
        "reason": result.reason if result else None,
        "undone": "; ".join(result.undone) if result else None,
    }
    return [known[name] for name in ABOUT]


def _others(prefix: str, values: Mapping[str, Any], columns: Iterable[str]) -> dict[str, Any]:
    known = set(columns)
    return {f"{prefix}.{name}": value for name, value in values.items() if name not in known}

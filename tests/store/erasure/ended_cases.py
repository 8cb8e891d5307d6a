"""Ended cases with content in every column that an erasure empties, for the tests of erasures."""

from datetime import timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String, Table, Text, cast, insert, select

from domain.case import CaseResult
from domain.records import CaseRecord
from domain.status import Status
from store.cases import cases
from store.db.database import Database
from store.erasure.columns import held
from store.tables.base import Instant, metadata
from tests.store.sample_cases import MORNING, event, new_case, task

CANARY = "canary-7d1f"
"""Part of every text that an erasure must remove."""
BATCH = "b00000000000000aa"
OF_A_CASE = (
    *("decisions", "proofs", "actions", "attachments", "stopped", "effects", "dataset_versions", "dataset_rows"),
    *("directory_accounts", "entitlements", "accepted_risks", "entries", "case_keys", "bulk_results", "batch_rows"),
)
"""Tables with rows of a case, beside `cases` and `tasks`, in the order in which rows can be inserted."""


def canary(what: str) -> str:
    """A text that says where it was stored."""
    return f"{CANARY} {what}"


async def ended(db: Database, reference: str = "INV-1", *, status: Status = Status.COMPLETED, **changes: Any) -> str:
    """Store an ended case whose row, task and events have canaries, and return its id."""
    content = {
        "title": canary("cases.title"),
        "input": {"payee": canary("cases.input"), "amount": "10.00"},
        "salt": f"{reference}{CANARY}"[:32],
        "idempotency_key": canary(f"cases.idempotency_key {reference}"),
    }
    new = new_case(reference, **{**content, **changes})
    view = task(
        new.case_id,
        title=canary("tasks.title"),
        summary=canary("tasks.view"),
        key_fields={"payee": canary("tasks.subject")},
        input={"payee": canary("tasks.view")},
        salt=new.salt,
    )
    middle = [event(new.case_id, number, "step_done", payee=canary("event_payloads.payload")) for number in (1, 2)]
    end = CaseRecord(
        case_id=new.case_id,
        status=status,
        opened=[view],
        events=[*middle, event(new.case_id, 3, "ended", why=canary("event_payloads.payload"))],
        result=CaseResult(case_id=new.case_id, status=status, reason=canary("cases.result")),
    )
    async with db.write() as conn:
        await cases.insert(conn, new, event(new.case_id, 0, "case_submitted", payee=canary("event_payloads.payload")))
    async with db.write() as conn:
        await cases.record(conn, end)
    return new.case_id


async def uploaded(db: Database, *, rows: int = 0) -> str:
    """Store an ended upload with this number of rows that have no case, and return its id."""
    table = metadata.tables["batches"]
    async with db.write() as conn:
        told = {"batch_id": BATCH, "status": "completed", "erased_at": None, "path": f"{CANARY}.csv"}
        await conn.execute(insert(table).values(row_of(table, "", 1) | told))
    async with db.write() as conn:  # as an upload does: many rows in one transaction
        table = metadata.tables["batch_rows"]
        for line in range(1000, 1000 + rows):
            about = {"batch_id": BATCH, "line": line, "case_id": None, "outcome": "invalid"}
            await conn.execute(insert(table).values(row_of(table, "", line) | about))
    return BATCH


async def fill(db: Database, case_id: str, number: int = 1) -> None:
    """Add a row with canaries to each table that holds content of a case."""
    async with db.write() as conn:
        for name in OF_A_CASE:
            table = metadata.tables[name]
            await conn.execute(insert(table).values(row_of(table, case_id, number)))


def row_of(table: Table, case_id: str, number: int) -> dict[str, Any]:
    """Return a row of a case, with a canary in each column that an erasure empties."""
    about: dict[str, Any] = {"case_id": case_id, "subject": case_id, "batch_id": BATCH, "erased_at": None}
    about |= {"username": canary(f"directory_accounts.username {number}")}
    if table.name.startswith("dataset_"):
        about |= {"name": f"set{number}"}
    if table.name == "entries":
        about |= {"kind": "void", "amount": None}  # an entry without lines
    if table.name == "bulk_results":
        about |= {"results": [{"task_id": task(case_id).task_id, "problem": canary("bulk_results.results")}]}
    columns = [column for column in table.c if column.name != "risk_id"]
    return {column.name: about.get(column.name, _value(column, number)) for column in columns}


def _value(column: Column[Any], number: int) -> Any:
    text = f"{column.table.name}.{column.name} {number}"
    if column.name in held(column.table.name):
        text = canary(text)
    match column.type:
        case Instant():
            return MORNING + timedelta(days=36500 if column.name == "expires_at" else 0)
        case Boolean():
            return False
        case JSON():
            return {"said": text}
        case Integer() | BigInteger():
            return number
        case _:
            length = getattr(column.type, "length", None)
            return (
                text if length is None or len(text) <= length else text.replace(" ", "")[: length - 3] + f"{number:03}"
            )


def is_text(column: Column[Any]) -> bool:
    """Whether the column can hold a text."""
    return isinstance(column.type, String | Text | JSON)


async def leaks(db: Database, text: str = CANARY) -> list[str]:
    """Return where a text is stored, in any column of any table."""
    found = []
    async with db.read() as conn:
        for table in metadata.sorted_tables:
            for column in filter(is_text, table.c):
                query = select(column).where(cast(column, Text).contains(text)).limit(1)
                if (await conn.execute(query)).first() is not None:
                    found.append(f"{table.name}.{column.name}")
    return found

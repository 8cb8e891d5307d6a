"""The names of the fields in inputs and results of cases, for the columns of an export."""

from typing import Unpack

from pydantic import BaseModel
from sqlalchemy import select

from store.cases.cases import CaseFilter, Viewer, narrowed
from store.db.connection import AsyncConnection
from store.db.json_keys import keys_of
from store.tables.cases import cases


class Fields(BaseModel):
    """The names of all fields in inputs and results of the selected cases, unordered."""

    input: set[str]
    output: set[str]
    processes: set[str]


async def fields(conn: AsyncConnection, viewer: Viewer, **sought: Unpack[CaseFilter]) -> Fields:
    """Return the names of all fields in the inputs and results of the cases that match the filter."""
    output = cases.c.result["output"]
    return Fields(
        input={row.key for row in await conn.execute(narrowed(keys_of(conn, cases, cases.c.input), viewer, sought))},
        output={row.key for row in await conn.execute(narrowed(keys_of(conn, cases, output), viewer, sought))},
        processes=set((await conn.execute(narrowed(select(cases.c.process).distinct(), viewer, sought))).scalars()),
    )

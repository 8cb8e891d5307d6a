"""The names of the fields in inputs and results of cases, for the columns of an export."""

from typing import Any, Unpack

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, String, case as either, func, select, true

from store.cases.cases import CaseFilter, Viewer, narrowed
from store.db.connection import AsyncConnection
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
        input={row.key for row in await conn.execute(narrowed(_keys(conn, cases.c.input), viewer, sought))},
        output={row.key for row in await conn.execute(narrowed(_keys(conn, output), viewer, sought))},
        processes=set((await conn.execute(narrowed(select(cases.c.process).distinct(), viewer, sought))).scalars()),
    )


def _keys(conn: AsyncConnection, value: ColumnElement[Any]) -> Select[tuple[str]]:
    """Return a query of the names in JSON objects; other JSON values have no names."""
    if conn.dialect.name == "postgresql":
        # The SQL function fails for values that are no objects. A CASE without ELSE gives NULL, which counts as empty.
        an_object = either((func.json_typeof(value, type_=String) == "object", value))
        each = func.json_object_keys(an_object).table_valued("key", name="each").render_derived()
    else:
        each = func.json_each(value).table_valued("key", name="each")
    return select(each.c.key).select_from(cases.join(each, true())).where(each.c.key.is_not(None)).distinct()

"""The keys of JSON objects in a column, by a query."""

from typing import Any

from sqlalchemy import ColumnElement, Select, String, Table, case as either, func, select, true

from store.db.connection import AsyncConnection


def keys_of(conn: AsyncConnection, table: Table, value: ColumnElement[Any]) -> Select[tuple[str]]:
    """Return a query of the names in JSON objects of a table; other JSON values have no names."""
    if conn.dialect.name == "postgresql":
        # The SQL function fails for values that are no objects. A CASE without ELSE gives NULL, which counts as empty.
        an_object = either((func.json_typeof(value, type_=String) == "object", value))
        each = func.json_object_keys(an_object).table_valued("key", name="each").render_derived()
    else:
        each = func.json_each(value).table_valued("key", name="each")
    return select(each.c.key).select_from(table.join(each, true())).where(each.c.key.is_not(None)).distinct()

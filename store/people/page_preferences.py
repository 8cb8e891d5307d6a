"""The display settings of each person for the pages."""

from collections.abc import Mapping

from sqlalchemy import select

from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.people import preferences

CHOICES: Mapping[str, tuple[str, ...]] = {
    "theme": ("system", "light", "dark"),
    "shortcuts": ("on", "off"),
}
"""The settings and their values; the first value is the default."""
DEFAULTS = {name: values[0] for name, values in CHOICES.items()}


async def of(conn: AsyncConnection, person: str) -> dict[str, str]:
    """Return all settings of the person."""
    rows = await conn.execute(select(preferences.c.name, preferences.c.value).where(preferences.c.person == person))
    chosen = {row.name: row.value for row in rows}
    return {name: chosen[name] if chosen.get(name) in values else values[0] for name, values in CHOICES.items()}


async def choose(conn: AsyncConnection, person: str, wanted: Mapping[str, str]) -> None:
    """Change only the settings in `wanted`. Raises ValueError for an unknown setting or value."""
    for name, value in wanted.items():
        if value not in CHOICES.get(name, ()):
            raise ValueError(f"'{value}' is not a choice for {name}")
    rows = [{"person": person, "name": name, "value": value} for name, value in wanted.items()]
    if rows:
        adding = insert_into(conn, preferences)
        key = [preferences.c.person, preferences.c.name]
        again = adding.on_conflict_do_update(index_elements=key, set_={"value": adding.excluded.value})
        await conn.execute(again, rows)

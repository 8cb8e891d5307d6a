"""Make ids for people whom an identity provider sends: like the user name, with a number if somebody has this id."""

import re
from collections.abc import Iterator
from itertools import count

from sqlalchemy import func, select

from domain.normalization import without_accents
from store.db.connection import AsyncConnection
from store.people.people import is_reserved
from store.tables.people import people

LONGEST = 60
"""The most characters of an id that is made here, before its number."""
_NOT_IN_IDS = re.compile(r"[^a-z0-9._-]+")


def stem_of(name: str) -> str:
    """Return the id that resembles a user name or an e-mail address; empty if no letter and no digit is left."""
    return _NOT_IN_IDS.sub("-", without_accents(name.partition("@")[0]).lower())[:LONGEST].strip("-._")


def ids_like(stem: str) -> Iterator[str]:
    """Yield the ids to try in their order: `anna`, `anna-2`, `anna-3`. An empty stem counts as `person`."""
    stem = stem or "person"
    yield stem
    for number in count(2):
        yield f"{stem}-{number}"


async def holder_of(conn: AsyncConnection, id: str) -> str | None:
    """Return the id that somebody has or had, if it differs from this one only in capital letters; else None."""
    found: str | None = await conn.scalar(select(people.c.id).where(func.lower(people.c.id) == id.lower()))
    return found


async def free_id(conn: AsyncConnection, stem: str) -> str:
    """Return the first of these ids that nobody has or had."""
    for id in ids_like(stem):
        if not is_reserved(id) and await holder_of(conn, id) is None:
            return id
    raise AssertionError("there is always another number")

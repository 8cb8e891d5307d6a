"""Idempotency keys of effects, for receivers in this database.

A receiver calls these functions in the transaction of the effect itself, so that key and effect are stored together or
not at all. A key takes effect once. An undo of an unused key makes the key void, and later attempts with a void key are
refused. Without void keys, a late attempt of a dead worker could take effect after its undo.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from domain.errors import UNDONE_FIRST, Refused
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_once
from store.tables.receivers import effects

T = TypeVar("T")


class Undo(NamedTuple):
    """The result of the function `undo`: whether the step had an effect, and what this attempt must undo."""

    anything: bool
    """True if the step had taken effect. Each attempt of the undo gets the same answer."""
    now: Mapping[str, Any] | None
    """The stored result of the step, if this attempt of the undo must undo the effect; otherwise None."""


async def once(db: Database, effect: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run `effect` in one transaction; if another program stored the same key meanwhile, run `effect` again, up to
    three times in all.
    """
    tries = 3
    while True:
        try:
            async with db.write() as conn:
                return await effect(conn)
        except IntegrityError:
            tries -= 1
            if not tries:
                raise


async def done(conn: AsyncConnection, key: str) -> dict[str, Any] | None:
    """Return the result that is stored for a key; None if the key was not used. Raises Refused if the key is void."""
    row = (await conn.execute(select(effects.c.state, effects.c.result).where(effects.c.key == key))).first()
    if row is None:
        return None
    if row.state != "done":
        raise Refused(UNDONE_FIRST)
    return dict(row.result or {})


async def do(conn: AsyncConnection, key: str, kind: str, case_id: str, result: Mapping[str, Any] | None = None) -> None:
    """Store that this transaction contains the effect of this key, with the result.

    If two transactions use one key at the same time, the second is rolled back.
    """
    await conn.execute(insert(effects).values(**_row(key, kind, case_id, "done", result)))


async def undo(conn: AsyncConnection, key: str, undoes: str, kind: str, case_id: str) -> Undo:
    """Store that the undo with this key has run. If the key `undoes` was never used, make that key void."""
    if await insert_once(conn, effects, _row(undoes, kind, case_id, "void", None)):
        return Undo(False, None)
    taken = (
        await conn.execute(
            update(effects)
            .where(effects.c.key == undoes, effects.c.state == "done")
            .values(state="undone")
            .returning(effects.c.result)
        )
    ).first()
    if taken is None:
        state = (await conn.execute(select(effects.c.state).where(effects.c.key == undoes))).scalar_one()
        return Undo(state != "void", None)
    await conn.execute(insert(effects).values(**_row(key, kind, case_id, "done", None)))
    return Undo(True, dict(taken.result or {}))


async def count(conn: AsyncConnection, case_id: str) -> dict[str, int]:
    """Return how often each step and undo of a case took effect."""
    query = select(effects.c.kind).where(effects.c.case_id == case_id, effects.c.state != "void")
    kinds = list((await conn.execute(query)).scalars())
    return {kind: kinds.count(kind) for kind in kinds}


def _row(key: str, kind: str, case_id: str, state: str, result: Mapping[str, Any] | None) -> dict[str, Any]:
    made = None if result is None else dict(result)
    return {"key": key, "kind": kind, "case_id": case_id, "state": state, "result": made, "at": datetime.now(UTC)}

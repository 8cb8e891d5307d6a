"""Failed sign-ins in the audit log: each failure is an event while failures are few; of more failures, only counts are
stored.

The text that somebody typed is never stored.

The text typed as a name may be a password, so an event names a person only if the person exists. Limits prevent a flood
of attempts from becoming a flood of events: at most 20 single events an hour for each person and 200 in total; beyond
that, one event each time the count has doubled, and one with the final count at the next attempt after that hour. A
flood must not hide attempts against one person: from 4 failures on, counts of one person are stored in the same way.
"""

from datetime import datetime
from typing import Literal

from sqlalchemy import delete, select, tuple_

from domain.moments import moment_text
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.people import failed_sign_ins

SINGLE, SINGLE_IN_ALL = 20, 200
"""How many single failures in an hour become events: for one person (or for all unknown names), and in total."""

SEEN = 4
"""From this number of failures of one person in an hour on, their counts are stored, even if the limit of all events is
reached.
"""

_ALL, _NOBODY = "*all", "*nobody"
"""Keys of the counters for all failures, and for failures of unknown names.

The id of a person cannot begin with `*`.
"""

Way = Literal["password", "passkey", "token", "demo", "link", "step-up", "oidc"]


async def note(
    conn: AsyncConnection,
    way: Way,
    why: str,
    person: str | None,
    now: datetime,
    *,
    locked_until: datetime | None = None,
) -> None:
    """Count a failed sign-in. Also store the failure as an audit event if the limits allow that.

    `why` is one word, such as `revoked`.
    """
    await settle(conn, now)
    hour = now.replace(minute=0, second=0, microsecond=0)
    key = person or _NOBODY
    number, in_all = await _counted(conn, key, hour), await _counted(conn, _ALL, hour)
    if number <= SINGLE and in_all <= SINGLE_IN_ALL:
        data = {"person": person, "way": way, "why": why}
        if locked_until:
            data["locked_until"] = moment_text(locked_until, seconds=True)
        summary = f"Signing in {f'as {person}' if person else ''} by {way} failed: {why}".replace("  ", " ")
        await audit_log.note(conn, "sign_in_failed", by=audit_log.ENGINE, summary=summary, data=data)
        return
    flooded = in_all > SINGLE_IN_ALL
    if _doubled(in_all, SINGLE_IN_ALL):
        await _many(conn, _ALL, hour, in_all)
    if (person and (number == SEEN or _doubled(number, SEEN))) if flooded else _doubled(number, SINGLE):
        await _many(conn, key, hour, number)


async def settle(conn: AsyncConnection, now: datetime) -> None:
    """Store the final counts of past hours in which some failures have no event of their own.

    Then delete the counters of these hours.
    """
    hour = now.replace(minute=0, second=0, microsecond=0)
    over = select(failed_sign_ins).where(failed_sign_ins.c.hour < hour)
    over = over.order_by(failed_sign_ins.c.hour, failed_sign_ins.c.key).with_for_update(skip_locked=True)
    past = (await conn.execute(over)).all()
    if not past:
        return
    its = tuple_(failed_sign_ins.c.key, failed_sign_ins.c.hour)
    await conn.execute(delete(failed_sign_ins).where(its.in_([(row.key, row.hour) for row in past])))
    in_all = {row.hour: row.number for row in past if row.key == _ALL}
    for row in past:
        flooded = in_all.get(row.hour, 0) > SINGLE_IN_ALL
        told = {_ALL: flooded, _NOBODY: not flooded and row.number > SINGLE}  # unknown names are only part of the total
        if told.get(row.key, row.number > (SEEN if flooded else SINGLE)):
            await _many(conn, row.key, row.hour, row.number)


def _doubled(number: int, first: int) -> bool:
    times, rest = divmod(number, first)
    return not rest and times >= 2 and times & (times - 1) == 0


async def _counted(conn: AsyncConnection, key: str, hour: datetime) -> int:
    adding = insert_into(conn, failed_sign_ins).values(key=key, hour=hour, number=1)
    counting = adding.on_conflict_do_update(
        index_elements=[failed_sign_ins.c.key, failed_sign_ins.c.hour], set_={"number": failed_sign_ins.c.number + 1}
    )
    return int((await conn.execute(counting.returning(failed_sign_ins.c.number))).scalar_one())


async def _many(conn: AsyncConnection, key: str, hour: datetime, number: int) -> None:
    person = None if key in (_ALL, _NOBODY) else key
    whom = {_ALL: "in all", _NOBODY: "as nobody who is known"}.get(key, f"as {key}")
    data = {"person": person, "of": "all" if key == _ALL else "one", "hour": moment_text(hour), "number": number}
    summary = f"Signing in {whom} failed {number} times in the hour of {moment_text(hour)}"
    await audit_log.note(conn, "sign_ins_failed", by=audit_log.ENGINE, summary=summary, data=data)

"""Absences: which people are out of office, from when to when, and the substitute, if there is one.

A substitute who is absent too is not replaced by a substitute of their own.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select, update

from domain.input_errors import WrongField
from domain.moments import Within, day_or_moment, moment_text
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.prepared import Prepared, prepared
from store.notifications import account_news
from store.tables.base import Instant
from store.tables.people import absences, people


class Absence(BaseModel):
    """One absence: from `starts_at` until just before `ends_at`."""

    model_config = ConfigDict(from_attributes=True)

    person: str
    starts_at: datetime
    ends_at: datetime
    substitute: str | None = None


def span(starts: str, ends: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the begin and the end of an absence.

    `starts` and `ends` are moments, or days that are both part of the absence. Raises WrongField for invalid texts.
    """
    return _moment("from", starts, zone), _moment("to", ends, zone)


def _moment(field: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        return day_or_moment(text, zone, end=field == "to")
    except ValueError as wrong:
        raise WrongField(field, f"'{text}': {wrong}") from wrong


async def add_by_days(
    conn: AsyncConnection, person: str, zone: ZoneInfo, days: tuple[str, str], substitute: str | None, by: str
) -> Absence:
    """Store an absence from its first day to its last day, in the person's time zone, or between two moments.

    Raises WrongField for an invalid text, for a moment that is too early or too late, and in the same cases as
    `set_away`.
    """
    first, last, now = *span(*days, zone), datetime.now(UTC)
    for field, text, moment in zip(("from", "to"), days, (first, last), strict=True):
        try:
            Within().check(moment, now)
        except ValueError as wrong:
            raise WrongField(field, f"'{text}' {wrong}") from wrong
    absence = Absence(person=person, starts_at=first, ends_at=last, substitute=substitute)
    await set_away(conn, absence, now, by=by)
    return absence


async def set_away(conn: AsyncConnection, absence: Absence, now: datetime, by: str) -> None:
    """Store an absence. The absence replaces the parts of earlier stored absences that it overlaps; the other parts of
    these are kept.

    Raises WrongField for an end that is not after the start or is in the past, and for a substitute who is unknown,
    inactive, or the absent person.
    """
    person, start, end, substitute = absence.person, absence.starts_at, absence.ends_at, absence.substitute
    if end <= start:
        raise WrongField("to", "the end must come after the start")
    if end <= now:
        raise WrongField("to", "this absence has already ended: enter an end in the future")
    if await conn.scalar(select(people.c.kind).where(people.c.id == person)) == "service":
        raise WrongField("from", f"{person} is a service account, which is never out of office: name a person")
    if substitute is not None:
        if substitute.casefold() == person.casefold():
            raise WrongField("substitute", "a person cannot be their own substitute: name somebody else")
        active = select(people.c.id).where(people.c.id == substitute, people.c.active, people.c.kind == "person")
        if (await conn.execute(active)).first() is None:
            raise WrongField(
                "substitute", f"there is no active person '{substitute}': name an active person as the substitute"
            )
    overlapping = and_(absences.c.person == person, absences.c.starts_at < end, absences.c.ends_at > start)
    before = [Absence.model_validate(row) for row in await conn.execute(select(absences).where(overlapping))]
    await conn.execute(delete(absences).where(overlapping))
    left = [part for old in before for part in _left(old, absence)]
    await conn.execute(insert(absences), [each.model_dump() for each in (absence, *left)])
    if substitute is not None:
        # Also when the person did it: an absence set with a stolen token outlasts the token.
        await account_news.tell(conn, person, AccountNewsKind.SUBSTITUTE_NAMED, by, about=substitute)
    said = f"{person} is away from {moment_text(start)} to {moment_text(end)}"
    data = absence.model_dump(mode="json")
    await audit_log.note(
        conn, "absence_set", by=by, summary=said + (f", {substitute} stands in" * bool(substitute)), data=data
    )


def _left(old: Absence, new: Absence) -> Iterator[Absence]:
    """Yield the parts of the absence `old` that remain before and after the absence `new`."""
    if old.starts_at < new.starts_at:
        yield old.model_copy(update={"ends_at": new.starts_at})
    if old.ends_at > new.ends_at:
        yield old.model_copy(update={"starts_at": new.ends_at})


async def set_back(conn: AsyncConnection, person: str, now: datetime, by: str) -> bool:
    """End the current absence of a person and delete future absences.

    Return True if there was an absence to end or delete.
    """
    future = await conn.execute(delete(absences).where(absences.c.person == person, absences.c.starts_at >= now))
    current = await conn.execute(update(absences).where(absences.c.person == person, covers(now)).values(ends_at=now))
    if not (future.rowcount or current.rowcount):
        return False
    await audit_log.note(conn, "absence_ended", by=by, summary=f"{person} is back", data={"person": person})
    return True


async def of(conn: AsyncConnection, person: str, now: datetime) -> list[Absence]:
    """Return the absences of a person that have not ended, earliest first."""
    query = select(absences).where(absences.c.person == person, absences.c.ends_at > now)
    return [Absence.model_validate(row) for row in await conn.execute(query.order_by(absences.c.starts_at))]


async def substitutes(conn: AsyncConnection, persons: Iterable[str], at: datetime) -> dict[str, str | None]:
    """Return the people in `persons` who are out of office at `at`, each with their substitute; None instead of a
    substitute who is not active or is out of office too.
    """
    found = await conn.execute(_SUBSTITUTES, {"persons": list(persons), "at": at})
    return {row.person: None if row.away_too else row.id for row in found}


async def hand_over(conn: AsyncConnection, old: str, new: str | None) -> None:
    """Replace the substitute `old` by `new` in all absences of other people than `new`.

    If `new` is None, or the absence is an absence of `new`, the absence has no substitute any more. The absences of
    `old` are deleted.
    """
    if new is not None:
        theirs = update(absences).where(absences.c.substitute == old, absences.c.person != new)
        await conn.execute(theirs.values(substitute=new))
    await conn.execute(update(absences).where(absences.c.substitute == old).values(substitute=None))
    await conn.execute(delete(absences).where(absences.c.person == old))


def covers(at: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the SQL condition that an absence includes this moment."""
    return and_(absences.c.starts_at <= at, absences.c.ends_at > at)


def _substitutes() -> Prepared:
    substitute, too, at = people.alias(), absences.alias(), bindparam("at", type_=Instant())
    return prepared(
        select(absences.c.person, substitute.c.id, too.c.person.label("away_too"))
        .outerjoin(substitute, and_(substitute.c.id == absences.c.substitute, substitute.c.active))
        .outerjoin(too, and_(too.c.person == substitute.c.id, too.c.starts_at <= at, too.c.ends_at > at))
        .where(absences.c.person.in_(bindparam("persons", expanding=True)), covers(at))
    )


_SUBSTITUTES = _substitutes()

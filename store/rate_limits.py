"""Buckets of requests that all gateways of a database share: see `domain/rate_limits.py` for the arithmetic.

One statement takes from a bucket or changes nothing, so two gateways that ask at the same time cannot both get the last
place. The time is that of the database, so the clocks of gateways need not agree.

A gateway can take a lease: several requests at once, which it may let in until the lease ends. The bucket is charged as
if all of them came at the last moment of the lease. With its next lease, the gateway gives back what this was too much.
So the gateways together never let in more than one bucket allows, whenever they use their leases.
"""

from typing import Any, NamedTuple

from sqlalchemy import Double, bindparam, case, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from domain.rate_limits import Rate
from store.db.connection import AsyncConnection
from store.db.prepared import Prepared
from store.people.secret_hash import secret_hash
from store.tables.rate_limits import rate_limits


class Lease(NamedTuple):
    """Requests that a gateway may let in until the lease ends."""

    number: int
    charge: float
    """Seconds for which the bucket was charged."""
    ends_at: float
    """By the clock of the database."""
    level: float
    """Seconds until the bucket is full again."""


NOTHING = Lease(0, 0.0, 0.0, 0.0)
"""In place of a former lease that has nothing to give back."""


def key_of(kind: str, caller: str) -> str:
    """Return the key of a bucket, which does not disclose the caller."""
    return secret_hash(f"{kind} {caller}")


async def take(
    conn: AsyncConnection, key: str, rate: Rate, number: int, lasts: float, former: Lease = NOTHING, unused: int = 0
) -> Lease | None:
    """Take a lease for `number` requests that lasts so many seconds; None if the bucket has not enough.

    A lease that lasts 0 s is for requests that are let in at once. `former` is the gateway's last lease of this bucket,
    of which `unused` requests were not let in: the call gives back what its charge was too much.
    """
    charge = number * rate.cost + lasts
    values = {
        "key": key,
        "charge": charge,
        "most": rate.most_s,
        "impossible": rate.impossible_s,
        "back_until": former.ends_at + unused * rate.cost,
        "most_back": former.charge,
    }
    row = (await conn.execute(_TAKE, values)).first()
    return Lease(number, charge, row.now + lasts, row.full_at - row.now) if row else None


async def wait(conn: AsyncConnection, key: str, rate: Rate) -> float:
    """Return the seconds until the bucket has one more request."""
    row = (await conn.execute(_LEVEL, {"key": key})).first()
    return max(0.0, row.full_at - row.now + rate.cost - rate.seconds) if row else 0.0


async def sweep(conn: AsyncConnection) -> None:
    """Delete the rows of buckets that have been full for an hour."""
    await conn.execute(_SWEEP)


def _taking(insert: Any, now: Any, least: Any, greatest: Any) -> Any:
    def given(name: str) -> Any:
        return bindparam(name, type_=Double)

    full_at, charge = rate_limits.c.full_at, given("charge")
    back = least(given("most_back"), greatest(0.0, given("back_until") - now))
    known = case((full_at > now + given("impossible"), now), else_=full_at)
    after = greatest(now, known - back) + charge
    adding = insert(rate_limits).values(key=bindparam("key"), full_at=now + charge)
    taking = adding.on_conflict_do_update(
        index_elements=[rate_limits.c.key],
        set_={"full_at": after},
        where=after - now <= given("most"),
    )
    return taking.returning(rate_limits.c.full_at, now.label("now"))


_SQLITE_NOW = literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)
_POSTGRES_NOW = literal_column("extract(epoch from clock_timestamp())::double precision", Double)
_TAKE = Prepared(
    _taking(SqliteInsert, _SQLITE_NOW, func.min, func.max),
    _taking(PostgresInsert, _POSTGRES_NOW, func.least, func.greatest),
)
_ONE = rate_limits.c.key == bindparam("key")
_LEVEL = Prepared(
    *(select(rate_limits.c.full_at, now.label("now")).where(_ONE) for now in (_SQLITE_NOW, _POSTGRES_NOW))
)
_SWEEP = Prepared(
    *(
        delete(rate_limits).where(rate_limits.c.full_at < now - literal_column("3600", Double))
        for now in (_SQLITE_NOW, _POSTGRES_NOW)
    ),
    long=True,
)

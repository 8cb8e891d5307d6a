"""The data keys with which the payloads of cases and imports are encrypted, wrapped by the keys of a file.

The row of a new case is written in the transaction that stores the case: nothing is ever encrypted with a key that is
not stored. A case that began in plain gets its key when a program first encrypts one of its payloads.

The row of `MARKER` belongs to no case. It says that this installation encrypts, and since when: a program without keys
would drop encrypted messages, so it does not start, and stops if it runs. The key of this row encrypts nothing: a
program that can unwrap it has the right file.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import bindparam, exists, func, literal, or_, select, update

from core.errors import PayloadErased, PayloadKeyMissing
from core.payload_codec import DataKey, PayloadCodec
from core.payload_keys import PayloadKeyFile, PayloadKeys, Wrapped
from domain.installation import MARKER
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.db.prepared import prepared, prepared_insert
from store.tables.cases import batches, case_keys, cases

if TYPE_CHECKING:
    from temporalio.client import Client

CACHED = 5_000
"""How many data keys a program keeps in memory, about 1 KB each."""
AT_ONCE = 200
"""The most data keys that one transaction wraps again."""
SETTLED = timedelta(seconds=10)
"""How long an installation encrypts before cases that began in plain get keys.

A program without keys notices within `NOTICED_WITHIN` that the others encrypt. Until it has stopped, it would drop the
encrypted messages to such cases. (It cannot read a case that began encrypted at all, and drops nothing of it.)
"""
NOTICED_WITHIN = timedelta(seconds=1)
OVERLAP = timedelta(minutes=5)
"""How far back `forget_erased` looks again: a transaction may be committed late, and the clocks of machines differ."""
_KEY_BITS = 256

log = logging.getLogger("holdgate.keys")


class KeyUse(NamedTuple):
    """How many data keys one payload key wraps."""

    key_id: str
    data_keys: int


class CaseKeys:
    """Finds data keys for the codec of one program, and keeps the last ones in memory."""

    def __init__(self, db: Database, file: PayloadKeyFile, count_foreign: Callable[[], None] = lambda: None) -> None:
        """`count_foreign` is called for each payload that nobody with a key wrote, to count it."""
        self._db, self._file, self._count_foreign = db, file, count_foreign
        self._known: OrderedDict[str, DataKey] = OrderedDict()
        self._since: datetime | None = None
        self._looked_at = datetime.now(UTC)

    @classmethod
    def of(cls, client: "Client") -> "CaseKeys | None":
        """Return the keys with which a client encrypts; None if it does not encrypt."""
        codec = client.data_converter.payload_codec
        return codec.keys if isinstance(codec, PayloadCodec) and isinstance(codec.keys, cls) else None

    @property
    def path(self) -> Path:
        """Return the path of the file of payload keys."""
        return self._file.path

    async def key_of(self, subject: str, *, create: bool) -> DataKey | None:
        """Return the data key of a case or import: see `DataKeys`."""
        known = self._known.get(subject)
        if known is not None:
            self._known.move_to_end(subject)
            return known
        async with self._db.read() as conn:
            row = (await conn.execute(_OF, {"of_subject": subject})).one_or_none()
        if row is None and create and await self._settled():
            row = await self._created(subject)
        if row is None:
            return None
        if row.wrapped is None:
            raise PayloadErased(subject)
        secret = self._file.current().unwrap(Wrapped(row.wrapped, row.kek), _owner(subject, row.strict), subject)
        key = self._known[subject] = DataKey(AESGCM(secret), row.strict)
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return key

    def foreign(self, subject: str) -> None:
        """Log and count a payload that nobody with the key of its Workflow wrote."""
        log.warning("%s got a payload that nobody with its key wrote", subject or "a Workflow")
        self._count_foreign()

    async def begin(self, conn: AsyncConnection, subjects: Iterable[str]) -> None:
        """Make the keys of new cases, or of a new import, in the transaction that stores them."""
        keys = self._file.current()
        if rows := [_row(keys, subject, strict=True) for subject in subjects]:
            await conn.execute(_INSERT, rows)

    async def open(self) -> None:
        """Mark the installation as one that encrypts, or check that the file has the keys of this installation.

        Raises PayloadKeyMissing; DatabaseUnavailable if the database does not answer.
        """
        if (since := await encrypts_since(self._db)) is None:
            async with self._db.write() as conn:
                row = _row(self._file.current(), MARKER, strict=True)
                if (await conn.execute(_INSERT, row)).rowcount:
                    said = "Payloads of Workflows are encrypted from now on"
                    await audit_log.note(
                        conn, "payloads_encrypted", by=audit_log.ENGINE, summary=said, data={"key_id": row["kek"]}
                    )
            since = await encrypts_since(self._db)
        self._since = since
        await self.key_of(MARKER, create=False)
        self._known.pop(MARKER, None)  # each call reads the row

    async def forget_erased(self) -> int:
        """Drop the keys of cases that were erased lately from memory. Return their number."""
        now = datetime.now(UTC)
        async with self._db.read() as conn:
            erased = (await conn.execute(_ERASED, {"after": self._looked_at - OVERLAP})).scalars().all()
        self._looked_at = now
        return sum(self._known.pop(subject, None) is not None for subject in erased)

    async def rewrap(self) -> int:
        """Wrap all data keys with the current payload key: see `rewrap`. Keys that the file lacks are left out."""
        with suppress(PayloadKeyMissing):  # `missing` tells operators
            return await rewrap(self._db, self._file.current())
        return 0

    async def missing(self) -> list[str]:
        """Return the ids of payload keys that wrap data keys, and that the file does not have."""
        async with self._db.read() as conn:
            return [key_id for key_id in await keys_in_use(conn) if key_id not in self._file.current().keys]

    async def _settled(self) -> bool:
        """Return True if all programs of the installation know by now that it encrypts."""
        if self._since is None:
            self._since = await encrypts_since(self._db)
        return self._since is not None and datetime.now(UTC) - self._since > SETTLED

    async def _created(self, subject: str) -> Any:
        """Make the key of a case or import that began in plain, and return its row; None if there is no such case."""
        async with self._db.write() as conn:
            known = (await conn.execute(_EXISTS, {"of_subject": subject, "of_batch": _batch_id(subject)})).scalar_one()
            if not known:  # Somebody started this Workflow by hand.
                return None
            await conn.execute(_INSERT, _row(self._file.current(), subject, strict=False))
            return (await conn.execute(_OF, {"of_subject": subject})).one_or_none()


async def encrypts_since(db: Database) -> datetime | None:
    """Return since when this installation encrypts payloads; None if it does not. Raises DatabaseUnavailable."""
    async with db.read() as conn:
        row = (await conn.execute(_OF, {"of_subject": MARKER})).one_or_none()
    return None if row is None else row.created_at


async def keys_in_use(conn: AsyncConnection) -> list[str]:
    """Return the ids of the payload keys that wrap data keys. Each takes one step in an index."""
    found: list[str] = []
    while (next_ := (await conn.execute(_NEXT_KEY, {"after": found[-1] if found else ""})).scalar_one()) is not None:
        found.append(next_)
    return found


async def uses(conn: AsyncConnection) -> list[KeyUse]:
    """Return how many data keys each payload key wraps."""
    found = await conn.execute(
        select(case_keys.c.kek, func.count()).where(case_keys.c.kek.is_not(None)).group_by(case_keys.c.kek)
    )
    return [KeyUse(key_id, count) for key_id, count in found]


async def rewrap(db: Database, keys: PayloadKeys, *, by: str = audit_log.ENGINE) -> int:
    """Wrap all data keys again that another key than the current one wraps, in small transactions.

    Return the number of wrapped data keys; an event in the audit log has the number, too. Programs that have a data key
    in memory go on with it. `by` wanted this. Raises PayloadKeyMissing if the file lacks a key, after all other data
    keys were wrapped.
    """
    done = 0
    missing: PayloadKeyMissing | None = None
    async with db.read() as conn:
        old = [key_id for key_id in await keys_in_use(conn) if key_id != keys.current]
    for key_id in old:
        after = ""
        while True:
            async with db.write() as conn:
                rows = (await conn.execute(_WRAPPED_BY, {"of_key": key_id, "after": after})).all()
                for row in rows:
                    try:
                        done += await _wrap_again(conn, keys, row)
                    except PayloadKeyMissing as error:
                        missing = error
            if len(rows) < AT_ONCE or key_id not in keys.keys:  # no other row of a missing key can be wrapped either
                break
            after = rows[-1].subject
    if done:
        said = f"{done} data keys are wrapped by the payload key {keys.current} now"
        async with db.write() as conn:
            data = {"key_id": keys.current, "count": done}
            await audit_log.note(conn, "data_keys_rewrapped", by=by, summary=said, data=data)
    if missing is not None:
        raise missing
    return done


async def _wrap_again(conn: AsyncConnection, keys: PayloadKeys, row: Any) -> int:
    owner = _owner(row.subject, row.strict)
    new = keys.wrap(keys.unwrap(Wrapped(row.wrapped, row.kek), owner, row.subject), owner)
    # Only if the row is as it was read: an erasure must not be undone.
    same = {"of_subject": row.subject, "was": row.wrapped}
    return (await conn.execute(_WRAP_AGAIN, {"wrapped": new.text, "kek": new.key_id, **same})).rowcount


def _row(keys: PayloadKeys, subject: str, *, strict: bool) -> dict[str, Any]:
    wrapped = keys.wrap(AESGCM.generate_key(_KEY_BITS), _owner(subject, strict))
    now = datetime.now(UTC)
    return {"subject": subject, "wrapped": wrapped.text, "kek": wrapped.key_id, "strict": strict, "created_at": now}


def _owner(subject: str, strict: bool) -> str:
    """Return what a wrapped key is bound to, so that nobody makes a case less strict by a change of its row."""
    return f"{subject} strict" if strict else subject


def _batch_id(subject: str) -> str:
    return subject.removeprefix("batch:")


_OF = prepared(
    select(case_keys.c.wrapped, case_keys.c.kek, case_keys.c.strict, case_keys.c.created_at).where(
        case_keys.c.subject == bindparam("of_subject")
    )
)
_INSERT = prepared_insert(case_keys, lambda new: new.on_conflict_do_nothing())
_EXISTS = prepared(
    select(
        or_(
            exists().where(cases.c.case_id == bindparam("of_subject")),
            exists().where(batches.c.batch_id == bindparam("of_batch")),
        )
    )
)
_ERASED = prepared(select(case_keys.c.subject).where(case_keys.c.erased_at > bindparam("after")))
_NEXT_KEY = prepared(select(func.min(case_keys.c.kek)).where(case_keys.c.kek > bindparam("after")))
_WRAPPED_BY = prepared(
    select(case_keys.c.subject, case_keys.c.wrapped, case_keys.c.kek, case_keys.c.strict)
    .where(case_keys.c.kek == bindparam("of_key"), case_keys.c.subject > bindparam("after"))
    .order_by(case_keys.c.subject)
    .limit(literal(AT_ONCE))
)
_WRAP_AGAIN = prepared(
    update(case_keys).where(case_keys.c.subject == bindparam("of_subject"), case_keys.c.wrapped == bindparam("was"))
)

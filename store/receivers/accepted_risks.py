"""Security risks that people accepted. A risk is accepted until it expires or is withdrawn."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, case, insert, or_, select, update

from store.db import cursor as cursors
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.receivers import idempotency
from store.tables.receivers import accepted_risks


class Risk(BaseModel):
    """One accepted risk."""

    model_config = ConfigDict(from_attributes=True)

    risk_id: int
    case_id: str
    target: str
    digest: str
    severity: str
    findings: list[dict[str, Any]]
    accepted_by: list[str]
    reason: str
    accepted_at: datetime
    expires_at: datetime
    withdrawn_at: datetime | None


class Risks:
    """The store of accepted risks in SQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def accept(self, key: str, case_id: str, **risk: Any) -> int:
        """Store an accepted risk and return its number. A second call with the same key returns the first number.

        Raises Refused if the key is void.
        """

        async def put(conn: AsyncConnection) -> int:
            if (done := await idempotency.done(conn, key)) is not None:
                return int(done["risk_id"])
            adding = insert(accepted_risks).values(case_id=case_id, **risk).returning(accepted_risks.c.risk_id)
            number = int((await conn.execute(adding)).scalar_one())
            await idempotency.do(conn, key, "record_accepted_risk", case_id, {"risk_id": number})
            return number

        return await idempotency.once(self._db, put)

    async def withdraw(self, key: str, undoes: str, case_id: str) -> bool:
        """Withdraw the risk that the key `undoes` recorded. If that key was never used, make the key void.

        Return True if that key recorded a risk, also if the risk was withdrawn before; False if the key was unused and
        is now void.
        """

        async def take_back(conn: AsyncConnection) -> bool:
            undo = await idempotency.undo(conn, key, undoes, "withdraw_accepted_risk", case_id)
            if undo.now is not None:
                await conn.execute(
                    update(accepted_risks)
                    .where(accepted_risks.c.risk_id == undo.now["risk_id"])
                    .values(withdrawn_at=datetime.now(UTC))
                )
            return undo.anything

        return await idempotency.once(self._db, take_back)

    async def accepted(self, digest: str, at: datetime, severities: Sequence[str] = ("low", "medium", "high")) -> bool:
        """Return True if the risk of files with this digest is accepted at the moment `at` for one of these severities.

        The severity matters, because a newer scanner may report a higher severity for the same files than people
        accepted.
        """
        risk = accepted_risks.c
        query = select(risk.risk_id).where(risk.digest == digest, risk.severity.in_(severities), _stands(at))
        async with self._db.read() as conn:
            return (await conn.execute(query.limit(1))).first() is not None

    async def listed(self, target: str | None = None) -> list[Risk]:
        """Return the first fifty risks of the list that `page` returns."""
        return (await self.page(target))[0]

    async def page(
        self, target: str | None = None, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Risk], str | None]:
        """Return one page of risks and the cursor of the next page.

        Risks that are still accepted come first, then risks that have expired or were withdrawn, each group newest
        first.

        The cursor stores the moment of the first page, so that a risk that ends while a person reads further pages does
        not change its place. Raises ValueError for a cursor of another list.
        """
        risk = accepted_risks.c
        at, last, after = cursors.decode(cursor, datetime, int, int) if cursor else (datetime.now(UTC), 1, None)
        stands = case((_stood(at), 1), else_=0)
        query = select(accepted_risks, stands.label("stood")).order_by(stands.desc(), risk.risk_id.desc())
        if target is not None:
            query = query.where(risk.target == target)
        if after is not None:
            query = query.where(or_(stands < last, and_(stands == last, risk.risk_id < after)))
        async with self._db.read() as conn:
            found = (await conn.execute(query.limit(limit + 1))).all()
        page = found[:limit]
        following = cursors.encode(at, page[-1].stood, page[-1].risk_id) if len(found) > limit else None
        return [Risk.model_validate(row) for row in page], following


def _stood(at: datetime) -> ColumnElement[bool]:
    """Return the SQL condition that a risk was accepted at the moment `at` in the past."""
    risk = accepted_risks.c
    return and_(or_(risk.withdrawn_at.is_(None), risk.withdrawn_at > at), risk.expires_at > at)


def _stands(at: datetime) -> ColumnElement[bool]:
    return and_(accepted_risks.c.withdrawn_at.is_(None), accepted_risks.c.expires_at > at)

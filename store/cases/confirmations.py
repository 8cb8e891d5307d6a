"""Store the decisions that people were asked to confirm with a passkey, until the passkey has signed them.

Every gateway may get the answer of the passkey, so these decisions are in SQL.
"""

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, insert

from store.db.connection import AsyncConnection
from store.tables.cases import pending_confirmations as table

VALID = timedelta(minutes=5)
"""How long a person has to confirm a decision."""


class PendingConfirmation(BaseModel):
    """A decision that a person was asked to confirm. The challenge is computed again when the person has confirmed."""

    model_config = ConfigDict(from_attributes=True)

    nonce: str
    """A random text that is part of the challenge, and is valid once."""
    person: str
    task_id: str
    decision_id: str
    at: datetime
    """The time of the decision, which is part of the challenge."""


async def add(conn: AsyncConnection, pending: PendingConfirmation) -> None:
    """Store a decision to confirm, and delete those that were not confirmed in time."""
    await conn.execute(delete(table).where(table.c.at <= pending.at - VALID))
    await conn.execute(insert(table).values(**pending.model_dump()))


async def take(conn: AsyncConnection, nonce: str, now: datetime) -> PendingConfirmation | None:
    """Delete a decision to confirm, and return it. None if the nonce was used before, is unknown, or is too old."""
    row = (await conn.execute(delete(table).where(table.c.nonce == nonce).returning(table))).one_or_none()
    return None if row is None or row.at <= now - VALID else PendingConfirmation.model_validate(row)

"""Store the signatures of the messages that changed a case or a batch, for the check of the audit log."""

from collections.abc import Sequence

from domain.proof.envelope import SignedText
from store.db.connection import AsyncConnection
from store.db.database import fit
from store.db.prepared import prepared_insert
from store.tables.cases import proofs


async def add(conn: AsyncConnection, signed: Sequence[SignedText], case_id: str | None) -> None:
    """Store signatures. A signature that is stored already does not change."""
    rows = [
        {
            "message_id": fit(each.id, proofs.c.message_id),
            "case_id": case_id,
            "kind": each.kind,
            "text": each.text,
            "proof": each.proof,
            "at": each.at,
        }
        for each in signed
    ]
    if rows:
        await conn.execute(_INSERT, rows)


_INSERT = prepared_insert(proofs, lambda new: new.on_conflict_do_nothing())

"""Note in the audit log that the registry of signing keys has changed."""

from datetime import datetime
from typing import Any

from domain.proof.keys import KeyRegistry
from store.audit import audit_log
from store.audit.audit_log import OF_A_CASE, stored
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.tables.audit import events

KIND = "keys_changed"


async def note_changed_keys(database: Database, keys: KeyRegistry) -> bool:
    """Append an event of no case if the registry differs from the one that the newest such event lists.

    Return True if the event was appended. A program calls this function when it starts.
    """
    listed = {key_id: entry_of(key) for key_id, key in keys.keys.items()}
    async with database.write() as conn:
        before = await _listed(conn)
        if before == listed:
            return False
        changed = sorted(key_id for key_id in {*before, *listed} if before.get(key_id) != listed.get(key_id))
        shown = [f"{key_id} ({listed[key_id]['state'] if key_id in listed else 'removed'})" for key_id in changed]
        summary = f"The registry of signing keys changed: {', '.join(shown)}"
        data = {"keys": listed, "changed": ", ".join(shown)}
        await audit_log.note(conn, KIND, by=audit_log.ENGINE, summary=summary, data=data)
    return True


def entry_of(key: Any) -> dict[str, str]:
    """Return what the audit log stores about a key: its role, state and times."""
    times = {name: getattr(key, name) for name in ("not_before", "retired_at", "revoked_at")}
    shown = {name: at.isoformat() for name, at in times.items() if isinstance(at, datetime)}
    return {"role": key.role.value, "state": key.state, **shown}


async def _listed(conn: AsyncConnection) -> dict[str, Any]:
    """Return the keys that the newest event lists; empty if there is no such event, or its data was erased."""
    newest = OF_A_CASE.where(events.c.kind == KIND).order_by(events.c.number.desc()).limit(1)
    row = (await conn.execute(newest)).mappings().one_or_none()
    listed = stored(row).data.get("keys") if row is not None else None
    return listed if isinstance(listed, dict) else {}

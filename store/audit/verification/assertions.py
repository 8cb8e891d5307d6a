"""Check that passkeys of the right people signed the decisions that people confirmed with a passkey.

The check needs the signed text of a decision, which contains what the passkey has signed, and the event of the new
passkey, which contains its public key. The check needs neither the registry of gateways, nor the table of passkeys.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import String, exc as sql, select, type_coerce

from domain.confirmation import Confirm, Confirmation
from domain.moments import moment_of
from domain.proof.assertion import Assertion, fault, of_base64url
from domain.proof.challenge import challenge
from domain.proof.envelope import Kind
from domain.proof.keys import SKEW
from store.audit.verification.result import paged, stored_moment
from store.db.connection import AsyncConnection
from store.tables.audit import event_payloads, events
from store.tables.cases import proofs

_ADDED, _REMOVED = "passkey_added", "passkey_removed"
_PASSKEYS = (
    select(events.c.number, events.c.kind, type_coerce(events.c.at, String).label("moment"), event_payloads.c.payload)
    .join(event_payloads, event_payloads.c.number == events.c.number)
    .where(events.c.kind.in_((_ADDED, _REMOVED)), events.c.case_id.is_(None))
)
_CONFIRMED = select(proofs.c.message_id, proofs.c.text).where(
    proofs.c.kind == Kind.DECISION, proofs.c.text.contains(f'"method":"{Confirm.PASSKEY}"', autoescape=True)
)


class _Registered(NamedTuple):
    """A passkey, as the event of its addition tells it."""

    person: Any
    domain: str
    public_key: bytes
    added_at: datetime
    removed_at: datetime | None = None


async def check(conn: AsyncConnection, case_id: str | None = None) -> list[str]:
    """Return the problems of the passkeys' signatures of all decisions, or of those of one case, one sentence each."""
    problems: list[str] = []
    nonces: set[str] = set()
    known: dict[str, _Registered] | None = None
    query = _CONFIRMED if case_id is None else _CONFIRMED.where(proofs.c.case_id == case_id)
    try:
        async for row in paged(conn, query, proofs.c.message_id):
            if known is None:  # most cases have no such decision, and reading all events of people takes long
                known = await _registered(conn)
            if why := _why(row.text, known, nonces):
                problems.append(f"table proofs, row {row.message_id}: the confirmation is not valid: {why}")
    except sql.DBAPIError:
        problems.append("table proofs: a row cannot be read, so the confirmations cannot be checked")
    return problems


async def _registered(conn: AsyncConnection) -> dict[str, _Registered]:
    """Return all passkeys that were ever added, by credential id."""
    known: dict[str, _Registered] = {}
    async for row in paged(conn, _PASSKEYS, events.c.number):
        try:
            data = json.loads(row.payload)["data"]
            credential_id, at = str(data["credential_id"]), stored_moment(row.moment)
            if isinstance(at, str):
                continue
            if row.kind == _ADDED:
                key = of_base64url(data["public_key"])
                known[credential_id] = _Registered(data["person"], str(data["domain"]), key, at)
            elif credential_id in known:
                known[credential_id] = known[credential_id]._replace(removed_at=at)
        except (ValueError, TypeError, LookupError, RecursionError):
            continue  # The check of the chains reports an edited payload. An erased one has no public key any more.
    return known


def _why(text: Any, known: Mapping[str, _Registered], nonces: set[str]) -> str:
    """Return why a signed text does not prove that its person confirmed it with a passkey; empty if it does."""
    try:
        fields = json.loads(text.partition("\n")[2])
        person, at = fields["by"]["id"], moment_of(fields["at"])
        if fields["confirmation"] is None:
            return ""  # Only the comment or the edits look like a confirmation.
        told = Confirmation.model_validate(fields["confirmation"])
        if told.method is not Confirm.PASSKEY:
            return ""
        assertion, expected = Assertion.of(told), challenge(fields, told.nonce)
        key = known.get(told.credential_id)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return "it cannot be read"
    if told.nonce in nonces:
        return "its nonce was used before"
    nonces.add(told.nonce)
    if key is None or key.person != person:
        return f"no event says that {person} added this passkey"
    if at < key.added_at - SKEW or (key.removed_at is not None and at > key.removed_at + SKEW):
        return f"{person} did not have this passkey at that time"
    return fault(assertion, key.public_key, expected, key.domain)

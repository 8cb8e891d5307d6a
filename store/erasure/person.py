"""Erase a person who has left: everything that says who the person is, but the id.

The id stays everywhere as a pseudonym: the hashes of the audit log cover it, and without it nobody could check that
the requester of a case did not decide it. Inputs and comments belong to cases, and are erased with them.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, delete, or_, select, update

from domain.erasure import NotErasable
from store.audit.seals import SealingConnection
from store.db.connection import AsyncConnection
from store.erasure.checks import UNKNOWN_PERSON, why_not_person
from store.erasure.erasing import Erasing
from store.erasure.events import Told, check_right, erase_events, note_erased
from store.erasure.seals import erase_seals
from store.people import passwords
from store.tables.audit import event_payloads, events, refusal_counts
from store.tables.cases import bulk_results, decisions, follow_ups, pending_confirmations, proofs
from store.tables.notifications import account_news, messages, notice_choices, notices
from store.tables.people import (
    absences,
    failed_sign_ins,
    identities,
    memberships,
    one_time_links,
    passkey_challenges,
    passkeys,
    passwords as password_hashes,
    people,
    preferences,
    service_account_owners,
    sessions,
    token_uses,
    tokens,
)
from store.tables.scim import scim_members, scim_names, scim_users

NAME = "Erased person"
"""The name that pages show for every erased person."""

OF_A_PERSON: Mapping[Table, str] = {
    notices: "person",
    messages: "person",
    account_news: "person",
    notice_choices: "person",
    follow_ups: "person",
    bulk_results: "person",
    pending_confirmations: "person",
    refusal_counts: "person",
    failed_sign_ins: "key",
    one_time_links: "person",
    tokens: "person",
    sessions: "person",
    passkeys: "person",
    passkey_challenges: "person",
    password_hashes: "person",
    identities: "person",
    scim_users: "person",
    scim_names: "person",
    absences: "person",
    preferences: "person",
    memberships: "person",
    service_account_owners: "owner",
}
"""Tables whose rows are about one person and are deleted, in this order, each with the column that has the id."""

KEPT: Mapping[str, str] = {
    "people": "the id stays as a pseudonym; every other column is emptied",
    "decisions": "who decided is evidence of the case; the printed name is emptied",
    "actions": "who acted is evidence of the case",
    "candidates": "who could decide is evidence of the case",
    "case_requesters": "who asked is evidence of the case, and keeps the person from deciding it",
    "batch_requesters": "who asked is evidence of the upload",
    "attachments": "a file belongs to its case",
}
"""Other tables with a column for the id of a person, each with why its rows stay."""

_AT_ONCE = 500
_KEYS_OF_PASSKEYS = ("passkey_added", "passkey_removed")


class ErasedPerson(NamedTuple):
    """What was erased of a person: the number of rows, and of audit events that lost their content."""

    rows: int
    events: int


async def erase_person(
    conn: AsyncConnection, person: str, *, by: str, reason: str, request: str | None
) -> ErasedPerson:
    """Erase a person in the transaction of the caller, and return what was erased.

    `request` is the id of the case in which people approved this. Erasing a person twice changes nothing. On
    PostgreSQL, the role of the connection must be the owner of the tables. Raises NotErasable.
    """
    await check_right(conn)
    row = (await conn.execute(select(people).where(people.c.id == person).with_for_update())).one_or_none()
    if row is not None and row.erased_at is not None:
        return ErasedPerson(0, 0)
    if row is None or (why := await why_not_person(conn, person)):
        raise NotErasable(why if row is not None else UNKNOWN_PERSON)
    addresses = [address for address in (row.email, row.former_email) if address]
    about = await _events_about(conn, person, row.name, addresses)
    await passwords.forget_tries(conn, f"name:{person}", f"change:{person}", *(f"name:{each}" for each in addresses))
    erasing = Erasing(cast(SealingConnection, conn), "", datetime.now(UTC))
    await _delete_rows(erasing, person)
    await erasing.run(update(absences).where(absences.c.substitute == person).values(substitute=None))
    await erasing.run(update(people).where(people.c.manager == person).values(manager=None))
    named = update(decisions).where(decisions.c.person == person, decisions.c.name != "")
    await erasing.run(named.values(name=""))
    emptied = dict.fromkeys(("email", "former_email", "email_set_by", "email_set_at", "manager", "time_zone"))
    empty = update(people).where(people.c.id == person)
    await erasing.run(empty.values(name=NAME, erased_at=erasing.at, demo=False, **emptied))
    tables = {table.name for table in OF_A_PERSON} | {people.name, scim_members.name}
    erased_seals = await erase_seals(erasing.conn, None, None, tables)
    event_ids = await _empty(conn, about)
    await note_erased(erasing, "person", person, Told(by, reason, request), event_ids, erased_seals)
    return ErasedPerson(erasing.rows, len(event_ids))


async def _delete_rows(erasing: Erasing, person: str) -> None:
    """Delete all rows about the person."""
    held = select(tokens.c.hash).where(tokens.c.person == person)
    user = select(scim_users.c.scim_id).where(scim_users.c.person == person)
    await erasing.run(delete(token_uses).where(token_uses.c.hash.in_(held)))
    await erasing.run(delete(scim_members).where(scim_members.c.scim_user.in_(user)))
    for table, column in OF_A_PERSON.items():
        await erasing.run(delete(table).where(table.c[column] == person))


async def _events_about(conn: AsyncConnection, person: str, name: str, addresses: list[str]) -> list[int]:
    """Return the numbers of the events without a case that say something about the person, besides the id.

    Events of cases belong to their cases. An event by the person about something else, such as a policy, says nothing
    about the person but the id. The event of a passkey that signed a decision stays: without its public key, nobody
    could verify this decision any more.
    """
    texts = [json.dumps(text, ensure_ascii=False)[1:-1] for text in (person, *addresses)]
    has = or_(*(event_payloads.c.payload.contains(text, autoescape=True) for text in texts))
    query = (
        select(events.c.number, events.c.kind, event_payloads.c.payload)
        .join(event_payloads, event_payloads.c.number == events.c.number)
        .where(events.c.case_id.is_(None), events.c.kind != "erased", has)
        .order_by(events.c.number)
    )
    found = []
    for row in (await conn.execute(query)).all():
        payload = json.loads(row.payload)
        if not _is_about(payload, person, name, addresses):
            continue
        if row.kind in _KEYS_OF_PASSKEYS and await _signed(conn, payload["data"].get("credential_id")):
            continue
        found.append(row.number)
    return found


def _is_about(payload: Mapping[str, Any], person: str, name: str, addresses: list[str]) -> bool:
    data, summary = payload.get("data") or {}, payload.get("summary") or ""
    if data.get("person") == person or any(address in summary for address in addresses):
        return True
    # Such as the successor of somebody: the data has the id, and the summary the name.
    return person in _values(data) and name in summary


def _values(value: Any) -> set[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, str):
        return {value}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for part in parts for text in _values(part)}


async def _signed(conn: AsyncConnection, credential_id: Any) -> bool:
    """Return True if a decision that is still stored was confirmed with this passkey."""
    query = select(proofs.c.message_id).where(proofs.c.text.contains(str(credential_id), autoescape=True)).limit(1)
    return bool(credential_id) and (await conn.execute(query)).first() is not None


async def _empty(conn: AsyncConnection, numbers: list[int]) -> list[str]:
    """Erase the content of these events, and return their ids."""
    ids: list[str] = []
    for first in range(0, len(numbers), _AT_ONCE):
        ids += await erase_events(conn, events.c.number.in_(numbers[first : first + _AT_ONCE]))
    return ids

"""Check the signatures of the messages that changed cases, and that the events say what was signed.

A person who can write to the database can replace an event, its hash and every later hash. Without the private key of
a gateway, this person cannot make a signature that says the same as the replaced event.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from sqlalchemy import String, exc as sql, select, type_coerce

from domain.moments import moment_of
from domain.names import ROLLBACK
from domain.proof.envelope import Kind
from domain.proof.keys import Fault, KeyRegistry, key_id_of
from store.audit.verification.result import paged
from store.db.connection import AsyncConnection
from store.tables.audit import event_payloads, events
from store.tables.cases import proofs

_NAMES_A_MESSAGE = ("decision_id", "action_id", "message_id")
"""Fields of the data of an event that name the signed message."""
_REFUSED = ("decision_refused", "action_refused", "message_refused", "cancel_too_late")
"""Kinds of events about messages that changed nothing: their signatures are not stored."""
_BY_TEMPORAL = "temporal"

_PROOFS = select(
    *(proofs.c[name] for name in ("message_id", "case_id", "kind", "text", "proof")),
    type_coerce(proofs.c.at, String).label("moment"),
)
_EVENTS = (
    select(
        events.c.number, events.c.event_id, events.c.case_id, events.c.kind, events.c.actor, event_payloads.c.payload
    )
    .join(event_payloads, event_payloads.c.number == events.c.number)
    .where(events.c.kind.not_in(_REFUSED), events.c.case_id.is_not(None))
)


class _Said(NamedTuple):
    """What a signed message and the event about it both say."""

    person: Any
    case_id: Any
    task_id: Any
    verdict: Any
    comment: Any
    text: Any
    groups: Any
    via: Any
    confirmed: Any
    """How the person confirmed a decision, and the name of the person; None without a confirmation."""


async def check(conn: AsyncConnection, keys: KeyRegistry | None, case_id: str | None = None) -> list[str]:
    """Return the problems of the signatures of all cases, or of one case, one sentence each.

    Without the registry of public keys, nothing is checked.
    """
    if keys is None:
        return []
    signed: dict[str, _Said] = {}
    problems: list[str] = []
    try:
        query = _PROOFS if case_id is None else _PROOFS.where(proofs.c.case_id == case_id)
        async for row in paged(conn, query, proofs.c.message_id):
            said, why = _read(row, keys)
            if why:
                problems.append(f"table proofs, row {row.message_id}: {why}")
            if said is not None:
                signed[str(row.message_id)] = said
        async for problem in _events(conn, signed, case_id):
            problems.append(problem)
    except sql.DBAPIError:
        problems.append("table proofs: a row cannot be read, so the signatures cannot be checked")
    return problems


def _read(row: Any, keys: KeyRegistry) -> tuple[_Said | None, str]:
    """Return what a stored message says, and what is wrong with its signature; empty if nothing is."""
    try:
        kind, text = Kind(row.kind), row.text
        first, _, body = text.partition("\n")
        fields = json.loads(body)
        at = moment_of(fields["at"])
        said = _signed(fields)
        whole = first == f"holdgate-{kind}-v1" and fields["id"] == row.message_id and said.case_id == row.case_id
        fault = keys.fault(kind, text.encode(errors="replace"), row.proof, at)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None, "the signed text cannot be read: it was edited"
    if not whole:
        return None, "the signed text is about another message: one of the two was edited"
    match fault:
        case None:
            return said, ""
        case Fault.REVOKED:
            return said, f"the message was signed with the key {key_id_of(row.proof)}, which was revoked"
        case Fault.UNKNOWN_KEY:
            return said, f"the registry does not have the key {key_id_of(row.proof)}, so nobody knows who signed this"
        case _:
            return None, f"the signature is not valid: {fault.meaning}"


def _signed(fields: Any) -> _Said:
    workflow_id, by = fields["workflow_id"], fields["by"]
    return _Said(
        by["id"],
        None if workflow_id.startswith("batch:") else workflow_id.partition(f"~{ROLLBACK}")[0],
        fields.get("task_id"),
        fields.get("verdict"),
        fields.get("comment"),
        fields.get("text"),
        sorted(by["groups"]),
        fields.get("via"),
        _confirmed(fields.get("confirmation")),
    )


def _confirmed(told: Any) -> tuple[Any, Any] | None:
    return (told.get("method"), told.get("name")) if isinstance(told, dict) else None


async def _events(conn: AsyncConnection, signed: dict[str, _Said], case_id: str | None) -> AsyncIterator[str]:
    """Yield the problems of events about signed messages."""
    query = _EVENTS if case_id is None else _EVENTS.where(events.c.case_id == case_id)
    async for row in paged(conn, query, events.c.number):
        try:
            data = json.loads(row.payload)
            data = data.get("data", data)
            message_id = next((data[name] for name in _NAMES_A_MESSAGE if data.get(name)), None)
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # The check of the chains reports the payload.
        if message_id is None or data.get("via") == _BY_TEMPORAL == row.actor:
            continue
        said = signed.get(str(message_id))
        if said is None:
            yield f"event {row.event_id} of case {row.case_id}: no valid signature of its message is stored"
        elif said != _told(row, data, said):
            yield f"event {row.event_id} of case {row.case_id}: it does not say what {said.person} signed"


def _told(row: Any, data: dict[str, Any], said: _Said) -> _Said:
    """Return what an event says about a message. A field that the event leaves out is as it was signed."""
    return _Said(
        row.actor,
        row.case_id,
        data.get("task_id", said.task_id),
        data.get("verdict", said.verdict),
        data.get("comment", said.comment),
        data.get("text", said.text),
        sorted(data["groups"]) if isinstance(data.get("groups"), list) else said.groups,
        data.get("via", said.via),
        _confirmed(data.get("confirmed")),
    )

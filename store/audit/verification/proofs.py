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
_OF_PEOPLE = {
    "decided": Kind.DECISION,
    "cancel_requested": Kind.CANCELLATION,
    **dict.fromkeys(
        (
            *("decision_withdrawn", "task_claimed", "task_released", "task_reassigned", "task_delegated"),
            *("question_asked", "question_answered", "question_withdrawn", "clock_set", "rules_changed"),
        ),
        Kind.ACTION,
    ),
}
"""The kinds of events that a signed message of a person causes. Such an event must name a message of this kind.

An event of another kind can name a message, too.
"""
_BY_TEMPORAL = "temporal"
_BY_ENGINE = "holdgate"
_AT_ONCE = 200
"""The number of events whose signed messages are read together."""

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

    kind: Any
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
    edited: bool
    """True if the message changes the input of the case."""


class _Event(NamedTuple):
    """An event about a signed message: its row, its data, and the id of the message; empty if it names none."""

    row: Any
    data: dict[str, Any]
    message_id: str

    @property
    def name(self) -> str:
        """Return the name of the event for messages."""
        return f"event {self.row.event_id} of case {self.row.case_id}"


async def check(conn: AsyncConnection, keys: KeyRegistry | None, case_id: str | None = None) -> list[str]:
    """Return the problems of the signatures of all cases, or of one case, one sentence each.

    Without the registry of public keys, nothing is checked.
    """
    if keys is None:
        return []
    problems: list[str] = []
    try:
        query = _PROOFS.where(proofs.c.text != "")  # an erased one is empty: see `erasures`
        query = query if case_id is None else query.where(proofs.c.case_id == case_id)
        async for row in paged(conn, query, proofs.c.message_id):
            _, why = _read(row, keys)
            if why:
                problems.append(f"table proofs, row {row.message_id}: {why}")
        async for some in _events(conn, case_id):
            problems += await _compare(conn, some, keys)
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
        said = _signed(kind, fields)
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


def _signed(kind: Kind, fields: Any) -> _Said:
    workflow_id, by = fields["workflow_id"], fields["by"]
    return _Said(
        kind,
        by["id"],
        None if workflow_id.startswith("batch:") else workflow_id.partition(f"~{ROLLBACK}")[0],
        fields.get("task_id"),
        fields.get("verdict"),
        fields.get("comment"),
        fields.get("text"),
        sorted(by["groups"]),
        fields.get("via"),
        _confirmed(fields.get("confirmation")),
        bool(fields.get("edits")),
    )


def _confirmed(told: Any) -> tuple[Any, Any] | None:
    return (told.get("method"), told.get("name")) if isinstance(told, dict) else None


async def _events(conn: AsyncConnection, case_id: str | None) -> AsyncIterator[list[_Event]]:
    """Yield the events about signed messages, some at a time."""
    query = _EVENTS if case_id is None else _EVENTS.where(events.c.case_id == case_id)
    found: list[_Event] = []
    async for row in paged(conn, query, events.c.number):
        try:
            data = json.loads(row.payload)
            data = data.get("data", data)
            message_id = next((data[name] for name in _NAMES_A_MESSAGE if data.get(name)), "")
        except (ValueError, TypeError, AttributeError, RecursionError):
            continue  # The check of the chains reports the payload.
        if not _is_unsigned(row, data) and (message_id or row.kind in _OF_PEOPLE):
            found.append(_Event(row, data, str(message_id)))
        if len(found) == _AT_ONCE:
            yield found
            found = []
    yield found


def _is_unsigned(row: Any, data: dict[str, Any]) -> bool:
    """Return True for what happens without a message of a person: Temporal cancels a case, a rule ends a claim."""
    if row.kind == "cancel_requested":
        return bool(data.get("via") == _BY_TEMPORAL == row.actor)
    return bool(row.actor == _BY_ENGINE and row.kind != "decided")


async def _compare(conn: AsyncConnection, some: list[_Event], keys: KeyRegistry) -> list[str]:
    """Return the problems of these events about signed messages."""
    stored = await conn.execute(_PROOFS.where(proofs.c.message_id.in_({event.message_id for event in some})))
    signed = {str(row.message_id): said for row in stored if (said := _read(row, keys)[0]) is not None}
    problems = []
    for event in some:
        said = signed.get(event.message_id)
        if said is None:
            problems.append(f"{event.name}: no valid signature of its message is stored")
        elif said != _told(event, said):
            problems.append(f"{event.name}: it does not say what {said.person} signed")
    return problems


def _told(event: _Event, said: _Said) -> _Said:
    """Return what an event says about a message. A field that the event leaves out is as it was signed.

    An event about a decision leaves out neither the task nor the verdict.
    """
    row, data = event.row, event.data
    least = dict.fromkeys(("task_id", "verdict")) if row.kind == "decided" else {}
    told = said._asdict() | least | {name: data[name] for name in _FIELDS if name in data}
    if isinstance(told["groups"], list):
        told["groups"] = sorted(map(str, told["groups"]))
    told |= {"kind": _OF_PEOPLE.get(row.kind, said.kind), "person": row.actor, "case_id": row.case_id}
    told["confirmed"] = _confirmed(data.get("confirmed"))
    told["edited"] = said.edited or bool(data.get("changes"))
    return _Said(**told)


_FIELDS = ("task_id", "verdict", "comment", "text", "groups", "via")
"""Fields of the data of an event that say what the message said."""

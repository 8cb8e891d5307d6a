"""Decode payloads of Temporal for operators and admins, and record who decoded payloads of which cases.

The event is committed before the payloads are answered, so nobody reads a payload without an event. The event belongs
to no case: to read a case in Temporal must not change the case.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

from temporalio.api.common.v1 import Payload

from api.http.problems import Problem, forbidden
from core.errors import PayloadErased, PayloadKeyMissing
from core.payload_codec import ENCODING, SUBJECT, DataKey, PayloadCodec
from domain.case import CaseEvent
from domain.event_kinds import EventKind
from store.audit import audit_log, refusal_counts
from store.cases.case_keys import CaseKeys
from store.cases.payload_subjects import subjects_by_reach
from store.db.database import Database
from store.people.people import Person

MOST_PAYLOADS = 1000
"""The most payloads of one request. The Web UI and the command line send those of one event, or of one page."""


async def decoded(db: Database, keys: CaseKeys, person: Person, payloads: Sequence[Payload]) -> list[Payload]:
    """Return the payloads, decoded where the person operates the process of the case, and as they were elsewhere.

    Raises DatabaseUnavailable.
    """
    named = {subject for each in payloads if (subject := _subject(each))}
    if not named:
        return list(payloads)
    async with db.read() as conn:
        may, others = await subjects_by_reach(conn, named, person.scope.operates)
    codec = PayloadCodec(_Reading(keys))
    answer = [await _decoded(codec, each) if _subject(each) in may else each for each in payloads]
    data = {
        "case_ids": sorted(may),
        "count": sum(_subject(each) in may for each in payloads),
        "withheld": sorted(others),
    }
    said = f"{person.id} decoded {data['count']} payloads of Temporal"
    async with db.write() as conn:
        await audit_log.note(conn, EventKind.PAYLOADS_DECODED, by=person.id, summary=said, data=data)
    return answer


async def refuse(db: Database, person: Person, via: str) -> Problem:
    """Record that a person may not decode payloads, and return the problem."""
    event = CaseEvent(
        event_id=f"refusal/{uuid4()}",
        case_id="",
        at=datetime.now(UTC),
        kind=EventKind.DECODING_REFUSED,
        actor=person.id,
        summary=f"{person.id} was refused to decode payloads of Temporal",
        data={"via": via},
    )
    async with db.write() as conn:
        await refusal_counts.record(conn, event, person.id, about=refusal_counts.DECODING)
    return forbidden(
        "You may not decode payloads of Temporal: only operators of the process and admins do.",
        "operators of the process or admins",
    )


class _Reading:
    """Data keys for somebody who only reads. A payload in a request says nothing about Temporal, so none is counted."""

    def __init__(self, keys: CaseKeys) -> None:
        self._keys = keys

    async def key_of(self, subject: str, *, create: bool) -> DataKey | None:  # noqa: ARG002
        return await self._keys.key_of(subject, create=False)

    def foreign(self, subject: str) -> None:
        """Do nothing."""


def _subject(payload: Payload) -> str:
    """Return whose data key encrypts a payload, as the payload says; empty for a payload that is not encrypted."""
    if payload.metadata.get("encoding") != ENCODING:
        return ""
    named = payload.metadata.get(SUBJECT, b"").decode(errors="replace")
    return "" if "\0" in named else named  # PostgreSQL stores no NUL, so no case has such a name


async def _decoded(codec: PayloadCodec, payload: Payload) -> Payload:
    """Return what a payload has, or a text that says why nobody can read it. One such payload spoils no others."""
    try:
        (found,) = await codec.decode([payload])
    except PayloadErased:
        return _text("(erased)")
    except PayloadKeyMissing as missing:
        return _text(f"(the payload key {missing.key_id} is missing)")
    return found


def _text(said: str) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(said).encode())

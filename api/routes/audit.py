"""Routes for the audit log: its events, evidence packs, and the newest checkpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from api.deps import Cursor, Db, Plain, Search, TheServices
from api.http.callers import Caller, caller
from api.http.problems import FieldError, Problem, documented, invalid, not_found
from api.http.schemas import number_of
from api.http.security import Overseer
from api.services import evidence_pack as evidence_packs
from domain.input_errors import WrongField
from domain.proof.keys import base64url
from store.audit import scoped, search
from store.audit.audit_log import StoredEvent
from store.audit.checkpoints.sign import newest_note
from store.audit.search import EventFilter
from store.db.cursor import MOST_POSITION
from store.db.database import Database
from store.people import people
from store.people.absences import span
from store.people.people import Person

router = APIRouter(prefix="/audit", tags=["audit"])

PAGE = 500
CHUNK_BYTES = 256 * 1024

Starts = Annotated[
    Plain | None, Query(alias="from", max_length=40, examples=["2026-11-01"], description="A day, or a moment")
]
Ends = Annotated[
    Plain | None, Query(alias="to", max_length=40, examples=["2026-11-30"], description="The last day; or a moment")
]


class AuditLine(BaseModel):
    """One event of the audit log. `data` is null if the data was erased; the hashes are still valid."""

    cursor: str
    event_id: str
    seq: int
    case_id: str | None
    at: datetime
    kind: str
    actor: str
    summary: str
    data: dict[str, Any] | None
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, event: StoredEvent) -> "AuditLine":
        """Return a stored event as a line of the stream."""
        fields = event.model_dump(exclude={"position", "erased"})
        changed = {"case_id": event.case_id or None, "data": None if event.erased else event.data}
        return cls(cursor=str(event.position), **(fields | changed))


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One JSON object a line, oldest first. To continue, send the last `cursor` as `since`",
            "content": {"application/x-ndjson": {"schema": AuditLine.model_json_schema()}},
        },
        **documented(401, 404, 422, 503),
    },
)
async def read_audit(
    person: Overseer,
    db: Db,
    case_id: Annotated[Plain | None, Query(max_length=1500)] = None,
    since: Cursor = None,
    actor: Annotated[Plain | None, Query(max_length=200, description="The person or program that acted")] = None,
    kind: Annotated[Plain | None, Query(max_length=60, examples=["decided"])] = None,
    starts: Starts = None,
    ends: Ends = None,
    q: Search = None,
) -> StreamingResponse:
    """Stream the audit events that the caller may read in order, or only events that match.

    For operators and auditors of processes or of the installation, and for admins.
    """
    position = number_of(since, "since", MOST_POSITION)
    sought = EventFilter(case_id=case_id, actor=actor, kind=kind, text=q)
    if starts or ends:
        sought["since"], sought["until"] = period(person, starts, ends)
    # Read the first page before the answer begins, so that a missing database is a 503 and not half an answer.
    async with db.read() as conn:
        sought["readable"] = await scoped.readable(conn, person.scope)
        first = await search.oldest(conn, after=position, limit=PAGE, **sought)
    return StreamingResponse(_lines(db, sought, first), media_type="application/x-ndjson")


class PublicKey(BaseModel):
    """A public key as a JSON Web Key (RFC 8037), with what the registry says about it."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
    kid: str
    x: str
    role: str
    """Who signs with the key: `gateway` or `worker`."""
    state: str
    """`valid`, `retired` (earlier signatures stay valid) or `revoked`."""
    not_before: datetime
    retired_at: datetime | None
    revoked_at: datetime | None


class PublicKeys(BaseModel):
    """The registry of public keys as a JSON Web Key Set (RFC 7517)."""

    keys: list[PublicKey]


@router.get("/keys", responses=documented(401, 503))
async def read_keys(person: Caller, services: TheServices) -> PublicKeys:  # noqa: ARG001  # everybody signed in may read them
    """Return the public keys with which anybody can check the signatures of decisions. For everybody signed in."""
    return PublicKeys(
        keys=[
            PublicKey(
                kid=key_id,
                x=base64url(key.public_key),
                role=key.role,
                state=key.state,
                **key.model_dump(include={"not_before", "retired_at", "revoked_at"}),
            )
            for key_id, key in services.keys.current().keys.items()
        ]
    )


@router.get(
    "/pack",
    response_class=StreamingResponse,
    responses={
        200: {"description": "A zip: events, cases, report, check and policies", "content": {"application/zip": {}}},
        **documented(401, 404, 413, 422, 503),
    },
)
async def evidence_pack(
    person: Overseer,
    db: Db,
    services: TheServices,
    case_id: Annotated[Plain | None, Query(min_length=1, max_length=1500)] = None,
    starts: Starts = None,
    ends: Ends = None,
) -> StreamingResponse:
    """Download the evidence of one case, or of a period, as a zip. For operators, auditors and admins.

    The pack of a period has the events that the caller may read.
    """
    if (case_id is None) == (starts is None and ends is None):
        message = "send either a case (`case_id`), or a period by `from`, `to` or both"
        raise invalid(
            "The evidence pack needs a case or a period, not both.", [FieldError(field="case_id", message=message)]
        )
    since, until = (None, None) if case_id is not None else period(person, starts, ends)
    async with db.read() as conn:
        if case_id is not None and not await scoped.may_read_case(conn, person.scope, case_id):
            raise not_found("case")
        readable = None if case_id is not None else await scoped.readable(conn, person.scope)
    scope = evidence_packs.EvidenceScope(
        case_id=case_id, since=since, until=until, readable=readable, audits=person.scope.audits
    )
    with ExitStack() as unless_sent:
        # The file has no name in the file system, so nothing is left of it if this process dies.
        file = unless_sent.enter_context(TemporaryFile())
        try:
            await evidence_packs.build(db, scope, person.id, datetime.now(UTC), file, services.keys.current())
        except evidence_packs.NothingThere as nothing:
            raise not_found("case") from nothing
        except evidence_packs.TooMuch as much:
            raise Problem(413, str(much), kind="too-large") from much
        headers = {
            "Content-Disposition": f'attachment; filename="{scope.filename}"',
            "Content-Length": str(file.tell()),
        }
        unless_sent.pop_all()
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


@router.get(
    "/checkpoint",
    dependencies=[Depends(caller)],
    response_class=PlainTextResponse,
    responses={
        200: {"description": "A signed note: c2sp.org/tlog-checkpoint", "content": {"text/plain": {}}},
        **documented(401, 404, 503),
    },
)
async def newest_checkpoint(db: Db) -> PlainTextResponse:
    """Return the newest signed checkpoint of the audit log. Store it where nobody of this installation can write."""
    async with db.read() as conn:
        note = await newest_note(conn)
    if note is None:
        raise Problem(
            404,
            "There is no checkpoint yet. A worker signs one some seconds after the first event, if the file that "
            "HOLDGATE_RECORD_KEY names has a key.",
            kind="no-checkpoint",
        )
    return PlainTextResponse(note, headers={"Cache-Control": "no-store"})


def period(person: Person, starts: str | None, ends: str | None) -> tuple[datetime, datetime]:
    """Return the start and the end of a period.

    The period ends just before the returned end. `starts` and `ends` can be days in the caller's time zone, of which
    the last is part of the period, or moments. None means no limit on this side. Raises Problem 422 if `starts` or
    `ends` is wrong, or if the period ends before it starts.
    """
    try:
        first, last = span(starts or "1970-01-01", ends or "2999-12-30", people.zone_of(person.time_zone))
    except WrongField as wrong:
        raise invalid("The period is not valid.", [FieldError(field=wrong.field, message=str(wrong))]) from wrong
    if last <= first:
        raise invalid("The period ends before it starts.", [FieldError(field="to", message="must come after 'from'")])
    return first, last


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


async def _lines(db: Database, sought: EventFilter, page: list[StoredEvent]) -> AsyncIterator[str]:
    while page:
        for event in page:
            yield AuditLine.of(event).model_dump_json() + "\n"
        if len(page) < PAGE:
            return
        async with db.read() as conn:
            page = await search.oldest(conn, after=page[-1].position, limit=PAGE, **sought)

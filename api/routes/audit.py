"""The append-only record, as it is."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.deps import Cursor, Db, Plain
from api.problems import documented
from api.security import Overseer
from api.views import number_of
from store import audit
from store.audit import StoredEvent
from store.database import Database

router = APIRouter(prefix="/audit", tags=["audit"])

PAGE = 500


class AuditLine(BaseModel):
    """One event. `data` is null when it was erased; the hashes still hold."""

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
        """A stored event as it is streamed."""
        fields = event.model_dump(exclude={"position", "erased"})
        changed = {"case_id": event.case_id or None, "data": None if event.erased else event.data}
        return cls(cursor=str(event.position), **(fields | changed))


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One JSON object a line, oldest first; pass the last line's `cursor` as `since` to go on",
            "content": {"application/x-ndjson": {"schema": AuditLine.model_json_schema()}},
        },
        **documented(401, 404, 422, 503),
    },
)
async def read_audit(
    _person: Overseer,
    db: Db,
    case_id: Annotated[Plain | None, Query(max_length=1500)] = None,
    since: Cursor = None,
) -> StreamingResponse:
    """Every event, or those of one case, in their order. For operators, auditors and admins."""
    position = number_of(since, "since")
    # The first page is read before the answer begins, so that a database that is away is a 503 and not half an answer.
    async with db.read() as conn:
        first = await audit.page(conn, case_id, since=position, limit=PAGE)
    return StreamingResponse(_lines(db, case_id, first), media_type="application/x-ndjson")


async def _lines(db: Database, case_id: str | None, page: list[StoredEvent]) -> AsyncIterator[str]:
    while page:
        for event in page:
            yield AuditLine.of(event).model_dump_json() + "\n"
        if len(page) < PAGE:
            return
        async with db.read() as conn:
            page = await audit.page(conn, case_id, since=page[-1].position, limit=PAGE)

"""Routes for comments and attachments of a case.

Everybody who may see a case can add comments and attachments, even after the case has ended. Nobody can change or
delete a comment or an attachment.
"""

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import Path as File
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Path, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Cursor, Db, IdempotencyKey, Limit, Plain, TheServices, VisibleCase
from api.http.callers import Caller
from api.http.problems import FieldError, Problem, documented, invalid, not_found, unavailable
from api.http.schemas import Page, number_of, page_by_number
from core.file_storage import Unacceptable, base_name, content_type, keep, keep_missing
from domain.erasure import check_content
from store.audit import evidence
from store.audit.evidence import Attachment, Comment
from store.cases.cases import CaseRow
from store.people.people import Person

router = APIRouter(prefix="/cases", tags=["evidence"])


class NewComment(BaseModel):
    """A new comment."""

    model_config = ConfigDict(extra="forbid")

    text: Plain = Field(min_length=1, max_length=4000)


@router.get("/{case_id}/comments", responses=documented(401, 404, 422, 503))
async def list_comments(case: VisibleCase, db: Db, cursor: Cursor = None, limit: Limit = 50) -> Page[Comment]:
    """List the comments on a case, oldest first. The timeline of the case also shows the comments."""
    async with db.read() as conn:
        found = await evidence.comments(conn, case.case_id, number_of(cursor), limit + 1)
    page, following = page_by_number(found, limit, lambda each: each[0])
    return Page(items=[comment for _, comment in page], next_cursor=following)


@router.post("/{case_id}/comments", status_code=201, responses=documented(401, 404, 409, 422, 503))
async def add_comment(
    case: VisibleCase, new: NewComment, person: Caller, db: Db, idempotency_key: IdempotencyKey = None
) -> Comment:
    """Add a comment to a case. The comment is recorded, and nobody can change or delete the comment."""
    check_content(case)
    text = new.text.strip()
    if not text:
        raise invalid("The comment is empty. Enter a comment.", [FieldError(field="text", message="must not be blank")])
    key = idempotency_key or secrets.token_hex(12)
    try:
        async with db.write() as conn:
            return await evidence.comment(conn, case.case_id, person.id, text, key, datetime.now(UTC))
    except evidence.TooMany as no:
        raise Problem(
            409,
            f"You have added {evidence.MOST_COMMENTS} comments to this case, the most that one person can add. "
            "Attach a file instead.",
            kind="too-many-comments",
        ) from no


@router.get("/{case_id}/attachments", responses=documented(401, 404, 422, 503))
async def list_attachments(case: VisibleCase, db: Db) -> Page[Attachment]:
    """List the attachments of a case, oldest first."""
    async with db.read() as conn:
        return Page(items=await evidence.attached(conn, case.case_id), next_cursor=None)


async def store(services: TheServices, case: CaseRow, person: Person, file: UploadFile, note: str) -> Attachment:
    """Store a file as an attachment of a case, and return the attachment.

    Raises Problem: 409 if the case has too many files, 413 if the file is too large, 415 for a type that is not
    allowed, 422 for an empty file.
    """
    check_content(case)
    limit = services.settings.max_attachment_bytes
    data = await file.read(limit + 1)
    if len(data) > limit:
        raise Problem(413, f"The file is too large: an attachment can have at most {limit:,} bytes.", kind="too-large")
    if not data:
        raise invalid("The file is empty. Send a file with content.", [FieldError(field="file", message="is empty")])
    name = base_name(file.filename or "", "attachment")
    try:
        kind = content_type(name, data)
    except Unacceptable as no:
        raise Problem(415, str(no), kind="not-taken") from no
    digest = hashlib.sha256(data).hexdigest()
    # The file comes first, so that no row points to a missing file. A crash in between leaves an unused file.
    await asyncio.to_thread(keep, services.settings.attachments, digest, data)
    new = Attachment(
        attachment_id=f"f{secrets.token_hex(12)}",
        case_id=case.case_id,
        filename=name,
        size=len(data),
        sha256=digest,
        content_type=kind,
        person=person.id,
        note=note.strip(),
        at=datetime.now(UTC),
    )
    try:
        async with services.db.write() as conn:
            attached = await evidence.attach(conn, new)
        # An erasure may just have deleted the same bytes: see `store.cases.erased_files`.
        await asyncio.to_thread(keep_missing, services.settings.attachments, digest, data)
        return attached
    except evidence.TooMany as no:
        raise Problem(409, str(no), kind="too-many-attachments") from no


@router.post("/{case_id}/attachments", status_code=201, responses=documented(401, 404, 409, 413, 415, 422, 503))
async def add_attachment(
    case: VisibleCase,
    person: Caller,
    services: TheServices,
    file: UploadFile,
    note: Annotated[Plain, Form(max_length=1000)] = "",
) -> Attachment:
    """Attach a file to a case. If the same person sends the same bytes again, no second attachment is stored."""
    return await store(services, case, person, file, note)


@router.get(
    "/{case_id}/attachments/{attachment_id}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, **documented(401, 404, 422, 503)},
)
async def download(
    case: VisibleCase, attachment_id: Annotated[Plain, Path(max_length=60)], services: TheServices
) -> Response:
    """Download an attachment.

    Holdgate checks the bytes against their hash. Browsers save the file and do not show its content.
    """
    async with services.db.read() as conn:
        found = await evidence.attachment(conn, case.case_id, attachment_id)
    if found is None:
        raise not_found("attachment")
    data = await asyncio.to_thread(_read, services.settings.attachments / found.sha256)
    if data is None or hashlib.sha256(data).hexdigest() != found.sha256:
        raise unavailable("The file is missing from the store, or was changed. Ask an operator.")
    disposition = f"attachment; filename*=UTF-8''{quote(found.filename, safe='')}"
    headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=found.content_type, headers=headers)


def _read(path: File) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

"""Check content stored under its hash: texts of policies, attachments, uploads."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import exc as sql, select, type_coerce
from sqlalchemy.types import NullType

from store.audit.hashing import sha256
from store.db.connection import AsyncConnection
from store.tables.cases import attachments, batches, cases, policies


class Folders(NamedTuple):
    """The folders of the files."""

    attachments: Path
    uploads: Path


_POLICIES = select(policies.c.hash, policies.c.text)
_ATTACHMENTS = select(attachments.c.attachment_id.label("id"), attachments.c.case_id, attachments.c.sha256)
_UPLOADS = select(batches.c.batch_id.label("id"), batches.c.sha256, batches.c.path).where(
    type_coerce(batches.c.status, NullType) != "receiving",
    type_coerce(batches.c.path, NullType) != "",  # erased: see `erasures`
)


async def check_all(conn: AsyncConnection, folders: Folders | None) -> list[str]:
    """Return the problems, one sentence each; files are checked only if `folders` is given.

    An upload that is still being received is not checked.
    """
    problems = await _policies(conn, _POLICIES)
    if folders is None:
        return problems
    problems += await _attachments(conn, _ATTACHMENTS.order_by(attachments.c.attachment_id), folders)
    for row in await _rows(conn, _UPLOADS.order_by(batches.c.batch_id)):
        if wrong := await asyncio.to_thread(_wrong, folders.uploads, row.path, row.sha256):
            problems.append(f"table batches, row {row.id}: the uploaded file {row.path} {wrong}")
    return problems


async def check_case(conn: AsyncConnection, case_id: str, folders: Folders | None) -> list[str]:
    """Return the problems of one case, one sentence each: its policy, and its attachments if `folders` is given."""
    its = select(cases.c.policy_hash).where(cases.c.case_id == case_id)
    problems = await _policies(conn, _POLICIES.where(policies.c.hash.in_(its)))
    if folders is None:
        return problems
    return problems + await _attachments(conn, _ATTACHMENTS.where(attachments.c.case_id == case_id), folders)


async def _policies(conn: AsyncConnection, query: Any) -> list[str]:
    return [
        f"table policies, row {row.hash}: its text does not have this hash, one of the two was edited"
        for row in await _rows(conn, query)
        if not isinstance(row.text, str) or sha256(row.text) != row.hash
    ]


async def _attachments(conn: AsyncConnection, query: Any, folders: Folders) -> list[str]:
    problems = []
    for row in await _rows(conn, query):
        if wrong := await asyncio.to_thread(_wrong, folders.attachments, row.sha256, row.sha256):
            problems.append(f"table attachments, row {row.id} of case {row.case_id}: its file {row.sha256} {wrong}")
    return problems


async def _rows(conn: AsyncConnection, query: Any) -> list[Any]:
    try:
        return list((await conn.execute(query)).all())
    except sql.DBAPIError:
        return []  # unreadable row; the check of rows reports it


def _wrong(folder: Path, name: Any, digest: Any) -> str | None:
    """Return a sentence about the error of a file; None if the file is correct."""
    if not isinstance(name, str) or Path(name).name != name:
        return "lies outside its folder: the row was edited"
    try:
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return f"is not in {folder}, or cannot be read"
    return None if found == digest else "does not have the hash that was stored with it: it was replaced or damaged"

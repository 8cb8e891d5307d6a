"""Erase the file of an upload, and what no single case of the upload owns."""

import hashlib
from typing import Any

from sqlalchemy import Row, delete, null, select, update

from domain.proof.envelope import Kind
from store.erasure.case_rows import EMPTY_ROW
from store.erasure.erasing import NAME, Erasing
from store.tables.cases import batch_rows, batches, case_keys, cases, dropped_files, proofs


async def erase_file(erasing: Erasing, batch: Row[Any]) -> None:
    """Erase the uploaded file. Its rows stay in the database, but those that are erased themselves."""
    if not batch.path:
        return
    await erasing.run(update(batches).where(batches.c.batch_id == batch.batch_id).values(path="", sha256=""))
    await erasing.run(delete(dropped_files).where(dropped_files.c.batch_id == batch.batch_id))
    erasing.uploads.append(batch.batch_id)
    other = select(batches.c.batch_id).where(batches.c.path == batch.path).limit(1)
    if (await erasing.conn.execute(other)).first() is None:
        # The preview leaves a mark that is named by the hash of the file: see `intake/staged_files.py`.
        held = f"uploads/held/{hashlib.sha256(batch.requester.encode()).hexdigest()}/{batch.sha256}"
        await erasing.delete_files([f"uploads/{batch.path}"], [held, f"{held}.taken", f"{held}.started"])


async def erase_rest(erasing: Erasing, batch: Row[Any]) -> None:
    """Erase what no case owns: rows without a case, the name and format of the file, and signed orders."""
    await erase_file(erasing, batch)
    own = batch.batch_id
    await erasing.run(update(batch_rows).where(batch_rows.c.batch_id == own).values(EMPTY_ROW))
    nothing: dict[str, Any] = {
        "filename": NAME,
        "ignored_columns": [],
        "format": {},
        "mapping": null(),
        "erased_at": erasing.at,
    }
    await erasing.run(update(batches).where(batches.c.batch_id == own).values(nothing))
    orders = (proofs.c.case_id.is_(None), proofs.c.kind == Kind.BATCH_ORDER)
    of_upload = proofs.c.text.contains(f'"workflow_id":"batch:{own}', autoescape=True)
    emptied = update(proofs).where(*orders, of_upload).values(text="", proof="")
    erasing.proofs += (await erasing.conn.execute(emptied)).rowcount
    key = (case_keys.c.subject == f"batch:{own}", case_keys.c.erased_at.is_(None))
    await erasing.run(update(case_keys).where(*key).values(wrapped=None, kek=None, erased_at=erasing.at))


async def is_last(erasing: Erasing, batch: Row[Any]) -> bool:
    """Return True if no other case of an ended upload has content."""
    others = (cases.c.batch_id == batch.batch_id, cases.c.case_id != erasing.case_id, cases.c.erased_at.is_(None))
    left = select(cases.c.case_id).where(*others).limit(1)
    return batch.closed_at is not None and (await erasing.conn.execute(left)).first() is None

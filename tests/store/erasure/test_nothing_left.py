"""After an erasure, no byte of the content is left in the files of the state folder."""

import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from core.file_storage import keep
from store.audit import evidence
from store.audit.evidence import Attachment
from store.audit.verification import Folders, verify
from store.db.database import Database
from store.erasure.content import erase_case
from store.erasure.files import delete_files
from tests.store.erasure.ended_cases import CANARY, ended, fill, uploaded
from tests.store.sample_cases import MORNING

TOLD: dict[str, Any] = {"by": "pia", "reason": "asked", "request": None}


class Var:
    """A state folder with a database, attachments and uploads."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        self.folders = Folders(folder / "attachments", folder / "uploads")
        self.path = Path(shutil.copy(template, folder / "holdgate.db"))
        self.db = Database(f"sqlite:///{self.path}")

    async def attach(self, case_id: str, person: str, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        keep(self.folders.attachments, name, data)
        about = {
            "attachment_id": f"{case_id}-{person}",
            "case_id": case_id,
            "filename": f"{CANARY}.pdf",
            "sha256": name,
        }
        new = Attachment(**about, size=len(data), content_type="text/plain", person=person, note=CANARY, at=MORNING)
        async with self.db.write() as conn:
            await evidence.attach(conn, new)
            await evidence.comment(conn, case_id, person, f"Call {CANARY}", f"{case_id}{person}", MORNING)
        return name

    async def erase(self, case_id: str) -> None:
        async with self.db.write() as conn:
            await erase_case(conn, case_id, **TOLD)

    def leaks(self) -> list[str]:
        """Return the files that contain a canary, or have one in their names."""
        found = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and (CANARY.encode() in path.read_bytes() or CANARY in path.name):
                found.append(str(path.relative_to(self.folder)))
        return found


@pytest.fixture
async def var(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Var]:
    made = Var(tmp_path, sqlite_template)
    yield made
    await made.db.close()


async def test_no_byte_of_an_erased_case_is_left_in_any_file(var: Var) -> None:
    batch_id = await uploaded(var.db)
    keep(var.folders.uploads, f"{CANARY}.csv", f"payee\n{CANARY}\n".encode())
    for number in range(12):  # so that pages of the database are split and merged
        case_id = await ended(var.db, f"INV-{number}", batch_id=batch_id, input={"payee": f"{CANARY} " * 40 * number})
        await fill(var.db, case_id, number)
        await var.attach(case_id, "mia", f"{CANARY} {number}".encode())
    assert {"holdgate.db-wal", f"uploads/{CANARY}.csv"} < set(var.leaks())
    for number in range(12):
        await var.erase(f"payment:inv-{number}")
    await delete_files(var.db, var.folders)
    assert var.leaks() == []
    found = await verify(var.db, folders=var.folders)
    assert (found.problems, found.erased_files) == ([], 12 * 2 + 1)


async def test_a_file_that_another_case_has_stays(var: Var) -> None:
    one, two = await ended(var.db, "INV-1"), await ended(var.db, "INV-2")
    for case_id in (one, two):
        name = await var.attach(case_id, "mia", b"the same")
    await var.erase(one)
    assert await delete_files(var.db, var.folders) == 0
    assert (var.folders.attachments / name).exists()
    await var.erase(two)
    assert await delete_files(var.db, var.folders) == 1
    assert not (var.folders.attachments / name).exists()


async def test_a_file_that_cannot_be_deleted_stays_listed_and_holds_up_no_other(var: Var) -> None:
    one = await ended(var.db, "INV-1")
    names = sorted([await var.attach(one, *each) for each in (("mia", b"first"), ("tom", b"second"))])
    stuck, other = (var.folders.attachments / name for name in names)
    stuck.unlink()
    stuck.mkdir()  # nobody, not even root, unlinks a folder
    await var.erase(one)
    with pytest.raises(OSError):
        await delete_files(var.db, var.folders)
    assert not other.exists()
    stuck.rmdir()
    stuck.write_bytes(b"first")
    assert await delete_files(var.db, var.folders) == 1
    assert var.leaks() == [] and not stuck.exists()


async def test_a_file_that_is_attached_again_before_its_deletion_stays(var: Var) -> None:
    one, two = await ended(var.db, "INV-1"), await ended(var.db, "INV-2")
    name = await var.attach(one, "mia", b"the same")
    await var.erase(one)
    await var.attach(two, "tom", b"the same")
    assert await delete_files(var.db, var.folders) == 0
    assert (var.folders.attachments / name).exists()
    assert (await verify(var.db, folders=var.folders)).problems == []


async def test_the_log_is_emptied_as_soon_as_no_reader_uses_it(var: Var) -> None:
    case_id = await ended(var.db)
    reader = Database(f"sqlite:///{var.path}")
    async with reader.read() as conn:
        await conn.scalar(select(1))
        await var.erase(case_id)
        await delete_files(var.db, var.folders)
        assert "holdgate.db-wal" in var.leaks()
    await delete_files(var.db, var.folders)
    assert var.leaks() == []
    await reader.close()

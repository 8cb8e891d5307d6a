"""An erasure and everything else that changes the case at the same time: the first wins, the second is refused."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.settings import ROOT
from domain.case import CaseEvent
from domain.erasure import ContentErased, NotErasable
from domain.rollback import RollbackAsked
from store.audit import audit_log, evidence, refusal_counts
from store.audit.evidence import Attachment
from store.audit.verification import Folders, verify
from store.cases import cases
from store.cases.hand_over import hand_over
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.erasure.content import erase_case, erase_upload
from store.erasure.files import delete_files
from tests.store.erasure.ended_cases import ended, fill, uploaded
from tests.store.sample_cases import MORNING, event

TOLD: dict[str, Any] = {"by": "pia", "reason": "asked", "request": None}
ONE = "payment:inv-1"

Change = Callable[[AsyncConnection], Awaitable[object]]


async def comment(conn: AsyncConnection) -> object:
    return await evidence.comment(conn, ONE, "mia", "Call Ada", "key-1", MORNING)


async def attach(conn: AsyncConnection) -> object:
    new = Attachment(
        attachment_id="f1",
        case_id=ONE,
        filename="ada.pdf",
        size=1,
        sha256="a" * 64,
        content_type="text/plain",
        person="mia",
        note="",
        at=MORNING,
    )
    return await evidence.attach(conn, new)


async def decide_too_late(conn: AsyncConnection) -> object:
    return await audit_log.append(conn, [event(ONE, 9, "decision_refused", comment="Ada")])


CHANGES: dict[str, Change] = {"a comment": comment, "an attachment": attach, "a refused decision": decide_too_late}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_waits_for_an_erasure_is_refused(what: str, another_db: Callable[[], Database]) -> None:
    db, other = another_db(), another_db()
    await ended(db)

    async def change() -> None:
        async with other.write() as conn:
            await CHANGES[what](conn)

    async with db.write() as conn:
        await erase_case(conn, ONE, **TOLD)
        waiting = asyncio.create_task(change())
        await asyncio.sleep(0.05)
        assert not waiting.done()
    with pytest.raises(ContentErased, match="was erased"):
        await waiting
    found = await verify(db)
    assert (found.problems, found.events) == ([], 5)


async def test_a_rollback_that_was_asked_before_an_erasure_does_not_begin_after_it(db: Database) -> None:
    await ended(db)
    async with db.read() as conn:
        case = await cases.get(conn, ONE)
    assert case is not None
    asked = RollbackAsked(by="omar", reason="paid twice", policy_hash="f" * 64, at=MORNING)
    async with db.write() as conn:
        await erase_case(conn, ONE, **TOLD)
    said = CaseEvent(event_id="r/0", case_id=ONE, at=MORNING, kind="rollback_requested", actor="omar", summary="s")
    async with db.write() as conn:
        assert await hand_over(conn, case, asked, said) is None


async def test_a_case_whose_rollback_runs_is_not_erased(db: Database) -> None:
    await ended(db)
    asked = RollbackAsked(by="omar", reason="paid twice", policy_hash="f" * 64, at=MORNING)
    said = CaseEvent(event_id="r/0", case_id=ONE, at=MORNING, kind="rollback_requested", actor="omar", summary="s")
    async with db.write() as conn:
        case = await cases.get(conn, ONE)
        assert case is not None and await hand_over(conn, case, asked, said) is not None
    with pytest.raises(NotErasable, match="has not ended"):
        async with db.write() as conn:
            await erase_case(conn, ONE, **TOLD)


async def test_of_two_erasures_at_once_one_erases(another_db: Callable[[], Database]) -> None:
    batch_id = await uploaded(another_db())
    for number in (1, 2):
        await fill(another_db(), await ended(another_db(), f"INV-{number}", batch_id=batch_id), number)

    async def erase(case_id: str) -> bool:
        async with another_db().write() as conn:
            if not case_id:
                return (await erase_upload(conn, batch_id, **TOLD)).already
            return (await erase_case(conn, case_id, **TOLD)).already

    await asyncio.gather(*(erase(each) for each in (ONE, ONE, "payment:inv-2", "", ONE)), return_exceptions=False)
    found = await verify(another_db())
    assert (found.problems, found.erased) == ([], 8)


async def test_counted_refusals_of_an_erased_case_are_told_without_the_case(db: Database) -> None:
    await ended(db)
    async with db.write() as conn:
        await erase_case(conn, ONE, **TOLD)
    new = event(ONE, 9, "decision_refused", person="mia")
    for _ in range(2):
        async with db.write() as conn:
            row = await refusal_counts._locked(conn, "mia", "t1", ONE, MORNING)
            await refusal_counts._count(conn, row, MORNING)
    assert await refusal_counts.CountedRefusals(db, timedelta(0), timedelta(0)).look() == 1
    assert await refusal_counts.CountedRefusals(db, timedelta(0), timedelta(0)).look() == 0
    assert new.case_id == ONE and (await verify(db)).problems == []


KILLED = """
import asyncio, os, signal, sys
from store.db.database import Database
from store.erasure.content import erase_case

async def erase():
    async with Database(sys.argv[1]).write() as conn:
        await erase_case(conn, "payment:inv-1", by="pia", reason="asked", request=None)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(erase())
"""


async def test_a_kill_after_the_commit_leaves_no_file(sqlite_url: str, tmp_path: Path) -> None:
    db, folders = Database(sqlite_url), Folders(tmp_path / "attachments", tmp_path / "uploads")
    await ended(db)
    async with db.write() as conn:
        await attach(conn)
    folders.attachments.mkdir()
    file = folders.attachments / ("a" * 64)
    file.write_bytes(b"1")
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, sqlite_url], cwd=ROOT, capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert file.exists()
    assert await delete_files(db, folders) == 1
    assert not file.exists()
    assert (await verify(db, folders=folders)).problems == []
    await db.close()

"""What a legal hold protects: its subject, and what belongs to it."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update

from domain.erasure import SubjectKind
from store.audit import audit_log
from store.cases import legal_holds
from store.cases.legal_holds import UnknownHold, UnknownSubject
from store.db.database import Database
from store.people import people
from store.tables.cases import batches, cases, decisions
from tests.store.sample_cases import submitted

NOW = datetime.now(UTC)
UPLOAD = {
    "process": "payment",
    "filename": "pay.csv",
    "sha256": "0" * 64,
    "path": "pay.csv",
    "policy_hash": "f" * 64,
    "status": "completed",
    "total": 2,
    "skipped": 0,
    "blank": 0,
    "ignored_columns": [],
    "format": {},
    "created_at": NOW,
}
SUBJECTS: list[tuple[SubjectKind, str]] = [
    ("case", "payment:a"),  # of the upload b-1, asked by p-1
    ("case", "payment:a~2"),  # its next round
    ("case", "payment:b"),  # of the same upload
    ("case", "payment:child"),  # asked for by payment:a
    ("case", "payment:other"),  # of somebody else
    ("upload", "b-1"),
    ("upload", "b-2"),  # uploaded by p-3 on behalf of p-2
    ("person", "p-1"),
    ("person", "p-2"),  # decided payment:a
    ("person", "p-3"),
]
PROTECTED: dict[tuple[SubjectKind, str], set[str]] = {
    ("case", "payment:a"): {
        *("case payment:a", "case payment:a~2", "case payment:b", "case payment:child"),
        *("upload b-1", "person p-1", "person p-2"),
    },
    ("case", "payment:other"): {"case payment:other", "person p-3"},
    ("case", "payment:child"): {"case payment:child", "person p-1"},
    ("upload", "b-1"): {"case payment:a", "case payment:b", "upload b-1", "person p-1"},
    ("upload", "b-2"): {"upload b-2", "person p-2", "person p-3"},
    ("person", "p-1"): {
        *("case payment:a", "case payment:a~2", "case payment:b", "case payment:child"),
        *("upload b-1", "person p-1"),
    },
    ("person", "p-2"): {"upload b-2", "person p-2"},
}


@pytest.fixture
async def matter(db: Database) -> Database:
    """Cases, uploads and people that belong together, and some that do not."""
    async with db.write() as conn:
        for id in ("p-1", "p-2", "p-3"):
            await people.add(conn, id, id, [], by="t")
        for id, who, whose in (("b-1", "p-1", None), ("b-2", "p-3", "p-2")):
            await conn.execute(insert(batches), [{**UPLOAD, "batch_id": id, "requester": who, "on_behalf_of": whose}])
    await submitted(db, "a", requester="p-1", batch_id="b-1")
    await submitted(db, "a", requester="p-1", round=2, resubmits="payment:a")
    await submitted(db, "b", requester="p-1", batch_id="b-1")
    await submitted(db, "child", requester="p-1", parent="payment:a")
    await submitted(db, "other", requester="p-3")
    given = {
        **dict.fromkeys(("comment", "content", "refusal", "code", "name"), ""),
        **{"decision_id": "d-1", "task_id": "t-1", "case_id": "payment:a", "person": "p-2", "verdict": "approve"},
        **{"status": "accepted", "via": "page", "at": NOW, "confirmed": "none"},
    }
    async with db.write() as conn:
        await conn.execute(insert(decisions), [given])
        await conn.execute(update(cases).values(closed_at=NOW))
    return db


@pytest.mark.parametrize("held", PROTECTED, ids=" ".join)
async def test_a_hold_protects_its_subject_and_what_belongs_to_it(
    matter: Database, held: tuple[SubjectKind, str]
) -> None:
    async with matter.write() as conn:
        hold = await legal_holds.place(conn, *held, "Matter 7", "auditor-1")
    async with matter.read() as conn:
        found = {f"{kind} {id}" for kind, id in SUBJECTS if await legal_holds.protecting(conn, kind, id)}
    assert found == PROTECTED[held]
    async with matter.write() as conn:
        await legal_holds.lift(conn, hold.hold_id, "Closed", "admin-1")
    async with matter.read() as conn:
        assert not [each for each in SUBJECTS if await legal_holds.protecting(conn, *each)]
    assert (await audit_log.verify(matter)).problems == []


async def test_a_hold_is_lifted_once_and_needs_a_subject(matter: Database) -> None:
    async with matter.write() as conn:
        hold = await legal_holds.place(conn, "person", "p-1", "Matter 7", "auditor-1")
        assert await legal_holds.place(conn, "person", "p-1", "Matter 7", "auditor-1") == hold
        assert (await legal_holds.place(conn, "person", "p-1", "Matter 8", "auditor-1")).hold_id != hold.hold_id
        await legal_holds.lift(conn, hold.hold_id, "Closed", "admin-1")
        for unknown in (hold.hold_id, "h-nothing"):
            with pytest.raises(UnknownHold):
                await legal_holds.lift(conn, unknown, "Closed", "admin-1")
        for kind, _ in SUBJECTS:
            with pytest.raises(UnknownSubject):
                await legal_holds.place(conn, kind, "nothing", "Matter 7", "auditor-1")
    async with matter.read() as conn:
        assert len(await legal_holds.listed(conn)) == 1
        assert len(await legal_holds.listed(conn, lifted=True)) == 2
        kept = await legal_holds.get(conn, hold.hold_id)
        assert kept is not None and (kept.lifted_by, kept.reason) == ("admin-1", "Matter 7")

"""The steps of an erasure on the database: they may run twice, and people with few rights learn nothing."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from activities.erasure.request import ErasureRequest
from cases.erasure import SqlEraser
from cases.pinned_policies import PinnedPolicies
from core.settings import ROOT
from domain.errors import Refused
from domain.step import StepCall
from store.audit import audit_log
from store.cases import legal_holds, policies
from store.db.database import Database
from store.erasure.content import erase_case
from store.people import leavers, people
from store.tables.cases import batches, cases
from tests.store.cases.test_legal_holds import UPLOAD
from tests.store.sample_cases import submitted
from workflows.registry import INPUTS

NOW = datetime.now(UTC)
POLICY = (ROOT / "config" / "policy.toml").read_text()
HASH = hashlib.sha256(POLICY.encode()).hexdigest()
GROUPS = {"op": ["operators"], "hr": ["hr"], "admin": ["admins"], "mia": ["managers"], "left": ["operators"]}


async def _nothing() -> int:
    return 0


@pytest.fixture
async def eraser(db: Database) -> SqlEraser:
    async with db.write() as conn:
        await policies.keep(conn, HASH, POLICY)
        for id, groups in GROUPS.items():
            await people.add(conn, id, id, groups, by="t")
        await conn.execute(insert(batches), [{**UPLOAD, "batch_id": "b-1", "requester": "mia", "closed_at": NOW}])
    for reference in ("a", "b", "c"):
        await submitted(db, reference, requester="mia", batch_id="b-1")
    async with db.write() as conn:
        await conn.execute(update(cases).values(closed_at=NOW, status="completed"))
    return SqlEraser(db, db, PinnedPolicies(db, INPUTS), _nothing)


def call(kind: str, id: str, requester: str = "op", **more: Any) -> StepCall[ErasureRequest]:
    request = ErasureRequest.model_validate({"kind": kind, "id": id, "reason": "Request 7", **more})
    known = {"case_id": "erasure:x", "reference": "x", "policy_hash": HASH, "key": "erasure:x/erase#1", "at": NOW}
    return StepCall[ErasureRequest].model_validate({**known, "requester": requester, "input": request})


async def erased(db: Database) -> Sequence[str]:
    async with db.read() as conn:
        query = select(cases.c.case_id).where(cases.c.erased_at.is_not(None)).order_by(cases.c.case_id)
        return (await conn.execute(query)).scalars().all()


@pytest.mark.both_databases
async def test_a_step_that_runs_again_answers_the_same_and_erases_nothing_more(eraser: SqlEraser, db: Database) -> None:
    first = await eraser.erase(call("upload", "b-1"))
    assert first.cases == 3 and len(await erased(db)) == 3
    before = (await audit_log.verify(db)).model_dump()
    assert await eraser.erase(call("upload", "b-1")) == first
    assert (await audit_log.verify(db)).model_dump() == before and before["problems"] == []


async def test_a_step_that_died_half_way_goes_on(eraser: SqlEraser, db: Database) -> None:
    async with db.write() as conn:
        await erase_case(conn, "payment:b", by="op", reason="Request 7", request="erasure:x")
    done = await eraser.erase(call("upload", "b-1"))
    assert done.cases == 2 and len(await erased(db)) == 3


async def test_a_hold_that_comes_between_two_cases_ends_the_erasure_with_a_sentence(
    eraser: SqlEraser, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def placed() -> int:
        async with db.write() as conn:
            await legal_holds.place(conn, "upload", "b-1", "Matter 7", "admin")
        return 0

    monkeypatch.setattr(eraser, "_clean_up", placed)
    with pytest.raises(Refused, match="legal hold"):
        await eraser.erase(call("upload", "b-1"))
    assert await erased(db) == ["payment:a"]


@pytest.mark.parametrize(
    ("who", "kind", "id", "may"),
    [
        ("op", "case", "payment:a", True),
        ("admin", "case", "payment:a", True),
        ("hr", "case", "payment:a", False),
        ("mia", "case", "payment:a", False),
        ("nobody", "case", "payment:a", False),
        ("op", "upload", "b-1", True),
        ("hr", "upload", "b-1", False),
        ("op", "person", "left", False),
        ("admin", "person", "left", True),
    ],
)
async def test_who_may_not_erase_is_told_the_same_as_of_what_does_not_exist(
    eraser: SqlEraser, db: Database, who: str, kind: str, id: str, may: bool
) -> None:
    async with db.write() as conn:
        await leavers.deactivate(conn, "left", "Another job", by="admin")
    if may:
        assert (await eraser.survey(call(kind, id, who))).cases == {"case": 1, "upload": 3, "person": 0}[kind]
        return
    with pytest.raises(Refused) as hidden:
        await eraser.survey(call(kind, id, who))
    with pytest.raises(Refused) as unknown:
        await eraser.survey(call(kind, "nothing", who))
    assert str(hidden.value) == str(unknown.value)


async def test_the_numbers_count_what_goes_and_what_stays(eraser: SqlEraser, db: Database) -> None:
    await submitted(db, "a", requester="mia", round=2, resubmits="payment:a")
    async with db.write() as conn:
        await conn.execute(update(cases).values(closed_at=NOW, status="completed"))
        await people.add(conn, "zoe", "Zoe", [], by="t")
    one = await eraser.survey(call("case", "payment:a"))
    assert (one.cases, one.events, one.uploaded_files, one.other_rounds_that_stay) == (1, 1, 1, 1)
    whole = await eraser.survey(call("upload", "b-1"))
    assert (whole.cases, whole.events, whole.other_rounds_that_stay, whole.cases_that_stay) == (3, 3, 1, None)
    async with db.write() as conn:
        await leavers.deactivate(conn, "mia", "Another job", by="admin")
    alone = await eraser.survey(call("person", "mia", "admin"))
    assert (alone.cases, alone.cases_that_stay, alone.status) == (0, 4, None)
    with_cases = await eraser.survey(call("person", "mia", "admin", cases=True))
    assert (with_cases.cases, with_cases.cases_that_stay, with_cases.other_rounds_that_stay) == (4, 0, 0)

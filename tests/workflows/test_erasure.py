"""Erasures: people decide on numbers, the step checks again, and a refusal is no incident."""

from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from activities.erasure.request import ErasureRequest
from domain.case import CaseResult
from domain.status import Status, Verdict
from store.cases import cases, legal_holds
from store.cases.cases import CaseRow
from store.erasure.content import erase_case
from store.receivers import idempotency
from tests.support.engine_fixture import Handle, House
from tests.workflows.test_payment import SHIPPED

NOBODY = """
[errand.gates.approval]
when = "false"
groups = ["managers"]
[errand.gates.second]
when = "false"
groups = ["directors"]
"""
REASON = "Request 2026-114 of the data subject"


@dataclass
class Office:
    """A house with people of privacy, and an ended case to erase."""

    house: House

    async def ended(self) -> Handle:
        case = await self.house.start(policy=NOBODY)
        assert (await self.house.end(case)).status is Status.COMPLETED
        return case

    async def ask(self, id: str, kind: str = "case", **more: Any) -> Handle:
        request = ErasureRequest.model_validate({"kind": kind, "id": id, "reason": REASON, **more})
        return await self.house.start(request, process="erasure", policy=SHIPPED, requester="ada")

    async def row(self, case: Handle) -> CaseRow:
        async with self.house.database.read() as conn:
            found = await cases.get(conn, case.id)
        assert found is not None
        return found

    async def approve(self, case: Handle) -> CaseResult:
        await self.house.open_task(case, "erasure-approval")
        await self.house.decide(case, "pia")
        return await self.house.end(case)


@pytest_asyncio.fixture
async def office(house: House) -> Office:
    return Office(house)


async def test_people_of_privacy_decide_on_numbers_and_then_the_case_is_erased(office: Office) -> None:
    subject = await office.ended()
    asked = await office.ask(subject.id)
    task = await office.house.open_task(asked, "erasure-approval")
    assert task.candidate_groups == ["privacy"]
    assert task.title == f"Erase case {subject.id}"
    assert task.facts["cases"] == 1 and task.facts["events"] > 0
    result = await office.approve(asked)
    assert result.status is Status.COMPLETED and result.output is not None
    assert (result.output["cases"], result.output["events"]) == (1, task.facts["events"])
    erased = await office.row(subject)
    assert erased.erased_at is not None and erased.input == {}
    assert await office.house.audit_problems() == []


async def test_a_rejected_erasure_erases_nothing(office: Office) -> None:
    subject = await office.ended()
    asked = await office.ask(subject.id)
    await office.house.open_task(asked, "erasure-approval")
    await office.house.decide(asked, "pia", Verdict.REJECT, comment="Not the right request")
    assert (await office.house.end(asked)).status is Status.REJECTED
    assert (await office.row(subject)).erased_at is None


async def test_what_cannot_be_erased_is_refused_before_anybody_is_asked(office: Office) -> None:
    async def held(id: str) -> None:
        async with office.house.database.write() as conn:
            await legal_holds.place(conn, "case", id, "Matter 7", "ada")

    waiting = await office.house.start()
    await office.house.open_task(waiting, "approval")
    protected, erased = await office.ended(), await office.ended()
    await held(protected.id)
    async with office.house.database.write() as conn:
        await erase_case(conn, erased.id, by="pia", reason=REASON, request=None)
    for id, said in {
        waiting.id: "has not ended",
        protected.id: "legal hold",
        erased.id: "already erased",
        "errand:nobody": "There is no such case",
    }.items():
        result = await office.house.end(await office.ask(id))
        assert result.status is Status.FAILED and said in result.reason, (id, result.reason)
    await office.house.decide(waiting, "mia", Verdict.REJECT, comment="no")


@pytest.mark.parametrize("happens", ["a legal hold", "it is erased by another request"])
async def test_what_happens_while_people_decide_ends_the_request_and_is_no_incident(
    office: Office, happens: str
) -> None:
    subject = await office.ended()
    asked = await office.ask(subject.id)
    await office.house.open_task(asked, "erasure-approval")
    if happens == "a legal hold":
        async with office.house.database.write() as conn:
            await legal_holds.place(conn, "case", subject.id, "Matter 7", "ada")
    else:
        assert (await office.approve(await office.ask(subject.id))).status is Status.COMPLETED
    result = await office.approve(asked)
    assert result.status is Status.FAILED
    assert ("legal hold" if happens == "a legal hold" else "already erased") in result.reason
    async with office.house.database.read() as conn:
        assert (await idempotency.count(conn, asked.id)) == {}


async def test_only_who_operates_the_process_may_erase_a_case_also_by_another_way(office: Office) -> None:
    subject = await office.ended()
    request = ErasureRequest(kind="case", id=subject.id, reason=REASON)
    asked = await office.house.start(request, process="erasure", policy=SHIPPED, requester="mia")
    result = await office.house.end(asked)
    assert result.status is Status.FAILED and "There is no such case" in result.reason

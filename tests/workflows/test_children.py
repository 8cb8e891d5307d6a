"""A case that starts a child case: it continues when the child is completed, and is rolled back otherwise."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from domain.case import CaseResult
from domain.ids import child_reference
from domain.status import Status, Verdict
from domain.step import ChildRequest, StepCall
from store.cases import cases, tasks
from store.cases.cases import CaseRow
from store.tables import cases as cases_tables
from tests.support.engine_fixture import Handle, House, open_house

POLICY = "[asking]\n"


async def asked(house: House) -> tuple[Handle, Handle]:
    """A case, and the one that it has asked for and waits for."""
    case = await house.start(process="asking", policy=POLICY)
    row = await child_of(house, case)
    return case, house.env.client.get_workflow_handle(row.case_id, result_type=CaseResult)


async def child_of(house: House, case: Handle) -> CaseRow:
    async with asyncio.timeout(60):
        while True:
            async with house.database.read() as connection:
                found = await cases.children_of(connection, case.id)
            # The row comes first, and then the Workflow, which messages need.
            if found and found[0].status is not Status.STARTING:
                return found[0]
            await asyncio.sleep(0.05)


async def test_the_case_goes_on_when_the_one_it_asked_for_is_completed(house: House) -> None:
    case, child = await asked(house)
    row = await house.row(child)
    assert (row.process, row.requester, row.parent) == ("approval", "rita", case.id)
    assert next(iter((await house.state(case)).rollback_plan)).summary == "Withdraw the second opinion request"
    await house.decide(child, "mia")
    result = await house.end(case)
    assert result.status is Status.COMPLETED and house.effects(case) == ["fetch", "send"]
    assert "child_ended" in await house.recorded(case)
    # What the other case completed is its own: this one's plan has nothing of it.
    assert [undo.undo for undo in (await house.row(case)).plan] == ["bring_back", "recall"]


@pytest.mark.undoes("withdraw_case")
async def test_the_case_ends_as_the_one_it_asked_for_and_undoes_what_it_did(house: House) -> None:
    case, child = await asked(house)
    await house.decide(child, "mia", Verdict.REJECT, comment="not this one")
    result = await house.end(case)
    assert result.status is Status.REJECTED
    assert result.reason == "Second opinion: rejected. Rejected by mia at approval: not this one"
    assert house.effects(case) == ["fetch", "bring_back"] and result.undone == ["Bring back a parcel"]


@pytest.mark.undoes("withdraw_case")
async def test_a_case_that_is_cancelled_withdraws_the_one_it_asked_for(house: House) -> None:
    case, child = await asked(house)
    await house.open_task(child)
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    ended = await house.end(child)
    assert ended.status is Status.CANCELLED and case.id in ended.reason
    assert house.effects(case) == ["fetch", "bring_back"]


async def two_asked(house: House, case: Handle) -> tuple[Handle, Handle]:
    """The two cases that a case has asked for side by side, as soon as people are asked in both."""
    async with asyncio.timeout(60):
        while True:
            async with house.database.read() as connection:
                found = await cases.children_of(connection, case.id)
            if len(found) == 2 and all(row.status is Status.AWAITING_APPROVAL for row in found):
                break
            await asyncio.sleep(0.05)
    # The first that was asked for comes first, whichever was stored first.
    first, second = sorted((row.case_id for row in found), key=lambda case_id: (len(case_id), case_id))
    return tuple(house.env.client.get_workflow_handle(each, result_type=CaseResult) for each in (first, second))  # type: ignore[return-value]


@pytest.mark.undoes("withdraw_case")
@pytest.mark.parametrize("rejected", [0, 1])
async def test_of_two_side_by_side_the_other_is_withdrawn_when_one_is_rejected(house: House, rejected: int) -> None:
    case = await house.start(process="siblings", policy="[siblings]\n")
    asked = await two_asked(house, case)
    await house.decide(asked[rejected], "mia", Verdict.REJECT, comment="no")
    assert (await house.end(case)).status is Status.REJECTED
    other = await house.end(asked[1 - rejected])
    assert other.status is Status.CANCELLED and case.id in other.reason
    async with house.database.read() as connection:
        assert await tasks.open_of(connection, [asked[1 - rejected].id]) == {}, "nobody has it in the inbox"


@pytest.mark.undoes("withdraw_case")
@pytest.mark.parametrize("completed", [0, 1])
async def test_of_two_side_by_side_one_that_is_completed_stays_and_the_other_is_withdrawn(
    house: House, completed: int
) -> None:
    case = await house.start(process="siblings", policy="[siblings]\n")
    asked = await two_asked(house, case)
    await house.decide(asked[completed], "mia")
    assert (await house.end(asked[completed])).status is Status.COMPLETED
    await house.until(case, lambda state: any(event.kind == "child_ended" for event in state.timeline))
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    assert (await house.end(asked[1 - completed])).status is Status.CANCELLED
    assert (await house.row(asked[completed])).status is Status.COMPLETED


async def test_two_side_by_side_that_are_completed_leave_nothing_to_be_withdrawn(house: House) -> None:
    case = await house.start(process="siblings", policy="[siblings]\n")
    for child in await two_asked(house, case):
        await house.decide(child, "mia")
    assert (await house.end(case)).status is Status.COMPLETED
    assert sorted(house.effects(case)) == ["fetch", "pack", "send"]
    assert [undo.undo for undo in (await house.row(case)).plan] == ["bring_back", "unpack", "recall"]


@pytest.mark.undoes("withdraw_case")
async def test_a_step_beside_a_rejected_case_has_ended_before_anything_is_undone(house: House) -> None:
    def slow(case_id: str) -> None:
        house.receiver.slow.add((case_id, "pack"))

    case = await house.start(process="siblings", policy="[siblings]\n", before=slow)
    asked = await two_asked(house, case)
    await house.decide(asked[0], "mia", Verdict.REJECT, comment="no")
    assert (await house.end(case)).status is Status.REJECTED
    assert house.effects(case) == ["fetch", "bring_back"], "the errand under way was stopped first"
    assert (await house.end(asked[1])).status is Status.CANCELLED


async def test_an_end_that_could_not_be_told_is_found_when_the_case_looks(tmp_path: Path) -> None:
    # In an engine fixture of its own: the audit check would find the end that is stored here.
    async with open_house(tmp_path) as house:
        case, child = await asked(house)
        await house.open_task(child)
        await child.terminate("away")
        result = CaseResult(case_id=child.id, status=Status.COMPLETED, reason="said by hand")
        async with house.database.write() as connection:
            ended = {"status": Status.COMPLETED, "result": result.model_dump(mode="json")}
            await connection.execute(
                update(cases_tables.cases).where(cases_tables.cases.c.case_id == child.id).values(ended)
            )
        await house.forward(case, timedelta(minutes=2))
        assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.undoes("withdraw_case")
async def test_a_key_that_an_undo_occupied_starts_no_case(house: House) -> None:
    wanted = ChildRequest(kind="question", process="approval", reference="never", input={"title": "x"})
    call = StepCall[ChildRequest](
        case_id="asking:none", reference="none", requester="rita", policy_hash="", key="asking:none/ask", input=wanted
    )
    undo = call.model_copy(update={"key": f"{call.key}/undo", "undoes": call.key})
    assert await house.children().withdraw(undo) is False
    assert await house.children().withdraw(undo) is False
    with pytest.raises(Exception, match="undone before it was done"):
        await house.children().ask(call)
    async with house.database.read() as connection:
        assert await cases.children_of(connection, "asking:none") == []


async def test_a_key_starts_one_case_however_often_it_comes(house: House) -> None:
    wanted = ChildRequest(kind="question", process="approval", reference="once", input={"title": "x"})
    call = StepCall[ChildRequest](
        case_id="asking:one", reference="one", requester="rita", policy_hash="", key="asking:one/ask", input=wanted
    )
    found = {await house.children().ask(call) for _ in range(3)}
    assert found == {"approval:once"}
    async with house.database.read() as connection:
        assert len(await cases.children_of(connection, "asking:one")) == 1


def test_the_reference_of_a_child_is_bounded_and_tells_rounds_apart() -> None:
    assert child_reference("deployment", "Rel 7", 1) == "deployment Rel 7"
    assert child_reference("deployment", "Rel 7", 2) == "deployment Rel 7 (2)"
    every = [child_reference("deployment", "Rel 7", number, round_) for number in (1, 2, 3) for round_ in (1, 2, 3)]
    assert len(set(every)) == 9, "the second case of round 1 is not the first of round 2"
    long = {child_reference("deployment", "x" * 119, number) for number in (1, 2, 3)}
    assert len(long) == 3 and all(len(each) <= 120 for each in long)

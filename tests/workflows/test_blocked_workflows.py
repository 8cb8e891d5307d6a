"""Every blocked Workflow, by a defect or an older state of Temporal, becomes an incident that operators can resolve."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from api.gateway.confirmations import Confirmations
from api.gateway.gateway import Gateway
from api.gateway.requests import DecisionRequest
from cases.reconcile.blocked_workflows import BlockedWorkflows
from cases.rollback import Rollbacks
from cases.settle_blocked import Settlement
from core.settings import Settings
from domain.case import CaseResult
from domain.scope import EVERYWHERE
from domain.status import Status
from domain.task import TaskView
from plugins.testing.server import time_skipping_server
from plugins.testing.signatures import TEST_KEY
from policy.file import PolicyFile
from store.cases import blocked, cases, incidents, tasks
from store.cases.blocked import BlockedWorkflow
from store.people import people
from tests.support.defective_process import DefectiveErrand, DefectiveLocalErrand, ReorderedErrand
from tests.support.engine_fixture import ONE_GATE, Handle, House, open_house
from tests.support.installed_app import ROOT, free_port
from tests.support.sample_processes import ErrandProcess
from workflows.registry import INPUTS

SOON = 30
"""Seconds within which operators must hear of it."""


@pytest_asyncio.fixture(scope="module")
async def plant(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house whose worker treats defects as in production: the task is tried again."""
    async with open_house(tmp_path_factory.mktemp("plant"), defects_fail=False) as house:
        yield house


async def deployed(house: House, errand: type) -> None:
    """Another release of the worker."""
    await house.stop_worker()
    house.code["errand"] = errand
    await house.start_worker()


def finder(house: House) -> BlockedWorkflows:
    return BlockedWorkflows(house.database, house.env.client, house.defects.suspects, processes=["errand"])


async def started(house: House) -> Handle:
    """Return a case that is stored as running, as the starter of cases does it."""
    case = await house.start()
    async with house.database.write() as conn:
        await cases.mark_running(conn, [case.id], Status.RUNNING)
    return case


async def standing(house: House, case: Handle) -> BlockedWorkflow | None:
    async with house.database.read() as conn:
        return next((each for each in await blocked.all(conn) if each.case_id == case.id), None)


async def found(house: House, finds: BlockedWorkflows, case: Handle) -> TaskView:
    """Run the job of the worker until the case is known as blocked, and return the task for operators."""
    async with asyncio.timeout(SOON):
        while (one := await standing(house, case)) is None:
            with house.env.with_time_skipping_disabled():
                await finds.look()
            await asyncio.sleep(0.3)
    async with house.database.read() as conn:
        task = await tasks.get(conn, one.task_id or "")
    assert task is not None and task.status == "open" and task.candidate_groups == ["operators"]
    return task


async def gone(house: House, finds: BlockedWorkflows, case: Handle) -> None:
    async with asyncio.timeout(60):
        while await standing(house, case) is not None:
            await finds.look()
            await asyncio.sleep(0.3)


async def settle(house: House, task: TaskView, verdict: str, comment: str = "") -> None:
    """As the API, the page and the command line do."""
    rollbacks = Rollbacks(house.database, house.env.client, house.starter())
    settlement = Settlement(house.database, house.env.client, rollbacks, TEST_KEY)
    policy = PolicyFile(ROOT / "config" / "policy.toml", INPUTS)
    confirmations = Confirmations(house.database, house.env.client.namespace, Settings())
    gateway = Gateway(house.env.client, house.database, "http://ui", settlement, policy, confirmations)
    async with house.database.read() as conn:
        olga = await people.active(conn, "olga")
    assert olga is not None
    answer = DecisionRequest(verdict=verdict, comment=comment, revision=task.revision)
    with house.env.with_time_skipping_disabled():
        assert (await gateway.decide(olga, task, answer, "once")).accepted
        assert (await gateway.decide(olga, task, answer, "once")).accepted


async def ended(house: House, case: Handle) -> CaseResult:
    row = await house.row(case)
    handle: Handle = house.env.client.get_workflow_handle(row.conductor, result_type=CaseResult)
    return await house.end(handle)


async def test_a_defect_of_a_process_is_an_incident_until_the_code_is_corrected(plant: House) -> None:
    await deployed(plant, DefectiveErrand)
    case, finds = await started(plant), finder(plant)
    task = await found(plant, finds, case)
    assert "KeyError" in task.facts["error"] and "Correct the code" in task.summary
    assert (await plant.row(case)).status is Status.NEEDS_INTERVENTION
    async with plant.database.read() as conn:
        (group,) = [each for each in await incidents.groups(conn, EVERYWHERE) if task.task_id in each.task_ids]
    assert group.step == "case" and "KeyError" in group.cause and group.verdicts == ["roll_back", "done_by_hand"]
    await deployed(plant, ErrandProcess)
    await gone(plant, finds, case)
    assert (await plant.row(case)).status is not Status.NEEDS_INTERVENTION
    await plant.decide(case)
    assert (await plant.end(case)).status is Status.COMPLETED
    kinds = await plant.recorded(case)
    assert "intervention_opened" in kinds and "case_goes_on" in kinds
    assert await plant.audit_problems() == []


@pytest.mark.parametrize("code", [DefectiveErrand, DefectiveLocalErrand], ids=["ordinary", "local"])
async def test_a_case_with_a_defect_is_undone_with_steps_that_only_temporal_or_only_sql_knows(
    plant: House, code: type
) -> None:
    await deployed(plant, code)
    case, finds = await started(plant), finder(plant)
    task = await found(plant, finds, case)
    assert [undo.undo for undo in (await plant.row(case)).plan] == ["bring_back"]
    await settle(plant, task, "roll_back")
    result = await ended(plant, case)
    assert result.status is Status.FAILED and "olga" in result.reason
    assert plant.effects(case) == ["fetch", "bring_back"]
    assert await finds.look() == 0 and await standing(plant, case) is None
    assert await plant.audit_problems() == []


async def test_code_that_does_not_fit_the_history_is_an_incident_that_is_settled_by_hand(plant: House) -> None:
    await deployed(plant, ErrandProcess)
    case = await started(plant)
    task = await plant.open_task(case)
    await deployed(plant, ReorderedErrand)
    await case.signal("submit_decision", plant.decision(task))
    task = await found(plant, finder(plant), case)
    await settle(plant, task, "done_by_hand", "the courier has it")
    assert "the courier has it" in (await ended(plant, case)).reason
    assert plant.effects(case) == ["fetch", "pack"]
    await deployed(plant, ErrandProcess)


async def test_a_case_whose_local_step_takes_long_after_a_decision_is_not_blocked(plant: House) -> None:
    """Temporal stores the decision and the events of the case only when the step has ended."""
    case = await plant.start(
        process="local",
        policy=ONE_GATE.replace("errand", "local"),
        before=lambda case_id: plant.receiver.slow.add((case_id, "send")),
    )
    task = await plant.open_task(case)
    finds = BlockedWorkflows(plant.database, plant.env.client, plant.defects.suspects, processes=["local"])
    decided = asyncio.create_task(plant.send(case, plant.decision(task)))
    async with asyncio.timeout(20):
        while "send" not in plant.receiver.tried[case.id]:
            await asyncio.sleep(0.02)
    for _ in range(3):
        with plant.env.with_time_skipping_disabled():
            await finds.look()
    assert await standing(plant, case) is None
    plant.receiver.released.set()
    await decided
    assert (await plant.end(case)).status is Status.COMPLETED
    plant.receiver.released.clear()
    plant.receiver.slow.clear()


# ----------------------------------------------------------------------------------------- an older state of Temporal


class Restorable:
    """A house whose Temporal server can be stopped and put back to an older state."""

    def __init__(self, folder: Path) -> None:
        self.port, self.file = free_port(), folder / "temporal.db"
        self.kept = folder / "kept.db"

    async def server(self) -> WorkflowEnvironment:
        return await time_skipping_server(port=self.port, dev_server_database_filename=str(self.file))

    async def keep(self, env: WorkflowEnvironment) -> WorkflowEnvironment:
        """Copy the state while the server is stopped."""
        await env.shutdown()
        shutil.copy(self.file, self.kept)
        return await self.server()

    async def restore(self, env: WorkflowEnvironment) -> WorkflowEnvironment:
        """Put the older state in the place of the newer one."""
        await env.shutdown()
        for leftover in self.file.parent.glob("temporal.db-*"):
            leftover.unlink()
        shutil.copy(self.kept, self.file)
        return await self.server()


BEHIND = ("retry", "roll_back", "by_hand", "nudged")
TWO_GATES = ONE_GATE.replace('when = "false"\n', "")


async def test_cases_that_a_restored_temporal_knows_less_of_are_found_and_settled(tmp_path: Path) -> None:
    place = Restorable(tmp_path)
    async with open_house(tmp_path, server=await place.server()) as house:
        cases_of = {name: await house.start(policy=TWO_GATES) for name in (*BEHIND, "same")}
        for case in cases_of.values():
            await house.open_task(case, "approval")
        await house.stop_worker()
        second = await place.keep(house.env)
        await house.start_worker()
        for name in BEHIND:
            await house.decide(cases_of[name], "mia")
            await house.open_task(cases_of[name], "second")
        new = {name: await house.start(policy=TWO_GATES) for name in ("lost", "lost too")}
        for case in new.values():
            await house.open_task(case, "approval")
        async with house.database.write() as conn:
            await cases.mark_running(conn, [each.id for each in (*cases_of.values(), *new.values())], Status.RUNNING)
        await house.stop_worker()
        third = await place.restore(second)
        await house.start_worker()

        # One of the cases gets an event before the job runs: its history is now newer than the database.
        await cases_of["nudged"].signal("cancel_case", "not a message")
        await house.until(cases_of["nudged"], lambda state: state.timeline[-1].kind == "message_refused")

        finds = finder(house)
        seen = {name: await found(house, finds, case) for name, case in {**cases_of, **new}.items() if name != "same"}
        assert await standing(house, cases_of["same"]) is None
        assert {seen[name].facts["stopped"] for name in new} == {"unknown"}
        assert {seen[name].facts["stopped"] for name in cases_of if name != "same"} == {"behind"}

        await settle(house, seen["retry"], "retry")
        await gone(house, finds, cases_of["retry"])
        asked = await house.open_task(cases_of["retry"])
        async with house.database.read() as conn:
            stored = [each.gate for each in await tasks.of_case(conn, asked.case_id) if each.status == "open"]
        assert asked.gate == "approval" and stored == ["approval"], "the inbox asks what the case asks"
        await house.decide(cases_of["retry"], "mia")
        await house.decide(cases_of["retry"], "dan")
        assert (await house.end(cases_of["retry"])).status is Status.COMPLETED
        assert house.effects(cases_of["retry"]) == ["fetch", "pack", "send"], "nothing was done twice"

        await settle(house, seen["roll_back"], "roll_back")
        assert (await ended(house, cases_of["roll_back"])).status is Status.FAILED
        assert house.effects(cases_of["roll_back"]) == ["fetch", "pack", "unpack", "bring_back"]
        await settle(house, seen["by_hand"], "done_by_hand", "settled by phone")
        assert "settled by phone" in (await ended(house, cases_of["by_hand"])).reason

        await settle(house, seen["lost"], "roll_back")
        assert (await ended(house, new["lost"])).status is Status.FAILED
        assert house.effects(new["lost"]) == ["fetch", "pack", "unpack", "bring_back"]
        await settle(house, seen["lost too"], "done_by_hand", "nothing was sent")
        assert (await ended(house, new["lost too"])).status is Status.FAILED

        await house.decide(cases_of["same"], "mia")
        assert (await house.open_task(cases_of["same"])).gate == "second"
        assert await house.audit_problems() == []
        await house.stop_worker()
        await third.shutdown()

"""Decisions that people must confirm: the Workflow refuses weaker confirmations, by Updates and by Signals."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from domain.confirmation import Confirm, Confirmation
from domain.ids import task_id_for
from domain.messages import Act, Action, Actor, Decision
from domain.ruling import GateRuling
from domain.status import Status, Verdict
from store.audit import audit_log
from store.audit.audit_log import StoredEvent
from store.audit.verification import verify_case
from store.cases import tasks
from tests.support.authenticator import Authenticator
from tests.support.confirmations import confirmed, passkey_of
from tests.support.engine_fixture import ONE_GATE, Handle, House
from tests.support.sample_processes import ErrandProcess
from workflows.sandbox import workflow_runner

VERDICTS = [Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.ABSTAIN]


def asking(confirm: str, gate: str = "approval") -> str:
    """The policy of ONE_GATE in which decisions at a gate must be confirmed."""
    if gate == "approval":
        return ONE_GATE.replace('groups = ["managers"]', f'groups = ["managers"]\nconfirm = "{confirm}"', 1)
    return f'{ONE_GATE}[errand.gates.{gate}]\ngroups = ["operators", "directors"]\nconfirm = "{confirm}"\n'


@pytest_asyncio.fixture(scope="module")
async def device(opened: House) -> Authenticator:
    """The device of mia, whose passkey the audit log knows."""
    async with opened.database.write() as conn:
        return await passkey_of(conn, "mia", datetime.now(UTC))


def by_password(decision: Decision) -> Decision:
    """The decision as the gateway sends it after it has checked the password."""
    return decision.model_copy(update={"confirmation": Confirmation(method=Confirm.PASSWORD, name="Mia Manager")})


def by(method: Confirm, device: Authenticator, case: Handle, decision: Decision) -> Decision:
    """The decision as the gateway sends it after a person has confirmed it in this way."""
    match method:
        case Confirm.PASSWORD:
            return by_password(decision)
        case Confirm.PASSKEY:
            return confirmed(device, decision, case.id)
    return decision


async def refusal(house: House, case: Handle, decision: Decision) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await house.send(case, decision)
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def events(house: House, case: Handle, kind: str) -> list[StoredEvent]:
    async with house.database.read() as conn:
        found = await audit_log.page(conn, case_id=case.id, limit=1000)
    return [event for event in found if event.kind == kind]


@pytest.mark.parametrize(
    ("asked", "given"),
    [(asked, given) for asked in Confirm for given in Confirm if not asked.met_by(given)],
    ids=lambda way: str(way),
)
async def test_no_door_takes_a_weaker_confirmation(
    house: House, device: Authenticator, asked: Confirm, given: Confirm
) -> None:
    case = await house.start(policy=asking(asked))
    task = await house.open_task(case)
    assert task.confirm is asked
    for verdict in VERDICTS:
        weak = house.decision(task, verdict=verdict, comment="because")
        no = await refusal(house, case, by(given, device, case, weak))
        assert (no.type, no.details[0]) == ("ConfirmNeeded", {"method": asked.value})
        await case.signal("submit_decision", by(given, device, case, weak.model_copy(update={"id": uuid4().hex})))
    state = await house.until(case, lambda s: [e.kind for e in s.timeline].count("decision_refused") == len(VERDICTS))
    assert (state.tasks[0].decisions, state.tasks[0].revision) == ([], task.revision)
    await house.send(case, by(asked, device, case, house.decision(task)))
    assert (await house.end(case)).status is Status.COMPLETED
    refused = await events(house, case, "decision_refused")
    assert {(event.actor, event.data["code"]) for event in refused} == {("temporal", "ConfirmNeeded")}


@pytest.mark.parametrize("given", list(Confirm), ids=str)
async def test_a_confirmed_decision_is_recorded_with_name_time_and_method(
    house: House, device: Authenticator, given: Confirm
) -> None:
    case = await house.start()
    decision = by(given, device, case, house.decision(await house.open_task(case)))
    await house.send(case, decision)
    assert (await house.end(case)).status is Status.COMPLETED
    (event,) = await events(house, case, "decided")
    confirmed = {"method": given.value, "name": "Mia Manager", "at": decision.at.isoformat()}
    assert event.data.get("confirmed") == (None if given is Confirm.NONE else confirmed)
    async with house.database.read() as conn:
        task = await tasks.get(conn, decision.task_id)
        assert (await verify_case(conn, case.id)).problems == []
    assert task is not None
    (view,) = task.decisions
    assert (view.confirmed, view.name) == (given, "" if given is Confirm.NONE else "Mia Manager")
    assert (await house.state(case)).tasks[0].decisions[0] == view


async def test_a_decision_that_comes_before_its_task_needs_the_confirmation(house: House) -> None:
    case = await house.start(
        policy=asking("password"), before=lambda case_id: house.receiver.slow.add((case_id, "fetch"))
    )
    about: dict[str, Any] = {
        "task_id": task_id_for(case.id, "approval", 1),
        "verdict": Verdict.APPROVE,
        "by": Actor(id="mia", groups=["managers"]),
        "revision": 1,
        "at": datetime.now(UTC),
    }
    try:
        await case.signal("submit_decision", Decision(id="early", **about))
        house.receiver.released.set()
        await house.until(case, lambda s: any(event.kind == "decision_refused" for event in s.timeline))
        assert (await house.open_task(case)).decisions == []
        await case.signal("submit_decision", by_password(Decision(id="later", **about)))
        assert (await house.end(case)).status is Status.COMPLETED
    finally:
        house.receiver.released.clear()


async def test_a_history_with_refused_and_confirmed_decisions_replays(house: House) -> None:
    case = await house.start(policy=asking("password"))
    task = await house.open_task(case)
    await case.signal("submit_decision", house.decision(task))
    await house.until(case, lambda s: any(event.kind == "decision_refused" for event in s.timeline))
    await case.signal("submit_decision", by_password(house.decision(task)))
    assert (await house.end(case)).status is Status.COMPLETED
    replayer = Replayer(
        workflows=[ErrandProcess],
        data_converter=house.env.client.data_converter,
        workflow_runner=workflow_runner(),
        namespace="default",
    )
    await replayer.replay_workflow(await case.fetch_history())


async def test_other_rules_of_an_open_gate_ask_for_their_own_confirmation(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    rules = Action(
        id=uuid4().hex,
        task_id=task.task_id,
        act=Act.NEW_RULES,
        by=Actor(id="ada", groups=["admins"]),
        ruling=GateRuling(needed=True, rule="always", groups=["managers"], confirm=Confirm.PASSKEY),
        policy_hash="h",
        revision=task.revision,
        at=datetime.now(UTC),
    )
    await case.execute_update("act", rules, id=rules.id)
    now = await house.open_task(case)
    assert now.confirm is Confirm.PASSKEY
    async with house.database.read() as conn:
        stored = await tasks.get(conn, task.task_id)
    assert stored is not None and stored.confirm is Confirm.PASSKEY
    (changed,) = await events(house, case, "rules_changed")
    assert "confirm: none became passkey" in changed.data["changed"]
    assert (await refusal(house, case, house.decision(now))).type == "ConfirmNeeded"
    await house.cancel(case)
    await house.end(case)


async def test_operators_confirm_where_the_policy_says_so(house: House) -> None:
    broken = ("pack",)
    case = await house.start(
        policy=asking("password", "intervention"), before=lambda id: house.receiver.broken.add((id, *broken))
    )
    await house.forward(case, timedelta(minutes=5))
    task = await house.open_task(case, "intervention")
    assert (await refusal(house, case, house.decision(task, "olga", Verdict.ROLL_BACK))).type == "ConfirmNeeded"
    await house.send(case, by_password(house.decision(task, "olga", Verdict.ROLL_BACK)))
    assert (await house.end(case)).status is Status.FAILED


async def test_a_rollback_is_approved_with_a_confirmation_where_the_policy_says_so(house: House) -> None:
    policy = asking("password", "rollback")
    case = await house.start(policy=policy)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    rollback = await house.roll_back(case, policy=policy)
    task = await house.open_task(rollback)
    assert (await refusal(house, rollback, house.decision(task, "dan"))).type == "ConfirmNeeded"
    await house.send(rollback, by_password(house.decision(task, "dan")))
    assert (await house.end(rollback)).status is Status.ROLLED_BACK

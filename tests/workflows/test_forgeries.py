"""Messages that no gateway has signed: none takes effect, each is in the audit log, and the worker goes on."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel
from sqlalchemy import update
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from activities.engine.child_cases import ChildCases
from activities.engine.foreign_activities import LOCAL_ONLY
from activities.engine.records import Records
from activities.engine.signatures import Signatures
from core.signed_client import signed
from domain.case import CaseEvent, CaseResult
from domain.messages import Absent, Act, Action, Actor, Cancellation, Decision, Resynchronise, Signed, StartNow
from domain.names import TASK_QUEUE
from domain.proof.keys import Fault, KeyRegistry, Role, SigningKey, TrustedKey
from domain.records import CaseRecord
from domain.refusals import RefusalCode
from domain.status import Status, Verdict
from domain.step import StepCall
from domain.task import TaskView
from plugins.activities import activity_names
from plugins.testing import signatures
from plugins.testing.signatures import TEST_KEY, trust_test_key
from store.audit import audit_log
from store.audit.audit_log import StoredEvent
from store.audit.verification import verify_case
from store.cases import cases, tasks
from store.tables.cases import proofs
from tests.support.engine_fixture import ONE_GATE, Handle, House
from tests.support.sample_processes import ErrandProcess
from tests.support.signatures import unsigned
from tests.support.temporal import TEMPORAL
from workflows.engine.signatures import verify_updates_with
from workflows.sandbox import workflow_runner

NOW = datetime.now(UTC)
STRANGE, OLD, RETIRED, REVOKED, WORKER = (SigningKey.generate() for _ in range(5))


def trusted(key: SigningKey, role: Role = Role.GATEWAY, **more: Any) -> TrustedKey:
    return key.trusted(role, NOW - timedelta(days=100)).model_copy(update=more)


KEYS = KeyRegistry(
    [
        trusted(TEST_KEY),
        trusted(OLD, not_before=NOW + timedelta(days=1)),
        trusted(RETIRED, retired_at=NOW - timedelta(days=1)),
        trusted(REVOKED, revoked_at=NOW + timedelta(days=1)),
        trusted(WORKER, Role.WORKER),
    ]
)

Forge = Callable[[Decision, str], Signed]


def by(key: SigningKey) -> Forge:
    return lambda decision, case_id: signed(decision, key, "default", case_id)


def after_signing(**changed: Any) -> Forge:
    """What somebody does who has seen a signed decision: change a field, and keep the signature."""
    return lambda decision, case_id: signed(decision, TEST_KEY, "default", case_id).model_copy(update=changed)


def signed_otherwise(**signed_as: Any) -> Forge:
    """The same for fields that the Workflow needs as they are: what was signed had another value."""

    def forge(decision: Decision, case_id: str) -> Signed:
        other = signed(decision.model_copy(update=signed_as), TEST_KEY, "default", case_id)
        return decision.model_copy(update={"proof": other.proof})

    return forge


MANAGER = {"id": "mia", "groups": ["managers"]}
FORGERIES: dict[str, tuple[Forge, Fault]] = {
    "unsigned": (lambda decision, _: decision, Fault.UNSIGNED),
    "malformed": (after_signing(proof="v1.yes"), Fault.MALFORMED),
    "made-up signature": (after_signing(proof=f"v1.{TEST_KEY.key_id}.{'A' * 86}"), Fault.WRONG_SIGNATURE),
    "short signature": (after_signing(proof=f"v1.{TEST_KEY.key_id}.AAAA"), Fault.WRONG_SIGNATURE),
    "unknown key": (by(STRANGE), Fault.UNKNOWN_KEY),
    "key that is not valid yet": (by(OLD), Fault.TOO_EARLY),
    "retired key": (by(RETIRED), Fault.RETIRED),
    "revoked key": (by(REVOKED), Fault.REVOKED),
    "key of a worker": (by(WORKER), Fault.WRONG_ROLE),
    "another Workflow": (lambda decision, _: signed(decision, TEST_KEY, "default", "errand:x"), Fault.WRONG_SIGNATURE),
    "another namespace": (lambda decision, id: signed(decision, TEST_KEY, "finance", id), Fault.WRONG_SIGNATURE),
    "another task": (signed_otherwise(task_id="another"), Fault.WRONG_SIGNATURE),
    "another id": (signed_otherwise(id="another"), Fault.WRONG_SIGNATURE),
    "another person": (signed_otherwise(by=Actor(id="max", groups=["managers"])), Fault.WRONG_SIGNATURE),
    "more groups": (signed_otherwise(by=Actor(id="mia", groups=["requesters"])), Fault.WRONG_SIGNATURE),
    "a person who is away": (
        after_signing(by=Actor(**MANAGER, stands_in_for=[Absent(id="max", groups=["managers"])])),
        Fault.WRONG_SIGNATURE,
    ),
    "another comment": (after_signing(comment="pay twice"), Fault.WRONG_SIGNATURE),
    "other edits": (after_signing(edits={"note": "x"}), Fault.WRONG_SIGNATURE),
    "edits without a canonical form": (after_signing(edits={"note": 2**60}), Fault.WRONG_SIGNATURE),
    "another verdict": (signed_otherwise(verdict=Verdict.REJECT), Fault.WRONG_SIGNATURE),
    "another revision": (signed_otherwise(revision=99), Fault.WRONG_SIGNATURE),
    "something else that was shown": (after_signing(shown="x"), Fault.WRONG_SIGNATURE),
    "another way": (after_signing(via="page"), Fault.WRONG_SIGNATURE),
    "another time": (after_signing(at=NOW + timedelta(seconds=1)), Fault.WRONG_SIGNATURE),
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers believe these keys, and after a test only the key of tests again."""
    monkeypatch.setattr(signatures, "TEST_KEYS", KEYS)
    yield
    trust_test_key()


async def waiting(house: House) -> tuple[Handle, Handle, TaskView]:
    """A case that waits for a decision: its handle, its handle without signatures, and its task."""
    case = await house.start()
    task = await house.open_task(case)
    return case, unsigned(house.env.client).get_workflow_handle(case.id, result_type=CaseResult), task


async def refused(house: House, case: Handle, number: int) -> list[StoredEvent]:
    """The refused messages of the case in the audit log, as soon as there are so many."""
    async with asyncio.timeout(30):
        while True:
            await house.refusals.finish()
            async with house.database.read() as conn:
                events = await audit_log.page(conn, case_id=case.id, limit=1000)
            if len(found := [event for event in events if event.kind == "message_refused"]) >= number:
                return found
            await asyncio.sleep(0.05)


def faults(events: list[StoredEvent]) -> list[str]:
    return [event.data["reason"].partition(": ")[2].rstrip(".") for event in events]


async def untouched(house: House, case: Handle, task: TaskView, decisions: list[Signed]) -> None:
    """No forged decision counts or is stored, and the case can be decided."""
    now = await house.open_task(case)
    assert (now.task_id, now.decisions, now.revision) == (task.task_id, [], task.revision)
    async with house.database.read() as conn:
        assert [await tasks.decision(conn, each.id) for each in decisions] == [None for _ in decisions]
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert await house.audit_problems() == []


async def test_no_forged_update_decides(house: House) -> None:
    case, forger, task = await waiting(house)
    sent = []
    for forge, fault in FORGERIES.values():
        sent.append(forge(house.decision(task), case.id))
        with pytest.raises(WorkflowUpdateFailedError) as no:
            await forger.execute_update("decide", sent[-1], id=sent[-1].id)
        assert isinstance(no.value.cause, ApplicationError) and no.value.cause.type == "Unsigned"
        assert no.value.cause.details[0]["fault"] == fault
    events = await refused(house, case, len(FORGERIES))
    assert faults(events) == [fault.meaning for _, fault in FORGERIES.values()]
    assert {(event.actor, event.data["via"], event.data["code"]) for event in events} == {
        ("temporal", "temporal", "Unsigned")
    }
    assert {event.data["claimed"] for event in events} == {"mia"}
    await untouched(house, case, task, sent)


async def test_no_forged_signal_decides(house: House) -> None:
    case, forger, task = await waiting(house)
    sent = [forge(house.decision(task), case.id) for forge, _ in FORGERIES.values()]
    for each in sent:
        await forger.signal("submit_decision", each)
    events = await refused(house, case, len(FORGERIES))
    assert faults(events) == [fault.meaning for _, fault in FORGERIES.values()]
    assert {(event.actor, event.data["via"], event.data["claimed"]) for event in events} == {
        ("temporal", "temporal", "mia")
    }
    await untouched(house, case, task, sent)


async def test_an_old_update_is_refused_and_an_old_signal_counts(house: House) -> None:
    case, forger, task = await waiting(house)
    old = signed(house.decision(task).model_copy(update={"at": NOW - timedelta(hours=1)}), TEST_KEY, "default", case.id)
    with pytest.raises(WorkflowUpdateFailedError) as no:
        await forger.execute_update("decide", old, id=old.id)
    assert isinstance(no.value.cause, ApplicationError) and no.value.cause.details[0]["fault"] == Fault.STALE
    await forger.signal("submit_decision", old)
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_history_with_signals_replays_with_any_registry(house: House) -> None:
    case, forger, task = await waiting(house)
    await forger.signal("submit_decision", signed(house.decision(task), SigningKey.generate(), "default", case.id))
    await refused(house, case, 1)
    await case.signal("submit_decision", house.decision(task))
    assert (await house.end(case)).status is Status.COMPLETED
    history = await case.fetch_history()
    verified = [each for each in history.events if each.HasField("marker_recorded_event_attributes")]
    assert len(verified) >= 2
    for keys in (KEYS, KeyRegistry(), KeyRegistry([trusted(TEST_KEY, revoked_at=NOW)])):
        verify_updates_with(Signatures(lambda: keys, lambda: NOW))  # noqa: B023
        for namespace in ("default", "ReplayNamespace"):
            replayer = Replayer(
                workflows=[ErrandProcess],
                data_converter=house.env.client.data_converter,
                workflow_runner=workflow_runner(),
                namespace=namespace,
            )
            await replayer.replay_workflow(history)


async def test_a_decision_that_was_stored_while_no_worker_ran_counts_before_the_task_expires(house: House) -> None:
    policy = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nexpires = "4s"\non_expiry = "reject"', 1)
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    await house.stop_worker()
    await case.signal("submit_decision", house.decision(task))
    await asyncio.sleep(5)
    await house.start_worker()
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_decision_that_was_seen_decides_nothing_else(house: House) -> None:
    case, forger, task = await waiting(house)
    seen = signed(house.decision(task), TEST_KEY, "default", case.id)
    other, forger_of_other, _ = await waiting(house)
    await forger.execute_update("decide", seen, id=seen.id)
    await forger.signal("submit_decision", seen)
    with pytest.raises(WorkflowUpdateFailedError) as no:
        await forger_of_other.execute_update("decide", seen, id=seen.id)
    assert isinstance(no.value.cause, ApplicationError)
    assert no.value.cause.details[0]["fault"] == Fault.WRONG_SIGNATURE
    await forger_of_other.signal("submit_decision", seen)
    assert faults(await refused(house, other, 2)) == [Fault.WRONG_SIGNATURE.meaning] * 2
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.open_task(other)).decisions == []


def all_doors(task: TaskView) -> list[tuple[str, str, Signed]]:
    """Every way to change a case, with a message that nobody has signed."""
    mia = Actor(id="mia", groups=["managers", "admins", "operators"])

    def act(kind: Act) -> Action:
        return Action(id=uuid4().hex, task_id=task.task_id, act=kind, by=mia, to=mia, text="x", due_at=NOW, at=NOW)

    start, approve = StartNow(id="s", by=mia, at=NOW), {"verdict": Verdict.APPROVE, "by": mia, "at": NOW}
    return [
        *(("update", "act", act(kind)) for kind in Act),
        *(("signal", "submit_action", act(kind)) for kind in Act),
        ("signal", "cancel_case", Cancellation(id="c", by=mia, reason="because", at=NOW)),
        ("signal", "submit_decision", Decision(id="early", task_id="not-open-yet", **approve)),
        ("signal", "resynchronise", Resynchronise(id="r", run_id="run", at=NOW)),
        ("signal", "submit_start", start),
        ("update", "start_now", start),
    ]


async def test_no_door_takes_an_unsigned_message(house: House) -> None:
    case, forger, task = await waiting(house)
    doors = all_doors(task)
    for way, name, message in doors:
        if way == "signal":
            await forger.signal(name, message)
        else:
            with pytest.raises(WorkflowUpdateFailedError) as no:
                await forger.execute_update(name, message, id=message.id)
            assert isinstance(no.value.cause, ApplicationError) and no.value.cause.type == RefusalCode.UNSIGNED
    events = await refused(house, case, len(doors))
    assert sorted(event.data["message"] for event in events) == sorted(name for _, name, _ in doors)
    assert {event.data["code"] for event in events} == {"Unsigned"}
    await untouched(house, case, task, [])


BY_COMMAND_LINE = (
    *("unsigned", "made-up signature", "key that is not valid yet", "retired key", "another Workflow"),
    *("another task", "another person", "more groups", "another comment", "other edits"),
)


@pytest.mark.plain_payloads
async def test_the_command_line_of_temporal_cannot_forge(house: House) -> None:
    case, _, task = await waiting(house)
    sent = []
    for name in BY_COMMAND_LINE:
        forge, _ = FORGERIES[name]
        sent.append(forge(house.decision(task), case.id))
        text = json.dumps(sent[-1].model_dump(mode="json"))
        (code, said), (signalled, _) = await asyncio.gather(
            cli(house, "update", "execute", "--name", "decide", "-w", case.id, "--input", text),
            cli(house, "signal", "--name", "submit_decision", "-w", case.id, "--input", text),
        )
        assert (code, signalled) == (1, 0) and "Unsigned" in said
    events = await refused(house, case, 2 * len(sent))
    assert sorted(faults(events)) == sorted(FORGERIES[name][1].meaning for name in BY_COMMAND_LINE * 2)
    assert {(event.actor, event.data["via"]) for event in events} == {("temporal", "temporal")}
    await untouched(house, case, task, sent)


@pytest.mark.plain_payloads
async def test_an_activity_that_no_workflow_started_does_nothing(house: House) -> None:
    case, _, task = await waiting(house)
    lie = CaseEvent(
        event_id=f"{case.id}/lie", case_id=case.id, at=NOW, kind="decided", actor="mia", summary="mia: approve"
    )
    record = CaseRecord(case_id=case.id, status=Status.COMPLETED, events=[lie])
    about = {"case_id": case.id, "reference": "x", "requester": "rita", "policy_hash": "x", "at": NOW}
    call = StepCall[dict[str, Any]](**about, key="forged", input=task.input)
    first = call.model_copy(update={"key": "forged-2", "record_first": record.model_dump_json()})
    forged = {"record": record, "fetch": call, "bring_back": call, "pack": first}
    async with asyncio.timeout(90):
        for name, sent in forged.items():
            said = await standalone(house, name, sent)
            assert "No Workflow of Holdgate has started this activity" in said, said
    await house.refusals.finish()
    async with house.database.read() as conn:
        events = [each for each in await audit_log.page(conn, limit=100_000) if each.data.get("message") in forged]
    assert {(each.actor, each.data["via"], each.data["message"]) for each in events} == {
        ("temporal", "temporal", name) for name in forged
    }
    assert house.effects(case) == ["fetch", "pack"]
    await untouched(house, case, task, [])


def test_each_activity_that_the_engine_runs_only_locally_is_refused_elsewhere() -> None:
    by_engine = {*activity_names(Records), *activity_names(Signatures), ChildCases.end_of_case.__name__}
    assert by_engine == LOCAL_ONLY


async def standalone(house: House, name: str, sent: BaseModel) -> str:
    """Start an activity without a Workflow by the command line of Temporal. Return what it prints."""
    arguments = ["--activity-id", f"forged-{name}", "--type", name, "--task-queue", TASK_QUEUE]
    limits = ["--start-to-close-timeout", "20s", "--schedule-to-close-timeout", "20s"]
    given = ["--input", sent.model_dump_json()]
    return (await cli(house, "execute", *arguments, *limits, *given, of="activity"))[1]


async def cli(house: House, *arguments: str, of: str = "workflow") -> tuple[int | None, str]:
    client = house.env.client
    running = await asyncio.create_subprocess_exec(
        TEMPORAL,
        of,
        *arguments,
        "--address",
        client.service_client.config.target_host,
        "--namespace",
        client.namespace,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await running.communicate()
    return running.returncode, said.decode()


async def test_a_forged_end_of_a_child_case_is_not_believed(house: House) -> None:
    case = await house.start(process="asking", policy="[asking]\n")
    async with asyncio.timeout(30):
        while not (children := await children_of(house, case)) or children[0].status is Status.STARTING:
            await asyncio.sleep(0.05)
    child = house.env.client.get_workflow_handle(children[0].case_id, result_type=CaseResult)
    await house.open_task(child)
    forger = unsigned(house.env.client).get_workflow_handle(case.id)
    passed = CaseResult(case_id=child.id, status=Status.COMPLETED, reason="Nothing was found.")
    await forger.signal("case_ended", passed)
    (event,) = await refused(house, case, 1)
    assert (event.actor, event.data["via"], event.data["code"]) == ("temporal", "temporal", "Unsigned")
    assert not (await house.state(case)).status.closed
    await house.decide(child, "mia", Verdict.REJECT, comment="no")
    assert (await house.end(case)).status is Status.REJECTED


async def children_of(house: House, case: Handle) -> list[cases.CaseRow]:
    async with house.database.read() as conn:
        return await cases.children_of(conn, case.id)


async def test_the_record_says_what_was_signed(house: House) -> None:
    case, _, task = await waiting(house)
    claim = Action(id="claim-1", task_id=task.task_id, act=Act.CLAIM, by=Actor(**MANAGER), at=datetime.now(UTC))
    await case.execute_update("act", claim, id=claim.id)
    await house.decide(case, comment="as agreed")
    await house.end(case)
    assert await problems_of(house, case, KEYS) == []
    assert await problems_of(house, case, KeyRegistry()) == [
        f"table proofs, row {id}: the registry does not have the key {TEST_KEY.key_id}, so nobody knows who signed this"
        for id in sorted(["claim-1", *await decided(house, case)])
    ]
    revoked = KeyRegistry([trusted(TEST_KEY, revoked_at=NOW)])
    assert len(listed := await problems_of(house, case, revoked)) == 2 and "was revoked" in listed[0]
    its = proofs.c.case_id == case.id
    async with house.database.write() as conn:
        await conn.execute(update(proofs).where(its, proofs.c.kind == "action").values(proof="v1.x.y"))
        await conn.execute(update(proofs).where(its, proofs.c.kind == "decision").values(text="nothing"))
    found = await problems_of(house, case, KEYS)
    assert len(found) == 4 and sum("no valid signature" in problem for problem in found) == 2


async def problems_of(house: House, case: Handle, keys: KeyRegistry) -> list[str]:
    async with house.database.read() as conn:
        return sorted((await verify_case(conn, case.id, keys=keys)).problems)


async def decided(house: House, case: Handle) -> list[str]:
    (task,) = (await house.state(case)).tasks
    return [each.decision_id for each in task.decisions]

"""Local steps: they fail, stop, and are undone like ordinary steps, and Temporal may lose the task that ran them."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from api.gateway.confirmations import Confirmations
from api.gateway.gateway import Gateway
from api.gateway.requests import DecisionRequest
from cases.reconcile.closed_in_temporal import Watcher
from cases.rollback import Rollbacks
from cases.settle_blocked import Settlement
from cases.sql_records import SqlRecords
from core.settings import ROOT, Settings
from domain.case import CaseResult
from domain.names import STATUS_ATTRIBUTE
from domain.records import CaseRecord, Written
from domain.status import Outcome, Status, Verdict
from plugins.testing.server import unskipped
from plugins.testing.signatures import TEST_KEY
from policy.file import PolicyFile
from store.cases import tasks
from store.db.outages import DatabaseUnavailable
from store.people import people
from store.receivers.ledger import Ledger
from tests.support import postgres
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.errands import ErrandRequest, Errands
from tests.workflows.test_payment import SHIPPED, a_payment
from tests.workflows.test_rollback import looked, reset
from workflows.engine.steps import Steps
from workflows.registry import INPUTS

GATES = """
[local.gates.approval]
groups = ["managers"]
[local.gates.second]
when = "false"
groups = ["directors"]
"""
FORK = """
[fork.gates.approval]
groups = ["managers"]
edit = ["value"]
[fork.gates.second]
groups = ["directors"]
"""
TWICE = '[retries.twice]\nattempts = 2\ntime_limit = "1s"\n[local.steps.fetch]\nretries = "twice"\n'


async def started(
    house: House, among: set[tuple[str, str]], errand: str, process: str = "local", policy: str = GATES
) -> Handle:
    """Start a case, one of whose errands is among those that go wrong."""
    return await house.start(
        process=process,
        policy=policy,
        before=lambda case_id: among.add((case_id, errand)),
        task_timeout=timedelta(seconds=2),
    )


def rollbacks(house: House) -> Rollbacks:
    return Rollbacks(house.database, house.env.client, house.starter())


async def activities_of(case: Handle) -> list[str]:
    """Return the names of the ordinary activities of a case."""
    events = (await case.fetch_history()).events
    return [
        each.activity_task_scheduled_event_attributes.activity_type.name
        for each in events
        if each.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    ]


@pytest.mark.parametrize(("how", "cause"), [("broken", "does not answer"), ("slow", "No answer came within 1 s")])
async def test_a_local_step_that_fails_for_good_is_an_incident_and_is_done_once_when_it_is_retried(
    house: House, how: str, cause: str
) -> None:
    among = getattr(house.receiver, how)
    case = await started(house, among, "fetch", policy=GATES + TWICE)
    task = await house.open_task(case, "intervention")
    assert cause in task.facts["cause"] and task.facts["attempts"] == 2
    assert house.receiver.tried[case.id] == ["fetch", "fetch"]
    among.clear()
    await house.decide(case, "olga", Verdict.RETRY)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "send"]
    assert await activities_of(case) == []


async def test_a_local_step_that_the_receiver_refuses_ends_the_case(house: House) -> None:
    case = await started(house, house.receiver.refusing, "pack")
    result = await house.end(case)
    assert (result.status, result.reason) == (Status.FAILED, "The pack desk is closed for good.")
    assert house.effects(case) == ["fetch", "bring_back"]


@pytest.mark.parametrize("how", ["broken", "slow"])
async def test_a_cancel_between_two_attempts_or_during_one_ends_the_case_cancelled(house: House, how: str) -> None:
    case = await started(house, getattr(house.receiver, how), "pack")
    async with asyncio.timeout(20):
        while "pack" not in house.receiver.tried[case.id]:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    await house.cancel(case)
    result = await house.end(case)
    assert (result.status, result.undone) == (Status.CANCELLED, ["Bring back a parcel"])
    assert house.effects(case) == ["fetch", "bring_back"]


@pytest.mark.parametrize("patience", ['time_limit = "1m"', 'retry_for = "1h"', "attempts = 50"])
async def test_a_local_step_to_which_the_policy_gives_more_patience_is_an_ordinary_activity(
    house: House, patience: str
) -> None:
    policy = f"{GATES}[local.steps.fetch]\n{patience}\n"
    case = await house.start(process="local", policy=policy)
    await house.open_task(case)
    assert await activities_of(case) == ["fetch"]
    await house.cancel(case)
    await house.end(case)


async def test_a_local_step_cannot_send_heartbeats() -> None:
    steps = Steps(*[None] * 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fetch: a local step sends no heartbeats"):
        await steps.run_step(Errands.fetch, ErrandRequest(), heartbeat=timedelta(seconds=1), local=True)


@pytest.mark.parametrize(("process", "shown"), [("errand", "running"), ("local", "awaiting_approval")])
async def test_a_passed_gate_is_shown_in_temporal_with_the_next_ordinary_step_or_the_end(
    house: House, process: str, shown: str
) -> None:
    case = await house.start(
        process=process,
        policy=GATES.replace("local", process),
        before=lambda case_id: house.receiver.slow.add((case_id, "send")),
    )
    await case.signal("submit_decision", house.decision(await house.open_task(case)))
    async with asyncio.timeout(20):
        while "send" not in house.receiver.tried[case.id]:
            await asyncio.sleep(0.02)
    assert (await case.describe()).typed_search_attributes[STATUS_ATTRIBUTE] == shown
    house.receiver.slow.clear()
    house.receiver.released.set()
    assert (await house.end(case)).status is Status.COMPLETED
    house.receiver.released.clear()
    assert (await case.describe()).typed_search_attributes[STATUS_ATTRIBUTE] == "completed"
    kinds = [event.event_type for event in (await case.fetch_history()).events]
    changes = kinds.count(EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
    assert changes == (3 if process == "errand" else 2)


async def test_a_passed_gate_is_stored_before_the_attempts_of_a_local_step_without_undo(house: House) -> None:
    case = await started(house, house.receiver.broken, "send", "fork", FORK)
    await house.decide(case)
    task = await house.open_task(case, "second")
    await house.decide(case, "dan")
    async with asyncio.timeout(20):
        while "send" not in house.receiver.tried[case.id]:
            await asyncio.sleep(0.02)
    async with house.database.read() as connection:
        stored = await tasks.get(connection, task.task_id)
    assert stored is not None and stored.outcome is Outcome.APPROVED
    house.receiver.broken.clear()
    assert (await house.end(case)).status is Status.COMPLETED


# ----------------------------------------------------------------------------------- what Temporal does not know (yet)


async def test_a_case_terminated_while_a_local_step_runs_is_undone_with_that_step(house: House) -> None:
    case = await started(house, house.receiver.hanging, "send")
    await case.signal("submit_decision", house.decision(await house.open_task(case)))
    async with asyncio.timeout(20):
        while "send" not in house.effects(case):
            await asyncio.sleep(0.02)
    await case.terminate(reason="by mistake")
    await looked(house, Watcher(house.database, house.env.client, rollbacks(house), ["local"]))
    rollback: Handle = house.env.client.get_workflow_handle((await house.row(case)).conductor, result_type=CaseResult)
    await house.decide(rollback, "olga", Verdict.ROLL_BACK)
    assert (await house.end(rollback)).status is Status.FAILED
    assert house.effects(case) == ["fetch", "pack", "send", "recall", "unpack", "bring_back"]


async def test_a_step_that_a_reset_case_has_forgotten_is_undone_when_people_now_reject(house: House) -> None:
    case = await started(house, house.receiver.deaf, "send")
    await house.decide(case)
    async with asyncio.timeout(20):
        while "send" not in house.effects(case):
            await asyncio.sleep(0.02)
    await reset(house, case, "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", reapply=False)
    latest: Handle = house.env.client.get_workflow_handle(case.id, result_type=CaseResult)
    await house.decide(latest, verdict=Verdict.REJECT)
    assert (await house.end(latest)).status is Status.REJECTED
    assert house.effects(case) == ["fetch", "pack", "send", "recall", "unpack", "bring_back"]
    assert await house.audit_problems() == []


async def test_a_step_that_a_reset_case_has_forgotten_is_undone_also_after_the_case_went_another_way(
    house: House,
) -> None:
    case = await house.start(process="fork", policy=FORK)
    await house.decide(case)
    await house.open_task(case, "second")
    await reset(house, case, "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", reapply=False)
    latest: Handle = house.env.client.get_workflow_handle(case.id, result_type=CaseResult)
    await house.decide(latest, edits={"value": 900})
    await house.open_task(latest, "second")
    assert [undo.undo for undo in (await house.row(case)).plan] == ["bring_back", "unpack"]
    await house.decide(latest, "dan", Verdict.REJECT)
    assert (await house.end(latest)).status is Status.REJECTED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]
    assert (await house.row(case)).plan == []


async def test_no_local_step_runs_after_a_rollback_has_taken_over_the_case(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, goes_on, record = asyncio.Event(), asyncio.Event(), SqlRecords.record

    async def late(self: SqlRecords, written: CaseRecord) -> Written:
        if any(event.kind == "decided" for event in written.events):
            writes.set()
            await goes_on.wait()
        return await record(self, written)

    case = await house.start(process="local", policy=GATES)
    task = await house.open_task(case)
    monkeypatch.setattr(SqlRecords, "record", late)
    await case.signal("submit_decision", house.decision(task))
    await writes.wait()
    await case.terminate(reason="by mistake")
    await looked(house, Watcher(house.database, house.env.client, rollbacks(house), ["local"]))
    goes_on.set()
    await asyncio.sleep(0.5)
    assert "send" not in house.effects(case)
    rollback: Handle = house.env.client.get_workflow_handle((await house.row(case)).conductor, result_type=CaseResult)
    await house.decide(rollback, "olga", Verdict.ROLL_BACK)
    assert (await house.end(rollback)).status is Status.FAILED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


@pytest.mark.parametrize("written_first", [False, True], ids=["not written", "written, and the answer lost"])
async def test_a_step_whose_undo_was_not_stored_runs_once_after_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch, written_first: bool
) -> None:
    """The activity of the step stores the undo. If that fails, the case stores it alone, and then runs the step."""
    record, seen = SqlRecords.record, []

    async def failing(self: SqlRecords, written: CaseRecord) -> Written:
        if written.plan is None or len(written.plan) < 3:
            return await record(self, written)
        seen.append([*house.effects(case)])
        if len(seen) > 2:
            return await record(self, written)
        if written_first:
            await record(self, written)
        raise DatabaseUnavailable("away")

    case = await house.start(process="local", policy=GATES)
    task = await house.open_task(case)
    monkeypatch.setattr(SqlRecords, "record", failing)
    await case.signal("submit_decision", house.decision(task))
    assert (await house.end(case)).status is Status.COMPLETED
    assert seen[:3] == [["fetch", "pack"]] * 3, "nothing ran before its undo was stored"
    assert house.effects(case) == ["fetch", "pack", "send"]
    assert house.receiver.tried[case.id].count("send") == 1
    assert await house.audit_problems() == []


# ---------------------------------------------------------------------------------------------------- a slow database


@contextmanager
def sqlite_locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the write lock from now on, for so long."""
    lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(seconds, lock.rollback)
    timer.start()
    yield
    timer.join()
    lock.close()


@contextmanager
def postgres_paused(server: postgres.Postgres, seconds: float) -> Iterator[None]:
    """Stop all processes of the server from now on, for so long, as a machine that hangs."""
    server.pause()
    timer = threading.Timer(seconds, server.resume)
    timer.start()
    yield
    timer.join()


async def paid_once(house: House, case: Handle) -> None:
    assert (await house.end(case)).status is Status.COMPLETED
    assert [entry.kind for entry in await house.ledger.entries(case_id=case.id)] == ["hold", "capture"]
    kinds = await house.recorded(case)
    assert [kinds.count(each) for each in ("decided", "gate_closed", "step_done", "case_closed")] == [1, 1, 3, 1]
    assert await house.audit_problems() == [] and await house.ledger.check() == []


async def a_case_at_its_gate(house: House) -> Handle:
    await house.ledger.fund("fund/slow", "slow", "GBP", Decimal("5000.00"))
    case = await house.start(a_payment("slow", "700.00"), process="payment", policy=SHIPPED)
    await house.open_task(case)
    return case


async def away_once(
    house: House, moment: str, monkeypatch: pytest.MonkeyPatch, away: Callable[[], AbstractContextManager[None]]
) -> None:
    """Decide a payment, and take its database away at a moment after the decision: nothing is lost or doubled."""
    case = await a_case_at_its_gate(house)
    with ExitStack() as stack:

        def reached(which: str) -> None:
            if which == moment and not seen:
                seen.append(which)
                stack.enter_context(away())

        seen: list[str] = []
        record, capture = SqlRecords.record, Ledger.capture

        async def recording(self: SqlRecords, written: CaseRecord) -> Written:
            decided = any(event.kind == "decided" for event in written.events)
            reached("accepted" if decided else "")
            answer = await record(self, written)
            reached("recorded" if decided else "")
            return answer

        async def capturing(*args: Any, **more: Any) -> Any:
            booking = await capture(*args, **more)
            reached("paid")
            return booking

        monkeypatch.setattr(SqlRecords, "record", recording)
        monkeypatch.setattr(Ledger, "capture", capturing)
        receipt = await house.decide(case)
        assert receipt.task.outcome is Outcome.APPROVED
        await paid_once(house, case)
        assert seen == [moment]


@pytest.mark.parametrize("moment", ["accepted", "recorded", "paid"])
async def test_a_database_that_is_away_for_3_s_after_a_decision_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    async with open_house(tmp_path) as house:
        await away_once(house, moment, monkeypatch, lambda: sqlite_locked(tmp_path / "house.db", 3))


@pytest.mark.soak
@pytest.mark.parametrize("moment", ["accepted", "recorded", "paid"])
async def test_postgresql_that_hangs_for_3_s_after_a_decision_loses_nothing_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:
        async with open_house(tmp_path, url=server.url()) as house:
            await away_once(house, moment, monkeypatch, lambda: postgres_paused(server, 3))


async def test_a_decision_on_a_database_that_takes_6_s_for_each_step_is_answered_within_4_s_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(method: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        async def slowly(*args: Any, **more: Any) -> Any:
            await asyncio.sleep(seconds)
            return await method(*args, **more)

        return slowly

    async with open_house(tmp_path) as house:
        case = await a_case_at_its_gate(house)
        task = await house.open_task(case)
        async with house.database.read() as connection:
            mia = await people.active(connection, "mia")
        assert mia is not None
        policy = PolicyFile(ROOT / "config" / "policy.toml", INPUTS)
        client, database = await unskipped(house.env), house.database
        settlement = Settlement(database, client, rollbacks(house), TEST_KEY)
        confirmations = Confirmations(database, client.namespace, Settings())
        gateway = Gateway(client, database, "http://ui", settlement, policy, confirmations)
        monkeypatch.setattr(SqlRecords, "record", slow(SqlRecords.record, 1))
        monkeypatch.setattr(Ledger, "capture", slow(Ledger.capture, 6))
        accepted = []
        for _ in range(2):  # The person may click again.
            began = time.monotonic()
            outcome = await gateway.decide(mia, task, DecisionRequest(verdict="approve", revision=task.revision), "one")
            assert time.monotonic() - began < 4
            accepted.append(outcome.accepted)
        assert not accepted[0]
        await paid_once(house, case)
        again = await gateway.decide(mia, task, DecisionRequest(verdict="approve", revision=task.revision), "one")
        assert again.accepted

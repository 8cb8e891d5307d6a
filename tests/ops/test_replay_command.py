"""`./holdgate replay`: open cases against other code, on the real server, while a real worker carries them."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecution, WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

import holdgate
from activities.payment.request import PaymentRequest
from domain.batch import BatchInput
from domain.status import Verdict
from ops.remote import Unusable
from ops.replay import replayed
from tests.ops.changed import Broken, Demanding, Guarded, OtherGate, OtherImport, Reordered, Unasked, Ungated
from tests.support.engine_fixture import ONE_GATE, PROCESSES, Handle, House, open_house
from tests.support.sample_processes import ErrandProcess, ErrandRequest
from worker import workflows

TWO_GATES = """
[pair.gates.approval]
groups = ["managers"]
[pair.gates.second]
groups = ["directors"]
"""
ASKED_FIRST = ONE_GATE + '[errand.gates.rollback]\ngroups = ["directors"]\n'
MOMENT = re.compile(r"\(\d{4}-\d\d-\d\d \d\d:\d\d UTC\)")


@pytest_asyncio.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One of its own: all that is open in it is looked at."""
    async with open_house(tmp_path_factory.mktemp("replay")) as house:
        yield house


async def at_the_gate(house: House, reference: str | None = None) -> Handle:
    case = await house.start(reference=reference)
    await house.open_task(case, "approval")
    return case


async def events(case: WorkflowHandle[Any, Any]) -> Sequence[HistoryEvent]:
    return (await case.fetch_history()).events


async def words(house: House, case: Handle, code: type) -> str:
    """What is said of one case and other code of its process; the moment left out, it is another each time."""
    found = await replayed(house.env.client, {**PROCESSES, "errand": code}, cases=[case.id])
    assert found.checked == 1
    return "; ".join(MOMENT.sub("(then)", each.words) for each in found.differences)


def rows(house: House) -> list[str]:
    with sqlite3.connect(house.url.partition("///")[2]) as database:
        return list(database.iterdump())


async def test_open_cases_at_every_point_go_on_with_the_code_as_it_is_and_nothing_is_touched(house: House) -> None:
    def in_its_first_step(case_id: str) -> None:
        house.receiver.slow.add((case_id, "fetch"))

    def about_to_fail(case_id: str) -> None:
        house.receiver.broken.add((case_id, "pack"))

    working = await house.start(before=in_its_first_step)
    waiting = await at_the_gate(house)
    sent_back = await at_the_gate(house)
    await house.decide(sent_back, "mia", Verdict.REQUEST_CHANGES, comment="smaller")
    await house.open_task(sent_back, "changes")
    failed = await house.start(before=about_to_fail)
    await house.forward(failed, timedelta(minutes=5))
    await house.open_task(failed, "intervention")
    two = await house.start(process="pair", policy=TWO_GATES)
    await house.decide(two, "mia")
    later = await house.start(start_at=datetime.now(UTC) + timedelta(days=30))
    await house.until(later, lambda state: state.status.value == "scheduled")
    cases = [working, waiting, sent_back, failed, two, later]
    await house.until(working, lambda _: "fetch" in house.receiver.tried[working.id])
    before = rows(house), [len((await case.fetch_history()).events) for case in cases]

    found = await replayed(house.env.client, PROCESSES)

    assert found.differences == [] and found.checked >= len(cases)
    assert before == (rows(house), [len((await case.fetch_history()).events) for case in cases])


async def test_of_two_steps_that_were_swapped_the_first_that_differs_is_named_and_the_raw_message_kept(
    house: House,
) -> None:
    case = await at_the_gate(house)
    found = await replayed(house.env.client, {**PROCESSES, "errand": Reordered}, cases=[case.id])
    (difference,) = found.as_json()["differences"]
    assert (difference["case_id"], difference["event"]) == (case.id, 5)
    assert MOMENT.sub("(then)", difference["words"]) == (
        'at event 5 (then) its history goes on with step fetch ("Fetch a parcel"), '
        'and this code would go on with step pack ("Pack a parcel") instead'
    )
    assert difference["message"].startswith(
        "[TMPRL1100] Nondeterminism error: Activity type of scheduled event 'fetch'"
    )


async def test_a_rollback_that_waits_for_its_approval_goes_on_or_the_gate_that_it_would_skip_is_named(
    house: House,
) -> None:
    case = await at_the_gate(house)
    await house.decide(case)
    await house.end(case)
    rollback = await house.roll_back(case, policy=ASKED_FIRST)
    await house.open_task(rollback, "rollback")
    found = await replayed(house.env.client, workflows(), cases=[rollback.id])
    assert (found.checked, found.differences) == (1, [])
    found = await replayed(house.env.client, {"rollback": Unasked}, cases=[rollback.id])
    (difference,) = found.differences
    assert "its history goes on with gate rollback, and this code would go on with a record instead" in difference.words


async def test_an_import_under_way_goes_on_unless_its_step_has_another_name(house: House) -> None:
    client, queue = house.env.client, "batch:b1"
    asked = BatchInput(
        batch_id="b1",
        process="payment",
        path="may.csv",
        sha256="0",
        filename="may.csv",
        requester="rita",
        policy_hash="0",
    )
    async with Worker(client, task_queue=queue, workflows=[workflows()["batch"]]):
        batch = await client.start_workflow("batch", asked, id=queue, task_queue=queue)
        async with asyncio.timeout(10):
            while not any(e.HasField("activity_task_scheduled_event_attributes") for e in await events(batch)):
                await asyncio.sleep(0.05)
    found = await replayed(client, workflows(), cases=[queue])
    assert (found.checked, found.differences) == (1, [])
    (difference,) = (await replayed(client, {"batch": OtherImport}, cases=[queue])).differences
    assert 'step import_rows ("import may.csv"), and this code would go on with step import_all' in difference.words


async def test_a_swap_that_only_new_cases_see_is_no_difference(house: House) -> None:
    assert await words(house, await at_the_gate(house), Guarded) == ""


async def test_another_gate_is_a_difference_though_the_sdk_finds_none(house: House) -> None:
    case = await at_the_gate(house)
    sdk = Replayer(workflows=[OtherGate], data_converter=pydantic_data_converter)
    assert (await sdk.replay_workflow(await case.fetch_history())).replay_failure is None
    said = await words(house, case, OtherGate)
    assert said.endswith("its history goes on with gate approval, and this code would go on with gate second instead")


async def test_a_gate_that_was_taken_away_is_named_with_what_the_code_does_instead(house: House) -> None:
    said = await words(house, await at_the_gate(house), Ungated)
    assert said.endswith(
        'its history goes on with gate approval, and this code would go on with step send ("Send a parcel") instead'
    )


async def test_an_input_that_no_longer_fits_is_told_by_field_and_without_what_it_holds(house: House) -> None:
    case = await house.start(ErrandRequest(parcel="a secret"))
    await house.open_task(case, "approval")
    said = await words(house, case, Demanding)
    assert said == (
        "at event 3 (then) after its start, what its history holds does not fit "
        "CaseInput[Addressed]: input.address: Field required"
    )


async def test_a_defect_is_told_with_the_step_after_which_it_shows(house: House) -> None:
    said = await words(house, await at_the_gate(house), Broken)
    assert said.endswith("after step fetch, this code fails: ValueError: no scales for a parcel")


async def test_a_cancellation_that_waits_for_a_worker_and_would_be_dropped_is_a_difference(house: House) -> None:
    """The SDK drops a signal that it cannot read, and goes on."""
    case = await at_the_gate(house)
    await house.stop_worker()
    try:
        await case.signal("cancel_case", {"why": "a form of long ago"})
        said = await words(house, case, ErrandProcess)
    finally:
        await house.start_worker()
    assert "signal cancel_case does not fit Cancellation: id: Field required" in said


async def test_a_process_that_is_gone_from_the_code_is_a_difference(house: House) -> None:
    case = await house.start(process="pair", policy=TWO_GATES)
    await house.open_task(case, "approval")
    await asyncio.sleep(0.3)  # Temporal's lists lag by some hundredths
    without = {name: code for name, code in {**PROCESSES, **workflows()}.items() if name != "pair"}
    (difference,) = (await replayed(house.env.client, without, limit=1)).differences
    assert (difference.case_id, difference.kind) == (case.id, "unknown_process")
    assert difference.words == "its process 'pair' does not exist in this code"


async def test_a_closed_case_is_looked_at_only_when_it_is_named(house: House) -> None:
    pair, other = [await house.start(process="pair", policy=TWO_GATES) for _ in range(2)]
    await house.open_task(pair, "approval")
    await house.cancel(other)
    await house.end(other)
    case = await at_the_gate(house)
    await house.decide(case)
    await house.end(case)
    assert await words(house, case, ErrandProcess) == ""
    assert "step fetch" in await words(house, case, Reordered)
    await asyncio.sleep(0.3)  # Temporal's lists lag by some hundredths
    open_ones = await replayed(house.env.client, PROCESSES, process="pair")
    assert open_ones.checked >= 1 and open_ones.closed_meanwhile == 0, "closed ones are not even fetched"


async def test_a_case_that_closes_meanwhile_is_left_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await at_the_gate(house)
    as_listed = await case.describe()
    await house.decide(case)
    await house.end(case)

    async def listed(*_: Any, **__: Any) -> AsyncIterator[WorkflowExecution]:
        yield as_listed

    monkeypatch.setattr(Client, "list_workflows", listed)
    found = await replayed(house.env.client, {"errand": Reordered})
    assert (found.checked, found.closed_meanwhile, found.differences) == (0, 1, [])


async def test_only_the_newest_or_those_of_one_process_are_looked_at_on_demand(house: House) -> None:
    await at_the_gate(house)
    newest = await at_the_gate(house)
    await asyncio.sleep(0.3)  # Temporal's lists lag by some hundredths
    found = await replayed(house.env.client, {**PROCESSES, "errand": Reordered}, process="errand", limit=1)
    assert [each.case_id for each in found.differences] == [newest.id]
    with pytest.raises(Unusable, match=r"no process 'erand'; it has approval, asking, data_import,"):
        await replayed(house.env.client, PROCESSES, process="erand")


async def test_no_more_than_a_few_histories_are_held_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await at_the_gate(house)
    execution, held, most = await case.describe(), 0, 0

    class Counted(WorkflowHistory):
        def __init__(self, *arguments: Any) -> None:
            nonlocal held, most
            super().__init__(*arguments)
            held += 1
            most = max(most, held)

        def __del__(self) -> None:
            nonlocal held
            held -= 1

    async def fetched(_: Any) -> WorkflowHistory:
        history = await original(case)
        return Counted(history.workflow_id, history.events)

    async def many(*_: Any, **__: Any) -> AsyncIterator[WorkflowExecution]:
        for _number in range(14):
            yield execution

    original = type(case).fetch_history
    monkeypatch.setattr(type(case), "fetch_history", fetched)
    monkeypatch.setattr(Client, "list_workflows", many)
    found = await replayed(house.env.client, {"errand": Reordered})
    assert found.checked == 14 and most <= 8
    ((way, count),) = found.alike
    assert (way, count) == ("errand: step fetch in the history, step pack in this code", 14)


# ---------------------------------------------------------------------------------------------------------- the command


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Carries out a command line against the server of the house."""
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("TEMPORAL_ADDRESS", house.env.client.service_client.config.target_host)

    async def run(*arguments: str) -> Answer:
        code = await asyncio.to_thread(holdgate.main, arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run


async def test_the_command_says_that_all_go_on_or_which_do_not(house: House, run: Callable[..., Any]) -> None:
    request = PaymentRequest.model_validate(
        {"payee": "Northwind", "amount": "10.00", "currency": "GBP", "account": "none", "due_date": "2027-01-31"}
    )
    month = datetime.now(UTC) + timedelta(days=30)
    payments = [await house.start(request, process="payment", start_at=month) for _ in range(2)]
    for payment in payments:
        await house.until(payment, lambda state: state.status.value == "scheduled")
    await at_the_gate(house)
    await asyncio.sleep(0.3)  # Temporal's lists lag by some hundredths
    assert await run("replay", "--process", "payment") == (0, "2 open cases go on with this code\n", "")
    assert await run("replay", "--process", "batch") == (0, "no open cases\n", "")
    named = await run("replay", "--case", payments[0].id)
    assert named == (0, "1 case goes on with this code\n", "")
    # The errands of this file are no process of the code as it is shipped.
    of_all = await run("replay")
    assert of_all.code == 1
    assert "cases differ in the same way: errand: does not exist in this code\n" in of_all.out
    assert re.search(r"^\d+ of \d+ open cases would not go on with this code$", of_all.out, re.MULTILINE)
    in_json = json.loads((await run("replay", "--json")).out)
    assert {"case_id", "kind", "words", "event", "message"} <= set(in_json["differences"][0])
    assert in_json["checked"] == int(re.findall(r"of (\d+) open", of_all.out)[0])


async def test_what_cannot_be_asked_is_exit_code_2(
    house: House, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = await run("replay", "--process", "paymnt")
    known = ", ".join(sorted(workflows()))
    assert (wrong.code, wrong.err) == (2, f"this code has no process 'paymnt'; it has {known}\n")
    wrong = await run("replay", "--case", "payment:nobody")
    assert wrong.code == 2 and wrong.err.startswith("Temporal knows no case 'payment:nobody'")
    assert (await run("replay", "--case", "payment:a", "--limit", "1")).code == 2
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "elsewhere")
    wrong = await run("replay")
    assert wrong.code == 2 and "Namespace elsewhere is not found" in wrong.err and wrong.err.count("\n") == 1
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    wrong = await run("replay")
    assert wrong.code == 2 and wrong.err.startswith("no Temporal server answers at 127.0.0.1:9")

"""`./holdgate replay`: open cases of a real server and worker, replayed with other code."""

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
from temporalio.worker import Worker

from activities.payment.request import PaymentRequest
from cli import app as command_line
from core.errors import Mistake
from domain.batch import BatchInput
from domain.status import Verdict
from ops.replay.check import replayed
from store.cases.case_keys import CaseKeys
from tests.ops.changed_process import (
    Broken,
    Demanding,
    Guarded,
    OtherGate,
    OtherImport,
    Reordered,
    ReorderedLocal,
    Unasked,
    Ungated,
)
from tests.support.engine_fixture import ONE_GATE, PROCESSES, Handle, House, open_house
from tests.support.errands import ErrandRequest
from tests.support.sample_processes import ErrandProcess
from workflows.registry import workflows

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
    """A server of its own, because all its open cases are replayed."""
    async with open_house(tmp_path_factory.mktemp("replay")) as house:
        yield house


async def at_the_gate(house: House, reference: str | None = None) -> Handle:
    case = await house.start(reference=reference)
    await house.open_task(case, "approval")
    return case


async def events(case: WorkflowHandle[Any, Any]) -> Sequence[HistoryEvent]:
    return (await case.fetch_history()).events


async def words(house: House, case: Handle, code: type) -> str:
    """Return what a replay says about one case and other code of its process, without the time."""
    found = await replayed(house.env.client, {**PROCESSES, "errand": code}, cases=[case.id])
    assert found.checked == 1
    return "; ".join(MOMENT.sub("(then)", each.words) for each in found.differences)


def rows(house: House) -> list[str]:
    with sqlite3.connect(house.url.partition("///")[2]) as database:
        return list(database.iterdump())


async def test_open_cases_at_every_point_go_on_and_nothing_is_changed(house: House) -> None:
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


async def test_two_swapped_steps_are_named_with_the_event_and_the_message_of_the_sdk(
    house: House,
) -> None:
    case = await at_the_gate(house)
    found = await replayed(house.env.client, {**PROCESSES, "errand": Reordered}, cases=[case.id])
    (difference,) = found.as_json()["differences"]
    events = (await case.fetch_history()).events
    fetch = next(each.event_id for each in events if each.HasField("activity_task_scheduled_event_attributes"))
    assert (difference["case_id"], difference["event"]) == (case.id, fetch)
    assert MOMENT.sub("(then)", difference["words"]) == (
        f'at event {fetch} (then) the history goes on with step fetch ("Fetch a parcel"), and this code with step pack'
    )
    assert difference["message"].startswith(
        "[TMPRL1100] Nondeterminism error: Activity type of scheduled event 'fetch'"
    )


async def test_two_swapped_local_steps_are_named_too(house: House) -> None:
    policy = ONE_GATE.replace("errand", "local")
    case = await house.start(process="local", policy=policy)
    await house.open_task(case, "approval")
    found = await replayed(house.env.client, {**PROCESSES, "local": ReorderedLocal}, cases=[case.id])
    (difference,) = found.differences
    # Fetching has a result, and packing has none. The SDK finds that before it compares the names of the steps.
    assert difference.words.startswith("the result of a local step does not fit none")
    assert difference.words.endswith("This code runs other local steps") and difference.kind == "order"


async def test_a_rollback_goes_on_or_the_gate_that_the_code_leaves_out_is_named(
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
    assert "the history goes on with gate rollback, and this code with record" in difference.words


async def test_a_running_import_goes_on_unless_its_step_has_another_name(house: House) -> None:
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
    assert 'step import_rows ("import may.csv"), and this code with step import_all' in difference.words


async def test_a_change_that_is_patched_is_no_difference(house: House) -> None:
    assert await words(house, await at_the_gate(house), Guarded) == ""


async def test_another_gate_in_the_code_is_named(house: House) -> None:
    said = await words(house, await at_the_gate(house), OtherGate)
    assert said.endswith("the history goes on with gate approval, and this code with gate second")


async def test_a_gate_that_the_code_no_longer_has_is_named(house: House) -> None:
    said = await words(house, await at_the_gate(house), Ungated)
    assert said.endswith("the history goes on with gate approval, and this code with something else")


async def test_an_input_that_does_not_fit_is_named_by_field_without_its_values(house: House) -> None:
    case = await house.start(ErrandRequest(parcel="a secret"))
    await house.open_task(case, "approval")
    said = await words(house, case, Demanding)
    assert said == ("at event 1 (then) its input does not fit CaseInput[Addressed]: input.address: Field required")


async def test_a_defect_is_named_with_its_file_and_line(house: House) -> None:
    said = await words(house, await at_the_gate(house), Broken)
    assert re.fullmatch(r"this code fails: ValueError: no scales for a parcel \(changed_process.py, line \d+\)", said)


async def test_a_signal_that_this_code_would_drop_is_a_difference(house: House) -> None:
    """A Workflow goes on without a signal that it cannot read."""
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


async def test_a_closed_case_is_replayed_only_when_it_is_named(house: House) -> None:
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


async def test_a_case_that_closes_in_the_meantime_is_left_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    case = await at_the_gate(house)
    as_listed = await case.describe()
    await house.decide(case)
    await house.end(case)

    async def listed(*_: Any, **__: Any) -> AsyncIterator[WorkflowExecution]:
        yield as_listed

    monkeypatch.setattr(Client, "list_workflows", listed)
    found = await replayed(house.env.client, {"errand": Reordered})
    assert (found.checked, found.closed_meanwhile, found.differences) == (0, 1, [])


async def test_limit_and_process_choose_the_cases(house: House) -> None:
    await at_the_gate(house)
    newest = await at_the_gate(house)
    await asyncio.sleep(0.3)  # Temporal's lists lag by some hundredths
    found = await replayed(house.env.client, {**PROCESSES, "errand": Reordered}, process="errand", limit=1)
    assert [each.case_id for each in found.differences] == [newest.id]
    with pytest.raises(Mistake, match=r"no process 'erand'; it has approval, asking, data_import,"):
        await replayed(house.env.client, PROCESSES, process="erand")


async def test_only_a_few_histories_are_in_memory_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
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
    """Run a command line against the server of the fixture."""
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("TEMPORAL_ADDRESS", house.env.client.service_client.config.target_host)
    if keys := CaseKeys.of(house.env.client):
        monkeypatch.setenv("HOLDGATE_DATABASE_URL", house.url)
        monkeypatch.setenv("HOLDGATE_PAYLOAD_KEYS", str(keys.path))

    async def run(*arguments: str) -> Answer:
        code = await asyncio.to_thread(command_line.main, arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run


async def test_the_command_says_which_cases_cannot_go_on(house: House, run: Callable[..., Any]) -> None:
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
    assert re.search(r"^\d+ of \d+ open cases cannot go on with this code$", of_all.out, re.MULTILINE)
    in_json = json.loads((await run("replay", "--json")).out)
    assert {"case_id", "kind", "words", "event", "message"} <= set(in_json["differences"][0])
    assert in_json["checked"] == int(re.findall(r"of (\d+) open", of_all.out)[0])


async def test_wrong_usage_and_an_unreachable_server_exit_with_2(
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


async def test_encrypted_cases_are_replayed_and_their_differences_explained(
    tmp_path: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path, encrypted=True) as house:
        keys = CaseKeys.of(house.env.client)
        assert keys is not None
        monkeypatch.setenv("TEMPORAL_ADDRESS", house.env.client.service_client.config.target_host)
        monkeypatch.setenv("HOLDGATE_DATABASE_URL", house.url)
        case = await at_the_gate(house)
        assert "pack" in await words(house, case, Reordered)
        monkeypatch.delenv("HOLDGATE_PAYLOAD_KEYS", raising=False)
        without = await run("replay", "--case", case.id)
        assert without.code == 2 and "HOLDGATE_PAYLOAD_KEYS is not set, but this installation encrypts" in without.err
        monkeypatch.setenv("HOLDGATE_PAYLOAD_KEYS", str(keys.path))
        found = await run("replay", "--case", case.id, "--json")
        assert json.loads(found.out)["differences"][0]["kind"] == "unknown_process", "read, and not of this code"

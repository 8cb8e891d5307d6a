"""Rollback over HTTP: the plan before a rejection, completed cases, incidents in bulk, and the next round."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from cases.reconcile.next_rounds import Resubmitter
from cases.submit import Starter
from policy.file import PolicyFile
from store.receivers.ledger import Ledger
from store.tables.cases import cases
from tests.api.conftest import Gate, eventually, payment
from tests.api.pages.visits import signed_in
from workflows.registry import GATES, INPUTS, STEPS


async def completed(gate: Gate, **input: Any) -> str:
    case_id = await gate.start(**input)
    await gate.decide("manager-1", await gate.open_task(case_id))
    await gate.until(case_id, lambda case: case["status"] == "completed")
    return case_id


async def roll_back(gate: Gate, case_id: str, person: str = "operator-1") -> httpx2.Response:
    return await gate.post(person, f"/cases/{quote(case_id, safe='')}/rollback", {"reason": "Paid twice"})


async def effects(gate: Gate, case_id: str) -> list[str]:
    return [entry.kind for entry in await Ledger(gate.database).entries(case_id=case_id)]


async def test_before_a_no_the_task_tells_in_words_what_it_would_undo(gate: Gate) -> None:
    case_id = await gate.start(amount="2640.00")
    task = (await gate.get("manager-1", f"/tasks/{(await gate.open_task(case_id))['task_id']}")).json()
    assert task["rollback_plan"] == [
        {"step": "reserve_funds", "undo": "release_funds", "summary": "Release the held 2,640.00 GBP"}
    ]
    assert (await gate.case(case_id))["rollback_plan"] == task["rollback_plan"]
    await gate.decide("manager-1", task, "reject", comment="No order")
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    assert await effects(gate, case_id) == ["hold", "release"]


async def test_a_completed_payment_is_rolled_back_once_and_the_plan_omits_used_effects(gate: Gate) -> None:
    case_id = await completed(gate, payee="Brightwater Ltd", amount="1250.00")
    case = await gate.case(case_id)
    assert case["rollback_plan"] == []
    assert [line["summary"] for line in case["if_rolled_back"]] == ["Refund 1,250.00 GBP from Brightwater Ltd"]
    assert (await roll_back(gate, case_id, "manager-1")).status_code == 403
    answer = await roll_back(gate, case_id)
    assert answer.status_code == 202, answer.text
    assert answer.json()["workflow_id"] == f"{case_id}~rollback"
    case = await gate.until(case_id, lambda case: case["status"] == "rolled_back")
    assert case["result"]["undone"] == ["Refund 1,250.00 GBP from Brightwater Ltd"]
    assert await effects(gate, case_id) == ["hold", "capture", "refund"]
    again = await roll_back(gate, case_id)
    assert (again.status_code, again.json()["detail"]) == (409, "The case was already rolled back.")


async def test_a_case_that_is_not_completed_is_not_rolled_back_and_told_why(gate: Gate) -> None:
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    answer = await roll_back(gate, case_id)
    assert answer.status_code == 409
    assert answer.json()["detail"] == "The case has not ended. Cancel the case to roll back its steps."
    await gate.decide("manager-1", task, "reject", comment="No")
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    assert "already rolled back" in (await roll_back(gate, case_id)).json()["detail"]


async def test_a_payment_in_closed_books_stays_and_the_answer_says_why(gate: Gate) -> None:
    account = f"closed-{uuid4().hex[:8]}"
    ledger = Ledger(gate.database)
    await ledger.fund(f"fund/{account}", account, "GBP", Decimal(10_000))
    case_id = await completed(gate, account=account)
    await ledger.close_books(account, datetime.now(UTC), by="admin-1")
    answer = await roll_back(gate, case_id)
    assert answer.status_code == 409, answer.text
    assert answer.json()["detail"].startswith(
        f"The rollback did not start: The books of account '{account}' are closed up to"
    )
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert any(event["kind"] == "rollback_called_off" for event in case["timeline"])
    assert await effects(gate, case_id) == ["hold", "capture"]


async def locked_out(gate: Gate, count: int) -> tuple[str, list[str]]:
    """So many cases that wait for operators because an account of their own is locked."""
    account = f"locked-{uuid4().hex[:8]}"
    await Ledger(gate.database).fund(f"fund/{account}", account, "GBP", Decimal(1_000_000), locked=True)
    started = [await gate.start(account=account, amount=f"{20 + number}.00") for number in range(count)]
    for case_id in started:
        await gate.until(case_id, lambda case: case["status"] == "needs_intervention")
    return account, started


async def group_of(gate: Gate, account: str) -> dict[str, Any] | None:
    items = (await gate.get("operator-1", "/incidents")).json()["items"]
    return next((each for each in items if account in each["cause"]), None)


async def test_incidents_of_one_cause_are_one_group_and_are_retried_together_and_repeatably(gate: Gate) -> None:
    account, started = await locked_out(gate, 6)
    group = await group_of(gate, account)
    assert group is not None
    assert (group["process"], group["step"], group["count"]) == ("payment", "reserve_funds", 6)
    assert (
        group["cause"] == f"Account '{account}' is locked, so no payment is possible. Unlock the account, then retry."
    )
    assert group["verdicts"] == ["retry", "skip", "done_by_hand", "roll_back"]
    await Ledger(gate.database).set_locked(account, False, by="admin-1")
    bulk = {"verdict": "retry", "task_ids": group["task_ids"], "comment": "Unlocked", "decision_id": uuid4().hex}
    answers = [(await gate.post("operator-1", "/incidents/decisions", bulk)).json()["items"] for _ in range(2)]
    assert [each["status"] for each in answers[0]] == ["accepted"] * 6
    assert answers[0] == answers[1], "a repeat gets the first answers"
    for case_id in started:
        await gate.until(case_id, lambda case: case["status"] == "completed")
        assert await effects(gate, case_id) == ["hold", "capture"]
    assert await group_of(gate, account) is None


async def test_incidents_are_rolled_back_together_one_result_each(gate: Gate) -> None:
    account, started = await locked_out(gate, 3)
    group = await group_of(gate, account)
    assert group is not None
    bulk = {"verdict": "roll_back", "task_ids": [*group["task_ids"], "none"]}
    items = (await gate.post("operator-1", "/incidents/decisions", bulk)).json()["items"]
    assert [each["status"] for each in items] == ["accepted"] * 3 + ["refused"]
    for case_id in started:
        assert (await gate.until(case_id, lambda case: case["status"] == "failed"))["result"]
        assert await effects(gate, case_id) == ["void"]
    for wrong in ({"verdict": "skip"}, {"verdict": "retry", "task_ids": []}, {"task_ids": ["x"] * 101}):
        body = {"verdict": "retry", "task_ids": ["none"], **wrong}
        assert (await gate.post("operator-1", "/incidents/decisions", body)).status_code == 422


async def test_a_case_is_submitted_again_with_changed_input_and_both_cases_name_each_other(
    gate: Gate,
) -> None:
    first = await gate.start(amount="1250.00")
    await gate.decide("manager-1", await gate.open_task(first), "reject", comment="Too much")
    before = await gate.until(first, lambda case: case["status"] == "rejected")
    again = payment(before["reference"], amount="1100.00") | {"resubmits": first}
    answer = await gate.post("requester-1", "/cases", again)
    assert answer.status_code == 201, answer.text
    second = answer.json()["case_id"]
    assert second == f"{first}~2"
    case = await gate.case(second)
    assert (case["round"], case["resubmits"]) == (2, first)
    before = await gate.case(first)
    assert before["resubmitted_as"] == second
    assert before["timeline"][-1]["summary"] == "Submitted again as round 2"
    twice = await gate.post("requester-1", "/cases", again)
    assert twice.status_code == 409, "one round is open at a time"


async def test_a_round_that_comes_by_itself_is_started_when_its_time_has_come_and_no_round_too_many(
    gate: Gate, tmp_path: Any
) -> None:
    policy = tmp_path / "policy.toml"
    capped = "[payment]\nrounds = 2\n[payment.lists]"
    policy.write_text(gate.settings.policy.read_text().replace("[payment.lists]", capped))
    file = PolicyFile(policy, INPUTS, gates=GATES, steps=STEPS)
    again = Resubmitter(gate.database, Starter(gate.database, gate.client, file))
    first = await gate.start()
    for case_id in (first, f"{first}~2"):
        await gate.decide("manager-1", await gate.open_task(case_id), "reject", comment="No")
        await gate.until(case_id, lambda case: case["status"] == "rejected")
        async with gate.database.write() as conn:
            await conn.execute(
                cases.update()
                .where(cases.c.case_id == case_id)
                .values(status="failed", resubmit_at=datetime.now(UTC) - timedelta(seconds=1))
            )
        assert await again.look() == (1 if case_id == first else 0)
        assert await again.look() == 0
    last = (await gate.case(f"{first}~2"))["timeline"][-1]
    assert last["kind"] == "not_resubmitted" and "allows 2 rounds of one reference" in last["summary"]
    assert (await gate.get("auditor-1", f"/cases/{quote(first + '~3', safe='')}")).status_code == 404


async def test_a_case_that_waits_for_its_rollback_cannot_be_cancelled_by_its_requester(gate: Gate) -> None:
    case_id = await completed(gate)
    answer = await gate.post("requester-1", f"/cases/{quote(case_id, safe='')}/cancel", {"reason": "late"})
    assert answer.status_code == 409


@pytest.mark.parametrize("person", ["operator-1", "manager-1"])
async def test_only_operators_see_how_to_roll_back_on_the_page_of_a_case(gate: Gate, person: str) -> None:
    case_id = await completed(gate)
    async with signed_in(gate, person) as client:
        where = f"/cases/{quote(case_id, safe='')}"
        page = (await client.get(where)).text
        assert ("If rolled back: undo steps, newest first" in page) == (person == "operator-1")
        sent = await client.post(f"{where}/rollback", data={"reason": "Paid twice"})
        assert sent.status_code == (303 if person == "operator-1" else 403)
        if person == "operator-1":
            case = await eventually(lambda: gate.case(case_id), lambda case: case["status"] == "rolled_back")
            assert case["timeline"][-1]["kind"] == "case_closed"

"""Without a worker, decisions are stored, and cases are shown in their last recorded state."""

import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from api.app import create_app
from tests.api.conftest import Gate, eventually
from tests.support.installed_app import free_port


async def test_without_a_worker_a_decision_is_stored_within_four_seconds_and_applied_once(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    began = time.monotonic()
    pending = await stopped.decide("manager-1", task, decision_id="later")
    assert time.monotonic() - began < 4
    assert (pending.status_code, pending.json()["status"]) == (202, "pending")
    again = await stopped.decide("manager-1", task, decision_id="later")
    assert (again.status_code, again.json()) == (202, pending.json())
    other = await stopped.decide("manager-1", task, "reject", decision_id="later")
    assert other.status_code == 409
    where = f"/decisions/{pending.json()['decision_id']}"
    assert (await stopped.get("manager-1", where)).json()["status"] == "pending"
    case = await stopped.case(task["case_id"])
    assert case["stale"] is True
    assert [line["undo"] for line in case["rollback_plan"]] == ["release_funds"]
    assert case["input"]["payee_account"] == "…5432"
    assert (await stopped.get("manager-1", f"/tasks/{task['task_id']}")).json()["stale"] is True

    async def decision() -> Any:
        return (await stopped.get("manager-1", where)).json()

    async with stopped.worker():
        await eventually(decision, lambda found: found["status"] == "accepted")
        case = await stopped.until(task["case_id"], lambda case: case["status"] == "completed")
        assert [event["kind"] for event in case["timeline"]].count("decided") == 1
        assert (await stopped.decide("manager-1", task, decision_id="later")).status_code == 200


async def test_a_bulk_without_a_worker_does_not_wait_for_each_item(stopped: Gate) -> None:
    async with stopped.worker():
        tasks = [await stopped.open_task(case_id) for case_id in [await stopped.start() for _ in range(8)]]
    began = time.monotonic()
    items = [{"task_id": task["task_id"], "verdict": "reject", "revision": 1} for task in tasks]
    answer = await stopped.post("manager-2", "/tasks/decisions", {"items": items}, Idempotency_Key="all")
    assert {item["status"] for item in answer.json()["items"]} == {"pending"}
    assert time.monotonic() - began < 9


async def test_of_two_stored_decisions_the_second_is_refused_and_its_person_can_see_why(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    answers = {
        person: (await stopped.decide(person, task, verdict, decision_id="p")).json()["decision_id"]
        for person, verdict in (("manager-1", "reject"), ("manager-2", "approve"))
    }

    async def second() -> Any:
        return (await stopped.get("manager-2", f"/decisions/{answers['manager-2']}")).json()

    async with stopped.worker():
        refused = await eventually(second, lambda found: found["status"] == "refused")
        assert refused["code"] == "AlreadyClosed"
        assert "rejected" in refused["refusal"]
        again = await stopped.decide("manager-2", task, "approve", decision_id="p")
        assert (again.status_code, again.json()["outcome"]) == (409, "rejected")
        assert (await stopped.get("manager-1", f"/decisions/{answers['manager-1']}")).json()["status"] == "accepted"
        await stopped.until(task["case_id"], lambda case: case["status"] == "rejected")


async def test_without_temporal_a_decision_is_refused_for_now_and_leaves_nothing(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    app = create_app(stopped.settings.model_copy(update={"temporal_port": free_port()}))
    async with app.router.lifespan_context(app):
        cut_off = replace(stopped, app=app, _clients={})
        began = time.monotonic()
        answer = await cut_off.decide("manager-1", task, decision_id="lost")
        assert time.monotonic() - began < 4
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        where = f"/decisions/{answer.json()['decision_id']}"
        assert (await cut_off.get("manager-1", where)).status_code == 404
        cancel = await cut_off.post("operator-1", f"/cases/{quote(task['case_id'], safe='')}/cancel", {"reason": "x"})
        assert cancel.status_code == 503
        assert (await cut_off.case(task["case_id"]))["stale"] is True
    async with stopped.worker():
        assert (await stopped.decide("manager-1", task, decision_id="lost")).status_code == 200

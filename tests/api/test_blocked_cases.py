"""A case that Temporal does not know: health, metrics, pages and lists show it, and operators resolve it."""

import asyncio
from collections import deque

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from cases.reconcile.blocked_workflows import BlockedWorkflows
from store.cases import blocked
from tests.api.conftest import Gate, eventually
from tests.api.pages.visits import hidden, parsed, signed_in


async def forgotten(gate: Gate, count: int = 1) -> list[str]:
    """Cases that wait for people, and that somebody deleted in Temporal; found as the worker finds them."""
    started = [await gate.start(amount="700.00") for _ in range(count)]
    for case_id in started:
        await gate.open_task(case_id)
        await gate.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=gate.client.namespace, workflow_execution=WorkflowExecution(workflow_id=case_id)
            )
        )
    finds = BlockedWorkflows(gate.database, gate.client, deque())
    async with asyncio.timeout(60):
        while not set(started) <= await known(gate):
            await finds.look()
            await asyncio.sleep(0.2)
    return started


async def known(gate: Gate) -> set[str | None]:
    async with gate.database.read() as conn:
        return {each.case_id for each in await blocked.all(conn)}


async def test_everybody_who_looks_after_holdgate_is_told_and_an_operator_rolls_it_back(gate: Gate) -> None:
    (case_id,) = await forgotten(gate)
    assert (await gate.case(case_id))["status"] == "needs_intervention"
    ready = (await gate.as_(None).get("/health/ready")).json()
    (said,) = [each for each in ready["warnings"] if "is blocked; see" in each]
    assert "1 case" in said and "Incidents" in said and "Temporal does not know this case" in said
    numbers = await eventually(
        lambda: gate.as_(None).get("/metrics"), lambda found: 'stopped_workflows{kind="unknown"} 1.0' in found.text
    )
    assert 'stopped_workflows{kind="failing"} 0.0' in numbers.text
    stands = (await gate.get("admin-1", "/dashboard", period="24h", zone="Africa/Dakar")).json()
    assert stands["health"]["stopped"] == {"unknown": 1}

    items = (await gate.get("operator-1", "/incidents")).json()["items"]
    (group,) = [each for each in items if "Temporal does not know this case" in each["cause"]]
    assert (group["count"], group["verdicts"]) == (1, ["roll_back", "done_by_hand"])
    bulk = {"verdict": "roll_back", "task_ids": group["task_ids"], "comment": "Deleted by mistake", "decision_id": "s1"}
    answers = [(await gate.post("operator-1", "/incidents/decisions", bulk)).json()["items"][0] for _ in range(2)]
    assert [each["status"] for each in answers] == ["accepted", "accepted"], answers
    ended = await gate.until(case_id, lambda case: case["status"] == "failed")
    assert "operator-1" in ended["result"]["reason"]
    ready = (await gate.as_(None).get("/health/ready")).json()
    assert not [each for each in ready["warnings"] if "blocked" in each]


async def test_the_page_of_incidents_shows_them_and_takes_the_answer(gate: Gate) -> None:
    (case_id,) = await forgotten(gate)
    async with signed_in(gate, "admin-1") as client:
        assert (
            "Blocked requests need an operator."
            in (await client.get("/dashboard?period=24h&zone=Africa/Freetown")).text
        )
    async with signed_in(gate, "operator-1") as client:
        page = (await client.get("/incidents")).text
        assert "Temporal does not know this case" in page
        items = (await gate.get("operator-1", "/incidents")).json()["items"]
        (group,) = [each for each in items if "Temporal does not know this case" in each["cause"]]
        (task_id,) = group["task_ids"]
        task = (await client.get(f"/tasks/{task_id}")).text
        assert "Otherwise roll back the case, or mark it as done by hand." in task
        told = parsed(task)
        assert "The request is blocked and needs an operator." in told.section("Who can decide").text
        assert [each.text for each in told.section("Checks").all("dt")] == ["Cause", "What to do"]
        history = told.section("History").text
        assert "Blocked. Temporal does not know this case" in history, "the whole sentence"
        assert "payment; oldest incident, open for" in parsed(page).one("main").text
        form = {**hidden(page), "group": group["group"], "verdict": "roll_back", "comment": "Not wanted"}
        done = await client.post("/incidents", data=form)
        assert "1 of 1 incidents decided" in (await client.get(done.headers["location"])).text
    await gate.until(case_id, lambda case: case["status"] == "failed")


async def test_who_asked_for_the_case_does_not_settle_it_and_the_refusal_is_recorded(gate: Gate) -> None:
    (case_id,) = await forgotten(gate)
    items = (await gate.get("operator-1", "/incidents")).json()["items"]
    (group,) = [each for each in items if "Temporal does not know this case" in each["cause"]]
    (task_id,) = group["task_ids"]
    no = await gate.post("requester-1", f"/tasks/{task_id}/decision", {"verdict": "roll_back"})
    assert no.status_code == 403
    no = await gate.post("operator-1", f"/tasks/{task_id}/decision", {"verdict": "done_by_hand", "revision": 1})
    assert no.status_code == 422 and "what was done by hand" in no.json()["detail"]
    yes = {"verdict": "done_by_hand", "comment": "Paid on paper", "revision": 1}
    assert (await gate.post("operator-1", f"/tasks/{task_id}/decision", yes)).status_code == 200
    late = await gate.post("operator-1", f"/tasks/{task_id}/decision", yes)
    assert late.status_code == 409
    ended = await gate.until(case_id, lambda case: case["status"] == "failed")
    assert "Paid on paper" in ended["result"]["reason"]
    assert [event["kind"] for event in ended["timeline"]].count("decision_refused") >= 2

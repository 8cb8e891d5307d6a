"""Nobody decides a task because they gave it away or arranged its people, and a request cannot choose any decider."""

from typing import Any
from uuid import uuid4

import pytest

from store.people import people
from tests.api.conftest import Gate


async def test_an_admin_who_reassigned_a_task_does_not_approve_it(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(amount="700.00"))
    path = f"/tasks/{task['task_id']}"
    async with gate.database.write() as conn:
        await people.join(conn, "admin-1", "managers", by="admin-2")
    try:
        own = await gate.post("admin-1", f"{path}/reassign", {"to": "admin-1"})
        assert own.status_code == 403 and "cannot put yourself on a task" in own.json()["detail"]
        assert (await gate.get("admin-1", path)).json()["can_decide"]["allowed"]
        assert (await gate.post("admin-1", f"{path}/reassign", {"to": "manager-2"})).status_code == 200
        assert (await gate.post("manager-2", f"{path}/release")).status_code == 200
        can = (await gate.get("admin-1", path)).json()["can_decide"]
        assert can == {"allowed": False, "why": "You changed who decides this task, so somebody else must decide it."}
        no = await gate.decide("admin-1", task)
        assert no.status_code == 403 and "who changed who decides" in no.json()["rule"]
        mine = (await gate.get("admin-1", "/tasks", mine=True, limit=200)).json()["items"]
        assert task["task_id"] not in {each["task_id"] for each in mine}
        assert (await gate.decide("manager-2", task)).status_code == 200
    finally:
        async with gate.database.write() as conn:
            await people.leave(conn, "admin-1", "managers", by="admin-2")


def onboarding(**input: Any) -> dict[str, Any]:
    fields = {"full_name": "Ada Lovelace", "role": "employee", "start_date": "2027-02-01"}
    return {"process": "user_onboarding", "reference": f"IT-{uuid4()}", "input": fields | input}


def approval(*candidates: str) -> dict[str, Any]:
    asked = {"title": "Rent", "body": "A room", "candidates": list(candidates)}
    return {"process": "approval", "reference": f"A-{uuid4()}", "input": asked}


@pytest.mark.parametrize(
    ("request_", "field", "said"),
    [
        (onboarding(manager="requester-2"), "manager", "'requester-2' cannot be an approver of this request"),
        (onboarding(manager="requester-1"), "manager", "names only you"),
        (approval("requester-1"), "candidates", "names only you"),
    ],
)
async def test_a_request_does_not_choose_just_anybody_to_decide_it(
    gate: Gate, request_: dict[str, Any], field: str, said: str
) -> None:
    answer = await gate.post("requester-1", "/cases", request_)
    assert answer.status_code == 422, answer.text
    assert any(each["field"].startswith(field) and said in each["message"] for each in answer.json()["errors"])


@pytest.mark.parametrize(
    "request_", [onboarding(manager="manager-1"), onboarding(), approval("requesters"), approval()]
)
async def test_whom_the_policy_allows_may_be_chosen(gate: Gate, request_: dict[str, Any]) -> None:
    answer = await gate.post("requester-1", "/cases", request_)
    assert answer.status_code == 201, answer.text

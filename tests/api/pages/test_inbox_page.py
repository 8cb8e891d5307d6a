"""The inbox without a browser: its filters, and many decisions at once with one result each."""

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from api.pages.inbox import flags_of
from store.cases import tasks as stored
from tests.api.conftest import Gate

SCRIPT = {"Accept": "application/json"}


def rows(page: str) -> list[str]:
    """The ids of the tasks that are listed."""
    return re.findall(r'<tr id="(t\w+)"', page)


async def seen(gate: Gate, person: str, address: str) -> str:
    answer = await gate.as_(person).get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


async def several(gate: Gate, number: int, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    """Open tasks that no other test has: their common payee, and they themselves."""
    payee = f"Payee {uuid4().hex[:8]}"
    cases = [await gate.start(payee=payee, amount=f"{1200 + n}.00", **more) for n in range(number)]
    return payee, [await gate.open_task(case_id) for case_id in cases]


def form(tasks: list[dict[str, Any]], verdict: str = "approve", **more: str) -> dict[str, Any]:
    chosen = [f"{task['task_id']}.{task['revision']}" for task in tasks]
    return {"verdict": verdict, "task": chosen, "decision_id": uuid4().hex, "sure": "yes", **more}


async def decide(gate: Gate, person: str, body: dict[str, Any], **headers: str) -> httpx2.Response:
    return await gate.as_(person).post("/bulk", data=body, headers=headers or SCRIPT)


async def test_the_address_says_what_is_listed(gate: Gate) -> None:
    payee, tasks = await several(gate, 2)
    ids = {task["task_id"] for task in tasks}
    named = f"payee={payee.replace(' ', '+')}"
    for asked in ("", "&process=payment&step=manager-approval", "&group=managers", "&due=week", "&priority=3"):
        assert set(rows(await seen(gate, "manager-1", f"/?{named}{asked}"))) == ids, asked
    for asked in ("&process=deployment", "&step=fraud-review", "&group=directors", "&due=overdue", "&priority=1"):
        assert rows(await seen(gate, "manager-1", f"/?{named}{asked}")) == [], asked
    assert rows(await seen(gate, "requester-2", f"/?whose=all&{named}")) == []
    assert set(rows(await seen(gate, "requester-1", f"/?whose=all&{named}"))) == ids
    assert rows(await seen(gate, "manager-1", f"/?whose=claimed&{named}")) == []
    by_payee = await seen(gate, "manager-1", f"/?by=payee&{named}")
    assert '<th scope="col">Upload</th>' in await seen(gate, "manager-1", f"/?by=batch&{named}")
    assert payee in by_payee and "2,401.00 GBP" in by_payee
    assert (await gate.as_("manager-1").get("/?due=never")).status_code == 422
    assert (await gate.as_("manager-1").get("/?cursor=ours")).status_code == 422


async def test_who_asked_is_told_that_they_cannot_decide(gate: Gate) -> None:
    payee, _tasks = await several(gate, 1)
    page = await seen(gate, "requester-1", f"/?whose=all&payee={payee.replace(' ', '+')}")
    assert re.search(r'data-not="[^"]+"', page)


async def test_each_of_many_has_a_result_of_its_own_and_a_repeat_has_the_same(gate: Gate) -> None:
    _payee, tasks = await several(gate, 3)
    assert (await gate.decide("manager-2", tasks[1], "reject", comment="No")).status_code == 200
    body = form(tasks)
    first = await decide(gate, "manager-1", body)
    assert [each["status"] for each in first.json()["items"]] == ["accepted", "refused", "accepted"]
    assert "rejected" in first.json()["items"][1]["message"] or "decided" in first.json()["items"][1]["message"]
    again = await decide(gate, "manager-1", body)
    assert again.json()["items"] == first.json()["items"]


async def test_a_rejection_of_many_needs_a_comment_and_nothing_is_decided_without_being_sure(gate: Gate) -> None:
    _payee, tasks = await several(gate, 2)
    assert (await decide(gate, "manager-1", form(tasks, "reject"))).status_code == 422
    unsure = await decide(gate, "manager-1", form(tasks, sure=""), Accept="text/html")
    assert unsure.status_code == 200 and "Approve 2 tasks?" in unsure.text and "2,401.00 GBP" in unsure.text
    empty = await decide(gate, "manager-1", form(tasks, "reject", comment="  "), Accept="text/html")
    assert empty.status_code == 422 and "Enter a comment" in empty.text
    for task in tasks:
        assert (await gate.case(task["case_id"]))["status"] == "awaiting_approval"


@pytest.mark.parametrize("chosen", [[], ["t-none.1"], ["x" * 500]])
async def test_what_is_not_there_or_not_for_ones_eyes_is_not_decided(gate: Gate, chosen: list[str]) -> None:
    _payee, tasks = await several(gate, 1)
    body = form(tasks) | {"task": chosen}
    answer = await decide(gate, "manager-1", body)
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert [each["status"] for each in answer.json()["items"]] == ["refused"]
    foreign = await decide(gate, "requester-2", form(tasks))
    assert [each["status"] for each in foreign.json()["items"]] == ["refused"]
    assert (await gate.case(tasks[0]["case_id"]))["status"] == "awaiting_approval"


async def test_tasks_of_two_approval_steps_are_not_decided_together(gate: Gate) -> None:
    _payee, tasks = await several(gate, 1)
    asked = {
        "process": "approval",
        "reference": uuid4().hex,
        "input": {"title": "Rent it?", "candidates": ["managers"]},
    }
    started = (await gate.post("requester-1", "/cases", asked)).json()
    other = await gate.open_task(started["case_id"])
    answer = await decide(gate, "manager-1", form([*tasks, other]))
    assert answer.status_code == 422 and "one approval step" in answer.text


async def test_a_flag_is_what_a_check_says_in_words(gate: Gate) -> None:
    _payee, tasks = await several(gate, 1)
    async with gate.database.read() as conn:
        task = await stored.get(conn, tasks[0]["task_id"])
    assert task is not None
    assert flags_of(task) == ["This is the first payment to this payee."]

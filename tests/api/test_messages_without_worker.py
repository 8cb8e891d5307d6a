"""Messages to a case without a running worker are stored, found again, and carried out once by the next worker."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from api.gateway import decisions, temporal
from cases.reconcile.closed_in_temporal import Watcher
from cases.rollback import Rollbacks
from cases.submit import Starter
from domain.messages import Decision
from domain.records import DecisionRecord
from policy.file import PolicyFile
from store.cases import tasks
from store.cases.unanswered_messages import UnansweredMessages
from tests.api.conftest import Gate, eventually, payment
from workflows.registry import INPUTS

SOON = (datetime.now(UTC) + timedelta(days=2)).isoformat()
ACTIONS: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    "claim": ("manager-1", None, "task_claimed"),
    "release": ("manager-1", None, "task_released"),
    "reassign": ("admin-1", {"to": "manager-2", "reason": "He knows them"}, "task_reassigned"),
    "delegate": ("manager-1", {"to": "manager-3"}, "task_delegated"),
    "withdraw": ("manager-1", None, "decision_withdrawn"),
    "questions": ("manager-1", {"to": "requester-1", "text": "Which order?"}, "question_asked"),
    "answer": ("requester-1", {"text": "The one of May"}, "question_answered"),
    "clock": ("admin-1", {"due_at": SOON, "reason": "They are away"}, "clock_set"),
}
"""The sender of each message, and the audit event that must exist once."""


async def test_an_action_without_a_worker_is_stored_once_found_again_and_done_when_one_is_back(stopped: Gate) -> None:
    paths, tasks = {}, {}
    async with stopped.worker():
        for name in ACTIONS:
            # Two of three managers decide this one, so that one of them can take it back.
            task = tasks[name] = await stopped.open_task(await stopped.start(amount="20000.00"))
            paths[name] = f"/tasks/{task['task_id']}/{name}"
        await stopped.post("manager-1", f"/tasks/{tasks['release']['task_id']}/claim")
        await stopped.decide("manager-1", tasks["withdraw"])
        asked = await stopped.post(
            "manager-1", f"/tasks/{tasks['answer']['task_id']}/questions", {"to": "requester-1", "text": "Whose?"}
        )
        question = asked.json()["questions"][0]["id"]
        paths["answer"] = f"/tasks/{tasks['answer']['task_id']}/questions/{question}/answer"

    async def send(name: str, **headers: str) -> tuple[int, dict[str, Any]]:
        person, body, _ = ACTIONS[name]
        answer = await stopped.post(person, paths[name], body, **headers)
        return answer.status_code, answer.json()

    first = await asyncio.gather(*(send(name) for name in ACTIONS))
    again = await asyncio.gather(*(send(name) for name in ACTIONS))
    assert [status for status, _ in first] == [202] * len(ACTIONS), first
    assert again == first, "sent again without an id, it is the same action"
    pending = dict(zip(ACTIONS, (body["action_id"] for _, body in first), strict=True))
    for name, action_id in pending.items():
        found = await stopped.get(ACTIONS[name][0], f"/actions/{action_id}")
        assert (found.json()["status"], found.json()["task_id"]) == ("pending", tasks[name]["task_id"])
        assert (await stopped.get("fraud-1", f"/actions/{action_id}")).status_code == 404
    async with stopped.worker():
        for name, action_id in pending.items():
            person, _, kind = ACTIONS[name]

            async def look(person: str = person, action_id: str = action_id) -> Any:
                return (await stopped.get(person, f"/actions/{action_id}")).json()

            await eventually(look, lambda found: found["status"] == "done")
            kinds = Counter(event["kind"] for event in (await stopped.case(tasks[name]["case_id"]))["timeline"])
            assert kinds[kind] == 1, name


async def test_with_a_key_an_action_is_one_for_ever_and_without_one_a_later_one_is_new(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    where = f"/tasks/{task['task_id']}"
    stored = await stopped.post("manager-1", f"{where}/claim", Idempotency_Key="mine")
    other = await stopped.post("manager-2", f"{where}/claim", Idempotency_Key="mine")
    assert stored.status_code == other.status_code == 202
    assert stored.json()["action_id"] != other.json()["action_id"], "a key is its sender's"
    async with stopped.worker():

        async def look() -> Any:
            return (await stopped.get("manager-2", f"/actions/{other.json()['action_id']}")).json()

        late = await eventually(look, lambda found: found["status"] != "pending")
        assert (late["status"], late["code"]) == ("refused", "AlreadyClaimed")
        repeat = await stopped.post("manager-1", f"{where}/claim", Idempotency_Key="mine")
        assert (repeat.status_code, repeat.json()["assignee"]) == (200, "manager-1")
        refused = await stopped.post("manager-2", f"{where}/claim", Idempotency_Key="mine")
        assert refused.status_code == 409
        assert (await stopped.post("manager-1", f"{where}/release")).json()["assignee"] is None
        assert (await stopped.post("manager-1", f"{where}/claim")).json()["assignee"] == "manager-1"
        kinds = Counter(event["kind"] for event in (await stopped.case(task["case_id"]))["timeline"])
        assert (kinds["task_claimed"], kinds["task_released"]) == (2, 1)


async def test_who_may_never_do_it_is_told_at_once_also_without_a_worker(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    where = f"/tasks/{task['task_id']}"
    for person, path, body, status in (
        ("requester-1", "claim", None, 403),
        ("manager-1", "reassign", {"to": "manager-2"}, 403),
        ("admin-1", "clock", {"reason": "No time is named"}, 422),
    ):
        assert (await stopped.post(person, f"{where}/{path}", body)).status_code == status
    async with stopped.worker():
        await stopped.decide("manager-1", task, "reject")
        await stopped.until(task["case_id"], lambda case: case["closed_at"] is not None)


async def test_a_case_is_started_early_cancelled_and_rolled_back_once_when_a_worker_is_back(stopped: Gate) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    async with stopped.worker():
        paid = await stopped.start(amount="20.00")
        await stopped.until(paid, lambda case: case["status"] == "completed")
        unwanted = await stopped.start()
        await stopped.open_task(unwanted)
    later = [
        (await stopped.post("requester-1", "/cases", payment(amount="21.00") | {"start_at": tomorrow})).json()[
            "case_id"
        ]
        for _ in range(2)
    ]
    sent = {
        f"/cases/{quote(later[0], safe='')}/start": ("requester-1", None),
        f"/cases/{quote(unwanted, safe='')}/cancel": ("requester-1", {"reason": "Not wanted"}),
    }
    for path, (person, body) in sent.items():
        for _ in range(2):
            answer = await stopped.post(person, path, body)
            assert answer.status_code == 202, answer.text
    back = f"/cases/{quote(paid, safe='')}/rollback"
    for _ in range(2):
        assert (await stopped.post("operator-1", back, {"reason": "Twice"})).status_code == 202
    assert (await stopped.post("operator-1", back, {"reason": "Another"})).status_code == 409
    async with stopped.worker():
        early = await stopped.until(later[0], lambda case: case["status"] == "completed")
        gone = await stopped.until(unwanted, lambda case: case["status"] == "cancelled")
        undone = await stopped.until(paid, lambda case: case["status"] == "rolled_back")
        assert (await stopped.case(later[1]))["status"] == "scheduled"
        repeat = await stopped.post("requester-1", f"/cases/{quote(later[0], safe='')}/start")
        assert repeat.status_code == 409, "it has ended"
    assert Counter(event["kind"] for event in early["timeline"])["case_started"] == 1
    kinds = Counter(event["kind"] for event in gone["timeline"])
    assert (kinds["cancel_requested"], kinds["cancel_too_late"]) == (1, 0)
    assert Counter(event["kind"] for event in undone["timeline"])["rollback_requested"] == 1


async def test_a_batch_is_paused_once_by_one_key_also_without_a_worker(stopped: Gate) -> None:
    rows = "\n".join(f"KEY-{number},Shop {number},30.00,GBP,operating" for number in range(3))
    file = {"file": ("rows.csv", f"reference,payee,amount,currency,account\n{rows}".encode(), "text/csv")}
    answer = await stopped.as_("requester-1").post("/api/v1/batches?process=payment", files=file)
    where = f"/batches/{answer.json()['batch_id']}"
    for _ in range(2):
        paused = await stopped.post("requester-1", f"{where}/pause", {"reason": "Wait"}, Idempotency_Key="pause")
        assert paused.status_code == 202, paused.text

    async def look() -> Any:
        return (await stopped.get("requester-1", where)).json()

    async with stopped.worker():
        await eventually(look, lambda batch: batch["status"] == "paused")
        assert (await stopped.post("requester-1", f"{where}/resume", {"reason": "Go on"})).status_code == 202
        again = await stopped.post("requester-1", f"{where}/pause", {"reason": "Wait"}, Idempotency_Key="pause")
        assert again.status_code in (202, 409)
        await eventually(look, lambda batch: batch["status"] == "completed")


def test_every_route_that_sends_a_message_documents_the_answer_without_a_worker(stopped: Gate) -> None:
    """A new route is in this table, or stands nowhere near a case."""
    sends = ("/tasks/{task_id}/", "/cases/{case_id}/", "/batches/{batch_id}/")
    in_sql = {"nudge", "follow-up", "comments", "attachments", "acknowledge", "reveal"}
    routes = {
        path: operation["post"]
        for path, operation in stopped.app.openapi()["paths"].items()
        if "post" in operation and any(part in path for part in sends) and path.rpartition("/")[2] not in in_sql
    }
    assert {path.rpartition("/")[2] for path in routes} >= {
        *ACTIONS,
        "decision",
        "cancel",
        "start",
        "rollback",
        "pause",
    }
    assert [path for path, operation in routes.items() if "202" not in operation["responses"]] == []


async def test_what_waits_for_a_case_that_was_ended_in_temporal_is_refused_in_the_end(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start(amount="20000.00"))
    decided = await stopped.decide("manager-1", task)
    claimed = await stopped.post("manager-2", f"/tasks/{task['task_id']}/claim")
    assert (decided.status_code, claimed.status_code) == (202, 202)
    await stopped.client.get_workflow_handle(task["case_id"]).terminate(reason="Tidying up")
    starter = Starter(stopped.database, stopped.client, PolicyFile(stopped.settings.policy, INPUTS))
    lost = Watcher(stopped.database, stopped.client, Rollbacks(stopped.database, stopped.client, starter))
    await eventually(lost.look, bool)
    assert await UnansweredMessages(stopped.database).look() == 0, "a case that runs has a minute to answer"
    job = UnansweredMessages(stopped.database, old=timedelta(0))
    assert [await job.look(), await job.look()] == [2, 0]
    for person, where in (
        ("manager-1", f"/decisions/{decided.json()['decision_id']}"),
        ("manager-2", f"/actions/{claimed.json()['action_id']}"),
    ):
        found = (await stopped.get(person, where)).json()
        assert (found["status"], found["code"]) == ("refused", "AlreadyClosed")
    told = [
        event["kind"] for event in (await stopped.case(task["case_id"]))["timeline"] if event["actor"] == "holdgate"
    ]
    assert {"decision_refused", "action_refused"} <= set(told)


async def test_what_waits_for_an_open_task_is_left_to_its_case(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    decision = (await stopped.decide("manager-1", task)).json()["decision_id"]
    await UnansweredMessages(stopped.database, old=timedelta(0)).look()
    assert (await stopped.get("manager-1", f"/decisions/{decision}")).json()["status"] == "pending"
    async with stopped.worker():
        await stopped.until(task["case_id"], lambda case: case["status"] == "completed")


async def test_a_decision_that_is_still_being_stored_is_found(stopped: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load the answer 202 came before the decision was in SQL, and a question about it was answered with 404."""
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    add, stored = tasks.add_pending, asyncio.Event()

    async def slow(*given: Any) -> None:
        await stored.wait()
        await add(*given)

    monkeypatch.setattr(tasks, "add_pending", slow)
    monkeypatch.setattr(decisions, "LOOK_PATIENCE_S", 0.2)
    decided = await stopped.decide("manager-1", task)
    where = f"/decisions/{decided.json()['decision_id']}"
    early = await stopped.get("manager-1", where)
    assert (decided.status_code, early.status_code) == (202, 503), early.text
    asyncio.get_running_loop().call_later(0.1, stored.set)
    assert (await stopped.get("manager-1", where)).json()["status"] == "pending"
    assert (await stopped.get("fraud-1", where)).status_code == 404
    async with stopped.worker():
        await stopped.until(task["case_id"], lambda case: case["status"] == "completed")


async def test_a_decision_that_is_in_sql_and_lost_in_temporal_reaches_its_case(
    stopped: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load Temporal may drop an Update after the case has recorded it: found with 19 clients on two cores."""
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    monkeypatch.setattr(decisions, "SIGNAL_PATIENCE_S", 0.0)
    monkeypatch.setattr(decisions, "LOOKS_S", (0.5, 0.5))
    sent: list[Decision] = []
    send = temporal.send

    async def heard(handle: Any, update: str, message: Any, answer: Any) -> Any:
        sent.append(message)
        return await send(handle, update, message, answer)

    monkeypatch.setattr(decisions, "send", heard)
    answer = await stopped.decide("manager-1", task)
    assert answer.status_code == 503 and "Nothing was recorded" not in answer.json()["detail"]
    async with stopped.database.write() as conn:  # as the case does, before Temporal has stored the Update
        await tasks.record_decisions(conn, [DecisionRecord(decision=sent[0])], task["case_id"])
    await asyncio.sleep(1.5)
    async with stopped.worker():
        await stopped.until(task["case_id"], lambda case: case["status"] == "completed")


async def test_an_action_that_came_by_both_ways_and_was_refused_is_recorded_once(stopped: Gate) -> None:
    async with stopped.worker():
        task = await stopped.open_task(await stopped.start())
    where = f"/tasks/{task['task_id']}/questions"
    ask = {"to": "requester-1", "text": "Which order?"}
    answers = await asyncio.gather(*(stopped.post("manager-1", where, ask) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {202}
    async with stopped.worker():

        def over(case: dict[str, Any]) -> bool:
            return sum(event["kind"] in ("question_asked", "action_refused") for event in case["timeline"]) == 3

        await stopped.until(task["case_id"], over)
        await stopped.refusals.finish()
        kinds = Counter(event["kind"] for event in (await stopped.case(task["case_id"]))["timeline"])
        assert (kinds["question_asked"], kinds["action_refused"], kinds["message_refused"]) == (1, 2, 0)

"""Decisions over HTTP: accepted, repeated, refused by each rule, late, stale, many at once."""

import asyncio
from typing import Any

import pytest

from api.http.problems import unavailable
from store.people.people import Person
from tests.api.conftest import Gate


async def refusals(gate: Gate, case_id: str) -> list[dict[str, Any]]:
    return [event for event in (await gate.case(case_id))["timeline"] if event["kind"] == "decision_refused"]


async def test_an_approval_is_shown_at_once_by_its_task_and_its_case(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    answer = await gate.decide("manager-1", task, comment="Checked", revision=1)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["case_status"], body["task"]["outcome"]) == ("accepted", "running", "approved")
    seen = (await gate.get("manager-1", f"/tasks/{task['task_id']}")).json()
    assert [(each["by"], each["comment"]) for each in seen["decisions"]] == [("manager-1", "Checked")]
    assert seen["can_decide"]["allowed"] is False
    case = await gate.case(task["case_id"])
    assert case["tasks"][0]["outcome"] == "approved"
    assert (await gate.until(task["case_id"], lambda case: case["status"] == "completed"))["result"]["status"]
    found = (await gate.get("manager-1", f"/decisions/{body['decision_id']}")).json()
    assert (found["status"], found["refusal"], found["case_id"]) == ("accepted", None, task["case_id"])


async def test_a_repeat_gets_the_first_answer_also_after_the_end(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    first = await gate.decide("manager-1", task, decision_id="mine")
    again = await gate.decide("manager-1", task, decision_id="mine")
    await gate.until(task["case_id"], lambda case: case["status"] == "completed")
    late = await gate.post(
        "manager-1", f"/tasks/{task['task_id']}/decision", {"verdict": "approve", "revision": 1}, Idempotency_Key="mine"
    )
    assert first.status_code == again.status_code == late.status_code == 200
    assert first.json() == again.json() == late.json()
    assert first.json()["task"]["facts"] == task["facts"] != {}
    assert [event["kind"] for event in (await gate.case(task["case_id"]))["timeline"]].count("decided") == 1


async def test_a_repeat_gets_the_first_answer_although_the_groups_cannot_be_read_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await gate.open_task(await gate.start())
    first = await gate.decide("manager-1", task, decision_id="mine")

    async def down(_person: Person, *, confirm: bool) -> Person:
        raise unavailable("the provider does not answer")

    monkeypatch.setattr(gate.app.state.services.gateway._decisions, "_fresh", down)
    again = await gate.decide("manager-1", task, decision_id="mine")
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await gate.decide("manager-1", task, decision_id="new")).status_code == 503


async def test_the_same_id_with_another_verdict_is_a_conflict_and_somebody_elses_is_not(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(amount="20000.00"))
    assert (await gate.decide("manager-1", task, decision_id="one")).status_code == 200
    reused = await gate.decide("manager-1", task, "reject", decision_id="one")
    assert (reused.status_code, reused.json()["type"]) == (409, "urn:holdgate:reused-id")
    assert (await gate.decide("manager-2", task, decision_id="one")).status_code == 200


async def test_a_withdrawn_decision_is_still_found_by_its_id(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(amount="20000.00"))
    made = (await gate.decide("manager-1", task)).json()["decision_id"]
    assert (await gate.post("manager-1", f"/tasks/{task['task_id']}/withdraw")).status_code == 200
    found = await gate.get("manager-1", f"/decisions/{made}")
    assert (found.status_code, found.json()["status"]) == (200, "withdrawn")


async def test_people_rules_answer_403_with_the_rule_and_are_recorded(gate: Gate) -> None:
    task = await gate.open_task(await gate.start("requester-1", amount="20000.00"))
    own = await gate.decide("requester-1", task)
    assert own.status_code == 403
    assert "requester never decides" in own.json()["rule"]
    stranger = await gate.decide("operator-1", task)
    assert "managers" in stranger.json()["rule"]
    assert (await gate.decide("manager-1", task)).status_code == 200
    twice = await gate.decide("manager-1", task)
    assert (twice.status_code, "quorum" in twice.json()["rule"]) == (403, True)
    assert [event["actor"] for event in await refusals(gate, task["case_id"])] == [
        "requester-1",
        "operator-1",
        "manager-1",
    ]


async def test_a_late_decision_learns_the_outcome(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    await gate.decide("manager-1", task, "reject", comment="Paid already")
    late = await gate.decide("manager-2", task)
    assert (late.status_code, late.json()["outcome"]) == (409, "rejected")
    await gate.until(task["case_id"], lambda case: case["status"] == "rejected")
    later = await gate.decide("manager-3", task)
    assert (later.status_code, later.json()["outcome"]) == (409, "rejected")
    own = await gate.decide("requester-1", task)
    assert own.status_code == 403, "who must never decide learns that, whenever they ask"


async def test_a_stale_revision_says_what_changed(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    stale = await gate.decide("manager-1", task, revision=7)
    assert stale.status_code == 409
    assert stale.json()["revision"] == 1
    assert "changed" in stale.json()


async def test_a_verdict_that_the_task_does_not_accept_is_refused_and_recorded(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    for verdict in ("maybe", "retry", "resubmit", "APPROVE"):
        wrong = await gate.decide("manager-1", task, verdict)
        assert (wrong.status_code, wrong.json()["allowed"]) == (
            422,
            ["approve", "reject", "request_changes", "abstain"],
        )
        assert wrong.json()["errors"][0]["field"] == "verdict"
    recorded = [(event["data"]["verdict"], event["data"]["code"]) for event in await refusals(gate, task["case_id"])]
    assert recorded == [("retry", "WrongVerdict"), ("resubmit", "WrongVerdict")], "the other words are no verdicts"
    assert (await gate.decide("manager-1", task, comment="x" * 4001)).status_code == 422
    assert (await gate.decide("manager-1", task, edits={"amount": "1"})).status_code == 422
    assert (await gate.decide("manager-1", task, comment="x" * 4000)).status_code == 200


async def test_fifty_people_at_once_get_one_outcome_and_everybody_is_told_which(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    people = ("manager-1", "manager-2", "manager-3")
    answers = await asyncio.gather(*(gate.decide(people[n % 3], task, ("approve", "reject")[n % 2]) for n in range(50)))
    accepted = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(accepted) == 1
    outcome = accepted[0]["task"]["outcome"]
    assert {answer.json()["outcome"] for answer in answers if answer.status_code == 409} == {outcome}
    assert {answer.status_code for answer in answers} == {200, 409}


async def test_who_may_decide_is_said_with_the_task(gate: Gate) -> None:
    task = await gate.open_task(await gate.start("requester-1"))
    said = {
        person: (await gate.get(person, f"/tasks/{task['task_id']}")).json()["can_decide"]
        for person in ("manager-1", "requester-1", "auditor-1")
    }
    assert said["manager-1"] == {"allowed": True, "why": "member of managers"}
    assert said["requester-1"]["allowed"] is False
    assert "managers" in said["auditor-1"]["why"]
    mine = (await gate.get("manager-1", "/tasks", mine=True, status="open", q=task["case_id"])).json()["items"]
    assert [each["task_id"] for each in mine] == [task["task_id"]]
    assert not (await gate.get("auditor-1", "/tasks", mine=True, q=task["case_id"])).json()["items"]


async def test_a_bulk_answers_each_item_and_may_be_repeated(gate: Gate) -> None:
    tasks = [await gate.open_task(await gate.start()) for _ in range(3)]
    items = [{"task_id": task["task_id"], "verdict": "approve", "revision": 1, "decision_id": "b"} for task in tasks]
    items += [{"task_id": "unknown", "verdict": "approve"}, {**items[0], "decision_id": "c", "verdict": "perhaps"}]
    first = (await gate.post("manager-1", "/tasks/decisions", {"items": items})).json()["items"]
    assert [item["status"] for item in first] == ["accepted"] * 3 + ["refused"] * 2
    assert [item["problem"]["status"] for item in first[3:]] == [404, 422]
    again = (await gate.post("manager-1", "/tasks/decisions", {"items": items[:3]})).json()["items"]
    assert again == first[:3]
    many = {"items": [{"task_id": "t", "verdict": "approve"}] * 101}
    assert (await gate.post("manager-1", "/tasks/decisions", many)).status_code == 422


async def test_a_decision_without_a_revision_is_told_the_current_one_and_decides_nothing(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    for verdict in ("approve", "reject", "abstain"):
        blind = await gate.decide("manager-1", task, verdict, revision=None)
        assert (blind.status_code, blind.json()["revision"]) == (428, 1)
        assert blind.json()["type"] == "urn:holdgate:revision-needed"
    for wrong in ("1", True, 1.0, [1]):
        misread = await gate.decide("manager-1", task, revision=wrong)
        assert (misread.status_code, misread.json()["errors"][0]["field"]) == (422, "revision"), wrong
    items = [{"task_id": task["task_id"], "verdict": "approve"}]
    items = [{"task_id": task["task_id"], "verdict": "approve"}]
    (one,) = (await gate.post("manager-1", "/tasks/decisions", {"items": items})).json()["items"]
    assert (one["status"], one["problem"]["status"], one["problem"]["revision"]) == ("refused", 428, 1)
    assert (await gate.case(task["case_id"]))["tasks"][0]["decisions"] == []
    stranger = await gate.decide("auditor-1", task, revision=None)
    assert stranger.status_code == 403, "who may never decide learns that first"
    assert (await gate.decide("manager-1", task)).status_code == 200
    late = await gate.decide("manager-2", task, revision=None)
    assert late.status_code == 409, "a closed task says what it came to"


async def test_what_changes_a_task_between_look_and_decision_makes_the_decision_stale(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    question = {"to": "requester-1", "text": "Which order is this?"}
    asked = (await gate.post("manager-1", f"/tasks/{task['task_id']}/questions", question)).json()["questions"][0]
    twice = await gate.post("manager-1", f"/tasks/{task['task_id']}/questions", question)
    assert (twice.status_code, twice.json()["type"]) == (409, "urn:holdgate:nothing-to-do")
    said = {"text": "There is none"}
    await gate.post("requester-1", f"/tasks/{task['task_id']}/questions/{asked['id']}/answer", said)
    stale = await gate.decide("manager-1", task, revision=task["revision"])
    assert (stale.status_code, stale.json()["revision"], stale.json()["changed"]) == (409, 2, ["questions"])
    assert (await gate.decide("manager-1", task, revision=2)).status_code == 200

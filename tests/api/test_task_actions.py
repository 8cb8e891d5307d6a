"""Actions on tasks over HTTP: claim, delegate, edit, ask, absences, leavers, and many decisions at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import select

import api.gateway.decisions
import api.routes.tasks
from cases.reconcile.changed_people import Recounter
from policy.file import PolicyFile
from store.notifications.fan_out import Plan, fan_out
from store.people import people, tokens
from store.tables.notifications import notices
from tests.api.conftest import API, Gate, eventually, payment
from workflows.registry import INPUTS


async def task_of(gate: Gate, **input: Any) -> dict[str, Any]:
    return await gate.open_task(await gate.start(**input))


async def act(gate: Gate, person: str, task: dict[str, Any], what: str, **body: Any) -> Any:
    return await gate.post(person, f"/tasks/{task['task_id']}/{what}", body)


async def mine(gate: Gate, person: str, task: dict[str, Any]) -> bool:
    reference = task["case_id"].partition(":")[2]
    found = (await gate.get(person, "/tasks", mine="true", status="open", q=reference)).json()["items"]
    return any(each["task_id"] == task["task_id"] for each in found)


async def is_mine(gate: Gate, person: str, task: dict[str, Any], expected: bool = True) -> None:
    """Lists may lag a second."""
    await eventually(lambda: mine(gate, person, task), lambda found: found is expected)


@asynccontextmanager
async def somebody(gate: Gate, *groups: str) -> AsyncIterator[str]:
    """A person of this test's own."""
    name = f"p{datetime.now(UTC).timestamp():.6f}".replace(".", "-")
    async with gate.database.write() as conn:
        await people.add(conn, name, name, groups, by="admin-1")
        gate.tokens[name] = await tokens.make(conn, name, "test", by="admin-1")
    yield name


async def test_a_claimed_task_is_in_one_list_only(gate: Gate) -> None:
    task = await task_of(gate)
    claimed = await act(gate, "manager-1", task, "claim")
    assert (claimed.status_code, claimed.json()["assignee"]) == (200, "manager-1")
    taken = await act(gate, "manager-2", task, "claim")
    assert (taken.status_code, taken.json()["assignee"]) == (409, "manager-1")
    no = await gate.decide("manager-2", task)
    assert (no.status_code, no.json()["rule"]) == (
        403,
        "claims: a task with an assignee is decided by the assignee, or by a substitute of the assignee",
    )
    await is_mine(gate, "manager-1", task)
    await is_mine(gate, "manager-2", task, False)
    assert (await act(gate, "manager-1", task, "release")).json()["assignee"] is None
    await is_mine(gate, "manager-2", task)
    assert (await gate.decide("manager-2", task)).status_code == 200
    assert (await act(gate, "manager-1", task, "claim")).status_code == 409
    events = [event["kind"] for event in (await gate.case(task["case_id"]))["timeline"]]
    assert {"task_claimed", "task_released", "action_refused"} <= set(events)


async def test_a_delegate_sees_the_task_decides_it_and_both_names_are_told(gate: Gate) -> None:
    task = await task_of(gate)
    assert (await gate.get("steward-1", f"/tasks/{task['task_id']}")).status_code == 404
    handed = await act(gate, "manager-1", task, "delegate", to="steward-1")
    assert (handed.json()["assignee"], handed.json()["owner"]) == ("steward-1", "manager-1")
    await is_mine(gate, "steward-1", task)
    seen = (await gate.get("steward-1", f"/tasks/{task['task_id']}")).json()
    assert seen["can_decide"]["allowed"] and "on behalf of manager-1" in seen["can_decide"]["why"]
    decided = await gate.decide("steward-1", task)
    assert decided.status_code == 200, decided.text
    (answer,) = decided.json()["task"]["decisions"]
    assert (answer["by"], answer["on_behalf_of"]) == ("steward-1", "manager-1")
    event = next(e for e in (await gate.case(task["case_id"]))["timeline"] if e["kind"] == "decided")
    assert (event["actor"], event["data"]["on_behalf_of"]) == ("steward-1", "manager-1")


@pytest.mark.parametrize("to", ["nobody-1", ""])
async def test_handing_a_task_to_who_does_not_exist_names_the_field(gate: Gate, to: str) -> None:
    task = await task_of(gate)
    no = await act(gate, "manager-1", task, "delegate", to=to)
    assert no.status_code == 422 and no.json()["errors"][0]["field"] == "to"


async def test_an_admin_reassigns_many_tasks_by_a_filter(gate: Gate) -> None:
    tasks = [await task_of(gate) for _ in range(3)]
    await gate.decide("manager-1", tasks[2])
    for task in tasks[:2]:
        await is_mine(gate, "manager-1", task)
    body = {"to": "manager-3", "filter": {"task_ids": [task["task_id"] for task in tasks]}, "reason": "holidays"}
    done = (await gate.post("admin-1", "/tasks/reassign", body)).json()["items"]
    assert [item["status"] for item in done if item["task_id"] != tasks[2]["task_id"]] == ["done", "done"]
    for task in tasks[:2]:
        await is_mine(gate, "manager-1", task, False)
        assert (await gate.decide("manager-3", task)).status_code == 200
    assert (await gate.post("admin-1", "/tasks/reassign", {"to": "manager-3", "filter": {}})).status_code == 422


async def test_a_requester_changes_what_was_asked_for_and_the_money_held_follows(gate: Gate) -> None:
    before = (await gate.get("auditor-1", "/ledger/accounts/operating", currency="GBP")).json()
    case_id = await gate.start(amount="2500.00")
    task = await gate.open_task(case_id)
    no = await gate.decide("manager-1", task, "request_changes")
    assert no.status_code == 422 and no.json()["errors"][0]["field"] == "comment"
    assert (await gate.decide("manager-1", task, "request_changes", comment="Half of it")).status_code == 200
    case = await gate.until(case_id, lambda case: case["status"] == "awaiting_changes")
    changes = next(task for task in case["tasks"] if task["kind"] == "changes" and task["status"] == "open")
    assert (changes["verdicts"], changes["candidate_users"]) == (["resubmit"], ["requester-1"])
    await is_mine(gate, "requester-1", changes)
    wrong = await gate.decide("requester-1", changes, "resubmit", edits={"amount": "-1", "payee_account": "X"})
    assert wrong.status_code == 422
    assert {error["field"] for error in wrong.json()["errors"]} == {"edits.amount", "edits.payee_account"}
    sent = await gate.decide("requester-1", changes, "resubmit", edits={"amount": "1250.00"})
    assert sent.status_code == 200, sent.text

    def asked_again(case: dict[str, Any]) -> bool:
        return any(each["round"] == 2 and each["status"] == "open" for each in case["tasks"])

    case = await gate.until(case_id, asked_again)
    again = next(task for task in case["tasks"] if task["round"] == 2)
    assert again["changes"] == [{"field": "amount", "before": "2500.00", "after": "1250.00"}]
    assert case["input"]["amount"] == "1250.00" and case["title"].endswith("1,250.00 GBP")
    held = (await gate.get("auditor-1", "/ledger/accounts/operating", currency="GBP")).json()
    assert float(held["held"]) - float(before["held"]) == pytest.approx(1250)
    assert (await gate.decide("manager-1", again)).status_code == 200
    assert (await gate.until(case_id, lambda case: case["status"] == "completed"))["result"]["undone"] == []
    reference = case["reference"]
    entries = (await gate.get("auditor-1", "/ledger/entries", reference=reference)).json()["items"]
    assert sorted(entry["kind"] for entry in entries) == ["capture", "hold", "hold", "release"]


async def test_a_question_lets_a_colleague_see_and_answer_and_not_decide(gate: Gate) -> None:
    task = await task_of(gate)
    asked = await act(gate, "manager-1", task, "questions", to="steward-1", text="Is this payee known?")
    (question,) = asked.json()["questions"]
    path = f"/tasks/{task['task_id']}/questions/{question['id']}/answer"

    async def answered() -> int:
        return (await gate.post("steward-1", path, {"text": "For years"})).status_code

    assert await eventually(answered, lambda status: status != 404) == 200
    assert (await gate.decide("steward-1", task)).status_code == 403
    assert not await mine(gate, "steward-1", task)
    stale = await gate.decide("manager-1", task, revision=task["revision"])
    assert (stale.status_code, stale.json()["changed"]) == (409, ["questions"])
    assert (await gate.decide("manager-1", task, revision=task["revision"] + 1)).status_code == 200


async def test_while_somebody_is_away_their_substitute_decides(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, policy = "[payment.gates.manager-approval]\n", tmp_path / "policy.toml"
    policy.write_text(gate.settings.policy.read_text().replace(rule, rule + 'substitutes = "anyone"\n'))
    async with somebody(gate, "requesters") as sue:
        of_managers = await task_of(gate)
        monkeypatch.setattr(gate.app.state.services.starter, "_policy_file", PolicyFile(policy, INPUTS))
        task = await task_of(gate)
        assert (await gate.get(sue, f"/tasks/{task['task_id']}")).status_code == 404
        today = datetime.now(UTC).date()
        for wrong, field in (
            ({"from": "tomorrow", "to": "2033-01-01"}, "from"),
            ({"from": "2020-01-01", "to": "2020-01-02"}, "from"),
            ({"from": f"{today}", "to": f"{today}", "substitute": "manager-3"}, "substitute"),
        ):
            no = await gate.as_("manager-3").put(f"{API}/me/absence", json=wrong)
            assert (no.status_code, no.json()["errors"][0]["field"]) == (422, field)
        body = {"from": f"{today}", "to": f"{today + timedelta(days=3)}", "substitute": sue}
        assert (await gate.as_("manager-3").put(f"{API}/me/absence", json=body)).status_code == 200
        try:
            assert await mine(gate, sue, task)
            assert not await mine(gate, sue, of_managers), "the policy wants a manager in a manager's place"
            no = await gate.decide(sue, of_managers)
            assert (no.status_code, no.json()["rule"]) == (403, "substitutes: same-group")
            own = await task_of_requester(gate, sue)
            assert not await mine(gate, sue, own), "never one's own"
            assert (await gate.decide(sue, own)).status_code == 403
            decided = await gate.decide(sue, task)
            assert decided.status_code == 200, decided.text
            assert decided.json()["task"]["decisions"][0]["on_behalf_of"] == "manager-3"
        finally:
            assert (await gate.as_("manager-3").delete(f"{API}/me/absence")).status_code == 204
        assert (await gate.get("manager-3", "/me/absence")).json() == {"items": []}
        assert (await gate.decide(sue, await task_of(gate))).status_code == 404


async def task_of_requester(gate: Gate, person: str) -> dict[str, Any]:
    return await gate.open_task(await gate.start(person))


async def test_a_leavers_open_tasks_go_to_the_successor(gate: Gate) -> None:
    async with somebody(gate, "managers") as old, somebody(gate) as new:
        task = await task_of(gate)
        assert (await act(gate, old, task, "claim")).status_code == 200
        await is_mine(gate, old, task)
        done = await gate.post("admin-1", f"/people/{old}/replace", {"by": new, "reason": "left"})
        assert [item["status"] for item in done.json()["items"]] == ["done"]
        assert (await gate.get(old, "/me")).status_code == 401, "who has left cannot sign in"
        await is_mine(gate, new, task)
        assert (await gate.decide(new, task)).status_code == 200
        again = await gate.post("admin-1", f"/people/{old}/replace", {"by": new, "reason": "left"})
        assert again.json()["items"] == [], "safe to repeat"


async def test_a_snoozed_task_is_hidden_from_one_list_until_then(gate: Gate) -> None:
    task = await task_of(gate)
    await is_mine(gate, "manager-1", task)
    path = f"{API}/tasks/{task['task_id']}/follow-up"
    past = {"until": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    assert (await gate.as_("manager-1").put(path, json=past)).status_code == 422
    soon = {"until": f"{datetime.now(UTC) + timedelta(seconds=2):%Y-%m-%dT%H:%M:%S.%fZ}"}
    assert (await gate.as_("manager-1").put(path, json=soon)).status_code == 200
    assert not await mine(gate, "manager-1", task) and await mine(gate, "manager-2", task)
    await is_mine(gate, "manager-1", task)


async def test_when_the_last_who_can_decide_leaves_the_gate_says_so(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All open gates of managers are counted at once here: on a busy machine an answer may wait behind them.
    monkeypatch.setattr("api.gateway.decisions.UPDATE_PATIENCE_S", 30.0)
    async with somebody(gate, "fraud-analysts") as only:
        task = await task_of(gate)
        body = {"to": only, "filter": {"task_ids": [task["task_id"]]}}
        await gate.post("admin-1", "/tasks/reassign", body)
        recounter = Recounter(gate.database, gate.client)
        await recounter.look()
        async with gate.database.write() as conn:
            for manager in ("manager-1", "manager-2", "manager-3"):
                await people.leave(conn, manager, "managers", by="admin-1")
        try:
            assert await recounter.look() >= 1
            assert await recounter.look() == 0, "told once"
        finally:
            async with gate.database.write() as conn:
                for manager in ("manager-1", "manager-2", "manager-3"):
                    await people.join(conn, manager, "managers", by="admin-1")
        assert (await gate.decide(only, task)).status_code == 200, "who was named by hand still can"


async def test_open_gates_follow_another_policy_when_an_admin_says_so(gate: Gate, tmp_path: Path) -> None:
    small, large = await task_of(gate, amount="900.00"), await task_of(gate, amount="4000.00")
    await is_mine(gate, "manager-1", large)
    text = gate.settings.policy.read_text()
    changed = text.replace("manager = 500\n", "manager = 1000\n").replace("two_managers = 10000", "two_managers = 3000")
    assert changed != text
    other = tmp_path / "policy.toml"
    other.write_text(changed)
    services = gate.app.state.services
    kept = services.policy
    from policy.file import PolicyFile
    from workflows.registry import INPUTS

    object.__setattr__(services, "policy", PolicyFile(other, INPUTS))
    try:
        asked = {"gate": "manager-approval", "dry_run": True}
        would = (await gate.post("admin-1", "/policies/apply", asked)).json()
        said = {item["task_id"]: item["difference"] for item in would["items"]}
        assert said[small["task_id"]] == "no approval needed: amount >= limits.manager does not hold"
        assert "approvals needed: 1 became 2" in said[large["task_id"]]
        assert (await gate.post("admin-1", "/policies/apply", {"gate": "manager-approval"})).status_code == 422
        done = await gate.post("admin-1", "/policies/apply", {"gate": "manager-approval", "reason": "New limits"})
        assert {item["status"] for item in done.json()["items"]} == {"changed"}
    finally:
        object.__setattr__(services, "policy", kept)
    await gate.until(small["case_id"], lambda case: case["status"] == "completed")
    stale = await gate.decide("manager-1", large, revision=large["revision"])
    assert stale.status_code == 409
    assert (await gate.decide("manager-1", large)).json()["task"]["quorum"] == {"needed": 2, "given": 1}
    assert (await gate.decide("manager-2", large)).json()["task"]["outcome"] == "approved"
    event = next(e for e in (await gate.case(large["case_id"]))["timeline"] if e["kind"] == "rules_changed")
    assert event["data"]["reason"] == "New limits" and event["data"]["policy"] == done.json()["policy_hash"]


async def test_bulk_decisions_on_changed_tasks_are_refused_with_the_changes(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a slow machine does not decide in time is stored and judged later, which is another story.
    for module in (api.gateway.decisions, api.routes.tasks):
        monkeypatch.setattr(module, "UPDATE_PATIENCE_S", 30.0)
    monkeypatch.setattr(api.routes.tasks, "BULK_PATIENCE_S", 60.0)
    tasks = await asyncio.gather(*(task_of(gate) for _ in range(12)))
    changed = tasks[::6]
    for task in changed:
        (question,) = (await act(gate, "manager-1", task, "questions", to="manager-2", text="Why?")).json()["questions"]
        path = f"/tasks/{task['task_id']}/questions/{question['id']}/answer"
        assert (await gate.post("manager-2", path, {"text": "So"})).status_code == 200
    items = [
        {"task_id": task["task_id"], "verdict": "approve", "revision": task["revision"], "decision_id": "bulk-1"}
        for task in tasks
    ]
    first = (await gate.post("manager-1", "/tasks/decisions", {"items": items})).json()["items"]
    refused = {item["task_id"]: item["problem"] for item in first if item["status"] == "refused"}
    assert sum(item["status"] == "accepted" for item in first) == 10
    assert set(refused) == {task["task_id"] for task in changed}
    assert all(problem["status"] == 409 and problem["changed"] == ["questions"] for problem in refused.values())
    again = (await gate.post("manager-1", "/tasks/decisions", {"items": items})).json()["items"]
    assert [(item["task_id"], item["status"]) for item in again] == [
        (item["task_id"], item["status"]) for item in first
    ]
    for task in tasks[1:4]:
        assert (await gate.case(task["case_id"]))["status"] in ("running", "completed")


async def test_one_person_cannot_be_two_by_an_alias(gate: Gate) -> None:
    async with gate.database.write() as conn:
        with pytest.raises(ValueError, match="differs only in capital letters"):
            await people.add(conn, "Requester-1", "Somebody", ["managers"], by="admin-1")
        await people.add(conn, "mail-1", "Somebody", ["requesters"], by="admin-1", email="Anna@example.org")
        with pytest.raises(ValueError, match="already has this e-mail address"):
            await people.add(conn, "mail-2", "Somebody", ["managers"], by="admin-1", email="anna@EXAMPLE.org")


async def test_the_page_of_a_changes_task_sends_only_what_was_changed(gate: Gate) -> None:
    case_id = await gate.start(amount="700.00", memo="A memo")
    task = await gate.open_task(case_id)
    await gate.decide("manager-1", task, "request_changes", comment="A better memo")
    case = await gate.until(case_id, lambda case: case["status"] == "awaiting_changes")
    changes = next(each for each in case["tasks"] if each["kind"] == "changes")
    client = gate.as_("requester-1")
    where = f"/tasks/{quote(changes['task_id'])}"
    page = await client.get(where)
    assert page.status_code == 200 and 'name="input.memo"' in page.text and "A better memo" in page.text
    form = {
        "verdict": "resubmit",
        "decision_id": "page-1",
        "revision": str(changes["revision"]),
        "input.memo": "The paper for the spring catalogue",
        "input.amount": "700.00",
        "input.payee_account": "",
    }
    sent = await client.post(f"{where}/decide", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    assert sent.status_code == 303, sent.text
    again = await gate.until(case_id, lambda case: any(each["round"] == 2 for each in case["tasks"]))
    newest = next(each for each in again["tasks"] if each["round"] == 2)
    assert [change["field"] for change in newest["changes"]] == ["memo"]
    assert (await gate.decide("manager-1", newest)).status_code == 200


async def told(gate: Gate) -> set[tuple[str, str, str]]:
    """Case, person and kind of all notices so far."""
    plan = Plan(channels={"console": False}, window=timedelta(minutes=5), digest_at=time(8))
    async with gate.database.write() as conn:
        while await fan_out(conn, plan, datetime.now(UTC)):
            pass
        rows = await conn.execute(select(notices.c.case_id, notices.c.person, notices.c.kind))
        return {(row.case_id, row.person, row.kind) for row in rows}


async def test_people_who_get_or_lose_a_task_or_are_asked_are_notified(gate: Gate) -> None:
    task = await task_of(gate)
    case_id = task["case_id"]

    async def news(*wanted: tuple[str, str]) -> None:
        expected = {(case_id, *each) for each in wanted}
        await eventually(lambda: told(gate), lambda found: expected <= found)

    (question,) = (await act(gate, "manager-1", task, "questions", to="steward-1", text="Why?")).json()["questions"]
    await news(("manager-1", "task_opened"), ("manager-2", "task_opened"), ("steward-1", "task_asked"))
    path = f"/tasks/{task['task_id']}/questions/{question['id']}/answer"
    assert (await gate.post("steward-1", path, {"text": "So"})).status_code == 200
    await news(("manager-1", "task_asked"))
    await act(gate, "manager-1", task, "delegate", to="director-2")
    await news(("director-2", "task_opened"))
    await act(gate, "admin-1", task, "reassign", to="manager-3")
    await news(("director-2", "task_lost"))
    assert (await gate.decide("manager-3", task, "request_changes", comment="Smaller")).status_code == 200
    await news(("requester-1", "task_opened"))
    await gate.post("requester-1", f"/cases/{quote(case_id, safe='')}/cancel", {"reason": "no"})
    await gate.until(case_id, lambda case: case["status"] == "cancelled")


async def test_a_deadline_in_the_past_and_a_due_time_after_the_end_are_refused(gate: Gate) -> None:
    body = payment() | {"process": "approval", "input": {"title": "Too late?", "deadline": "2020-01-31"}}
    late = await gate.post("requester-1", "/cases", body)
    assert (late.status_code, [each["field"] for each in late.json()["errors"]]) == (422, ["deadline"])
    soon = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    early = body | {"input": {"title": "Too late?", "deadline": soon}}
    early["start_at"] = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    assert (await gate.post("requester-1", "/cases", early)).status_code == 422, "it would be late when it starts"
    task = await gate.open_task(await gate.start())
    times = [(datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (2, 3, 4)]
    where = f"/tasks/{task['task_id']}/clock"
    for wrong, field in (
        ({"due_at": times[1], "expires_at": times[0]}, "due_at"),
        ({"due_at": "2020-01-31T00:00:00Z"}, "due_at"),
        ({"expires_at": "2020-01-31T00:00:00Z"}, "expires_at"),
    ):
        answer = await gate.post("admin-1", where, {**wrong, "reason": "why not"})
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field]), wrong
    moved = await gate.post("admin-1", where, {"due_at": times[0], "expires_at": times[1], "reason": "They are away"})
    assert moved.status_code == 200, moved.text
    for wrong, field in (({"due_at": times[2]}, "due_at"), ({"expires_at": task["opened_at"]}, "expires_at")):
        answer = await gate.post("admin-1", where, {**wrong, "reason": "why not"})
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, [field]), wrong

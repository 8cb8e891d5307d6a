"""People leave and come back, over HTTP and on the pages, and open gates follow another policy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

import api.routes.policies
import api.routes.task_actions
from cases.reconcile.changed_people import Recounter
from policy.file import PolicyFile
from store.notifications.fan_out import Plan, fan_out
from store.people import leavers, tokens
from store.tables.cases import tasks
from store.tables.notifications import notices
from tests.api.conftest import Gate
from tests.api.test_task_actions import act, somebody, task_of
from workflows.registry import INPUTS


async def told(gate: Gate) -> None:
    await Recounter(gate.database, gate.client).look()


@asynccontextmanager
async def another_policy(gate: Gate, folder: Path, *changes: tuple[str, str]) -> AsyncIterator[None]:
    """The policy in force is another one, while the block runs."""
    text = gate.settings.policy.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    other = folder / "policy.toml"
    other.write_text(text)
    services = gate.app.state.services
    kept = services.policy
    object.__setattr__(services, "policy", PolicyFile(other, INPUTS))
    try:
        yield
    finally:
        object.__setattr__(services, "policy", kept)


# ----------------------------------------------------------------------------------------------------- leave, come back


async def test_a_leaver_comes_back_under_the_same_id(gate: Gate) -> None:
    async with somebody(gate, "managers") as who, somebody(gate) as after:
        gone = await gate.post("admin-1", f"/people/{who}/deactivate", {"reason": "left"})
        assert gone.status_code == 204, gone.text
        assert (await gate.get(who, "/me")).status_code == 401
        again = await gate.post("admin-1", f"/people/{who}/deactivate", {"reason": "left"})
        assert (again.status_code, again.json()["detail"]) == (409, f"{who[0].upper()}{who[1:]} has left already.")
        taken = await gate.post("admin-1", "/people", {"id": who, "name": "Somebody", "groups": []})
        assert taken.status_code == 422 and f"holdgate people reactivate {who}" in taken.json()["detail"]
        back = await gate.post("admin-1", f"/people/{who}/reactivate", {"groups": ["managers"]})
        assert back.status_code == 204, back.text
        entry = (await gate.get("admin-1", f"/people/{who}")).json()
        assert (entry["active"], entry["groups"]) == (True, ["managers"])
        async with gate.database.write() as conn:
            gate.tokens[f"{who}-new"] = await tokens.make(conn, who, "new", by=who)
        assert (await gate.get(f"{who}-new", "/me")).json()["id"] == who
        assert (await gate.post("admin-1", f"/people/{who}/reactivate", {"groups": []})).status_code == 409
        wrong = await gate.post("admin-1", f"/people/{who}/reactivate", {"groups": ["The Managers"]})
        assert wrong.status_code in (409, 422)
        # With a successor: the second time with another one, and back again.
        assert (
            await gate.post("admin-1", f"/people/{who}/replace", {"by": after, "reason": "left"})
        ).status_code == 200
        assert (await gate.post("admin-1", f"/people/{who}/reactivate", {"groups": []})).status_code == 204


async def test_the_pages_let_somebody_leave_and_come_back(gate: Gate) -> None:
    async with somebody(gate, "managers") as who:
        client = gate.as_("admin-1")
        same = {"Sec-Fetch-Site": "same-origin"}
        page = await client.get(f"/people/{who}")
        assert "Deactivate person" in page.text and "Reactivate person" not in page.text
        left = await client.post(f"/people/{who}/deactivate", data={"reason": "left"}, headers=same)
        assert left.status_code == 200 and "The person is deactivated, without a successor." in left.text
        assert "Reactivate person" in left.text
        back = await client.post(f"/people/{who}/reactivate", data={"value": "managers, directors"}, headers=same)
        assert back.status_code == 200 and "The person is active again." in back.text
        assert (await gate.get("admin-1", f"/people/{who}")).json()["groups"] == ["directors", "managers"]


async def test_a_person_who_comes_back_is_not_put_into_a_new_group_unasked(gate: Gate) -> None:
    async with somebody(gate, "managers") as who:
        assert (await gate.post("admin-1", f"/people/{who}/deactivate", {"reason": "left"})).status_code == 204
        back = f"/people/{who}/reactivate"
        asked = await gate.post("admin-1", back, {"groups": ["managers", "manager"]})
        assert asked.status_code == 422 and asked.json()["new_group"] == "manager", asked.text
        assert "managers" in asked.json()["suggestions"] and asked.json()["errors"][0]["field"] == "groups"
        assert (await gate.get("admin-1", f"/people/{who}")).json()["active"] is False
        client, same = gate.as_("admin-1"), {"Sec-Fetch-Site": "same-origin"}
        page = await client.post(back, data={"value": "managers, manager"}, headers=same)
        assert page.status_code == 422 and 'name="confirm" value="managers, manager"' in page.text
        assert 'value="managers, manager"' in page.text, "what was typed stays"
        made = await gate.post("admin-1", f"{back}?confirm=true", {"groups": [f"{who}-club"]})
        assert made.status_code == 204, made.text
        assert (await gate.get("admin-1", f"/people/{who}")).json()["groups"] == [f"{who}-club"]


async def test_a_question_to_a_leaver_is_seen_and_answered_by_who_comes_after(gate: Gate) -> None:
    async with somebody(gate) as old, somebody(gate) as new:
        task = await task_of(gate)
        asked = (await act(gate, "manager-1", task, "questions", to=old, text="Which order?")).json()["questions"][0]
        done = await gate.post("admin-1", f"/people/{old}/replace", {"by": new, "reason": "left"})
        assert [item["status"] for item in done.json()["items"]] == ["done"]
        await gate.until(task["case_id"], lambda case: case["tasks"][0]["questions"][0]["to"] == new)
        for _ in range(50):
            if (await gate.get(new, f"/tasks/{task['task_id']}")).status_code == 200:
                break
            await asyncio.sleep(0.1)
        page = await gate.as_(new).get(f"/tasks/{task['task_id']}")
        assert page.status_code == 200 and "Which order?" in page.text
        answered = await act(gate, new, task, f"questions/{asked['id']}/answer", text="PO 4711")
        assert answered.status_code == 200, answered.text


async def test_when_nobody_can_answer_any_more_the_asker_and_operators_are_told_and_it_can_be_withdrawn(
    gate: Gate,
) -> None:
    async with somebody(gate) as old:
        task = await task_of(gate)
        asked = (await act(gate, "manager-1", task, "questions", to=old, text="Which order?")).json()["questions"][0]
        withdraw = f"questions/{asked['id']}/withdraw"
        assert (await act(gate, "manager-2", task, withdraw)).status_code == 403
        await gate.post("admin-1", f"/people/{old}/deactivate", {"reason": "left"})
        await told(gate)
        await gate.until(task["case_id"], lambda case: case["tasks"][0]["questions"][0]["lapsed"])
        page = await gate.as_("manager-1").get(f"/tasks/{task['task_id']}")
        assert "The person who got this question has left." in page.text and "Withdraw question" in page.text
        plan = Plan({"console": False}, timedelta(minutes=5), datetime.now(UTC).time())

        async def reached() -> set[str]:
            async with gate.database.write() as conn:
                while await fan_out(conn, plan, datetime.now(UTC)):
                    pass
                its = notices.select().where(notices.c.task_id == task["task_id"], notices.c.kind == "task_asked")
                return {row.person for row in await conn.execute(its)}

        for _ in range(50):
            if {"manager-1", "operator-1"} <= (found := await reached()):
                break
            await asyncio.sleep(0.1)
        assert {"manager-1", "operator-1"} <= found
        assert (await act(gate, "manager-1", task, withdraw)).json()["questions"][0]["withdrawn_at"]
        assert (await act(gate, "manager-1", task, withdraw)).status_code == 409


async def test_what_the_gateway_could_not_hand_on_follows_by_the_worker(gate: Gate) -> None:
    async with somebody(gate, "managers") as old, somebody(gate) as new:
        task = await task_of(gate)
        assert (await act(gate, old, task, "claim")).status_code == 200
        # The gateway died after it wrote that they left: nobody sent a word to the case.
        async with gate.database.write() as conn:
            await leavers.replace(conn, old, new, "left", by="admin-1")
        await told(gate)
        await gate.until(task["case_id"], lambda case: case["tasks"][0]["assignee"] == new)
        assert (await gate.decide(new, task)).status_code == 200


async def test_requests_of_a_leaver_are_seen_told_and_cancelled_by_who_comes_after(gate: Gate) -> None:
    async with somebody(gate, "requesters") as old, somebody(gate) as new:
        case_id = await gate.start(old)
        await gate.open_task(case_id)
        assert (await gate.get(new, f"/cases/{case_id}")).status_code == 404
        await gate.post("admin-1", f"/people/{old}/replace", {"by": new, "reason": "left"})
        assert (await gate.get(new, f"/cases/{case_id}")).status_code == 200
        assert case_id in (await gate.as_(new).get("/requests")).text
        assert (await gate.post(new, f"/cases/{case_id}/cancel", {"reason": "not needed"})).status_code == 202
        await gate.until(case_id, lambda case: case["status"] == "cancelled")
        plan = Plan({"console": False}, timedelta(minutes=5), datetime.now(UTC).time())
        async with gate.database.write() as conn:
            while await fan_out(conn, plan, datetime.now(UTC)):
                pass
            its = notices.select().where(notices.c.case_id == case_id, notices.c.kind == "case_ended")
            assert {row.person for row in await conn.execute(its)} == {new}


# ---------------------------------------------------------------------------------------------------- another policy


async def test_times_set_by_hand_stay_when_open_gates_follow_another_policy(gate: Gate, tmp_path: Path) -> None:
    task = await task_of(gate, amount="4000.00")
    end = (datetime.now(UTC) + timedelta(days=40)).replace(microsecond=0)
    moved = await act(gate, "admin-1", task, "clock", expires_at=end.isoformat(), reason="a strike")
    assert moved.status_code == 200, moved.text
    async with another_policy(gate, tmp_path, ("two_managers = 10000", "two_managers = 3000")):
        body: dict[str, Any] = {"gate": "manager-approval", "reason": "New limits"}
        done = (await gate.post("admin-1", "/policies/apply", body)).json()
        (shift,) = [item for item in done["items"] if item["task_id"] == task["task_id"]]
        assert shift["status"] == "changed" and "expires at" not in shift["difference"]
        kept = (await gate.get("admin-1", f"/tasks/{task['task_id']}")).json()
        assert datetime.fromisoformat(kept["expires_at"]) == end and kept["quorum"]["needed"] == 2
        would = (await gate.post("admin-1", "/policies/apply", {**body, "times": True, "dry_run": True})).json()
        (shift,) = [item for item in would["items"] if item["task_id"] == task["task_id"]]
        assert shift["difference"].startswith("expires at:")
        await gate.post("admin-1", "/policies/apply", {**body, "times": True})
        given = (await gate.get("admin-1", f"/tasks/{task['task_id']}")).json()
        assert datetime.fromisoformat(given["expires_at"]) < end


async def test_a_payment_that_needs_nobody_any_more_is_said_to_need_nobody(gate: Gate, tmp_path: Path) -> None:
    task = await task_of(gate, amount="900.00")
    async with another_policy(gate, tmp_path, ("manager = 500\n", "manager = 1000\n")):
        body: dict[str, Any] = {"gate": "manager-approval", "reason": "New limits"}
        would = (await gate.post("admin-1", "/policies/apply", {**body, "dry_run": True})).json()
        (shift,) = [item for item in would["items"] if item["task_id"] == task["task_id"]]
        assert shift["difference"] == "no approval needed: amount >= limits.manager does not hold"
        await gate.post("admin-1", "/policies/apply", body)
    case = await gate.until(task["case_id"], lambda case: case["status"] == "completed")
    said = [event["summary"] for event in case["timeline"] if event["kind"] in ("rules_changed", "gate_closed")]
    assert len(said) == 2 and all("amount >= limits.manager does not hold" in summary for summary in said)
    assert not any("approved by rule" in summary for summary in said)
    page = await gate.as_("auditor-1").get(f"/cases/{case['case_id']}")
    assert "pproved by rule" not in page.text


async def test_every_open_gate_is_looked_at_however_many_there_are(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {(await task_of(gate, amount="4000.00"))["task_id"] for _ in range(3)}
    async with gate.database.read() as conn:
        others = await conn.scalar(select(func.count()).select_from(tasks).where(tasks.c.status == "open")) or 0
    monkeypatch.setattr(api.routes.policies, "MOST", max(1, others // 4))  # other tests leave many tasks open
    monkeypatch.setattr(api.routes.task_actions, "MOST", 1)

    async def all_of(path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = (await gate.post("admin-1", path, body)).json()
            found += answer["items"]
            if (cursor := answer["next_cursor"]) is None:
                return found
            body = {**body, "cursor": cursor}

    async with another_policy(gate, tmp_path, ("two_managers = 10000", "two_managers = 3000")):
        changed = await all_of("/policies/apply", {"gate": "manager-approval", "reason": "New limits"})
    assert mine <= {item["task_id"] for item in changed if item["status"] == "changed"}
    async with somebody(gate, "managers") as who:
        filter = {"task_ids": sorted(mine)}
        handed = await all_of("/tasks/reassign", {"to": who, "filter": filter, "reason": "holidays"})
    assert {item["task_id"] for item in handed if item["status"] == "done"} == mine
    wrong = await gate.post("admin-1", "/policies/apply", {"dry_run": True, "cursor": "mine"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["field"] == "cursor"

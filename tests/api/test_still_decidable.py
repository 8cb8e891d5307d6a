"""No task waits for a person who cannot decide it: lists, 404s and decisions follow the same permissions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from policy.file import PolicyFile
from store.people import absences, people
from tests.api.conftest import Gate, eventually
from tests.api.test_leavers import told
from tests.api.test_task_actions import act, is_mine, somebody
from workflows.registry import INPUTS


async def sees(gate: Gate, person: str, task: dict[str, Any]) -> int:
    return (await gate.get(person, f"/tasks/{task['task_id']}")).status_code


async def asked_for(gate: Gate, group: str) -> dict[str, Any]:
    """A task of a general request, put to one group."""
    body = {
        "process": "approval",
        "reference": f"R-{uuid4()}",
        "input": {"title": "A chair", "candidates": [group]},
    }
    answer = await gate.post("requester-1", "/cases", body)
    assert answer.status_code == 201, answer.text
    return await gate.open_task(answer.json()["case_id"])


async def test_the_members_of_the_opening_see_list_and_decide_and_nobody_who_joined_later(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The recount after a change of people, also for tasks of other tests, comes before an answer.
    monkeypatch.setattr("api.gateway.decisions.UPDATE_PATIENCE_S", 30.0)
    group = f"g{uuid4().hex[:8]}"
    rule, policy = "[approval.gates.approval]\n", tmp_path / "policy.toml"
    policy.write_text(gate.settings.policy.read_text().replace(rule, rule + 'membership = "snapshot"\n'))
    async with somebody(gate, group) as then, somebody(gate) as later:
        with monkeypatch.context() as patched:
            patched.setattr(gate.app.state.services.starter, "_policy_file", PolicyFile(policy, INPUTS))
            task = await asked_for(gate, group)
        assert task["members"] == {group: [then]}
        async with gate.database.write() as conn:
            await people.join(conn, later, group, by="admin-1")
            await people.leave(conn, then, group, by="admin-1")
        await told(gate)
        await is_mine(gate, then, task)
        await is_mine(gate, later, task, False)
        assert (await sees(gate, then, task), await sees(gate, later, task)) == (200, 404)
        assert (await gate.decide(later, task)).status_code == 404
        assert (await gate.decide(then, task)).status_code == 200


async def test_a_claim_of_somebody_who_leaves_the_group_ends_and_others_decide(gate: Gate) -> None:
    group = f"g{uuid4().hex[:8]}"
    async with somebody(gate, group) as gone, somebody(gate, group) as other:
        task = await asked_for(gate, group)
        assert (await act(gate, gone, task, "claim")).status_code == 200
        assert (await gate.decide(other, task)).status_code == 403
        async with gate.database.write() as conn:
            await people.leave(conn, gone, group, by="admin-1")
        await told(gate)
        await is_mine(gate, other, task)
        assert (await eventually(lambda: gate.decide(other, task), lambda answer: answer.status_code != 403)).json()[
            "task"
        ]["outcome"] == "approved"


async def test_while_a_requester_is_away_their_substitute_sees_and_makes_the_changes(gate: Gate) -> None:
    async with somebody(gate, "requesters") as asks, somebody(gate) as instead:
        case_id = await gate.start(asks)
        task = await gate.open_task(case_id)
        assert (await gate.decide("manager-1", task, "request_changes", comment="Half of it")).status_code == 200
        case = await gate.until(case_id, lambda case: case["status"] == "awaiting_changes")
        changes = next(each for each in case["tasks"] if each["status"] == "open")
        assert await sees(gate, instead, changes) == 404
        now = datetime.now(UTC)
        gone = absences.Absence(
            person=asks, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(days=1), substitute=instead
        )
        async with gate.database.write() as conn:
            await absences.set_away(conn, gone, now, by=asks)
        await told(gate)
        await is_mine(gate, instead, changes)
        assert await sees(gate, instead, changes) == 200
        sent = await gate.decide(instead, changes, "resubmit", edits={"amount": "1250.00"})
        assert sent.status_code == 200, sent.text
        (answer,) = sent.json()["task"]["decisions"]
        assert (answer["by"], answer["on_behalf_of"]) == (instead, asks)

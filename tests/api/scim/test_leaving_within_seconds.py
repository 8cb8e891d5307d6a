"""A user whom the provider deactivates, or takes out of a group, is out within five seconds, with a real worker."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cases.reconcile.blocked_workflows import Defects
from cases.reconcile.changed_people import Recounter
from cases.reconcile.jobs import jobs
from cases.submit import Starter
from policy.file import PolicyFile
from store.people import people, sessions, tokens
from tests.api.conftest import Gate, eventually
from tests.api.scim.conftest import Provider, client_of, scim_on
from tests.api.test_task_actions import act, task_of
from workflows.registry import INPUTS

WITHIN_S = 5.0


@asynccontextmanager
async def counting(gate: Gate) -> AsyncIterator[None]:
    """The job of the worker that asks open gates who can decide them, as often as the worker runs it."""
    starter = Starter(gate.database, gate.client, PolicyFile(gate.settings.policy, INPUTS))
    all_jobs = jobs(gate.database, gate.client, starter, gate.refusals, Defects(), demo=True)
    (job,) = [each for each in all_jobs if isinstance(getattr(each.look, "__self__", None), Recounter)]
    running = asyncio.create_task(job.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def claimed(gate: Gate, provider: Provider) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """A new user of the provider with a token, the person, and a function for the task that the person claims."""
    name = f"scim-{uuid4().hex[:8]}"
    user = await provider.create(name)
    async with gate.database.write() as conn:
        gate.tokens[name] = await tokens.make(conn, name, "test", by="cli:test")
    return user, name, await task_of(gate)


async def freed(gate: Gate, task: dict[str, Any], change: Callable[[], Awaitable[Any]]) -> None:
    """Make the change; fails if the claim of the task has not ended `WITHIN_S` seconds later."""
    began = time.monotonic()
    answer = await change()
    assert answer.status_code == 204, answer.text

    async def seen() -> Any:
        return (await gate.get("manager-1", f"/tasks/{task['task_id']}")).json()

    found = await eventually(seen, lambda each: each["assignee"] is None)
    assert time.monotonic() - began < WITHIN_S
    assert found["status"] == "open" and found["can_decide"]["allowed"], found


async def test_a_deactivated_user_is_out_and_the_claimed_task_is_free_within_seconds(gate: Gate) -> None:
    with scim_on(gate):
        async with client_of(gate.app) as client, counting(gate):
            provider = Provider(client, gate.database)
            user, who, task = await claimed(gate, provider)
            async with gate.database.write() as conn:
                await people.join(conn, who, "managers", by="cli:test")
                person = await people.get(conn, who)
                session = await sessions.begin(conn, person, "demo", datetime.now(UTC), timedelta(hours=1))
            assert (await act(gate, who, task, "claim")).status_code == 200
            off = {"op": "Replace", "path": "active", "value": "False"}
            await freed(gate, task, lambda: provider.patch(f"/Users/{user['id']}", off))
            assert (await gate.get(who, "/me")).status_code == 401
            async with gate.database.read() as conn:
                assert await sessions.by_token(conn, session, datetime.now(UTC)) is None


async def test_a_group_that_the_provider_takes_away_counts_within_seconds(gate: Gate) -> None:
    with scim_on(gate):
        async with client_of(gate.app) as client, counting(gate):
            provider = Provider(client, gate.database)
            user, who, task = await claimed(gate, provider)
            group = await provider.group("Managers", user)
            try:
                assert (await act(gate, who, task, "claim")).status_code == 200
                gone = {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": user["id"]}]}
                await freed(gate, task, lambda: provider.patch(f"/Groups/{group['id']}", gone))
                assert (await gate.decide(who, task)).status_code in (403, 404)
            finally:
                await provider.send("DELETE", f"/Groups/{group['id']}")

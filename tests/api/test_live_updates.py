"""Live updates over a real connection: who gets which event, how clients reconnect, and how streams end."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest

from api.services import live_updates
from store.people import leavers, people, tokens
from tests.api.conftest import Event, Gate, Served, events_of


@asynccontextmanager
async def listening(
    served: Served, path: str = "/api/v1/events", **headers: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """The events as they come."""
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", served.url + path, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield events_of(answer)


@asynccontextmanager
async def hears(
    served: Served, gate: Gate, person: str, since: str | None = None
) -> AsyncIterator[AsyncIterator[Event]]:
    """What a person hears who has just come, or comes back."""
    more = {} if since is None else {"Last-Event-ID": since}
    async with listening(served, Authorization=f"Bearer {gate.tokens[person]}", **more) as events:
        yield events


async def until(events: AsyncIterator[Event], name: str, **holds: object) -> list[Event]:
    """What comes until an event of this name whose data has these values."""
    seen = []
    async with asyncio.timeout(20):
        async for event in events:
            seen.append(event)
            if event.name == name and holds.items() <= event.data.items():
                break
    return seen


async def test_changes_of_a_case_are_heard_by_those_who_may_see_it_and_by_no_stranger(
    gate: Gate, served: Served
) -> None:
    async with (
        hears(served, gate, "manager-1") as manager,
        hears(served, gate, "auditor-1") as auditor,
        hears(served, gate, "requester-2") as stranger,
    ):
        first = await anext(stranger)
        assert (first.name, first.data) == ("", None) and first.id.isdecimal()
        await anext(manager), await anext(auditor)
        case_id = await gate.start("requester-1")
        opened = (await until(manager, "task", case_id=case_id))[-1].data
        task = await gate.open_task(case_id)
        assert opened == {
            "task_id": task["task_id"],
            "case_id": case_id,
            "process": "payment",
            "gate": "manager-approval",
            "kind": "opened",
            "status": "open",
            "outcome": None,
            "assignee": None,
            "revision": task["revision"],
        }
        assert (await gate.post("manager-1", f"/tasks/{task['task_id']}/claim", {})).status_code == 200
        claimed = {"task_id": task["task_id"], "kind": "changed", "assignee": "manager-1"}
        await until(auditor, "task", **claimed)
        decided = time.monotonic()
        assert (await gate.decide("manager-1", task)).status_code == 200
        await until(manager, "task", task_id=task["task_id"], kind="closed", outcome="approved")
        assert time.monotonic() - decided < 2
        await until(auditor, "case", case_id=case_id, status="completed")
        own = await gate.start("requester-2")
        heard = await until(stranger, "case", case_id=own)
        assert {each.data["case_id"] for each in heard if each.data} == {own}


async def test_who_comes_back_hears_what_was_missed_and_no_more(gate: Gate, served: Served) -> None:
    async with hears(served, gate, "manager-1") as events:
        place = (await anext(events)).id
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    async with hears(served, gate, "manager-1", place) as events:
        last = (await until(events, "task", task_id=task["task_id"]))[-1]
    assert (await gate.decide("manager-1", task)).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "completed")
    # Another gateway, or the same after a restart, has never heard of it before.
    served.services.live.feed.known, served.services.live.feed.start = [], served.services.live.feed.head
    by_query = f"/api/v1/events?since={last.id}"  # as a page does, which knows of what moment it is
    async with listening(served, by_query, Authorization=f"Bearer {gate.tokens['manager-1']}") as events:
        heard = await until(events, "case", case_id=case_id, status="completed")
    told = [(each.data["kind"], each.data["outcome"]) for each in heard if each.name == "task"]
    assert told == [("closed", "approved")]


@pytest.mark.parametrize("place", ["9" * 12, "-3", "nonsense"])
async def test_a_listener_with_an_unknown_position_is_told_to_reload(gate: Gate, served: Served, place: str) -> None:
    async with hears(served, gate, "requester-2", place) as events:
        first = await anext(events)
        assert (first.name, first.data) == ("reset", {})
        own = await gate.start("requester-2")
        await until(events, "case", case_id=own)


async def test_a_listener_who_is_too_far_behind_is_told_to_reload(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hears(served, gate, "auditor-1") as events:
        place = (await anext(events)).id
        case_id = await gate.start()
        await until(events, "task", case_id=case_id)
    monkeypatch.setattr(live_updates, "KEPT", 2)
    async with hears(served, gate, "auditor-1", place) as events:
        assert (await anext(events)).name == "reset"


async def test_a_listener_without_events_gets_a_newer_position(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "QUIET", 2)
    async with hears(served, gate, "requester-2") as events:
        first = int((await anext(events)).id)
        await gate.start("requester-1")
        later = await anext(events)
        assert later.name == "" and int(later.id) > first


@pytest.mark.parametrize("how", ["replaced", "revoked"])
async def test_a_stream_ends_with_the_token_or_the_session_that_opened_it(gate: Gate, served: Served, how: str) -> None:
    name = f"leaver-{uuid4().hex[:6]}"
    async with gate.database.write() as conn:
        await people.add(conn, name, name, ["auditors"], by="admin-1")
        token = await tokens.make(conn, name, "test", by="admin-1")
    async with httpx2.AsyncClient(base_url=served.url, trust_env=False) as client:
        assert (await client.get("/events")).headers["content-type"].startswith("text/html")
        assert (await client.post("/sign-in", data={"token": token})).status_code == 303
        cookie = "; ".join(f"{each}={value}" for each, value in client.cookies.items())
    async with (
        listening(served, Authorization=f"Bearer {token}") as by_token,
        listening(served, "/events", Cookie=cookie) as by_session,
    ):
        case_id = await gate.start()
        for events in (by_token, by_session):
            await until(events, "case", case_id=case_id)
        async with gate.database.write() as conn:
            if how == "replaced":
                await leavers.replace(conn, name, "admin-1", "has left", by="admin-1")
            else:
                await tokens.revoke_all(conn, name, by="admin-1")
        async with asyncio.timeout(5):
            assert [each.name async for each in by_token if each.name not in ("", "case", "task")] == []
            assert [each.name async for each in by_session if each.name not in ("", "case", "task")] == []


async def test_a_gateway_that_stops_sends_its_listeners_away_at_once(gate: Gate, served: Served) -> None:
    async with hears(served, gate, "auditor-1") as events:
        await anext(events)
        assert served.services.live.feed.listeners == 1
        began = time.monotonic()
        served.server.should_exit = True
        async for _ in events:
            pass
        assert time.monotonic() - began < 2


async def test_a_quiet_stream_is_kept_alive_with_comments(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "PING_S", 0.05)
    headers = {"Authorization": f"Bearer {gate.tokens['requester-2']}"}
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{served.url}/api/v1/events", headers=headers) as answer,
    ):
        assert answer.headers["x-accel-buffering"] == "no"
        assert await anext(line async for line in answer.aiter_lines() if line.startswith(":")) == ": ping"

"""Live counters of a batch over a real connection: permissions, events, and the end of the stream."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from api.services import live_updates
from store.people import people, tokens
from tests.api.conftest import Event, Gate, Served, events_of, eventually


@asynccontextmanager
async def listening(served: Served, gate: Gate, person: str, batch_id: str) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a batch as they come."""
    headers = {"Authorization": f"Bearer {gate.tokens[person]}"}
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{served.url}/api/v1/batches/{batch_id}/events", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield events_of(answer)


async def a_batch(gate: Gate, *amounts: str) -> str:
    """A batch of requester-1: what is below 500 is approved by rule, what is more waits for a manager."""
    mark = uuid4().hex[:8]
    rows = [f"{mark}-{number},Payee {mark},{amount},GBP,operating" for number, amount in enumerate(amounts)]
    data = "\n".join(["reference,payee,amount,currency,account", *rows]).encode()
    file = ("payments.csv", data, "text/csv")
    answer = await gate.as_("requester-1").post("/api/v1/batches?process=payment", files={"file": file})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["batch_id"])


async def test_counters_come_at_once_and_when_they_change_and_end_when_all_is_closed(
    gate: Gate, served: Served
) -> None:
    batch_id = await a_batch(gate, "10.00", "much", "900.00")
    async with listening(served, gate, "requester-1", batch_id) as events:
        seen = [await anext(events)]
        while seen[-1].data["cases"] != {"completed": 1, "awaiting_approval": 1}:
            seen.append(await anext(events))
        assert seen[-1].data["status"] in ("running", "completed")
        cases = (await gate.get("manager-1", "/cases", batch_id=batch_id, status="awaiting_approval")).json()["items"]
        assert (await gate.decide("manager-1", await gate.open_task(cases[0]["case_id"]))).status_code == 200
        seen += [event async for event in events]
    assert {event.name for event in seen[:-1]} == {"counts"}
    assert all(seen[number].data != seen[number + 1].data for number in range(len(seen) - 2))
    end = seen[-1]
    assert end.name == "end" and end.data == seen[-2].data
    assert end.data["cases"] == {"completed": 2} and end.data["status"] == "completed"
    counted = {"total": 3, "valid": 2, "invalid": 1, "started": 2, "duplicate": 0, "failed": 0}
    assert counted.items() <= end.data["rows"].items()
    assert set(end.data) == {"status", "rows", "cases"}
    async with listening(served, gate, "auditor-1", batch_id) as events:
        assert [event.name async for event in events] == ["counts", "end"]


async def test_a_batch_is_watched_by_those_who_may_see_it(gate: Gate, served: Served) -> None:
    batch_id = await a_batch(gate, "900.00")
    for person, batch, status in (("manager-1", batch_id, 404), ("requester-2", batch_id, 404), ("admin-1", "b0", 404)):
        answer = await gate.get(person, f"/batches/{batch}/events")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert (await gate.get(None, f"/batches/{batch_id}/events")).status_code == 401
    for person in ("requester-1", "operator-1", "auditor-1", "admin-1"):
        async with listening(served, gate, person, batch_id) as events:
            assert (await anext(events)).name == "counts"


@pytest.mark.parametrize("how", ["revoked", "left the group"])
async def test_a_stream_ends_within_seconds_when_its_listener_may_no_longer_listen(
    gate: Gate, served: Served, how: str
) -> None:
    batch_id, person = await a_batch(gate, "900.00"), f"listener-{uuid4().hex[:6]}"
    async with gate.database.write() as conn:
        await people.add(conn, person, person, ["auditors"], by="t")
        gate.tokens[person] = await tokens.make(conn, person, "test", by="t")
    async with listening(served, gate, person, batch_id) as events:
        assert (await anext(events)).name == "counts"
        async with gate.database.write() as conn:
            if how == "revoked":
                await tokens.revoke_all(conn, person, by="t")
            else:
                await people.leave(conn, person, "auditors", by="t")
        async with asyncio.timeout(live_updates.BATCH_RECHECK_S + 5):
            assert "end" not in [event.name async for event in events]


async def test_all_who_watch_a_batch_share_one_poller_and_it_stops_with_the_last_of_them(
    gate: Gate, served: Served
) -> None:
    batch_id = await a_batch(gate, "900.00")
    async with listening(served, gate, "requester-1", batch_id) as first:
        assert (await anext(first)).name == "counts"
        async with listening(served, gate, "auditor-1", batch_id) as second:
            assert (await anext(second)).name == "counts"
            assert len(served.services.live.batches) == 1
            pollers = list(served.services.live._pollers)
            assert len(pollers) == 1

    async def watched() -> int:
        return len(served.services.live.batches)

    await eventually(watched, lambda number: number == 0)
    await asyncio.wait_for(pollers[0], 2)


async def test_a_gateway_that_stops_ends_its_streams_at_once_and_without_an_end(gate: Gate, served: Served) -> None:
    batch_id = await a_batch(gate, "900.00")
    async with listening(served, gate, "requester-1", batch_id) as events:
        assert (await anext(events)).name == "counts"
        began = time.monotonic()
        served.server.should_exit = True
        assert "end" not in [event.name async for event in events]
    while served.server.servers and served.server.servers[0].is_serving():
        await asyncio.sleep(0.01)
    assert time.monotonic() - began < 2


async def test_a_stream_that_is_quiet_is_kept_alive_with_comments(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "PING_S", 0.2)
    batch_id = await a_batch(gate, "900.00")
    headers = {"Authorization": f"Bearer {gate.tokens['requester-1']}"}
    async with (
        httpx2.AsyncClient(timeout=30, trust_env=False) as client,
        client.stream("GET", f"{served.url}/api/v1/batches/{batch_id}/events", headers=headers) as answer,
    ):
        assert await anext(line async for line in answer.aiter_lines() if line.startswith(":")) == ": ping"


async def test_a_listener_is_sent_away_after_a_while_to_show_its_token_again(
    gate: Gate, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "LIFETIME_S", 1.5)
    batch_id = await a_batch(gate, "900.00")
    async with listening(served, gate, "requester-1", batch_id) as events:
        assert {event.name async for event in events} == {"counts"}


async def test_batches_are_listed_newest_first_to_those_who_may_see_them(gate: Gate) -> None:
    mine = [await a_batch(gate, "900.00") for _ in range(3)]
    page = (await gate.get("requester-1", "/batches", limit=2)).json()
    assert [each["batch_id"] for each in page["items"]] == mine[:0:-1]
    assert (page["items"][0]["process"], page["items"][0]["total"]) == ("payment", 1)
    rest = (await gate.get("requester-1", "/batches", limit=2, cursor=page["next_cursor"])).json()
    assert rest["items"][0]["batch_id"] == mine[0]
    for person, sees in {"auditor-1": True, "operator-1": True, "requester-2": False, "manager-1": False}.items():
        listed = [each["batch_id"] for each in (await gate.get(person, "/batches")).json()["items"]]
        assert (listed[:3] == mine[::-1]) is sees
    assert (await gate.get("requester-1", "/batches", cursor="nonsense")).status_code == 422
    assert (await gate.get("requester-1", "/batches", status="nonsense")).status_code == 422


async def test_the_list_of_batches_is_narrowed_by_process_and_status(gate: Gate) -> None:
    batch_id = await a_batch(gate, "900.00")

    async def status() -> Any:
        return (await gate.get("requester-1", f"/batches/{batch_id}")).json()["status"]

    await eventually(status, lambda said: said == "completed")
    for filters, listed in (
        ({"process": "payment"}, True),
        ({"process": "deployment"}, False),
        ({"status": "completed"}, True),
        ({"status": "paused"}, False),
    ):
        found = [each["batch_id"] for each in (await gate.get("requester-1", "/batches", **filters)).json()["items"]]
        assert (batch_id in found) is listed, filters

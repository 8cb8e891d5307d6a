"""While one token, one person or one address floods the gateway, other people read their lists and decide.

`-o log_cli_level=INFO -o log_cli=true` shows the figures.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from api.__main__ import Server
from api.app import create_app
from store.people import people, tokens
from tests.api.conftest import API, Gate
from tests.support.installed_app import ROOT, free_port

LIST_S, DECISION_S = 0.5, 2.0
"""The most seconds of a list (p95) and of a decision of somebody else."""


@pytest_asyncio.fixture(scope="module")
async def limited(gate: Gate) -> AsyncIterator[int]:
    """The port of a gateway with the default limits."""
    port = free_port()
    server = Server(create_app(gate.settings.model_copy(update={"rate_limits": None})), port=port, log_config=None)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    yield port
    server.should_exit = True
    await serving


def text(method: str, path: str, body: str = "", **fields: str) -> str:
    """The text of a request."""
    named = {"Host": "gateway", "Content-Length": str(len(body)), **fields}
    return (
        f"{method} {path} HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in named.items())
        + f"\r\n{body}"
    )


async def flooder(gate: Gate, source: str) -> list[str]:
    """The requests of a flood: lists and decisions of one token or three of a person, or what strangers can send."""
    if source == "address":
        wrong = text("GET", f"{API}/tasks", Authorization="Bearer hg_wrong")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return [wrong, text("POST", "/sign-in", "name=nobody&password=wrong", **form), text("GET", "/sign-in")]
    async with gate.database.write() as conn:
        id = f"flood-{uuid4().hex[:6]}"
        await people.add(conn, id, id, ["auditors", "managers"], by="test")
        number = 1 if source == "token" else 3
        made = [await tokens.make(conn, id, f"{each}", by="holdgate") for each in range(number)]
    decision = json.dumps({"verdict": "approve", "revision": 1})
    return [
        each
        for token in made
        for each in (
            text("GET", f"{API}/cases", Authorization=f"Bearer {token}"),
            text(
                "POST",
                f"{API}/tasks/none/decision",
                decision,
                **{"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            ),
        )
    ]


@asynccontextmanager
async def flood(port: int, connections: int, requests: list[str]) -> AsyncIterator[dict[str, int]]:
    """Flood while the block runs, from another process, which then has told how often each status was answered."""
    command = [sys.executable, "-m", "tests.support.flood", "127.0.0.1", str(port), str(connections)]
    process = await asyncio.create_subprocess_exec(*command, *requests, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    answered: dict[str, int] = {}
    try:
        await process.stdout.readline()
        yield answered
    finally:
        process.terminate()
        said, _ = await process.communicate()
    answered |= json.loads(said)


async def measured(
    gate: Gate, port: int, source: str, connections: int, clock: Callable[[], float], lists: int, pause: float
) -> None:
    """Read lists and decide during a flood, and compare the time of this clock with the limits."""
    task = await gate.open_task(await gate.start())
    requests = await flooder(gate, source)
    took: list[float] = []
    headers = {"Authorization": f"Bearer {gate.tokens['manager-1']}"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as other:
        for path in (f"{API}/tasks", "/sign-in"):  # the first answer compiles statements and templates
            assert (await other.get(path)).status_code == 200
        async with flood(port, connections, requests) as answered:
            for number in range(lists):
                await asyncio.sleep(pause)
                began = clock()
                assert (await other.get(f"{API}/tasks")).status_code == 200
                took.append(clock() - began)
                if number == lists // 2:
                    began = clock()
                    decided = await other.post(
                        f"{API}/tasks/{task['task_id']}/decision",
                        json={"verdict": "approve", "revision": task["revision"]},
                    )
                    decision = clock() - began
    assert decided.status_code in (200, 202), decided.text
    p95 = sorted(took)[int(0.95 * (len(took) - 1))]
    figures = f"{source} {answered}: p95 of {len(took)} lists {p95:.3f} s, decision {decision:.3f} s"
    logging.getLogger(__name__).info(figures)
    assert sum(answered.values()) > 2 * lists, f"that was no flood: {figures}"
    assert p95 < LIST_S and decision < DECISION_S, figures


@pytest.mark.parametrize("source", ["token", "person", "address"])
async def test_during_a_flood_others_work(gate: Gate, limited: int, source: str) -> None:
    """The processor time of gateway and worker, which other programs of the machine do not change."""
    await measured(gate, limited, source, 20, time.process_time, lists=5, pause=0.0)


@pytest.mark.soak
@pytest.mark.parametrize("source", ["token", "person", "address"])
async def test_during_a_long_flood_others_work(gate: Gate, limited: int, source: str) -> None:
    """The time that people wait, on a machine that does nothing else."""
    await measured(gate, limited, source, 100, time.monotonic, lists=400, pause=0.1)

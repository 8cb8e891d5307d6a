"""Measure cases of Holdgate and Workflows of the bare engine, on one Temporal server.

Rounds of both sides alternate, so that other load of the machine affects both.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.messages import Actor, Decision, Receipt
from domain.status import Verdict
from scripts.bench.bare import QUEUE, Bare
from tests.support.installed_app import ROOT, Product

AT_ONCE = 16
"""The number of calls that each side runs at the same time."""
Figures = dict[str, Any]


async def in_turns(calls: Iterable[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Make all calls, `AT_ONCE` at a time, and return their results."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(call: Callable[[], Awaitable[Any]]) -> Any:
        async with slots:
            return await call()

    return await asyncio.gather(*(one(call) for call in calls))


class Ours:
    """The side of Holdgate: payments that one manager must approve, started and decided over HTTP."""

    def __init__(self, product: Product, temporal: Client) -> None:
        def speaks(person: str) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                base_url=f"{product.up['gateway_url']}/api/v1",
                headers={"Authorization": f"Bearer {product.token(person)}"},
                timeout=60,
            )

        self.temporal = temporal
        self.requester, self.manager = speaks("requester-1"), speaks("manager-1")

    async def start(self, name: str) -> str:
        fields = {"payee": f"Payee {name}", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        answer = await self.requester.post("/cases", json={"process": "payment", "reference": name, "input": fields})
        answer.raise_for_status()
        case_id: str = answer.json()["case_id"]
        return case_id

    async def at_gate(self, case_id: str) -> str:
        """Wait until the case has an open task, and return the id of the task."""
        while True:
            case = (await self.manager.get(f"/cases/{case_id}")).json()
            if case.get("status") == "awaiting_approval":
                return str(case["tasks"][0]["task_id"])
            await asyncio.sleep(0.1)

    async def decide(self, _case_id: str, task_id: str) -> None:
        said = {"verdict": "approve", "revision": 1, "decision_id": uuid4().hex}
        while True:
            answer = await self.manager.post(f"/tasks/{task_id}/decision", json=said)
            if answer.status_code != 503:
                break
            # The machine is busy: the decision is sent again with its id and takes effect once.
            await asyncio.sleep(0.1)
        assert answer.status_code in (200, 202), answer.text
        # The decision is stored, as no worker answered in time: the time until it is accepted counts.
        while answer.json()["status"] == "pending":
            await asyncio.sleep(0.1)
            answer = await self.manager.get(f"/decisions/{answer.json()['decision_id']}")
            answer.raise_for_status()
        assert answer.json()["status"] == "accepted", answer.text

    async def closed(self, case_id: str) -> None:
        await self.temporal.get_workflow_handle(case_id).result()

    async def decide_directly(self, case_id: str, task_id: str) -> None:
        """Approve a task with the Update that the gateway would send, but without the gateway."""
        decision = Decision(
            id=f"d{uuid4().hex}",
            task_id=task_id,
            verdict=Verdict.APPROVE,
            revision=1,
            by=Actor(id="manager-1", groups=["managers"]),
            at=datetime.now(UTC),
        )
        handle = self.temporal.get_workflow_handle(case_id)
        await handle.execute_update("decide", decision, id=decision.id, result_type=Receipt)


class Bareness:
    """The side of the bare engine: its Workflows, started and decided with the Temporal SDK."""

    def __init__(self, temporal: Client) -> None:
        self.temporal = temporal

    async def start(self, name: str) -> str:
        await self.temporal.start_workflow(Bare.run, id=f"bare:{name}", task_queue=QUEUE)
        return f"bare:{name}"

    async def at_gate(self, case_id: str) -> str:
        handle = self.temporal.get_workflow_handle(case_id)
        while not await handle.query(Bare.at_gate):  # noqa: ASYNC110  # another process sets it
            await asyncio.sleep(0.1)
        return ""

    async def decide(self, case_id: str, _task_id: str) -> None:
        await self.temporal.get_workflow_handle(case_id).execute_update(Bare.decide)

    async def closed(self, case_id: str) -> None:
        await self.temporal.get_workflow_handle(case_id).result()


async def measured(side: Ours | Bareness, number: int) -> dict[str, float]:
    """Run one round with this number of cases.

    Return cases a second: started, decided, and closed since the first decision.
    """
    names = [f"B-{uuid4().hex[:12]}" for _ in range(number)]
    began = time.perf_counter()
    ids = await in_turns([lambda name=name: side.start(name) for name in names])  # type: ignore[misc]
    started = time.perf_counter() - began
    tasks = await in_turns([lambda each=each: side.at_gate(each) for each in ids])  # type: ignore[misc]
    opened = time.perf_counter() - began
    began = time.perf_counter()
    await in_turns([lambda each=each: side.decide(*each) for each in zip(ids, tasks, strict=True)])  # type: ignore[misc]
    decided = time.perf_counter() - began
    await asyncio.gather(*(side.closed(each) for each in ids))
    closed = time.perf_counter() - began
    return {
        "start": number / started,
        "decision": number / decided,
        "decided_to_closed": number / closed,
        "end_to_end": number / (opened + closed),
    }


async def alone(side: Ours, number: int) -> dict[str, dict[str, float]]:
    """Run single cases one by one, and return their latencies in milliseconds.

    Every second decision bypasses the gateway.
    """
    took: dict[str, list[float]] = {name: [] for name in ("start", "decision", "decision_directly", "closed")}
    for count in range(number):
        began = time.perf_counter()
        case_id = await side.start(f"A-{uuid4().hex[:12]}")
        took["start"].append(time.perf_counter() - began)
        task_id = await side.at_gate(case_id)
        began = time.perf_counter()
        await (side.decide if count % 2 else side.decide_directly)(case_id, task_id)
        took["decision" if count % 2 else "decision_directly"].append(time.perf_counter() - began)
        await side.closed(case_id)
        took["closed"].append(time.perf_counter() - began)
    return {name: milliseconds(times) for name, times in took.items()}


def milliseconds(times: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile in milliseconds of times in seconds."""
    ordered = sorted(time * 1000 for time in times)
    return {
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
    }


async def engine(folder: Path, *, rounds: int, cases: int, singles: int) -> Figures:
    """Run Holdgate and the bare engine, measure both, and return the figures."""
    async with _both(folder) as (ours, bare):
        for side in (ours, bare):  # imports and connections of the first call must not count
            await measured(side, min(cases, AT_ONCE))
        results = [(await measured(ours, cases), await measured(bare, cases)) for _ in range(rounds)]
        latencies = await alone(ours, singles)
    table: Figures = {}
    for name in results[0][0]:
        ratios = sorted(mine[name] / theirs[name] for mine, theirs in results)
        table[name] = {
            "ours_per_s": round(statistics.median(mine[name] for mine, _ in results), 1),
            "bare_per_s": round(statistics.median(theirs[name] for _, theirs in results), 1),
            "ratio": round(statistics.median(ratios), 2),
            "ratio_low": round(ratios[0], 2),
            "ratio_high": round(ratios[-1], 2),
        }
    added = latencies["decision"]["median_ms"] - latencies["decision_directly"]["median_ms"]
    return {
        "throughput": table,
        "single": latencies,
        "gateway_adds_ms": round(added, 1),
        "rounds": rounds,
        "cases": cases,
    }


@asynccontextmanager
async def _both(folder: Path) -> AsyncIterator[tuple[Ours, Bareness]]:
    with Product(folder, HOLDGATE_CHANNELS="console") as product:
        address = product.up["temporal_address"]
        temporal = await Client.connect(address, data_converter=pydantic_data_converter)
        worker = await asyncio.create_subprocess_exec(sys.executable, "-m", "scripts.bench.bare", address, cwd=ROOT)
        try:
            yield Ours(product, temporal), Bareness(temporal)
        finally:
            worker.terminate()
            await worker.wait()

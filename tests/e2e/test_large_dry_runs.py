"""Dry runs of large files do not delay the lists and decisions of other people."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import httpx2
import psutil
import pytest

from intake.parsing.parsing_pool import LARGE
from tests.support.installed_app import Product

HEAD = "reference,payee,amount,currency,account\n"
MB = 1024**2


def rows(count: int, name: int) -> str:
    return HEAD + "".join(f"L{name}-{each},Acme Paper Ltd,{each % 900}.50,GBP,operating\n" for each in range(count))


class Others:
    """A manager who looks at lists and decides: how long each takes, and which limits parsers have meanwhile."""

    def __init__(self, manager: httpx2.AsyncClient, tasks: list[str], gateway: psutil.Process) -> None:
        self._manager, self._tasks, self._gateway = manager, tasks, gateway
        self.limits: set[int] = set()
        self.lists: list[float] = []
        self.decisions: list[float] = []

    async def work(self) -> None:
        while True:
            self.lists.append(await self._timed("GET", "/tasks"))
            if self._tasks and len(self.lists) % 5 == 4:
                said = {"verdict": "approve", "revision": 1}
                path = f"/tasks/{self._tasks.pop()}/decision"
                self.decisions.append(await self._timed("POST", path, json=said))
            self._look_at_parsers()
            await asyncio.sleep(0.1)

    def _look_at_parsers(self) -> None:
        for process in self._gateway.children(recursive=True):
            with suppress(psutil.Error):
                self.limits |= {process.rlimit(psutil.RLIMIT_CPU)[0]} - {psutil.RLIM_INFINITY}

    async def _timed(self, method: str, path: str, **about: Any) -> float:
        begun = time.monotonic()
        answer = await self._manager.request(method, path, **about)
        assert answer.status_code in (200, 202), answer.text
        return time.monotonic() - begun


async def opened(requester: httpx2.AsyncClient, count: int) -> list[str]:
    """Tasks of so many payments that wait for a manager."""
    tasks = []
    for number in range(count):
        given = {"payee": f"Payee {number}", "amount": f"{2000 + number}.50", "currency": "GBP", "account": "operating"}
        case = {"process": "payment", "reference": f"BESIDE-{number}", "input": given}
        answer = await requester.post("/cases", json=case)
        assert answer.status_code == 201, answer.text
        async with asyncio.timeout(60):
            while not (found := (await requester.get(f"/cases/{answer.json()['case_id']}")).json()["tasks"]):
                await asyncio.sleep(0.2)
        tasks.append(found[0]["task_id"])
    return tasks


def p95_of(seconds: list[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.95)]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("files", "count", "decided", "patience"),
    [(2, 5_000, 3, 0.0), pytest.param(6, 99_000, 20, 60.0, marks=pytest.mark.soak)],
    ids=["2x5000", "6x99000"],
)
async def test_lists_and_decisions_do_not_wait_for_large_files(
    product: Product,
    files: int,
    count: int,
    decided: int,
    patience: float,
) -> None:
    gateway = psutil.Process(product.up["pids"]["gateway"])
    (template,) = gateway.children()
    assert "intake.parsing.parser_process" in template.cmdline(), "the first file need not wait for its imports"
    api = f"{product.up['gateway_url']}/api/v1"

    def client(person: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=api, headers={"Authorization": f"Bearer {product.token(person)}"}, timeout=1500
        )

    async with client("requester-1") as requester, client("manager-1") as manager:
        tasks = await opened(requester, decided)
        await requester.post(
            "/batches?process=payment&dry_run=true", files={"file": ("s.csv", rows(10, 0), "text/csv")}
        )
        memory = gateway.memory_info().rss
        others = Others(manager, tasks, gateway)
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await others.work()
        alone, others.lists = p95_of(others.lists), []
        working = asyncio.create_task(others.work())
        reports = await asyncio.gather(
            *(
                requester.post(
                    "/batches?process=payment&dry_run=true",
                    files={"file": (f"{number}.csv", rows(count, number), "text/csv")},
                )
                for number in range(files)
            )
        )
        working.cancel()
        assert [report.status_code for report in reports] == [200] * files
        assert {report.json()["rows"]["valid"] for report in reports} == {count}
        # Beside other tests, a machine may be too slow for any list.
        assert p95_of(others.lists) < (0.5 if patience else max(0.5, 3 * alone))
        assert max(others.decisions, default=0.0) < 2
        assert LARGE.cpu_seconds in others.limits, "files are read in processes with limits"
        await asyncio.sleep(patience)
        assert gateway.memory_info().rss - memory < 100 * MB

"""Payments, one a second, while worker, gateway and Temporal server are killed under them every five seconds.

The driver writes down what was acknowledged; afterwards audit log, ledger and cases are compared with its log.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from tests.support.in_process_command_line import Run
from tests.support.installed_app import Product

SEED = 20261122
BETWEEN_CASES = 1.0
BETWEEN_KILLS = 5.0
UNSTUCK = 60.0
"""Seconds after the last kill within which every case must have ended."""

FEW = pytest.param(15, id="fifteen payments")
ALL = pytest.param(60, id="sixty payments", marks=pytest.mark.soak)
"""Each run of the tests has fifteen, with three kills, one of each kind."""

ENDS = {"rule": "completed", "approve": "completed", "reject": "rejected"}
EFFECTS = {"rule": ["capture", "hold"], "approve": ["capture", "hold"], "reject": ["hold", "release"]}


@dataclass
class Acknowledged:
    """What the product promised."""

    cases: dict[str, str] = field(default_factory=dict)
    """Case id by reference, of every 201."""
    decisions: dict[str, str] = field(default_factory=dict)
    """Verdict by case id, of every decision that was accepted."""
    answers: list[int] = field(default_factory=list)


def the_kind(number: int) -> str:
    return ("rule", "approve", "reject")[number % 3]


def the_amount(number: int) -> Decimal:
    """Different for each case, so that nothing looks like a duplicate payment."""
    return Decimal(100 + number) if the_kind(number) == "rule" else Decimal(1000 + 10 * number)


class Driver:
    """A patient client: repeats with the same ids until it is answered."""

    def __init__(self, product: Product, prefix: str) -> None:
        self.product = product
        self.prefix = prefix
        self.log = Acknowledged()
        up = product.up
        tokens = {entry["id"]: entry["token"] for entry in up["people"]}
        self._people = {
            person: httpx2.AsyncClient(
                base_url=f"{up['gateway_url']}/api/v1", headers={"Authorization": f"Bearer {tokens[person]}"}, timeout=8
            )
            for person in ("requester-1", "manager-1", "auditor-1")
        }

    async def __aenter__(self) -> "Driver":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._people.values():
            await client.aclose()

    async def call(self, person: str, method: str, path: str, **options: Any) -> httpx2.Response:
        """Call until the gateway answers with something that is neither an outage nor a 404 of a case just started."""
        async with asyncio.timeout(60 * BETWEEN_CASES + UNSTUCK):
            while True:
                try:
                    answer = await self._people[person].request(method, path, **options)
                except httpx2.TransportError:
                    await asyncio.sleep(0.3)
                    continue
                self.log.answers.append(answer.status_code)
                if answer.status_code != 503:
                    return answer
                await asyncio.sleep(0.3)

    async def carry_through(self, number: int) -> None:
        reference = f"{self.prefix}-{number:03}"
        started = await self.call(
            "requester-1",
            "POST",
            "/cases",
            json={
                "process": "payment",
                "reference": reference,
                "input": {
                    "payee": f"Supplier {reference}",
                    "amount": str(the_amount(number)),
                    "currency": "GBP",
                    "account": "operating",
                },
            },
            headers={"Idempotency-Key": f"start-{reference}"},
        )
        assert started.status_code == 201, started.text
        case_id = started.json()["case_id"]
        self.log.cases[reference] = case_id
        if the_kind(number) != "rule":
            await self._decide(case_id, the_kind(number))

    async def _decide(self, case_id: str, verdict: str) -> None:
        task = await self._open_task(case_id)
        answer = await self.call(
            "manager-1",
            "POST",
            f"/tasks/{task}/decision",
            json={"verdict": verdict, "revision": 1, "decision_id": str(uuid4()), "comment": "crash test"},
        )
        assert answer.status_code in (200, 202), answer.text
        decision_id = answer.json()["decision_id"]
        while answer.json()["status"] == "pending":
            await asyncio.sleep(0.3)
            answer = await self.call("manager-1", "GET", f"/decisions/{decision_id}")
        assert answer.json()["status"] == "accepted", answer.text
        self.log.decisions[case_id] = verdict

    async def _open_task(self, case_id: str) -> str:
        while True:
            answer = await self.call("requester-1", "GET", f"/cases/{quote(case_id, safe='')}")
            if answer.status_code == 200:
                for task in answer.json()["tasks"]:
                    if task["status"] == "open":
                        return str(task["task_id"])
            await asyncio.sleep(0.3)

    async def account(self) -> tuple[Decimal, Decimal]:
        """Return the balance of the account that pays all, and how much of it is held."""
        account = (await self.call("auditor-1", "GET", "/ledger/accounts/operating?currency=GBP")).json()
        return Decimal(account["balance"]), Decimal(account["held"])

    async def statuses(self) -> dict[str, str]:
        """The status of every acknowledged case, by id."""
        answers = [await self.call("auditor-1", "GET", f"/cases/{quote(c, safe='')}") for c in self.log.cases.values()]
        return {answer.json()["case_id"]: answer.json()["status"] for answer in answers}


async def kill_now_and_then(product: Product, chance: random.Random, times: int) -> list[str]:
    killed = []
    for _ in range(times):
        await asyncio.sleep(BETWEEN_KILLS * chance.uniform(0.7, 1.3))
        child = chance.choice(["worker", "gateway", "temporal"])
        product.kill(child)
        killed.append(child)
    return killed


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cases", [FEW, ALL])
async def test_nothing_acknowledged_is_lost_and_no_effect_is_doubled_while_processes_are_killed(
    product: Product, run: Run, record_property: Callable[[str, object], None], cases: int
) -> None:
    async with Driver(product, f"CRASH-{cases}") as driver:
        before = await driver.account()
        killed = await carry_all_through(driver, cases)
        last_kill = time.monotonic()
        statuses = await driver.statuses()
        while time.monotonic() < last_kill + UNSTUCK and not set(statuses.values()) <= set(ENDS.values()):
            await asyncio.sleep(1)
            statuses = await driver.statuses()
        record_property("kills", f"seed {SEED}: {', '.join(killed)}")
        record_property("answers", len(driver.log.answers))
        await nothing_is_lost_or_doubled(driver, statuses, cases)
        paid = sum(the_amount(number) for number in range(cases) if the_kind(number) != "reject")
        balance, held = before
        assert await driver.account() == (balance - paid, held)
    assert (await asyncio.to_thread(run, "audit", "verify")).code == 0


async def carry_all_through(driver: Driver, cases: int) -> list[str]:
    """All cases, paced over the time in which processes are killed. Answers what was killed, in order."""

    async def paced(number: int) -> None:
        await asyncio.sleep(number * BETWEEN_CASES)
        await driver.carry_through(number)

    kills = round(cases * BETWEEN_CASES / BETWEEN_KILLS)
    killing = asyncio.create_task(kill_now_and_then(driver.product, random.Random(SEED), kills))
    await asyncio.gather(*(paced(number) for number in range(cases)))
    return await killing


async def nothing_is_lost_or_doubled(driver: Driver, statuses: dict[str, str], cases: int) -> None:
    """Hold the cases and the ledger, which is where effects are counted, against what was acknowledged."""
    assert len(set(driver.log.cases.values())) == cases
    for number in range(cases):
        reference, kind = f"{driver.prefix}-{number:03}", the_kind(number)
        case_id = driver.log.cases[reference]
        assert statuses[case_id] == ENDS[kind], f"{reference} is {statuses[case_id]}"
        assert driver.log.decisions.get(case_id, "rule") == kind
        entries = (await driver.call("auditor-1", "GET", f"/ledger/entries?reference={reference}")).json()["items"]
        assert sorted(entry["kind"] for entry in entries) == EFFECTS[kind], (reference, entries)
        keys = [entry["idempotency_key"] for entry in entries]
        assert len(keys) == len(set(keys))

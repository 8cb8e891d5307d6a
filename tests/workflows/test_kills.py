"""`kill -9` of the worker at each named moment: one end, and each effect once at its receiver."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from domain.case import CaseResult
from domain.status import Status, Verdict
from store.cases import tasks
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.five_step_process import NUMBERS, POLICY, FiveRequest, Receiver
from tests.support.installed_app import ROOT
from tests.support.worker_killed_at_step import Fate
from tests.workflows.test_payment import SHIPPED, a_payment

SOON = timedelta(seconds=2)
"""After which the server misses a worker that was killed with a workflow task."""


@asynccontextmanager
async def mortal(folder: Path) -> AsyncIterator[tuple[House, Fate]]:
    """A house whose workers die where fate says so."""
    async with open_house(folder) as house:
        await house.stop_worker()
        fate = Fate(folder)
        address = house.env.client.service_client.config.target_host
        lives = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.worker_killed_at_step", address, house.url, str(folder), cwd=ROOT
        )
        try:
            yield house, fate
        finally:
            lives.terminate()
            await lives.wait()


async def decided(house: House, case: Handle, verdict: Verdict) -> None:
    """Answer the task as soon as it is in the inbox, by the door that needs no worker."""
    while True:
        async with house.database.read() as connection:
            found = [task for task in await tasks.of_case(connection, case.id) if task.status == "open"]
        if found:
            break
        await asyncio.sleep(0.1)
    decision = house.decision(found[0], verdict=verdict, comment="said")
    await case.signal("submit_decision", decision)


async def life(
    house: House,
    fate: Fate,
    request: BaseModel,
    process: str,
    policy: str,
    story: str,
    point: str,
    answer: Callable[[Handle], Awaitable[None]] | None = None,
) -> tuple[Handle, CaseResult]:
    """A case whose worker dies once at a point: of its own story or, "rolled back", of the rollback that follows.

    People `answer`; without that they approve at its one gate, or reject in a story that is called so.
    """
    case = await house.start(
        request,
        process=process,
        policy=policy,
        reference=f"{story} {point}",
        before=(lambda case_id: fate.decree(case_id, point)) if story != "rolled back" else None,
        task_timeout=SOON,
    )
    if answer:
        await answer(case)
    else:
        await decided(house, case, Verdict.REJECT if story == "rejected" else Verdict.APPROVE)
    result: CaseResult = await case.result()
    if story == "rolled back":
        assert result.status is Status.COMPLETED, result.reason
        fate.decree(case.id, point)
        result = await (await house.roll_back(case, policy=policy)).result()
    return case, result


async def lived(fate: Fate, lives: Sequence[Awaitable[tuple[Handle, CaseResult]]]) -> list[tuple[Handle, CaseResult]]:
    """All of these lives at once, once each of them has had its death."""
    async with asyncio.timeout(200):
        found = await asyncio.gather(*lives)
    assert not list(fate.doomed.iterdir()) and len(list(fate.dead.iterdir())) == len(lives)
    return found


async def ends(started: dict[str, Handle]) -> dict[str, CaseResult]:
    async with asyncio.timeout(100):
        return dict(zip(started, await asyncio.gather(*(each.result() for each in started.values())), strict=True))


FEW = pytest.param(False, id="few")
ALL = pytest.param(True, id="all", marks=pytest.mark.soak)
"""All kills take three minutes; each run of the tests has a few."""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("every", [FEW, ALL])
async def test_whichever_step_fails_and_whenever_the_worker_is_killed_all_is_undone_once_in_reverse_order(
    tmp_path: Path, every: bool
) -> None:
    steps = range(1, 6) if every else [3]
    async with mortal(tmp_path) as (house, fate):
        started: dict[str, Handle] = {}
        for fails_at in steps:
            newest = f"undo_{NUMBERS[fails_at - 1]}"
            points = (
                "after record of rollback_started",
                f"before {newest}",
                f"after {newest}",
                "after record of undo_done",
                "before record of case_closed",
            )
            for point in points if every else points[::2]:
                case = await house.start(
                    FiveRequest(fails_at=fails_at),
                    process="five",
                    policy=POLICY,
                    reference=f"{fails_at} {point}",
                    before=lambda case_id, point=point: fate.decree(case_id, point),  # type: ignore[misc]
                    task_timeout=SOON,
                )
                started[f"{fails_at}: {point}"] = case
        results = await ends(started)
        assert not list(fate.doomed.iterdir()) and len(list(fate.dead.iterdir())) == len(started)
        receiver = Receiver(tmp_path / "receiver.db")
        for name, case in started.items():
            fails_at = int(name[0])
            took_effect = NUMBERS[: fails_at if fails_at % 2 else fails_at - 1]
            undone = [f"undo_{each}" for each in reversed(took_effect)]
            assert receiver.effects(case.id) == [*took_effect, *undone], name
            assert results[name].status is Status.FAILED
            assert results[name].reason == f"Step {NUMBERS[fails_at - 1]} is not allowed."
            kinds = await house.recorded(case)
            assert kinds.count("rollback_started") == kinds.count("case_closed") == 1, (name, kinds)
            assert kinds.count("undo_done") == fails_at, (name, kinds)
        assert await house.audit_problems() == []


APPROVED = tuple(
    f"{when} {what}"
    for what in (
        *("reserve_funds", "screen_payment", "capture_payment"),
        *("record of gate_opened", "record of gate_closed", "record of case_closed"),
    )
    for when in ("before", "after")
)
REJECTED = tuple(
    f"{when} {what}"
    for what in ("release_funds", "record of rollback_started", "record of undo_done", "record of case_closed")
    for when in ("before", "after")
)
STEADY = SHIPPED + "".join(
    f'[payment.steps.{step}]\ntime_limit = "2s"\n' for step in ("reserve", "screen", "capture", "release", "refund")
)
ROLLED_BACK = tuple(
    f"{when} {what}"
    for what in ("refund_payment", "release_funds", "record of rollback_started")
    for when in ("before", "after")
)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("every", [FEW, ALL])
async def test_a_payment_whose_worker_is_killed_at_any_named_point_has_each_effect_once(
    tmp_path: Path, every: bool
) -> None:
    async with mortal(tmp_path) as (house, fate):
        await house.ledger.fund("fund/operating", "operating", "GBP", Decimal("10000000.00"))
        started: dict[str, Handle] = {}
        stories = (("approved", APPROVED), ("rejected", REJECTED), ("rolled back", ROLLED_BACK))
        named = [(story, point) for story, points in stories for point in points]
        for number, (story, point) in enumerate(named if every else named[5::9]):
            case = await house.start(
                a_payment("operating", f"{1000 + number}.00"),
                process="payment",
                policy=STEADY,
                reference=f"{story} {point}",
                before=(lambda case_id, point=point: fate.decree(case_id, point)) if story != "rolled back" else None,  # type: ignore[misc]
                task_timeout=SOON,
            )
            started[f"{story}: {point}"] = case

        async def carry(name: str, case: Handle) -> CaseResult:
            await decided(house, case, Verdict.REJECT if name.startswith("rejected") else Verdict.APPROVE)
            result: CaseResult = await case.result()
            if not name.startswith("rolled back"):
                return result
            fate.decree(case.id, name.split(": ")[1])
            rollback = await house.roll_back(case, policy=STEADY)
            undone: CaseResult = await rollback.result()
            return undone

        async with asyncio.timeout(200):
            found = await asyncio.gather(*(carry(*each) for each in started.items()))
        results = dict(zip(started, found, strict=True))
        assert not list(fate.doomed.iterdir()), "every death was died"
        expected = {
            "approved": (Status.COMPLETED, ["hold", "capture"]),
            "rejected": (Status.REJECTED, ["hold", "release"]),
            "rolled back": (Status.ROLLED_BACK, ["hold", "capture", "refund"]),
        }
        for name, case in started.items():
            status, effects = expected[name.split(": ")[0]]
            assert results[name].status is status, name
            assert [entry.kind for entry in await house.ledger.entries(case_id=case.id)] == effects, name
        assert await house.ledger.check() == []
        assert await house.audit_problems() == []

"""Record the histories that `test_replay.py` replays: `python -m tests.replay.record`.

Record again only with a change that is meant to break running cases; otherwise use `workflow.patched` and keep these.
"""

import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from activities.approval.request import ApprovalRequest
from activities.deployment.request import DeploymentRequest
from activities.payment.request import PaymentRequest
from activities.user_onboarding.request import OnboardingRequest
from domain.case import CaseResult
from domain.messages import Actor, StartNow
from domain.status import Status, Verdict
from store.cases import cases
from tests.support.engine_fixture import Handle, House, open_house

HISTORIES = Path(__file__).parent
SHIPPED = (Path(__file__).parents[2] / "config" / "policy.toml").read_text()


def a_payment(amount: str, payee: str) -> PaymentRequest:
    return PaymentRequest.model_validate(
        {"payee": payee, "amount": amount, "currency": "GBP", "account": "operating", "due_date": "2027-01-31"}
    )


async def by_rule(house: House, case: Handle) -> None:
    """Nobody is asked."""


async def approved(house: House, case: Handle) -> None:
    await house.decide(case)


async def rejected(house: House, case: Handle) -> None:
    await house.decide(case, verdict=Verdict.REJECT, comment="not ours")


async def expired(house: House, case: Handle) -> None:
    await house.open_task(case)
    await house.forward(case, timedelta(days=15))


async def cancelled(house: House, case: Handle) -> None:
    await house.open_task(case)
    await house.cancel(case)


async def cancelled_in_temporal(house: House, case: Handle) -> None:
    await house.open_task(case)
    await case.cancel()


async def two_managers_and_a_director(house: House, case: Handle) -> None:
    await house.decide(case, "mia")
    await house.decide(case, "max")
    await house.open_task(case, "director-approval")
    await house.decide(case, "dora")


async def refused(house: House, case: Handle) -> None:
    """More money than there is."""


async def changed(house: House, case: Handle) -> None:
    """Sent back, resubmitted smaller, abstained from, approved."""
    await house.decide(case, "mia", Verdict.REQUEST_CHANGES, comment="Smaller")
    task = await house.open_task(case, "changes")
    await house.send(case, house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"amount": "2000.00"}))
    task = await house.open_task(case, "manager-approval")
    await house.send(case, house.decision(task, "max", Verdict.ABSTAIN))
    await house.send(case, house.decision(task, "mia"))


STORIES = {
    "by-rule": (by_rule, "84.20"),
    "approved": (approved, "2640.00"),
    "rejected": (rejected, "2641.00"),
    "expired": (expired, "2642.00"),
    "cancelled": (cancelled, "2643.00"),
    "cancelled-in-temporal": (cancelled_in_temporal, "2644.00"),
    "two-managers-and-a-director": (two_managers_and_a_director, "64000.00"),
    "refused": (refused, "99000000.00"),
    "changed": (changed, "2645.00"),
}


async def edited_at_failure(house: House) -> Handle:
    """A step fails until its retries end; an operator retries it; the case is rejected and an undo fails, too."""
    case = await house.start(
        before=lambda case_id: house.receiver.broken.update({(case_id, "pack"), (case_id, "unpack")})
    )
    await house.forward(case, timedelta(minutes=5))
    await house.open_task(case, "intervention")
    house.receiver.broken.discard((case.id, "pack"))
    await house.decide(case, "olga", Verdict.RETRY)
    await house.open_task(case, "approval")
    await house.decide(case, verdict=Verdict.REJECT)
    await house.forward(case, timedelta(minutes=5))
    await house.open_task(case, "intervention")
    house.receiver.broken.discard((case.id, "unpack"))
    await house.decide(case, "olga", Verdict.RETRY)
    return case


async def answered(house: House) -> Handle:
    """A question that is sent back once, and then answered with another payload."""
    request = ApprovalRequest(title="Rent the hall?", payload={"price": 1200}, candidates=["managers"])
    case = await house.start(request, process="approval", policy=SHIPPED)
    await house.decide(case, "mia", Verdict.REQUEST_CHANGES, comment="which hall?")
    task = await house.open_task(case, "changes")
    await house.send(case, house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"body": "The town hall."}))
    await house.decide(case, "mia", edits={"payload": {"price": 1100}})
    return case


async def scheduled(house: House) -> Handle:
    """A case of tomorrow, whose time comes."""
    case = await house.start(start_at=datetime.now(UTC) + timedelta(days=1))
    await house.until(case, lambda state: state.status is Status.SCHEDULED)
    await house.forward(case, timedelta(days=1, minutes=1))
    await house.decide(case)
    return case


async def started_early(house: House) -> Handle:
    """A case of tomorrow, which is started today."""
    case = await house.start(start_at=datetime.now(UTC) + timedelta(days=1))
    await house.until(case, lambda state: state.status is Status.SCHEDULED)
    asked = StartNow(id="early", by=Actor(id="rita"), at=datetime.now(UTC))
    await case.execute_update("start_now", asked, id=asked.id)
    await house.decide(case)
    return case


async def taken_on(house: House) -> Handle:
    """Somebody whose role has a sensitive entitlement: two gates at once."""
    request = OnboardingRequest(full_name="Ada Lovelace", role="engineer")
    case = await house.start(request, process="user_onboarding", policy=SHIPPED)
    await house.send(case, house.decision(await house.open_task(case, "entitlement-approval"), "sam"))
    await house.send(case, house.decision(await house.open_task(case, "manager-approval"), "mia"))
    return case


async def not_deployed(house: House) -> Handle:
    """An artefact that a release manager does not want."""
    request = DeploymentRequest.model_validate({"app": "shop"})
    case = await house.start(request, process="deployment", policy=SHIPPED)
    await house.send(case, house.decision(await house.open_task(case, "security-approval"), "sam"))
    task = await house.open_task(case, "release-approval")
    await house.send(case, house.decision(task, "ray", Verdict.REJECT, comment="not today"))
    return case


async def asked(house: House) -> Handle:
    """A case that asks for another and goes on when that is approved."""
    case = await house.start(process="asking", policy="[asking]\n")
    while not (rows := await children_of(house, case)) or rows[0].status is Status.STARTING:
        await asyncio.sleep(0.05)
    await house.decide(house.env.client.get_workflow_handle(rows[0].case_id, result_type=CaseResult), "mia")
    return case


async def children_of(house: House, case: Handle) -> list[cases.CaseRow]:
    async with house.database.read() as connection:
        return await cases.children_of(connection, case.id)


OTHERS = {
    "errand-edited-at-failure": edited_at_failure,
    "errand-scheduled": scheduled,
    "errand-started-early": started_early,
    "approval-answered": answered,
    "user_onboarding-taken-on": taken_on,
    "deployment-rejected": not_deployed,
    "asking-approved": asked,
}


async def main(wanted: list[str]) -> None:
    """Record these stories, or all: only when no case of an older kind can be running anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_house(Path(folder)) as house:
            await house.ledger.fund("fund/operating", "operating", "GBP", Decimal("1000000.00"))
            for name, (story, amount) in STORIES.items():
                if wanted and name not in wanted:
                    continue
                case = await house.start(
                    a_payment(amount, f"Supplier {name}"), process="payment", policy=SHIPPED, reference=f"REPLAY-{name}"
                )
                await story(house, case)
                await keep(case, f"payment-{name}")
            for name, tell in OTHERS.items():
                if not wanted or name in wanted:
                    await keep(await tell(house), name)


async def keep(case: Handle, name: str) -> None:
    await case.result()
    (HISTORIES / f"{name}.json").write_text((await case.fetch_history()).to_json())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""The future of a case: later approval steps as far as they are known, and the effects of an approval."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.services.if_approved import CasePreview, _previews, if_approved, typed
from cases.pinned_policies import PinnedPolicies
from domain.status import Status
from domain.task import Quorum, TaskView
from domain.undo import UndoView
from plugins.source import outline_of
from policy.model import Policy
from policy.parse import parse
from store.cases import policies
from store.cases.cases import CaseRow
from store.db.database import Database
from workflows.registry import INPUTS, PROCESSES

POLICY = parse((Path(__file__).parents[2] / "config" / "policy.toml").read_text(), source="policy.toml", inputs=INPUTS)
NOW = datetime(2026, 11, 30, tzinfo=UTC)
PAYMENT = {"payee": "Acme Ltd", "amount": "662.37", "currency": "GBP", "account": "operating"}


def row(process: str, input: dict[str, Any]) -> CaseRow:
    stored = PROCESSES[process].input.model_validate(input).model_dump(mode="json")
    about: dict[str, Any] = {
        **{"case_id": f"{process}:x", "process": process, "reference": "X", "reference_key": "x", "title": "X"},
        **{"round": 1, "resubmits": None, "requester": "requester-1", "priority": 3, "batch_id": None},
        **{"policy_hash": POLICY.hash, "input": stored, "status": Status.AWAITING_APPROVAL, "start_at": None},
        **{"submitted_at": NOW, "updated_at": NOW, "idempotency_key": None, "head_count": 0, "head_hash": ""},
    }
    return CaseRow(**about)


def task(process: str, gate: str, *, facts: Any = None, needed: int = 1, given: int = 0, **more: Any) -> TaskView:
    about = {"task_id": more.pop("task_id", "t"), "case_id": f"{process}:x", "process": process, "title": "T"}
    quorum = Quorum(needed=needed, given=given)
    return TaskView(
        **about, gate=gate, summary="S", requester="r", quorum=quorum, opened_at=NOW, facts=facts or {}, **more
    )


def foresight_of(process: str, input: dict[str, Any], tasks: list[TaskView], policy: Policy = POLICY) -> CasePreview:
    kind, case = PROCESSES[process], row(process, input)
    stops, parsed = outline_of(kind.workflow), typed(kind, case.input)
    return CasePreview(kind, parsed, stops, dict(_previews(policy, kind, case, parsed, stops, tasks)))


def coming(process: str, input: dict[str, Any], tasks: list[TaskView], gate: str) -> str:
    known = foresight_of(process, input, tasks)
    return known.coming(next(stop for stop in known.stops if stop.name == gate))


def approving(process: str, input: dict[str, Any], open_: TaskView, *others: TaskView) -> list[tuple[str, str]]:
    known = foresight_of(process, input, [open_, *others])
    return [
        (each.kind, each.text + ("" if each.certain else " (perhaps)")) for each in known.if_approved(open_, others)
    ]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("662.37", "not needed: amount 662.37 is under 50,000.00 GBP"),
        ("49999.99", "not needed: amount 49,999.99 is under 50,000.00 GBP"),
        ("50000.00", "upcoming: 1 approval from directors"),
    ],
)
def test_a_later_gate_that_will_not_ask_is_not_said_to_come(amount: str, said: str) -> None:
    open_ = task("payment", "manager-approval", facts={"score": 10})
    assert coming("payment", PAYMENT | {"amount": amount}, [open_], "director-approval") == said


def test_a_gate_whose_facts_are_not_found_yet_depends_on_them_and_is_told_once_they_are() -> None:
    assert coming("payment", PAYMENT, [], "fraud-review") == "may be needed: depends on the results of the checks"
    found = task("payment", "manager-approval", facts={"score": 10})
    assert coming("payment", PAYMENT, [found], "fraud-review") == "not needed: score 10 is under 50"


def test_facts_of_the_round_before_are_not_those_of_this_one() -> None:
    before = task("payment", "manager-approval", facts={"score": 10}, status="closed")
    now = task("payment", "director-approval", facts={}, round=2)
    assert (
        coming("payment", PAYMENT, [before, now], "fraud-review")
        == "may be needed: depends on the results of the checks"
    )


def test_a_currency_without_limits_is_asked_about() -> None:
    said = coming("payment", PAYMENT | {"currency": "NOK"}, [], "director-approval")
    assert said == "upcoming: 1 approval from directors"


def test_a_small_payment_is_paid_at_once_when_the_manager_approves() -> None:
    open_ = task("payment", "manager-approval", facts={"score": 10})
    assert approving("payment", PAYMENT, open_) == [
        ("not_needed", "Director approval is not needed: amount 662.37 is under 50,000.00 GBP"),
        ("step", "Pay 662.37 GBP to Acme Ltd"),
        ("end", "Paid 662.37 GBP to Acme Ltd"),
    ]


def test_a_large_payment_goes_to_a_director_and_is_not_said_to_be_paid() -> None:
    open_ = task("payment", "manager-approval", facts={"score": 10}, needed=2)
    assert approving("payment", PAYMENT | {"amount": "60000.00"}, open_) == [
        ("wait", "1 more approval is needed first"),
        ("gate", "Approval step: Director approval, 1 approval from directors"),
    ]
    last = task("payment", "manager-approval", facts={"score": 10}, needed=2, given=1)
    assert [kind for kind, _ in approving("payment", PAYMENT | {"amount": "60000.00"}, last)] == ["gate"]


def test_an_approval_of_the_general_request_ends_it() -> None:
    said = approving("approval", {"title": "Rent the hall?"}, task("approval", "approval"))
    assert said == [("end", "Approved: Rent the hall?")]


def test_an_import_is_published_when_the_steward_approves() -> None:
    open_ = task("data_import", "publication", facts={"rows": 3})
    said = approving("data_import", {"dataset": "customers", "file": "c.csv"}, open_)
    assert said == [("step", "Publish the new version of customers"), ("end", "Published c.csv as customers")]


def test_a_deployment_goes_from_security_to_the_release_manager_and_then_live() -> None:
    input = {"app": "shop", "artefact": "shop-2.tar.gz"}
    assert approving("deployment", input, task("deployment", "security-approval", facts={"x": 1})) == [
        ("step", "Run the checks of shop, with code of the release"),
        ("gate", "Approval step: Release approval, 1 approval from release-managers"),
    ]
    assert [text for _, text in approving("deployment", input, task("deployment", "release-approval"))] == [
        "Lock shop for this deployment",
        "Switch shop to the new release",
        "Wait until shop is healthy",
        "Unlock shop for other deployments",
        "Deployed shop-2.tar.gz as shop",
    ]


@pytest.mark.parametrize(("wanted", "said"), [(False, "not needed: security review is not requested"), (True, "")])
def test_a_stop_that_depends_only_on_the_input_is_known(wanted: bool, said: str) -> None:
    input = {"app": "shop", "artefact": "shop-2.tar.gz", "security_review": wanted}
    assert coming("deployment", input, [], "security review") == said


def test_a_review_keeps_the_accepted_risk_perhaps() -> None:
    open_ = task("security_review", "risk-acceptance", facts={"high": 0, "medium": 1, "low": 0})
    assert approving("security_review", {"target": "shop.tar.gz"}, open_) == [
        ("step", "Record the accepted risk of shop.tar.gz (perhaps)"),
        ("end", "Reviewed shop.tar.gz"),
    ]


def test_who_is_taken_on_waits_for_those_who_are_asked_at_the_same_time() -> None:
    input = {"full_name": "Ada Lovelace", "role": "engineer"}
    open_ = task("user_onboarding", "manager-approval", facts={"x": 1})
    owners: dict[str, Any] = {"candidate_groups": ["security"], "task_id": "t2"}
    other = task("user_onboarding", "entitlement-approval", facts={"entitlement": "production"}, **owners)
    assert approving("user_onboarding", input, open_, other) == [
        ("wait", "Entitlement approval is open at the same time and must be approved, too: security"),
        ("step", "Activate ada.lovelace and grant the access of engineer"),
        ("step", "Send a welcome mail to Ada Lovelace"),
        ("end", "Onboarded Ada Lovelace as engineer"),
    ]
    assert approving("user_onboarding", input, other)[0] == (
        "step",
        "Activate ada.lovelace and grant the access of engineer",
    )


def test_every_gate_of_every_process_says_what_its_approval_does() -> None:
    for name, process in PROCESSES.items():
        input = {field: text for field, text in process.example.items() if field not in ("reference", "manager")}
        for gate in process.words.gates:
            said = approving(name, input, task(name, gate, facts={"x": 1}))
            assert said and said[-1][0] in ("end", "gate"), (name, gate)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ["not_needed", "step", "end"]),
        ({"status": "closed"}, []),
        ({"kind": "changes"}, []),
        ({"kind": "intervention"}, []),
        ({"gate": "rollback"}, ["undo"]),
    ],
)
async def test_only_open_gates_say_it_and_a_rollback_says_what_it_undoes(
    db: Database, changes: dict[str, Any], told: list[str]
) -> None:
    async with db.write() as conn:
        await policies.keep(conn, POLICY.hash, POLICY.text)
    open_ = task("payment", "manager-approval", facts={"score": 1}).model_copy(update=changes)
    plan = [UndoView(step="capture_payment", undo="refund_payment", summary="Take back")]
    said = await if_approved(open_, row("payment", PAYMENT), [open_], plan, PinnedPolicies(db, INPUTS))
    assert [each.kind for each in said] == told

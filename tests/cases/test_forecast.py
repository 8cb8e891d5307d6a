"""The forecast of a file: the approvals that its rows will need."""

import time
import tracemalloc
from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from cases.forecast import Forecast, ForecastReport, GateForecast
from cases.workflow_starter import BATCH_PRIORITY
from policy.model import Policy
from policy.parse import parse
from policy.rules import rule
from tests.intake.conftest import POLICY, Office, payment
from tests.policy.examples import AT
from workflows.registry import GATES, INPUTS, PROCESSES

SHIPPED = parse(POLICY.read_text(), inputs=INPUTS)


def of(amount: str, currency: str = "GBP", **more: object) -> BaseModel:
    return INPUTS["payment"].model_validate(payment(amount=amount).input | {"currency": currency} | more)


def forecast(payments: Iterable[BaseModel], policy: Policy = SHIPPED) -> ForecastReport:
    found = Forecast(policy, PROCESSES, "rita")
    for number, each in enumerate(payments):
        found.valid("payment", f"INV-{number}", None, each)
    return found.report()


def ruled(*lines: str) -> Policy:
    """A policy in which the managers' gate has further lines; the two others never open."""
    text = "[payment.limits.GBP]\nmanager = 500\n"
    for gate in ("fraud-review", "director-approval"):
        text += f'[payment.gates.{gate}]\ngroups = ["nobody"]\nwhen = "false"\n'
    return parse(text + '[payment.gates.manager-approval]\ngroups = ["managers"]\n' + "\n".join(lines), inputs=INPUTS)


def managers(amounts: Iterable[str], *lines: str) -> tuple[GateForecast, str]:
    """The managers' gate of such a policy, and its sentence."""
    report = forecast(map(of, amounts), ruled(*lines))
    return report.gates[1], report.summary[2]


def test_the_shipped_policy_is_told_in_sentences() -> None:
    report = forecast([*map(of, ["3.50", "499.99", "500", "10000.00", "50000"]), of("7", "EUR"), of("1000", "JPY")])
    assert report.summary == [
        "5 payments would start in GBP: 61,003.49 in all, from 3.50 to 50,000.00.",
        "1 payment would start in EUR: 7.00 in all, 7.00 each.",
        "1 payment would start in JPY: 1,000 in all, 1,000 each.",
        "Fraud review: 0 to 7 tasks for fraud-analysts, known after the screening.",
        # There are no limits for yen: the strictest path.
        "Manager approval: 4 tasks for managers, 3 of them need 2 approvals; "
        "3 payments need none (amount under 500.00 GBP, amount under 500.00 EUR).",
        "Director approval: 2 tasks for directors; "
        "5 payments need none (amount under 50,000.00 GBP, amount under 50,000.00 EUR).",
    ]
    fraud, manager, _ = report.gates
    assert (fraud.depends_on, fraud.between, fraud.tasks) == (["facts.score"], (0, 7), {})
    assert (manager.by_rule, manager.tasks, manager.approvals) == (3, {"managers": 4}, 7)
    assert (manager.tasks_by_approvals, manager.depends_on, manager.between) == ({1: 1, 2: 3}, [], (4, 4))
    assert [str(total.sum) for total in report.totals] == ["61003.49", "7.00", "1000"]


@pytest.mark.parametrize(
    ("lines", "amounts", "says"),
    [
        ((), ["1"], "1 task for managers."),
        (
            ('when = "amount > 5"',),
            ["5", "6"],
            "1 task for managers; 1 payment needs none (amount at most 5.00 GBP).",
        ),
        (('when = "amount < 5"',), ["5", "6"], "2 payments need none (amount at least 5.00 GBP)."),
        (('auto_approve = "amount <= 5"',), ["5"], "1 payment needs none (amount at most 5.00 GBP)."),
        (
            ('auto_reject = "amount >= 5"',),
            ["5", "6"],
            "2 payments are rejected by rule (amount at least 5.00 GBP).",
        ),
        (("when = \"memo == 'x'\"",), ["5"], "1 payment needs none (not: memo == 'x')."),
        (('auto_approve = "size(payee) > 1"',), ["5"], "1 payment needs none (size(payee) > 1)."),
        (("quorum = 2",), ["1", "2"], "2 tasks for managers, each of which needs 2 approvals."),
        (('quorum = "everyone"',), ["1"], "1 task for managers, and all of them must approve."),
        (('users = ["manager_of(requester)"]',), ["1"], "1 task for managers or the requester's manager."),
        (
            ('candidates = "amount > 5 ? [payee] : []"',),
            ["1", "9", "2"],
            "3 tasks: 2 for managers, 1 for managers or Acme Paper Ltd.",
        ),
        (
            ('quorum = "facts.n"',),
            ["1"],
            "1 task for managers; how many approvals 1 of them need is known after its checks have run.",
        ),
        (
            ('when = "amount > 5 || facts.n > 1"',),
            ["1", "9"],
            "1 to 2 tasks for managers, known after its checks have run.",
        ),
        # Conditions see the row as its case would be: in a batch, with a priority, and with the uploader as requester.
        (('when = "case.batch_id == null"',), ["1"], "1 payment needs none (not: case.batch_id == null)."),
        (("when = \"case.requester == 'rita'\"",), ["1"], "1 task for managers."),
        ((f'when = "case.priority == {BATCH_PRIORITY}"',), ["1"], "1 task for managers."),
        (
            ("when = \"case.reference == 'INV-1'\"",),
            ["1", "2"],
            "1 task for managers; 1 payment needs none (not: case.reference == 'INV-1').",
        ),
    ],
)
def test_each_kind_of_gate_has_its_sentence(lines: tuple[str, ...], amounts: list[str], says: str) -> None:
    assert managers(amounts, *lines)[1] == f"Manager approval: {says}"


def test_what_a_rule_rejects_comes_to_no_further_gate() -> None:
    report = forecast(map(of, ["1", "9"]), ruled('auto_reject = "amount > 5"'))
    assert [gate.cases for gate in report.gates] == [2, 2, 1]
    assert (report.gates[1].rejected_by_rule, report.gates[1].rejected_because) == (1, ["amount over 5.00 GBP"])


def test_if_a_rule_certainly_decides_there_is_no_task_although_it_is_not_known_which_rule() -> None:
    gate, _ = managers(["1"], 'auto_reject = "facts.score > 90"', 'auto_approve = "amount < 5"')
    assert (gate.between, gate.by_rule, gate.depends_on) == ((0, 0), 0, ["facts.score"])


def test_a_gate_that_stands_once_for_each_thing_found_is_not_counted() -> None:
    found = Forecast(SHIPPED, PROCESSES, "rita")
    row = dict(PROCESSES["user_onboarding"].example) | {"manager": "manager-1"}
    found.valid("user_onboarding", row.pop("reference"), 2, INPUTS["user_onboarding"].model_validate(row))
    report = found.report()
    assert report.summary == [
        "1 user onboarding would start.",
        "Manager approval: 1 task for manager-1.",
        "Entitlement approval: how many tasks there are is known after the account is reserved.",
    ]
    assert report.gates[1].between == (0, None)


def test_gates_of_the_engine_are_no_part_of_a_forecast() -> None:
    with_incidents = ruled('[payment.gates.intervention]\ngroups = ["operators"]\n')
    assert [gate.gate for gate in forecast([of("1")], with_incidents).gates] == GATES["payment"]


amounts = st.decimals("0.01", "60000", places=2).map(str) | st.sampled_from(["499.99", "500", "10000", "50000"])


@settings(max_examples=30)
@given(st.lists(st.tuples(amounts, st.sampled_from(["GBP", "EUR", "CHF"])), max_size=20))
def test_what_is_foreseen_is_what_is_ruled_on_each_case_by_itself(asked: list[tuple[str, str]]) -> None:
    rows = [of(amount, currency) for amount, currency in asked]
    report = forecast(rows)
    for gate in report.gates[1:]:
        case = {"requester": "rita", "priority": BATCH_PRIORITY, "batch_id": "b1", "reference": "INV-1"}
        rulings = [rule(SHIPPED, "payment", gate.gate, input=row, facts={}, case=case, at=AT) for row in rows]
        needed = [ruling for ruling in rulings if ruling.needed]
        assert gate.between == (len(needed), len(needed))
        assert gate.by_rule == len(rows) - len(needed)
        assert gate.approvals == sum(ruling.quorum for ruling in needed)
    for total in report.totals:
        of_it = [Decimal(amount) for amount, currency in asked if currency == total.currency]
        assert (total.count, total.sum) == (len(of_it), sum(of_it))
        assert (total.smallest, total.largest) == (min(of_it), max(of_it))
    assert sum(total.count for total in report.totals) == len(rows)


def test_ten_thousand_rows_take_less_than_a_second_and_no_more_memory_than_a_few() -> None:
    rows = [of(f"{number * 7}.50") for number in range(1, 10_001)]
    began = time.process_time()
    forecast(rows)
    assert time.process_time() - began < 1
    tracemalloc.start()
    forecast(rows[:1000])
    _, few = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    forecast(rows)
    _, many = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert many < few + 500_000


async def test_a_dry_run_has_a_forecast_and_a_real_start_has_none(office: Office) -> None:
    await office.starter.start_case(payment("INV-1", amount="700.00"), "rita")
    data = b"reference,payee,amount,currency,account\n"
    data += b"INV-1,Acme,800,GBP,operating\nINV-2,Acme,900,GBP,operating\nINV-3,,1,GBP,operating\n"
    dry = await office.uploads.dry_run("payment", "x.csv", data, "rita")
    assert dry.forecast is not None
    assert [(total.count, str(total.sum)) for total in dry.forecast.totals] == [(1, "900.00")]
    assert [(total.count, str(total.sum)) for total in dry.forecast.duplicate_totals] == [(1, "800.00")]
    taken = await office.uploads.start("payment", "x.csv", data, "rita")
    assert taken.forecast is None and (await office.report(taken.batch_id)).forecast is None

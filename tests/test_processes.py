"""Every shipped process is complete: wording, a sample that imports, a policy, and a test of each undo."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
from temporalio import workflow
from temporalio.client import Client

from activities.payment.request import PaymentRequest
from cases.pinned_policies import PinnedPolicies
from cases.submit import Starter
from core.settings import ROOT, load
from domain.case import CaseInput, CaseResult
from plugins import loader
from plugins.activities import activities_of
from plugins.check import files_of_tests, lacks, sample_of
from plugins.shipped import steps
from plugins.source import uses_of
from policy.model import Policy
from store.db.database import Database
from workflows.payment import PaymentProcess
from workflows.registry import PROCESSES, Process

POLICY = loader.policy_file(ROOT / "config" / "policy.toml").current
PAYMENT = PROCESSES["payment"]


@pytest.fixture(params=list(PROCESSES))
def process(request: pytest.FixtureRequest) -> Process:
    return PROCESSES[str(request.param)]


def test_a_shipped_process_lacks_nothing(process: Process) -> None:
    assert list(lacks(process, POLICY, sample_of(process), files_of_tests(process))) == []


def test_the_wording_fits_the_example_and_names_only_gates_of_the_process(
    process: Process,
) -> None:
    row = {name: value for name, value in process.example.items() if name != "reference"}
    case = process.input.model_validate(row)
    said = [process.title(case), *(process.words.step(name, case) for name in process.words.steps)]
    assert all(said) and "{" not in "".join(said)
    assert process.key_fields(case) and all(process.words.nouns)
    assert set(process.words.gates) <= uses_of(process.workflow).gates


async def test_a_worker_has_the_activities_that_the_wording_names_and_no_other(tmp_path: Path) -> None:
    settings = load(var=tmp_path, database_url=f"sqlite:///{tmp_path}/holdgate.db")
    database = Database(settings.database_url)
    # Nothing is connected to: the objects are only made.
    receivers = steps(database, cast(Client, None), cast(Starter, None), PinnedPolicies(database, {}), settings)
    names = [method.__name__ for method in activities_of(*receivers)]
    await database.close()
    said = [name for process in PROCESSES.values() for name in (*process.words.steps, *process.words.undos)]
    assert sorted(names) == sorted([*said, "ask_for_case", "withdraw_case", "end_of_case"])


# ------------------------------------------------------------------------------------------------ what would be refused


@dataclass(frozen=True)
class Found:
    """What is looked at of a process; tests take something away."""

    process: Process = PAYMENT
    policy: Policy = POLICY
    sample: Path = ROOT / "docs" / "samples" / "payments.csv"
    tests: Iterable[Path] = tuple(files_of_tests(PAYMENT))

    @property
    def lacks(self) -> str:
        return "\n".join(lacks(self.process, self.policy, self.sample, self.tests))


@workflow.defn(name="payment")
class Silent(PaymentProcess):
    """A payment that has nothing to say of some things."""

    words = replace(
        PaymentProcess.words,
        labels={name: label for name, label in PaymentProcess.words.labels.items() if name != "memo"},
        undos={"release_funds": "Release the held {amount} {currency}", "refund_payment": ""},
    )

    @workflow.run
    async def run(self, case: CaseInput[PaymentRequest]) -> CaseResult:
        return await super().run(case)


def test_with_all_of_it_nothing_is_lacking() -> None:
    assert Found().lacks == ""


def test_a_process_without_words_for_everything_is_refused() -> None:
    said = Found(replace(PAYMENT, workflow=Silent)).lacks
    assert "Words.labels has no label for the field 'memo'" in said
    assert "Words.undos['refund_payment'] is empty" in said


def test_a_process_without_a_sample_or_with_one_that_does_not_import_is_refused(tmp_path: Path) -> None:
    assert "none.csv: cannot be read" in Found(sample=tmp_path / "none.csv").lacks
    assert "payments-messy.csv:" in Found(sample=ROOT / "docs" / "samples" / "payments-messy.csv").lacks


def test_a_process_without_a_policy_for_each_gate_is_refused() -> None:
    assert "no section [payment]" in Found(policy=replace(POLICY, processes={})).lacks
    section = POLICY.processes["payment"]
    gates = {name: gate for name, gate in section.gates.items() if name != "fraud-review"}
    less = section.model_copy(update={"gates": gates})
    assert "no section [payment.gates.fraud-review]" in Found(policy=replace(POLICY, processes={"payment": less})).lacks


def test_a_process_whose_undos_have_no_test_is_refused(tmp_path: Path) -> None:
    assert 'is marked @pytest.mark.undoes("refund_payment")' in Found(tests=[]).lacks
    half = tmp_path / "test_half.py"
    half.write_text(
        "import pytest\n"
        '@pytest.mark.undoes("release_funds")\n'
        "async def test_it() -> None: ...\n"
        '@pytest.mark.undoes("refund_payment")\n'
        "def no_test() -> None: ...\n"
        '# @pytest.mark.undoes("refund_payment")\n'
    )
    said = Found(tests=[half]).lacks
    assert "refund_payment" in said and "release_funds" not in said

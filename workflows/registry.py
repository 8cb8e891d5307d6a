"""The table of shipped processes. Plugins of `HOLDGATE_PROCESSES` are added to the table at startup.

To add a shipped process, add two imports to this module (its Workflow and its input model), one entry to `PROCESSES`,
and the object with the activities of its steps to `plugins/shipped.py`.

`workflows/batch.py` and `workflows/rollback.py` are Workflows of Holdgate itself and no processes: nobody can submit a
request of these types. So these two Workflows are not in `PROCESSES`, and only `workflows()` returns them, for the
worker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from activities.approval.request import ApprovalRequest
from activities.data_import.request import DataImportRequest
from activities.deployment.request import DeploymentRequest
from activities.erasure.request import ErasureRequest
from activities.payment.request import PaymentRequest
from activities.security_review.request import SecurityReviewRequest
from activities.user_onboarding.request import OnboardingRequest
from domain.case import CaseResult
from domain.masking import hidden_values, masked, without
from domain.step import StepNames
from domain.wording import Words
from workflows.approval import ApprovalProcess
from workflows.batch import BatchWorkflow
from workflows.data_import import DataImportProcess
from workflows.deployment import DeploymentProcess
from workflows.engine.case import CaseWorkflow
from workflows.erasure import ErasureProcess
from workflows.payment import PaymentProcess
from workflows.rollback import RollbackWorkflow
from workflows.security_review import SecurityReviewProcess
from workflows.user_onboarding import UserOnboardingProcess


@dataclass(frozen=True)
class Process:
    """One process, with everything that other packages need to know about it."""

    name: str
    workflow: type[CaseWorkflow]
    input: type[BaseModel]
    example: Mapping[str, str]
    """One valid row of a CSV, by heading."""
    seed: Mapping[str, str] = field(default_factory=dict)
    """For files of several processes: the field of this process that each column fills (`name`, `description`,
    `amount`, `currency`).

    `a.b` is the part `b` of the field `a`, which takes JSON.
    """
    seed_defaults: Mapping[str, str] = field(default_factory=dict)
    """For files of several processes: default values of fields that no column fills."""
    equip: Callable[[Path], Sequence[object]] | None = None
    """For a plugin: the function that makes the objects with the activities of its steps.

    The argument of the function is a folder for files. `plugins/shipped.py` does this for shipped processes.
    """
    folder: Path | None = None
    """For a plugin: the folder from which the plugin was loaded; None for a shipped process."""

    @property
    def words(self) -> Words:
        return self.workflow.words

    @property
    def steps(self) -> StepNames:
        """Return the names of the steps and undos of the process. A policy may use only these names in its `steps`."""
        return StepNames(steps=list(self.words.steps), undos=list(self.words.undos))

    @property
    def summary(self) -> str:
        return self.words.summary

    def title(self, case: BaseModel) -> str:
        """Return the title of a case from its typed input."""
        return self.words.title_of(case)

    def key_fields(self, case: BaseModel) -> dict[str, str]:
        """Return the key fields of a case: their labels with their values."""
        return self.words.key_fields_of(case)

    def money(self, stored: Mapping[str, Any]) -> dict[str, str]:
        """Return `amount` and `currency` of a stored input; empty without an amount."""
        return self.words.money_of(stored)

    def shown_input(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return a stored input in the form that people may see: of masked fields, only the last four characters."""
        return self.words.shown_input(stored)


def shown_input(process: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored input of a case of this process as people may see it.

    If the process does not exist any more, nobody knows what it masked, so every value is masked.
    """
    known = PROCESSES.get(process)
    return known.shown_input(stored) if known else dict(masked(stored))


def shown_result(process: str, stored: Mapping[str, Any], result: CaseResult | None) -> CaseResult | None:
    """Return the result of a case as people may see it. `stored` is the input of the case.

    The result can have the values of masked fields: in fields of the same names, and in its texts.
    """
    if result is None or result.output is None:
        return result
    hidden = list(hidden_values(stored, shown_input(process, stored)))
    known = PROCESSES.get(process)
    output = known.shown_input(result.output) if known else masked(result.output)
    return result.model_copy(update={"output": without(output, hidden)})


class UnknownProcess(Exception):
    """Raised if there is no process of this name."""


def process_named(name: str, processes: Mapping[str, Process]) -> Process:
    """Return the process of this name. Raises UnknownProcess."""
    try:
        return processes[name]
    except KeyError:
        raise UnknownProcess(f"there is no process '{name[:100]}'; there are: {', '.join(processes)}") from None


PROCESSES: dict[str, Process] = {
    process.name: process
    for process in (
        Process(
            name="approval",
            workflow=ApprovalProcess,
            input=ApprovalRequest,
            example={
                "reference": "ASK-2001",
                "title": "Rent the town hall in June?",
                "body": "We need it for **two days**.",
                "payload": '{"price": 1200}',
                "candidates": "",
                "deadline": "2031-06-01",
            },
            seed={
                "name": "title",
                "description": "body",
                "amount": "payload.amount",
                "currency": "payload.currency",
            },
        ),
        Process(
            name="data_import",
            workflow=DataImportProcess,
            input=DataImportRequest,
            example={"reference": "DATA-2001", "dataset": "customers", "note": "The export of October"},
            seed={"name": "dataset", "description": "note"},
        ),
        Process(
            name="deployment",
            workflow=DeploymentProcess,
            input=DeploymentRequest,
            example={
                "reference": "DEP-2001",
                "app": "shop",
                "artefact": "shop-2.tar.gz",
                "version": "2.0",
                "security_review": "false",
                "note": "The spring offers",
            },
            seed={"name": "app", "description": "note"},
        ),
        Process(
            name="erasure",
            workflow=ErasureProcess,
            input=ErasureRequest,
            example={
                "reference": "ER-2001",
                "kind": "case",
                "id": "payment:inv-1042",
                "reason": "Request 2026-114 of the data subject",
                "cases": "",
            },
        ),
        Process(
            name="payment",
            workflow=PaymentProcess,
            input=PaymentRequest,
            example={
                "reference": "INV-2001",
                "payee": "Northwind Paper Ltd",
                "amount": "1250.00",
                "currency": "GBP",
                "account": "operating",
                "due_date": "2027-01-31",
                "memo": "Paper for the spring catalogue",
                "payee_account": "GB82WEST12345698765432",
            },
            seed={"name": "payee", "description": "memo"},
            seed_defaults={"account": "operating"},
        ),
        Process(
            name="security_review",
            workflow=SecurityReviewProcess,
            input=SecurityReviewRequest,
            example={"reference": "SEC-2001", "target": "shop.tar.gz", "accept_for_days": "90"},
            seed={"name": "target", "description": "note"},
        ),
        Process(
            name="user_onboarding",
            workflow=UserOnboardingProcess,
            input=OnboardingRequest,
            example={
                "reference": "IT-2001",
                "full_name": "Ada Lovelace",
                "role": "engineer",
                "manager": "",
                "start_date": "2031-03-17",
                "note": "Joins the engine team",
            },
            seed={"name": "full_name", "description": "note"},
        ),
    )
}

INPUTS: dict[str, type[BaseModel]] = {name: process.input for name, process in PROCESSES.items()}
"""The input model of each process."""

STEPS: dict[str, StepNames] = {name: process.steps for name, process in PROCESSES.items()}
"""The steps and undos of each process, so that a policy that names an unknown step is refused when it is loaded."""

GATES: dict[str, list[str]] = {name: list(process.words.gates) for name, process in PROCESSES.items()}
"""The gates of each process, so that a policy with a mistyped or missing gate is refused when it is loaded."""

MASKED: dict[str, frozenset[str]] = {name: process.words.masked for name, process in PROCESSES.items()}
"""The masked fields of each process, so that a policy that lets people reveal another field is refused."""


def register(process: Process) -> None:
    """Add a process to the tables of this module. Call this before any other package uses the tables."""
    PROCESSES[process.name] = process
    INPUTS[process.name] = process.input
    STEPS[process.name] = process.steps
    GATES[process.name] = list(process.words.gates)
    MASKED[process.name] = process.words.masked


def workflows() -> dict[str, type]:
    """Return every Workflow class by its name."""
    processes: dict[str, type] = {process.name: process.workflow for process in PROCESSES.values()}
    return {**processes, "rollback": RollbackWorkflow, "batch": BatchWorkflow}

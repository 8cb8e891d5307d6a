"""The activities that write to SQL and ask the policy: their sentences for operators."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict

from activities.engine.records import NoRuling, Records
from domain.records import CaseRecord, GateRequest
from domain.status import Status
from domain.task import Quorum, TaskView
from policy.model import PolicyError, PolicyProblem

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def _echo(text: str) -> str:
    raise ValueError(f"'{text}' is no account:\nask the bank")


class Later(BaseModel):
    """The input of a process after its code changed."""

    model_config = ConfigDict(extra="forbid")

    amount: int
    kind: Literal["card", "cash"]
    account: Annotated[str, AfterValidator(_echo)]
    needed: str


class Policies:
    def __init__(self, wrong: Exception | None = None) -> None:
        self._wrong = wrong

    async def get(self, policy_hash: str) -> Any:
        if self._wrong:
            raise self._wrong
        return policy_hash


def a_request(**input: Any) -> GateRequest:
    task = TaskView(
        task_id="t1",
        case_id="payment:1",
        process="payment",
        gate="manager-approval",
        title="Pay",
        summary="Pay?",
        requester="rita",
        quorum=Quorum(needed=1),
        opened_at=NOW,
    )
    record = CaseRecord(case_id="payment:1", status=Status.RUNNING)
    return GateRequest(record=record, task=task, case={}, policy_hash="h", input=input, event_id="e")


async def sentence(wrong: Exception | None, **input: Any) -> NoRuling:
    unused: Any = None
    records = Records(unused, Policies(wrong), unused, {"payment": Later})
    with pytest.raises(NoRuling) as raised:
        await records.rule_again(a_request(**input))
    assert len(str(raised.value).splitlines()) == 1
    return raised.value


async def test_an_input_that_fits_no_more_is_one_line_that_names_fields_and_no_values() -> None:
    found = await sentence(None, amount="SECRET-1", kind="SECRET-2", account="GB82 SECRET-3", more="SECRET-4")
    assert "SECRET" not in str(found) and found.__cause__ is None
    for said in (
        "for manager approval: amount: expects a whole number such as 3; kind: expects one of 'card' or 'cash'; ",
        "account: has a value that is not accepted; needed: has no value; more: is not a field any more. Correct",
    ):
        assert said in str(found)


async def test_a_policy_with_several_mistakes_is_one_line() -> None:
    mistakes = [PolicyProblem("policy", line, "key", "no") for line in (1, 2)]
    await sentence(PolicyError(mistakes), amount=1)

"""The general request: a question to people whom the requester names."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.approval.request import MAX_PAYLOAD_BYTES, ApprovalRequest
from domain.input_errors import problems_of
from domain.status import Status, Verdict
from intake.parse_rows import read
from tests.support.engine_fixture import Handle, House
from tests.support.installed_app import ROOT
from tests.workflows.test_payment import SHIPPED


async def ask(house: House, **input: Any) -> Handle:
    request = ApprovalRequest.model_validate({"title": "Rent the hall?", **input})
    return await house.start(request, process="approval", policy=SHIPPED)


async def test_an_approval_gives_back_the_payload_as_it_was_approved_and_who_said_what(house: House) -> None:
    case = await ask(house, payload={"price": 1200}, candidates=["managers"])
    await house.decide(case, "mia", edits={"payload": {"price": 1100}}, comment="if they come down to 1100")
    result = await house.end(case)
    assert result.status is Status.COMPLETED and result.output == {"payload": {"price": 1100}}
    assert result.decision is not None
    said = (result.decision.verdict, result.decision.by, result.decision.comment)
    assert said == (Verdict.APPROVE, "mia", "if they come down to 1100")
    assert await house.audit_problems() == []


async def test_a_rejection_is_a_result_too(house: House) -> None:
    case = await ask(house)
    await house.decide(case, "mia", Verdict.REJECT, comment="too dear")
    result = await house.end(case)
    assert (result.status, result.reason) == (Status.REJECTED, "Rejected by mia at approval: too dear")
    assert result.decision is not None and (result.decision.verdict, result.decision.by) == (Verdict.REJECT, "mia")
    assert result.undone == [] and result.output is None


async def test_the_requester_names_groups_and_people_and_else_the_policy_does(house: House) -> None:
    named = await house.open_task(await ask(house, candidates=["directors", "fred", "managers"]))
    assert (named.candidate_groups, named.candidate_users) == (["directors", "managers"], ["fred"])
    unnamed = await house.open_task(await ask(house))
    assert (unnamed.candidate_groups, unnamed.candidate_users) == (["managers"], [])


async def test_only_named_people_can_decide_and_never_the_requester(house: House) -> None:
    case = await ask(house, candidates=["fred", "rita"])
    task = await house.open_task(case)
    for person, groups in (("mia", ("managers",)), ("rita", ())):
        with pytest.raises(Exception) as refused:
            await house.send(case, house.decision(task, person, groups=groups))
        assert refused.value.__cause__.type == "NotAllowed"  # type: ignore[union-attr]
    await house.send(case, house.decision(task, "fred"))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_names_of_nobody_are_a_matter_for_operators(house: House) -> None:
    case = await ask(house, candidates=["nobody-here"])
    state = await house.until(case, lambda s: s.status is Status.NEEDS_INTERVENTION)
    assert "1 must approve, and 0 of nobody-here can" in state.tasks[-1].summary
    await house.decide(case, "olga", Verdict.ROLL_BACK, groups=("operators",))
    assert (await house.end(case)).status is Status.FAILED


async def test_nobody_need_answer_after_the_deadline(house: House) -> None:
    deadline = datetime.now(UTC) + timedelta(days=3)
    case = await ask(house, deadline=deadline.isoformat())
    assert (await house.open_task(case)).expires_at == deadline
    await house.forward(case, timedelta(days=3, minutes=1))
    result = await house.end(case)
    assert (result.status, result.decision) == (Status.EXPIRED, None)


async def test_changes_that_are_asked_for_come_as_another_round(house: House) -> None:
    case = await ask(house, payload={"price": 1200})
    await house.decide(case, "mia", Verdict.REQUEST_CHANGES, comment="which hall?")
    task = await house.open_task(case, "changes")
    answer = house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"body": "The **town** hall."})
    await house.send(case, answer)
    task = await house.open_task(case, "approval")
    assert task.round == 2 and task.input["body"] == "The **town** hall."
    await house.send(case, house.decision(task, "max"))
    assert (await house.end(case)).status is Status.COMPLETED


# --------------------------------------------------------------------------------------------------------------- inputs

DEEP: Any = 1
for _ in range(30):
    DEEP = [DEEP]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "title: enter a value"),
    ({"title": ""}, "title: '' is shorter than 1 characters"),
    ({"title": "   "}, "is shorter than 1 characters"),
    ({"title": "x" * 201}, "is longer than 200 characters"),
    ({"title": "two\nlines"}, "must not contain line breaks, control characters"),
    ({"title": "paid \u202edna"}, "must not contain line breaks, control characters"),
    ({"title": 7}, "is not text"),
    ({"title": "x", "body": "x" * 20_001}, "is longer than 20000 characters"),
    ({"title": "x", "body": "a\x07bell"}, "must not contain control characters or direction marks"),
    ({"title": "abc\u202e"}, "must not contain line breaks, control characters or direction marks"),
    ({"title": "\u200b\u2060"}, "has only characters that cannot be seen"),
    ({"title": "x", "payload": '{"price": 12'}, "is not valid JSON"),
    ({"title": "x", "payload": '{"price": NaN}'}, "NaN is not JSON"),
    ({"title": "x", "payload": {"price": float("inf")}}, "is not JSON"),
    ({"title": "x", "payload": "y" * (MAX_PAYLOAD_BYTES + 1)}, "bytes as JSON: at most 32,768 are allowed"),
    ({"title": "x", "payload": DEEP}, "is nested more than 20 levels deep"),
    ({"title": "x", "payload": "[" * 100_000}, "payload:"),
    ({"title": "x", "candidates": [f"p{n}" for n in range(51)]}, "candidates"),
    ({"title": "x", "candidates": [""]}, "candidates.0"),
    ({"title": "x", "candidates": ["a\x00b"]}, "has a character that cannot be seen"),
    ({"title": "x", "candidates": 7}, "candidates"),
    ({"title": "x", "deadline": "next week"}, "deadline"),
    ({"title": "x", "deadline": "2031-06-01T10:00:00"}, "needs its offset from UTC"),
    ({"title": "x", "deadline": "2031-02-30"}, "deadline"),
    ({"title": "x", "colour": "red"}, "colour: is not a field of this process"),
]


def test_titles_and_texts_may_have_the_joiners_of_emoji_and_of_persian() -> None:
    text = "\U0001f469\u200d\U0001f4bb \u2764\ufe0f \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert ApprovalRequest(title=text, body=text).title == text


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[str(n) for n in range(len(WRONG))])
def test_a_question_that_cannot_be_asked_is_refused_by_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        ApprovalRequest.model_validate(given)
    told = "; ".join(map(str, problems_of(wrong.value, given)))
    assert said in told and len(told) < 1000


@pytest.mark.parametrize(
    ("cell", "payload"),
    [('{"price": 1200}', {"price": 1200}), ("[1, 2]", [1, 2]), ("12", "12"), ("as agreed", "as agreed"), (None, None)],
)
def test_a_cell_that_is_json_is_read_as_json_and_other_text_stays_text(cell: str | None, payload: Any) -> None:
    assert ApprovalRequest(title="x", payload=cell).payload == payload


def test_a_day_counts_to_its_end_and_names_come_as_a_list_or_with_commas() -> None:
    request = ApprovalRequest.model_validate({"title": "x", "deadline": "2031-06-01", "candidates": "a, b; c,, a"})
    assert request.deadline == datetime(2031, 6, 1, 23, 59, 59, tzinfo=UTC)
    assert request.candidates == ["a", "b", "c"]
    assert ApprovalRequest.model_validate(json.loads(request.model_dump_json())) == request


def test_the_sample_imports_as_it_is() -> None:
    rows = read((ROOT / "docs" / "samples" / "approval.csv").read_bytes(), ApprovalRequest).rows
    assert len(rows) == 3 and all(row.input for row in rows)

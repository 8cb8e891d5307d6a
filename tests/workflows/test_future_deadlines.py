"""Moments that must be in the future are checked when a case is submitted, not when it is read again."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from activities.approval.request import ApprovalRequest
from domain.moments import asked
from intake.parse_rows import read
from workflows.registry import PROCESSES

NOW = datetime(2031, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("deadline", "late"),
    [
        ("2031-05-31", True),
        ("2031-06-01T11:59:59Z", True),
        ("2031-06-01T16:00:00+05:00", True),
        ("2031-06-01", False),
        ("2031-06-01T12:00:01Z", False),
        (None, False),
    ],
)
def test_a_deadline_that_has_passed_is_refused_when_it_is_asked_for_and_read_for_ever(
    deadline: str | None, late: bool
) -> None:
    given = {"title": "x", "deadline": deadline}
    request = ApprovalRequest.model_validate(given)
    assert ApprovalRequest.model_validate(request.model_dump(mode="json")) == request
    assert ApprovalRequest.model_validate(given, context=asked(NOW, {"title"})) == request, "it was not edited"
    if late:
        with pytest.raises(ValidationError, match="is in the past: choose a later time"):
            ApprovalRequest.model_validate(given, context=asked(NOW))
    else:
        ApprovalRequest.model_validate(given, context=asked(NOW))


def test_a_row_whose_deadline_has_passed_is_reported_by_its_cell() -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).date()
    process = PROCESSES["approval"]
    past = (datetime.now(UTC) - timedelta(days=2)).date()
    text = f"reference,title,deadline\nA-1,Old,{past}\nA-2,New,{later}\n"
    old, new = read(text.encode(), process.input, process.shown_input).rows
    assert [(each.column, each.value) for each in old.errors] == [("deadline", str(past))]
    assert new.errors == []

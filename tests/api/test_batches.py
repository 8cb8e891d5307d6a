"""Files over HTTP: dry run, start, report, and download of the invalid rows."""

import csv
import io
import json
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from domain.batch import BatchCounts
from intake.invalid_rows import bad_rows
from tests.api.conftest import Gate, eventually
from tests.intake.workbooks import workbook

HEAD = "reference,payee,amount,currency,account,memo"
NONE = dict.fromkeys(BatchCounts.model_fields, 0)


async def upload(gate: Gate, content: bytes, *, dry_run: bool = False, **more: Any) -> httpx2.Response:
    file = ("payments.csv", content, more.pop("type", "text/csv"))
    params = {"process": more.pop("process", "payment"), "dry_run": str(dry_run).lower()}
    params["resubmit"] = str(more.pop("resubmit", False)).lower()
    return await gate.as_("requester-1").post("/api/v1/batches", params=params, files={"file": file}, **more)


def sheet(*rows: str) -> bytes:
    return "\n".join([HEAD, *rows]).encode()


async def test_a_dry_run_reports_and_starts_nothing(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    data = sheet(f"{mark}-1,Somebody,10.00,GBP,operating,", f"{mark}-2,Somebody,-1,GBP,operating,")
    answer = await upload(gate, data, dry_run=True)
    assert answer.status_code == 200
    body = answer.json()
    assert body["rows"] == NONE | {"total": 2, "valid": 1, "invalid": 1}
    assert body["errors"][0]["line"] == 3
    assert not (await gate.get("requester-1", "/cases", q=mark)).json()["items"]


async def test_valid_rows_start_and_invalid_rows_can_be_downloaded(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    data = sheet(
        f"{mark}-1,Somebody,10.00,GBP,operating,",
        f"{mark}-2,=cmd(),-1,GBP,operating,+1",
        f"{mark}-3,Somebody,30.00,GBP,operating,",
    )
    answer = await upload(gate, data)
    assert answer.status_code == 202
    where = answer.headers["location"]

    async def report() -> Any:
        return (await gate.as_("requester-1").get(where)).json()

    done = await eventually(report, lambda body: body["status"] == "completed")
    assert done["rows"] == NONE | {"total": 3, "valid": 2, "invalid": 1, "started": 2}
    assert sum(done["cases"].values()) == 2
    listed = (await gate.get("requester-1", "/cases", batch_id=done["batch_id"])).json()["items"]
    assert {case["reference"] for case in listed} == {f"{mark}-1", f"{mark}-3"}
    rows = (await gate.as_("requester-1").get(done["errors_url"])).json()["items"]
    assert [(row["line"], row["outcome"], row["errors"][0]["column"]) for row in rows] == [(3, "invalid", "amount")]
    first = (await gate.as_("requester-1").get(f"{where}/rows", params={"limit": 2})).json()
    rest = (await gate.as_("requester-1").get(f"{where}/rows", params={"cursor": first["next_cursor"]})).json()
    assert [row["line"] for row in first["items"] + rest["items"]] == [2, 3, 4]

    back = await gate.as_("requester-1").get(f"{where}/rows", headers={"Accept": "text/csv"})
    assert back.headers["content-type"].startswith("text/csv")
    heading, row = back.content.decode("utf-8-sig").splitlines()
    assert heading == f"error,{HEAD}"
    assert f"{mark}-2,'=cmd(),-1,GBP,operating,+1" in row
    corrected = back.content.decode().replace(",-1,", ",20.00,").encode()
    assert (await upload(gate, corrected, dry_run=True)).json()["rows"]["valid"] == 1


async def test_a_dry_run_foresees_tasks_and_says_of_each_duplicate_what_differs(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    first = sheet(f"{mark}-1,Somebody,500.00,GBP,operating,", f"{mark}-2,Somebody,1.00,GBP,operating,")
    where = (await upload(gate, first)).headers["location"]
    await eventually(lambda: _report(gate, where), lambda body: body["status"] == "completed")

    rows = [f"{mark}-2,Somebody,1,GBP,operating,", f"{mark}-1,Somebody,5000,GBP,operating,"]
    again = sheet(*rows, f"{mark}-3,Somebody,12000,GBP,operating,", f"{mark}-3,Somebody,12000,GBP,operating,")
    said = (await upload(gate, again, dry_run=True)).json()
    assert [row["line"] for row in said["duplicates"]] == [3, 2, 5]
    assert said["duplicates"][0]["says"].startswith("differs: amount 500.00 → 5000.00; the case is ")
    assert said["duplicates"][1]["says"].startswith("same; the case is ")
    assert said["duplicates"][2]["says"] == "same; same reference as line 4 of this file"
    assert said["resubmittable"] == 0
    manager = next(found for found in said["forecast"]["gates"] if found["gate"] == "manager-approval")
    assert (manager["tasks"], manager["approvals"], manager["between"]) == ({"managers": 1}, 2, [1, 1])
    (total,) = said["forecast"]["totals"]
    assert (total["currency"], total["count"], total["sum"]) == ("GBP", 1, "12000.00")
    assert "Fraud review: 0 to 1 tasks for fraud-analysts, known after the screening." in said["forecast"]["summary"]

    where = (await upload(gate, again)).headers["location"]
    done = await eventually(lambda: _report(gate, where), lambda body: body["status"] == "completed")
    assert done["forecast"] is None
    assert [row["line"] for row in done["duplicates"]] == [3, 2, 5]
    for differs, lines in (("true", [3]), ("false", [2, 5])):
        params = {"outcome": "duplicate", "differs": differs}
        found = (await gate.as_("requester-1").get(f"{where}/rows", params=params)).json()["items"]
        assert [row["line"] for row in found] == lines
        assert all(row["says"] for row in found)


async def test_what_ended_undone_is_submitted_again_only_if_the_upload_asks_for_it(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    data = sheet(f"{mark}-1,Somebody,700.00,GBP,operating,")
    where = (await upload(gate, data)).headers["location"]
    await eventually(lambda: _report(gate, where), lambda body: body["cases"].get("awaiting_approval") == 1)
    case = f"payment:{mark}-1"
    cancelled = await gate.post("requester-1", f"/cases/{case}/cancel", {"reason": "Wrong payee"})
    assert cancelled.status_code == 202
    await eventually(lambda: _report(gate, where), lambda body: body["cases"].get("cancelled") == 1)

    offered = (await upload(gate, data, dry_run=True)).json()
    assert (offered["rows"]["valid"], offered["resubmittable"]) == (0, 1)
    says = "same; the case is cancelled; can be submitted again as the next round"
    assert (offered["duplicates"][0]["resubmits"], offered["duplicates"][0]["says"]) == (case, says)
    assert (await upload(gate, data, dry_run=True, resubmit=True)).json()["rows"]["valid"] == 1
    where = (await upload(gate, data, resubmit=True)).headers["location"]
    await eventually(lambda: _report(gate, where), lambda body: body["rows"]["started"] == 1)
    second = (await gate.get("requester-1", f"/cases/{case}~2")).json()
    assert (second["round"], second["resubmits"]) == (2, case)


async def _report(gate: Gate, where: str) -> Any:
    return (await gate.as_("requester-1").get(where)).json()


async def test_a_file_that_cannot_be_read_at_all_starts_nothing(gate: Gate) -> None:
    unreadable = {"empty": b"", "nul": HEAD.encode() + b"\n\0", "latin": sheet("\x81").decode().encode("latin-1")}
    for name, data in unreadable.items():
        answer = await upload(gate, data)
        assert answer.status_code == 422, name
        assert answer.json()["errors"][0]["message"]
    assert (await upload(gate, sheet("a"), type="application/pdf")).status_code == 415
    not_multipart = await gate.as_("requester-1").post("/api/v1/batches?process=payment", content=sheet("a"))
    assert not_multipart.status_code == 415
    assert (await upload(gate, sheet("a"), process="alchemy")).status_code == 422
    assert (await upload(gate, sheet("a"), data={"mapping": "unknown"})).status_code == 422


async def test_a_file_beyond_the_limit_is_refused(gate: Gate) -> None:
    limit = gate.settings.max_upload_bytes
    for size in (limit + 1, limit + 1024 * 1024):
        answer = await upload(gate, b"x" * size)
        assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
        assert "content-security-policy" in answer.headers


async def test_the_template_imports_as_it_is(gate: Gate) -> None:
    template = await gate.get("requester-1", "/processes/payment/template.csv")
    assert template.headers["content-type"].startswith("text/csv")
    assert (await upload(gate, template.content, dry_run=True)).json()["rows"]["valid"] == 1


def test_bad_rows_keep_their_cells_and_lose_the_errors_of_last_time() -> None:
    data = b'error,a,b\r\nold,"x\ny",2\r\n\r\nold,1\r\nold,1,2,3\r\n'
    back = bad_rows(data, {2: "too big", 5: "too few", 6: "too many"}).removeprefix("\ufeff")
    assert back == 'error,a,b\r\ntoo big,"x\ny",2\r\ntoo few,1\r\ntoo many,1,2,3\r\n'


THEIRS = 'Title\n\nTrans No;Supplier Name;Amount\n{0}-1;Acmé;"1.500,00"\n{0}-2;;12,5\nTotal;;1.512,50\n'


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
async def test_a_file_with_headings_of_its_own_is_read_and_says_how(gate: Gate, encoding: str) -> None:
    mark = uuid4().hex[:8]
    body = (await upload(gate, THEIRS.format(mark).encode(encoding), dry_run=True)).json()
    assert body["rows"] == NONE | {"total": 2, "valid": 1, "invalid": 1}
    assert (body["skipped"], body["lines_read"]) == (1, 3)
    assert body["format"]["delimiter"] == ";" and body["format"]["heading_line"] == 3
    assert body["mapping"]["columns"]["payee"] == ["Supplier Name"]
    assert "usual value: currency = GBP" in body["notes"]
    (wrong,) = body["errors"]
    assert (wrong["line"], wrong["errors"][0]["column"], wrong["errors"][0]["expected"]) == (
        5,
        "Supplier Name",
        "a value",
    )


async def test_a_mapping_comes_with_the_file_or_by_its_name(gate: Gate) -> None:
    data = b"Doc;Supplier Name;Trans No;Amount\nD-1;Acme;T-1;-2,00\nD-2;Acme;T-2;3,00\n"
    columns = {"reference": "Doc", "payee": "Supplier Name", "amount": "amount"}
    given = json.dumps({"columns": columns, "constants": {"currency": "EUR"}, "decimal": ","})
    body = (await upload(gate, data, dry_run=True, data={"mapping": given})).json()
    assert body["rows"] == NONE | {"total": 2, "valid": 1, "invalid": 1}
    assert (body["errors"][0]["reference"], body["mapping"]["constants"]["currency"]) == ("D-1", "EUR")
    body = (await upload(gate, data, dry_run=True, data={"mapping": "council-spending"})).json()
    assert body["rows"] == NONE | {"total": 1, "valid": 1}

    for wrong, field in {
        "unknown": "mapping",
        '{"columns": {"payee": "Suplier"}}': "mapping.columns.payee",
        '{"colums": {}}': "mapping.colums",
        "{": "mapping",
    }.items():
        answer = await upload(gate, data, data={"mapping": wrong})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == field
    answer = await upload(gate, data, process="several", data={"mapping": "council-spending"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "mapping")


@pytest.mark.parametrize("kind", ["utf-16", "cp1252", "xlsx"])
async def test_invalid_rows_of_each_kind_of_file_start_after_they_are_corrected(gate: Gate, kind: str) -> None:
    mark = uuid4().hex[:8]
    table: list[list[str | float]] = [["Title"], ["Trans No", "Supplier Name", "Note", "Amount"]]
    table += [[f"{mark}-1", "Acmé", "x", 1.0], [f"{mark}-2", "", "a;b\nc", 1500.25]]
    text = "\n".join(";".join(f'"{cell}"' for cell in row) for row in table)
    data = workbook(*table) if kind == "xlsx" else text.encode(kind)
    report = (await upload(gate, data)).json()
    where = f"/api/v1/batches/{report['batch_id']}/rows"
    back = await gate.as_("requester-1").get(f"{where}?outcome=invalid", headers={"Accept": "text/csv"})
    assert list(csv.reader(io.StringIO(back.content.decode("utf-8-sig"), newline=""))) == [
        ["error", "Trans No", "Supplier Name", "Note", "Amount"],
        ["Supplier Name: enter a value", f"{mark}-2", "", "a;b\nc", "1500.25"],
    ]
    corrected = back.content.decode().replace(f"{mark}-2,,", f"{mark}-2,Acmé,").encode()
    body = (await upload(gate, corrected, dry_run=True, data={"mapping": json.dumps(report["mapping"])})).json()
    assert body["rows"] == NONE | {"total": 1, "valid": 1}

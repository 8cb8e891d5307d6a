"""The upload pages: a file is sent once, previewed, started once, followed and cancelled."""

import html
import json
import re
from uuid import uuid4

import httpx2

from tests.api.conftest import Gate, eventually
from tests.api.pages.test_requests import text
from tests.api.pages.visits import signed_in
from tests.intake import workbooks

HEADINGS = "reference,payee,amount,currency,account\n"


def sheet(*rows: str, headings: str = HEADINGS) -> bytes:
    return (headings + "".join(f"{row}\n" for row in rows)).encode()


async def send(client: httpx2.AsyncClient, data: bytes, process: str = "payment", name: str = "june.csv") -> str:
    """Upload a file; answers the address of the page that looks at it."""
    files = {"file": (name, data, "text/csv")}
    answer = await client.post("/upload", data={"process": process}, files=files)
    assert answer.status_code == 303, text(answer)
    return answer.headers["location"]


def start_form(page: httpx2.Response) -> dict[str, str]:
    form = page.text.split('class="card start"')[1].split("</form>")[0]
    found = re.findall(r'name="(\w+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found if name != "csrf"}


async def test_a_file_is_looked_at_and_started_once_without_being_sent_again(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    there = await gate.start(reference=f"{mark}-0", payee="There Ltd", amount="20.00", payee_account=None)
    await gate.until(there, lambda case: case["status"] == "completed")
    data = sheet(
        f"{mark}-1,First Ltd,100.00,GBP,operating",
        f"{mark}-2,Second Ltd,200.50,GBP,operating",
        f"{mark}-3,Third Ltd,12x,GBP,operating",
        f"{mark}-0,There Ltd,2000.00,GBP,operating",
    )
    async with signed_in(gate, "requester-1") as client:
        address = await send(client, data)
        page = await client.get(address)
        said = text(page)
        assert page.status_code == 200 and "2 ready to start 1 already uploaded 1 invalid" in said
        assert "GBP 2 300.50 GBP 200.50 GBP" in said
        assert "2 payments need none (amount under 500.00 GBP)" in said
        assert "Amount: 20.00 → 2000.00" in said
        assert f"4 {mark}-3 amount : '12x': write the amount as a plain number" in said
        assert "There is no such batch" not in said and "No request is started yet." in said
        form = start_form(page)
        path = address.partition("?")[0]
        started = await client.post(path, data=form)
        again = await client.post(path, data=form)
        assert started.status_code == again.status_code == 303
        assert started.headers["location"] == again.headers["location"], "a form that comes twice starts a file once"
        assert (await client.get(address)).headers["location"] == started.headers["location"]
        batch_id = started.headers["location"].removeprefix("/batches/")

        async def seen() -> str:
            return text(await client.get(f"/batches/{batch_id}"))

        said = await eventually(seen, lambda said: "2 of 2 rows started" in said and "Completed 2" in said)
        assert "1 already uploaded 1 invalid" in said and "Invalid" in said
        bad = await client.get(f"/batches/{batch_id}/bad-rows.csv")
        assert bad.text.count(mark) == 1 and f"{mark}-3" in bad.text
        assert f"{mark}-0" in text(await client.get(f"/batches/{batch_id}?outcome=duplicate"))
        assert f'href="/batches/{batch_id}"' in (await client.get("/batches")).text
        assert "The same file was uploaded before" in text(await client.get(await send(client, data)))
    batches = await gate.get("requester-1", "/batches", limit=200)
    assert [each["filename"] for each in batches.json()["items"]].count("june.csv") == 1


async def test_nobody_reads_or_starts_what_somebody_else_has_sent(gate: Gate) -> None:
    async with signed_in(gate, "requester-1") as client:
        address = await send(client, sheet(f"{uuid4()},Mine Ltd,100.00,GBP,operating"))
        form = start_form(await client.get(address))
    async with signed_in(gate, "requester-2") as client:
        for answer in (await client.get(address), await client.post(address.partition("?")[0], data=form)):
            assert answer.status_code == 404 and "Mine Ltd" not in answer.text
            assert "no longer has this file" in text(answer) and 'type="file"' in answer.text
        assert (await client.get("/upload/..%2f..%2fetc?process=payment")).status_code == 404
    async with signed_in(gate, "manager-1") as client:
        assert (await client.get(address)).status_code == 403


async def test_columns_are_suggested_and_people_say_otherwise(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    data = sheet(
        f"{mark}-1;Northwind;Beta GmbH;1.500,00;02/01/2031",
        headings="Trans No;Supplier Name;Other Name;Sum paid;Paid on\n",
    )
    async with signed_in(gate, "requester-1") as client:
        address = await send(client, data, name="council.csv")
        page = await client.get(address)
        said = text(page)
        assert page.status_code == 422 and "these headings are missing" in said
        assert "Trans No" in page.text and "suggested" in said and "missing" in said
        chosen = {
            "read": "1",
            "column.reference": "Trans No",
            "column.payee": "Other Name",
            "column.amount": "Sum paid",
            "column.due_date": "Paid on",
            "fixed.currency": "EUR",
            "fixed.account": "operating",
            "dates": "DD/MM/YYYY",
            "decimal": ",",
        }
        page = await client.get(address, params=dict(httpx2.URL(address).params) | chosen)
        said = text(page)
        assert page.status_code == 200, said
        assert "1 ready to start" in said and "1,500.00 EUR" in said and "Ignored columns: Supplier Name" in said
        assert "<option selected>Other Name</option>" in page.text and "suggested" not in said
        started = await client.post(address.partition("?")[0], data=start_form(page))
        case_id = f"payment:{mark}-1"

        async def listed() -> list[str]:
            return [each["case_id"] for each in (await gate.get("auditor-1", "/cases", q=case_id)).json()["items"]]

        assert await eventually(listed, lambda ids: case_id in ids)
        case = await gate.case(case_id)
        assert (case["input"]["payee"], case["input"]["due_date"]) == ("Beta GmbH", "2031-01-02")
        assert started.headers["location"].endswith(case["batch_id"])
        wrong = await client.get(f"{await send(client, data)}&mapping=none")
        assert wrong.status_code == 422 and "There is no saved mapping 'none'" in text(wrong)


async def test_what_cannot_be_read_is_said_in_a_sentence_where_the_file_is_chosen(gate: Gate) -> None:
    async with signed_in(gate, "requester-1") as client:
        page = await client.get(await send(client, b"", name="empty.csv"))
        assert (
            page.status_code == 422
            and "empty.csv: The file is empty: upload a file" in text(page)
            and 'type="file"' in page.text
        )
        form = {"process": "payment"}
        picture = await client.post("/upload", data=form, files={"file": ("x.png", b"\x89PNG", "image/png")})
        assert picture.status_code == 415 and "neither CSV nor Excel" in text(picture)
        large = await client.post("/upload", data=form, files={"file": ("x.csv", b"x" * (2 * 1024**2 + 1), "text/csv")})
        assert large.status_code == 413 and "The limit is 2 MB" in text(large)
        huge = await client.post("/upload", data=form, files={"file": ("x.csv", b"x" * (3 * 1024**2), "text/csv")})
        assert (
            huge.status_code == 413 and "larger than Holdgate accepts" in text(huge) and 'href="/upload"' in huge.text
        )
        nothing = await client.post("/upload", data={"process": ""}, files={"file": ("x.csv", b"x", "text/csv")})
        assert nothing.status_code == 422 and "Choose the request type of the rows." in text(nothing)
        example = await client.get("/upload/example/payment")
        assert "1 ready to start" in text(await client.get(await send(client, example.content)))


async def test_an_import_is_stopped_with_a_reason_and_its_page_says_so(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    data = sheet(*(f"{mark}-{number},Stopped Ltd,{600 + number}.00,GBP,operating" for number in range(40)))
    async with signed_in(gate, "requester-1") as client:
        address = await send(client, data)
        started = await client.post(address.partition("?")[0], data=start_form(await client.get(address)))
        batch = started.headers["location"]
        refused = await client.post(f"{batch}/cancel", data={"reason": " "})
        assert refused.status_code == 422 and "Enter a reason. The audit log shows your reason." in text(refused)
        undo = {"reason": "The wrong month", "rollback_started": "true"}
        assert (await client.post(f"{batch}/cancel", data=undo)).headers["location"] == batch

        async def seen() -> str:
            return text(await client.get(batch))

        said = await eventually(seen, lambda said: "Progress Cancelled" in said)
        assert "Manage upload" not in said
        async with client.stream("GET", f"{batch}/events") as events:
            assert events.headers["content-type"].startswith("text/event-stream")
        assert (await client.post(f"{batch}/pause", data={"reason": "late"})).status_code == 409
        assert (await client.post(f"{batch}/explode", data={"reason": "x"})).status_code == 422
    async with signed_in(gate, "requester-2") as client:
        for path in ("", "/events", "/bad-rows.csv"):
            assert (await client.get(f"{batch}{path}")).status_code == 404
        assert (await client.post(f"{batch}/cancel", data={"reason": "x"})).status_code == 404


async def test_a_sheet_and_an_encoding_can_be_named_on_the_page(gate: Gate) -> None:
    head = ["Invoice No", "Supplier", "Amount"]
    sheets = {name: workbooks.sheet(workbooks.rows([head, [f"{name}-1", "Acme", 5]])) for name in ("June", "July")}
    cyrillic = "Invoice No,Supplier,Amount\n1,Кам,5\n".encode("cp1251")
    async with signed_in(gate, "requester-1") as client:
        for data, key, value, seen in (
            (workbooks.book(sheets), "sheet", "July", "July-1"),
            (cyrillic, "encoding", "Windows-1251", "Кам"),
        ):
            address = await send(client, data)
            assert f'name="{key}"' in (await client.get(address)).text
            page = await client.get(f"{address}&{key}={value}")
            assert page.status_code == 200 and seen in page.text
            assert json.loads(start_form(page)["mapping"])[key] == value
            wrong = await client.get(f"{address}&{key}=martian")
            assert wrong.status_code == 422 and "martian" in wrong.text

"""My requests and the forms of requests: status, reminder, withdrawal, answers, and another submission."""

import html
import re
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest

from api.pages.parts.request_status import standing
from store.cases import cases, tasks
from tests.api.conftest import Gate
from tests.api.pages.visits import signed_in


def text(page: httpx2.Response) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def new(page: httpx2.Response, **typed: str) -> dict[str, str]:
    """The form of a new payment, filled in."""
    key = re.search(r'name="key" value="(\w+)"', page.text)
    assert key is not None, page.text
    fields = {"payee": "Asked Ltd", "amount": "1250.00", "currency": "GBP", "account": "operating"}
    own = {"reference": f"ASK-{uuid4()}", "key": key[1]}
    inputs = {f"input.{name}": value for name, value in fields.items()}
    return own | inputs | typed


async def test_a_request_says_whom_it_waits_for_and_can_be_reminded_of_once_a_day(gate: Gate) -> None:
    case_id = await gate.start(payee="Standing Ltd", amount="12000.00")
    task = await gate.open_task(case_id)
    await gate.decide("manager-1", task)
    await gate.until(case_id, lambda case: case["tasks"][0]["quorum"]["given"] == 1)
    async with signed_in(gate, "requester-1") as client:
        said = text(await client.get("/requests"))
        assert "Pay Standing Ltd 12,000.00 GBP Waiting for 1 more of 2 managers for less than a minute" in said
        form = {"task_id": task["task_id"], "key": "k1"}
        for _ in range(2):  # the same form twice is one reminder
            answer = await client.post("/requests/nudge", data=form)
            assert (answer.status_code, answer.headers["location"]) == (303, "/requests?said=nudged")
        again = await client.post("/requests/nudge", data=form | {"key": "k2"})
        assert (
            again.status_code == 409
            and "The last reminder was sent on" in text(again)
            and "You can send the next reminder from" in text(again)
        )
        page = await client.get("/requests?said=nudged")
        assert "A reminder was sent to the people who can decide." in text(page)
        assert "Reminder sent less than a minute ago; next reminder possible from" in text(page)
    events = [event for event in (await gate.case(case_id))["timeline"] if event["kind"] == "nudged"]
    assert [event["summary"] for event in events] == ["requester-1 reminded those who may decide: manager approval"]


async def test_only_who_asked_reminds_and_not_of_what_waits_for_them(gate: Gate) -> None:
    task = await gate.open_task(await gate.start())
    path = f"/tasks/{task['task_id']}/nudge"
    assert (await gate.post("manager-2", path)).status_code == 403
    first = await gate.post("requester-1", path, idempotency_key="same")
    assert first.status_code == 200
    assert (await gate.post("requester-1", path, idempotency_key="same")).json() == first.json()
    second = await gate.post("requester-1", path)
    assert second.status_code == 409 and second.json()["again_at"] == first.json()["again_at"]
    await gate.decide("manager-1", task, "request_changes", comment="Which order?")
    case = await gate.until(task["case_id"], lambda case: case["status"] == "awaiting_changes")
    changes = next(each for each in case["tasks"] if each["status"] == "open")
    refused = await gate.post("requester-1", f"/tasks/{changes['task_id']}/nudge")
    assert refused.status_code == 409 and "waits for your changes" in refused.json()["detail"]
    async with signed_in(gate, "requester-1") as client:
        page = (await client.get("/requests")).text
    assert f'href="/tasks/{changes["task_id"]}">Make changes' in page


async def test_a_question_comes_first_and_is_answered_where_it_stands(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(payee="Questioned Ltd"))
    asked = {"to": "requester-1", "text": "Which <i>order</i> is this?"}
    assert (await gate.post("manager-1", f"/tasks/{task['task_id']}/questions", asked)).status_code == 200
    async with signed_in(gate, "requester-1") as client:
        page = await client.get("/requests")
        said = text(page)
        assert said.index("manager-1 asks about Pay Questioned Ltd") < said.index("Pay Questioned Ltd 1,250.00 GBP")
        assert "<i>order" not in page.text and "manager-1 asked you a question" in said
        question = re.search(
            rf'value="{task["task_id"]}"><input type="hidden" name="question" value="([^"]+)"', page.text
        )
        assert question is not None
        form = {"task_id": task["task_id"], "question": question[1], "text": "PO 4711", "key": "a"}
        assert (await client.post("/requests/answer", data=form)).status_code == 303
        assert "asks about Pay Questioned Ltd" not in text(await client.get("/requests"))


async def test_a_request_does_not_wait_for_the_answer_to_a_withdrawn_question(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(payee="Unasked Ltd"))
    path = f"/tasks/{task['task_id']}/questions"
    (question,) = (await gate.post("manager-1", path, {"to": "manager-2", "text": "Whose?"})).json()["questions"]
    async with signed_in(gate, "requester-1") as client:
        assert "an answer from manager-2" in text(await client.get("/requests?q=Unasked"))
        assert (await gate.post("manager-1", f"{path}/{question['id']}/withdraw")).status_code == 200
        assert "an answer from manager-2" not in text(await client.get("/requests?q=Unasked"))
        case = text(await client.get(f"/cases/{quote(task['case_id'], safe='')}"))
        assert "Whose? Withdrawn" in case and "No answer yet" not in case


async def test_a_request_is_withdrawn_with_a_reason_and_asked_for_again_from_its_form(gate: Gate) -> None:
    case_id = await gate.start(payee="Withdrawn Ltd", amount="1300.00")
    await gate.open_task(case_id)
    async with signed_in(gate, "requester-1") as client:
        form = {"case_id": case_id, "key": "w"}
        assert (await client.post("/requests/withdraw", data=form | {"reason": ""})).status_code == 422
        assert (await client.post("/requests/withdraw", data=form | {"reason": "Paid by card"})).status_code == 303
        await gate.until(case_id, lambda case: case["status"] == "cancelled")
        ended = await client.get("/requests?ended=true")
        assert "Cancelled by requester-1: Paid by card" in text(ended)
        address = f"/new/payment?resubmits={quote(case_id, safe='')}"
        assert f'href="{address}"' in ended.text
        page = await client.get(address)
        assert 'value="Withdrawn Ltd"' in page.text and 'value="1300.00"' in page.text
        assert "GB82" not in page.text, "what is hidden stays so, and is kept when its field is left empty"
        typed = new(page, **{"input.payee": "Withdrawn Ltd", "input.amount": "1350.00", "input.payee_account": ""})
        answer = await client.post(address, data=typed)
        assert answer.headers["location"] == f"/cases/{quote(case_id + '~2', safe='')}", text(answer)
        again = await gate.case(f"{case_id}~2")
        assert (again["round"], again["input"]["amount"]) == (2, "1350.00")
        assert again["input"]["payee_account"].endswith("5432")
        assert address not in (await client.get("/requests?ended=true")).text
    async with signed_in(gate, "requester-2") as client:
        assert (await client.get(address)).status_code == 404
        assert (await client.post("/requests/withdraw", data=form | {"reason": "x"})).status_code == 404


async def test_a_form_with_mistakes_comes_back_as_it_was_with_each_beside_its_field(gate: Gate) -> None:
    async with signed_in(gate, "requester-1") as client:
        page = await client.get("/new/payment")
        typed = new(page, **{"input.amount": "12,5x", "input.memo": "<b>kept</b>", "priority": "9", "start_at": "soon"})
        answer = await client.post("/new/payment", data=typed)
        assert answer.status_code == 422
        for field in ("input-amount", "priority", "start_at"):
            assert f'id="{field}-error"' in answer.text, field
        assert 'value="12,5x"' in answer.text and "&lt;b&gt;kept&lt;/b&gt;" in answer.text
        corrected = typed | {"input.amount": "1250.00", "priority": "2", "start_at": "2030-03-31T09:00"}
        started = await client.post("/new/payment", data=corrected)
        assert started.status_code == 303
        assert (await client.post("/new/payment", data=corrected)).headers == started.headers, "sent twice, asked once"
        case = await gate.case(f"payment:{typed['reference'].lower()}")
        assert (case["priority"], case["status"]) == (2, "scheduled")
        assert "Scheduled for 31 Mar 2030, 09:00 UTC" in text(await client.get("/requests"))
        fresh = new(await client.get("/new/payment"), reference=typed["reference"], **{"input.amount": "99.00"})
        refused = await client.post("/new/payment", data=fresh)
        assert refused.status_code == 409
        assert "Existing request: Pay Asked Ltd 1,250.00 GBP" in text(refused)
        assert "The existing request differs in: Amount" in text(refused)
    async with signed_in(gate, "requester-2") as client:
        fresh = new(await client.get("/new/payment"), reference=typed["reference"])
        refused = await client.post("/new/payment", data=fresh)
        assert "Another person already submitted" in text(refused) and "Pay Asked Ltd" not in text(refused)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("100.00", "No approval needed (amount under 500.00 GBP)."),
        ("1250.00", "Managers must approve."),
        ("12000.00", "Managers must approve. 2 approvals are needed."),
        ("1x", "Correct the marked fields first."),
    ],
)
async def test_who_will_be_asked_is_told_before_anything_starts(gate: Gate, amount: str, said: str) -> None:
    async with signed_in(gate, "requester-1") as client:
        typed = new(await client.get("/new/payment"), **{"input.amount": amount})
        answer = await client.post("/new/payment", data=typed | {"do": "look"})
        assert answer.status_code == 200 and said in text(answer)
        assert (await gate.get("auditor-1", "/cases", q=typed["reference"])).json()["items"] == []


async def test_pages_to_ask_are_for_those_who_may(gate: Gate) -> None:
    async with signed_in(gate, "manager-1") as client:
        for path in ("/new", "/new/payment", "/upload"):
            assert (await client.get(path)).status_code == 403
        assert (await client.get("/requests")).status_code == 200
    async with signed_in(gate, "requester-1") as client:
        assert 'href="/new/payment"' in (await client.get("/new")).text
        assert (await client.get("/new/nothing")).status_code == 404
        for path in ("/requests/nudge", "/requests/withdraw", "/requests/answer", "/new/payment"):
            elsewhere = await client.post(path, data={}, headers={"Sec-Fetch-Site": "cross-site"})
            assert elsewhere.status_code in (403, 422)


async def test_every_end_has_its_sentence(gate: Gate) -> None:
    paid = await gate.start(amount="1400.00", payee="Paid & Sons")
    await gate.decide("manager-1", await gate.open_task(paid))
    await gate.until(paid, lambda case: case["status"] == "completed")
    async with gate.database.read() as conn:
        row = await cases.get(conn, paid)
        assert row is not None and await tasks.open_of(conn, [paid]) == {}
    said = str(standing(row, [], "requester-1"))
    assert said.startswith("Paid 1,400.00 GBP to Paid &amp; Sons on <time")


async def test_cases_are_found_by_what_people_know_of_them_and_taken_along_as_csv(gate: Gate) -> None:
    reference = f"FIND-{uuid4()}"
    case_id = await gate.start(reference=reference, payee="Sought & Found Ltd")
    await gate.open_task(case_id)
    async with signed_in(gate, "requester-1") as client:
        for sought in (reference.lower(), "sought & found"):
            page = await client.get("/cases", params={"q": sought, "status": "awaiting_approval"})
            assert reference in page.text, sought
        nothing = await client.get("/cases", params={"q": reference, "status": "completed", "requester": ""})
        assert "No requests found." in nothing.text and f'value="{reference}"' in nothing.text
        link = re.search(r'href="(/cases\?[^"]*format=csv)"', (await client.get(f"/cases?q={reference}")).text)
        assert link is not None
        file = await client.get(html.unescape(link[1]))
        assert file.headers["content-type"].startswith("text/csv") and reference in file.text
        assert (await client.get("/cases?status=lost")).status_code == 422
    async with signed_in(gate, "requester-2") as client:
        assert reference not in text(await client.get("/cases?requester=requester-1"))
        assert reference not in (await client.get(f"/cases?q={reference}&format=csv")).text

"""The page of a task: its content, and all actions without a script."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx2
import pytest

from api.pages.parts import translation
from tests.api.conftest import Gate
from tests.api.pages.test_texts import untranslated
from tests.api.pages.visits import Element, browser, hidden, parsed, signed_in


async def opened(gate: Gate, **input: str) -> tuple[str, str]:
    """A payment that waits for managers: its case, and the address of its task."""
    case_id = await gate.start(**input)
    return case_id, f"/tasks/{(await gate.open_task(case_id))['task_id']}"


async def seen(client: httpx2.AsyncClient, address: str, **headers: str) -> Element:
    answer = await client.get(address, headers=headers)
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


def answers(page: Element) -> list[str]:
    return [each.text for each in page.all("button", name="verdict")]


def form(page: Element) -> dict[str, str]:
    """What the form of the answer would send as it stands."""
    of = page.one("form", class_="decide")
    fields = {each.attrs["name"]: each.attrs.get("value", "") for each in of.all("input")}
    return fields | {each.attrs["name"]: each.raw.removeprefix("\n") for each in of.all("textarea")}


async def test_a_link_to_a_task_leads_through_signing_in_to_the_task(gate: Gate) -> None:
    _, address = await opened(gate, payee="Linked Ltd")
    async with browser(gate) as client:
        asked = await client.get(address)
        assert asked.status_code == 200 and "Linked Ltd" not in asked.text
        following = hidden(asked.text)["following"]
        answer = await client.post("/sign-in", data={"token": gate.tokens["manager-1"], "following": following})
        assert (answer.status_code, answer.headers["location"]) == (303, address)
        page = (await client.get(address)).text
        assert "Pay Linked Ltd 1,250.00 GBP" in page and "May 1,250.00 GBP be paid to Linked Ltd?" in page
        assert "This is the first payment to this payee." in page


async def test_opening_a_task_decides_nothing(gate: Gate) -> None:
    case_id, address = await opened(gate)
    async with signed_in(gate, "manager-1") as client:
        for path in ("", "/decide", "?verdict=approve", "/decide?verdict=approve&decision_id=x&revision=1"):
            for method in ("GET", "HEAD", "OPTIONS"):
                assert (await client.request(method, address + path)).status_code < 500
        assert (await client.head(address)).status_code == 200
    assert (await gate.case(case_id))["status"] == "awaiting_approval"


async def test_a_manager_decides_on_the_page_and_a_form_sent_twice_is_one_decision(gate: Gate) -> None:
    case_id, address = await opened(gate)
    async with signed_in(gate, "manager-1") as client:
        sent = form(await seen(client, address)) | {"verdict": "approve", "comment": "Checked"}
        for _ in range(2):
            answer = await client.post(f"{address}/decide", data=sent)
            assert (answer.status_code, answer.headers["location"]) == (303, address)
        page = await seen(client, address)
        assert "Decision: Approved." in page.text and "Checked" in page.section("Who can decide").text
        assert not answers(page)
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert [(each["by"], each["comment"]) for each in case["tasks"][0]["decisions"]] == [("manager-1", "Checked")]
    (decided,) = [event for event in case["timeline"] if event["kind"] == "decided"]
    assert decided["data"]["via"] == "page"


async def test_a_task_says_what_is_asked_on_what_grounds_by_when_and_what_follows(gate: Gate) -> None:
    _, address = await opened(gate, payee="Whole Ltd", amount="12000.00", memo="First line\nSecond line")
    async with signed_in(gate, "manager-1") as client:
        page = await seen(client, address)
    assert page.one("h1").text == "Pay Whole Ltd 12,000.00 GBP"
    assert page.one(class_="question").text == "May 12,000.00 GBP be paid to Whole Ltd?"
    about = page.section("Details")
    labels, values = [each.text for each in about.all("dt")], [each.text for each in about.all("dd")]
    assert labels[:2] == ["Payee", "Amount"] and "Currency" not in labels, "key fields first, the sum with its currency"
    assert values[:2] == ["Whole Ltd", "12,000.00 GBP"] and "GB82" not in page.text
    assert any(value.startswith("…5432 Show payee's account") for value in values)
    checked = page.section("Checks")
    assert checked.one("ul", class_="flags").text.startswith("This is the first payment to this payee")
    assert [each.text for each in checked.all("dt")] == ["Score", "Earlier payments"]
    assert answers(page) == ["Approve", "Reject", "Request changes", "Abstain"]
    assert [each.text for each in page.one("p", class_="verdicts").all("button")] == answers(page)[:3]
    assert "Release the held 12,000.00 GBP" in page.section("If you reject").text
    who = page.section("Who can decide")
    assert "The policy requires this approval: amount at least 500.00 GBP." in who.text
    assert "Approvals 0 of 2 approvals; one rejection is enough to reject" in who.text
    assert "managers: manager-1, manager-2, manager-3" in who.text
    assert "You can decide this task as a member of managers." in page.text
    coming = [each.text.partition(": ")[2] for each in page.section("Deadlines").all("li")]
    end = "expires: completed steps are rolled back, and the request ends as “Expired”"
    assert coming == ["reminder to managers", "escalation: directors can also decide", end]


async def test_the_way_of_the_case_is_drawn_and_says_the_same_in_words(gate: Gate) -> None:
    _, address = await opened(gate, payee="Drawn Ltd")
    async with signed_in(gate, "manager-1") as client:
        way = (await seen(client, address)).section("Progress")
    assert [each.text for each in way.one("ol", class_="stops").all("li")] == [
        "Hold 1,250.00 GBP on operating: completed",
        "Screen the payment to Drawn Ltd for fraud: completed",
        "Fraud review: no approval needed (score under 50)",
        "Manager approval: current step: waiting for managers, 0 of 1 approval",
        "Director approval: not needed: amount 1,250.00 is under 50,000.00 GBP",
        "Pay 1,250.00 GBP to Drawn Ltd: upcoming",
    ]
    drawn = way.one("svg", role="img")
    states = [each.attrs["class"].split()[1] for each in drawn.all("g")]
    assert states == ["done", "done", "skipped", "here", "skipped", "to_come"]
    described = drawn.one(id=drawn.attrs["aria-labelledby"].split()[1])
    assert "Manager approval: current step" in described.text
    assert way.one("li", aria_current="step").text.startswith("Manager approval")


async def test_a_no_without_a_reason_is_asked_for_one_and_nothing_typed_is_lost(gate: Gate) -> None:
    case_id, address = await opened(gate)
    async with signed_in(gate, "manager-1") as client:
        sent = form(await seen(client, address))
        for verdict in ("reject", "request_changes"):
            answer = await client.post(f"{address}/decide", data=sent | {"verdict": verdict, "comment": "  "})
            assert answer.status_code == 422
            page = parsed(answer.text)
            box = page.one("textarea", name="comment")
            assert box.attrs["aria-invalid"] == "true"
            assert (
                page.one(id="task-comment-error").text.startswith("Enter a comment")
                and "task-comment-error" in box.attrs["aria-describedby"].split()
            )
        answer = await client.post(
            f"{address}/decide", data=sent | {"verdict": "approve", "comment": "As\nagreed", "revision": "7"}
        )
        assert answer.status_code == 409
        page = parsed(answer.text)
        assert page.one("textarea", name="comment").raw == "\nAs\nagreed"
        assert page.one(role="alert").text.startswith("The task has changed since you opened this page")
        assert form(page)["revision"] == "1", "looked at again, it can be decided"
    assert (await gate.case(case_id))["status"] == "awaiting_approval"


async def test_who_may_not_decide_is_told_why_and_is_offered_no_answer(gate: Gate) -> None:
    _, address = await opened(gate)
    async with signed_in(gate, "requester-1") as client:
        page = await seen(client, address)
        assert "You made this request, so somebody else must decide it." in page.text and not answers(page)
        sent = {"decision_id": "x", "revision": "1", "verdict": "approve", "comment": "Mine"}
        answer = await client.post(f"{address}/decide", data=sent)
        assert answer.status_code == 403 and "You made this request" in parsed(answer.text).one(role="alert").text
    async with signed_in(gate, "manager-1") as client:
        assert (await client.post(f"{address}/decide", data={"verdict": "approve"})).status_code == 422
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert (await client.post(f"{address}/decide", data=sent, headers=elsewhere)).status_code == 403


async def test_within_the_inbox_a_task_is_a_part_that_answers_in_its_place(gate: Gate) -> None:
    case_id, address = await opened(gate)
    async with signed_in(gate, "manager-1") as client:
        part = await seen(client, address, **{"HX-Request": "true"})
        assert not part.all("html") and not part.all("h1") and part.all("h2")
        assert part.one("article").attrs["data-task"] in address
        headers, sent = {"HX-Request": "true"}, form(part)
        answer = await client.post(f"{address}/decide", data=sent | {"verdict": "reject"}, headers=headers)
        assert answer.status_code == 422 and "HX-Trigger" not in answer.headers
        assert not parsed(answer.text).all("html") and "Enter a comment" in answer.text
        answer = await client.post(f"{address}/decide", data=sent | {"verdict": "approve"}, headers=headers)
        assert (answer.status_code, answer.headers["HX-Trigger"]) == (200, "decided")
        assert "Decision: Approved." in parsed(answer.text).text
    await gate.until(case_id, lambda case: case["status"] == "completed")


async def test_changes_are_asked_for_made_with_mistakes_first_and_shown_as_a_difference(gate: Gate) -> None:
    case_id, address = await opened(gate, payee="Changed Ltd", memo="Old")
    async with signed_in(gate, "manager-1") as client:
        sent = form(await seen(client, address)) | {"verdict": "request_changes", "comment": "Whose order?"}
        assert (await client.post(f"{address}/decide", data=sent)).status_code == 303
    changes_task = f"/tasks/{(await gate.open_task(case_id))['task_id']}"
    async with signed_in(gate, "requester-1") as client:
        page = await seen(client, changes_task)
        assert page.one(class_="question").text == "manager-1 asks for changes: Whose order?"
        assert answers(page) == ["Submit again"]
        sent = form(page) | {"verdict": "resubmit", "comment": "Ours"}
        assert sent["input.payee"] == "Changed Ltd" and sent["input.payee_account"] == ""
        wrong = sent | {"input.amount": "12,5", "input.memo": "Order 4711\r\nof May"}
        answer = await client.post(f"{changes_task}/decide", data=wrong)
        assert answer.status_code == 422
        page = parsed(answer.text)
        assert page.one(id="input-amount").attrs["value"] == "12,5"
        assert "plain number" in page.one(id="input-amount-error").text
        assert page.one(id="input-memo").raw == "\nOrder 4711\nof May"
        assert form(page)["comment"] == "Ours"
        corrected = form(page) | {"verdict": "resubmit", "input.amount": "1300.00"}
        assert (await client.post(f"{changes_task}/decide", data=corrected)).status_code == 303
    task = await gate.open_task(case_id)
    assert task["input"]["payee_account"] == "…5432", "what was not shown has stayed"
    async with signed_in(gate, "manager-1") as client:
        page = await seen(client, f"/tasks/{task['task_id']}")
        diff = page.section("Changes since the previous round")
        assert [each.text for each in diff.all("dt")] == ["Amount", "Memo"]
        assert [each.text for each in diff.all("del")] == ["before: 1250.00", "before: Old"]
        assert "Round 2" in page.text
        rounds = (await seen(client, f"/cases/{quote(case_id, safe='')}")).section("Rounds")
        assert "Round 2" in rounds.text and "1300.00" in rounds.text


async def test_more_offers_only_what_a_person_may_do(gate: Gate) -> None:
    _, address = await opened(gate)
    for person, offered in (
        ("manager-1", {"claim", "delegate", "follow_up", "ask"}),
        ("requester-1", {"cancel"}),
        ("operator-1", {"reassign", "cancel"}),
        ("admin-1", {"reassign", "set_clock", "cancel"}),
        ("auditor-1", set()),
    ):
        async with signed_in(gate, person) as client:
            page = await seen(client, address)
        acts = {each.attrs["value"] for each in page.all("input", name="act")}
        ways = {each.attrs["action"].rpartition("/")[2] for each in page.all("form")}
        assert acts | (ways & {"cancel", "rollback", "start"}) == offered, person


async def test_people_claim_hand_over_ask_hide_and_move_the_clock_on_the_page(gate: Gate) -> None:
    _, address = await opened(gate)

    async def did(client: httpx2.AsyncClient, act: str, status: int = 303, **fields: str) -> Element:
        answer = await client.post(f"{address}/act", data={"act": act, **fields})
        assert answer.status_code == status, answer.text
        return parsed(answer.text) if status != 303 else await seen(client, address)

    async with signed_in(gate, "manager-1") as client:
        assert "Claimed by manager-1." in (await did(client, "claim")).text
        assert "Claimed by" not in (await did(client, "release")).text
        page = await did(client, "delegate", 422, to="nobody-here")
        assert page.one(id="to-delegate").attrs["value"] == "nobody-here"
        assert "there is no active person" in page.one(id="to-delegate-error").text
        page = await did(client, "ask", 422, to="requester-1", text=" ")
        assert page.one(id="text-ask-error").text
        assert "Which order?" in (await did(client, "ask", to="requester-1", text="Which order?")).text
        assert "Snoozed until" in (await did(client, "follow_up", later="3d")).text
        assert "Snoozed until" not in (await did(client, "no_follow_up")).text
    async with signed_in(gate, "requester-1") as client:
        page = await seen(client, address)
        question = page.one("input", name="question").attrs["value"]
        page = await did(client, "answer", question=question, text="4711")
        assert "4711" in page.section("Questions").text
    async with signed_in(gate, "admin-1") as client:
        later = (datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%dT%H:%M")
        page = await did(client, "set_clock", 422, ends=later)
        assert page.one(id="task-ends").attrs["value"] == later and page.one(id="text-set_clock-error").text
        assert (await did(client, "set_clock", 422, ends="tomorrow", text="Holidays")).one(id="task-ends-error").text
        page = await did(client, "set_clock", ends=later, text="Holidays")
        day = datetime.fromisoformat(later)
        assert f"{day.day} {day:%b %Y, %H:%M} UTC: expires" in page.section("Deadlines").text


async def test_every_text_of_a_task_and_a_case_can_be_translated(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id, address = await opened(gate, payee="Datum", amount="12000.00")
    await gate.post("manager-2", f"{address}/questions", {"to": "requester-1", "text": "Datum?"})
    other = await gate.start(payee="Datum")
    await gate.decide("manager-1", await gate.open_task(other), "request_changes", comment="Datum")
    changes = f"/tasks/{(await gate.open_task(other))['task_id']}"
    monkeypatch.setitem(gate.settings.__dict__, "locale", translation.PSEUDO)
    case = f"/cases/{quote(case_id, safe='')}"
    for person, path in (("manager-1", address), ("admin-1", address), ("requester-1", changes), ("admin-1", case)):
        assert untranslated((await gate.as_(person).get(path)).text) == []


async def test_what_the_policy_lets_reviewers_change_is_changed_with_the_approval_and_with_nothing_else(
    gate: Gate,
) -> None:
    input = {"title": "Rent the hall?", "payload": {"price": 1200}, "candidates": ["managers"]}
    answer = await gate.post("requester-1", "/cases", {"process": "approval", "reference": "HALL-1", "input": input})
    case_id: str = answer.json()["case_id"]
    address = f"/tasks/{(await gate.open_task(case_id))['task_id']}"
    async with signed_in(gate, "manager-1") as client:
        page = await seen(client, address)
        assert [each.attrs["name"] for each in page.all("textarea") if each.has(class_="code")] == ["input.payload"]
        sent = form(page) | {"verdict": "approve", "input.title": "Buy the hall?", "input.payload": '{"price": 12'}
        answer = await client.post(f"{address}/decide", data=sent)
        assert answer.status_code == 422
        page = parsed(answer.text)
        assert page.one(id="input-payload").raw == '\n{"price": 12' and page.one(id="input-payload-error").text
        sent = form(page) | {"verdict": "approve", "input.payload": '{"price": 1100}'}
        assert (await client.post(f"{address}/decide", data=sent)).status_code == 303
        case = await gate.until(case_id, lambda case: case["status"] == "completed")
        assert (case["input"]["payload"], case["title"]) == ({"price": 1100}, "Rent the hall?")
        page = await seen(client, f"/cases/{quote(case_id, safe='')}")
        assert "manager-1 approved, with changes in:" in page.text

"""A masked field is shown whole only on request, to people whom the policy in force names, with an event for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from domain.event_kinds import EventKind
from store.audit import audit_log
from store.audit.audit_log import StoredEvent
from store.people import people, service_accounts
from store.tables.cases import cases
from tests.api.conftest import Gate
from tests.api.pages.visits import hidden, signed_in

IBAN = "GB82WEST12345698765432"
OTHER = "GB33BUKB20201555555555"
WANTED = {"field": "payee_account", "reason": "Compare with the invoice"}
REVEAL = 'payee_account = ["managers", "directors", "fraud-analysts"]'


async def events(gate: Gate, task: dict[str, Any], kind: EventKind) -> list[StoredEvent]:
    async with gate.database.read() as conn:
        return await audit_log.recent(conn, task["case_id"], (kind,), datetime(2000, 1, 1, tzinfo=UTC))


async def reveal(gate: Gate, person: str, task: dict[str, Any], **wanted: Any) -> Any:
    return await gate.post(person, f"/tasks/{task['task_id']}/reveal", {**WANTED, **wanted})


async def waiting(gate: Gate, **input: Any) -> dict[str, Any]:
    return await gate.open_task(await gate.start(**input))


@contextmanager
def in_force(gate: Gate, old: str, new: str) -> Iterator[None]:
    """Another policy is in force while the block runs."""
    whole = gate.settings.policy.read_text()
    assert old in whole
    gate.settings.policy.write_text(whole.replace(old, new))
    yield
    gate.settings.policy.write_text(whole)


async def test_a_person_of_a_group_sees_the_value_and_the_log_says_so(gate: Gate) -> None:
    task = await waiting(gate)
    answer = await reveal(gate, "manager-1", task, reason=f"  Is it {IBAN}? ")
    assert (answer.status_code, answer.json()) == (200, {"field": "payee_account", "value": IBAN})
    assert answer.headers["cache-control"] == "no-store"
    (event,) = await events(gate, task, EventKind.FIELD_REVEALED)
    assert event.actor == "manager-1"
    said = {"task_id": task["task_id"], "gate": "manager-approval", "field": "payee_account", "via": "api"}
    assert event.data == {**said, "reason": "Is it …5432?"}, "the value is not even in the reason"
    (line,) = [each for each in (await gate.case(task["case_id"]))["timeline"] if each["kind"] == "field_revealed"]
    assert IBAN not in str(line)
    assert (await gate.decide("manager-1", task)).status_code == 200, "a person who revealed may still decide"


@pytest.mark.parametrize("person", ["requester-1", "operator-1", "auditor-1", "admin-1"])
async def test_without_the_right_a_reveal_is_refused_and_recorded(gate: Gate, person: str) -> None:
    task = await waiting(gate)
    answer = await reveal(gate, person, task, reason=f"The invoice says {IBAN}, is that right?")
    assert answer.status_code == 403
    assert "managers, directors, fraud-analysts" in answer.json()["detail"]
    assert IBAN not in answer.text
    (event,) = await events(gate, task, EventKind.REVEAL_REFUSED)
    assert (event.actor, event.data["field"]) == (person, "payee_account")
    assert IBAN not in str(event), "a reason can contain the value, and masking it would confirm a guess"
    assert await events(gate, task, EventKind.FIELD_REVEALED) == []


async def test_who_may_not_see_the_task_learns_nothing(gate: Gate) -> None:
    task = await waiting(gate)
    assert (await reveal(gate, "requester-2", task)).status_code == 404
    assert await events(gate, task, EventKind.REVEAL_REFUSED) == []


async def test_a_service_account_never_reveals_even_in_a_group_with_the_right(gate: Gate) -> None:
    task = await waiting(gate)
    async with gate.database.write() as conn:
        token = await service_accounts.create(
            conn, "bot-reveals", "A bot", owners=["admin-1"], scopes=["cases:read"], expires_at=None, by="admin-1"
        )
        await people.join(conn, "bot-reveals", "managers", by="admin-1")
    address = f"/api/v1/tasks/{task['task_id']}/reveal"
    answer = await gate.as_(None).post(address, json=WANTED, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert IBAN not in answer.text


async def test_the_policy_in_force_counts_and_not_that_of_the_case(gate: Gate) -> None:
    task = await waiting(gate)
    with in_force(gate, REVEAL, 'payee_account = ["directors"]'):
        assert (await reveal(gate, "manager-1", task)).status_code == 403
        seen = (await gate.get("manager-1", f"/tasks/{task['task_id']}")).json()
        assert seen["revealable"] == []
    with in_force(gate, REVEAL, ""):
        assert "allows this to nobody" in (await reveal(gate, "manager-1", task)).json()["detail"]
    assert (await reveal(gate, "manager-1", task)).status_code == 200
    seen = (await gate.get("manager-1", f"/tasks/{task['task_id']}")).json()
    assert seen["revealable"] == ["payee_account"]


@pytest.mark.parametrize("field", ["payee", "account", "nothing", "payee_account.x", "PAYEE_ACCOUNT", "input"])
async def test_a_field_that_is_not_masked_is_named_as_wrong(gate: Gate, field: str) -> None:
    task = await waiting(gate)
    answer = await reveal(gate, "manager-1", task, field=field)
    assert (answer.status_code, answer.json()["masked"]) == (422, ["payee_account"])
    assert [each["field"] for each in answer.json()["errors"]] == ["field"]


@pytest.mark.parametrize("reason", ["", "ab", "  a  ", "x" * 501, None, 7])
async def test_a_reveal_needs_a_reason(gate: Gate, reason: Any) -> None:
    task = await waiting(gate)
    answer = await reveal(gate, "manager-1", task, reason=reason)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["reason"]
    assert await events(gate, task, EventKind.FIELD_REVEALED) == []


async def test_an_empty_value_is_said_to_be_empty(gate: Gate) -> None:
    task = await waiting(gate, payee_account=None)
    assert (await reveal(gate, "manager-1", task)).json() == {"field": "payee_account", "value": None}
    async with signed_in(gate, "manager-1") as browser:
        answer = await browser.post(f"/tasks/{task['task_id']}/reveal", data=WANTED)
        assert "This field is empty." in answer.text


async def test_of_an_edited_case_the_present_value_is_shown(gate: Gate) -> None:
    task = await waiting(gate)
    assert (await gate.decide("manager-1", task, "request_changes", comment="Another account?")).status_code == 200
    changes = await gate.until(task["case_id"], lambda case: case["status"] == "awaiting_changes")
    open_ = next(each for each in changes["tasks"] if each["status"] == "open")
    sent = await gate.decide("requester-1", open_, "resubmit", edits={"payee_account": OTHER})
    assert sent.status_code == 200, sent.text
    case = await gate.until(task["case_id"], lambda case: case["status"] == "awaiting_approval")
    again = next(each for each in case["tasks"] if each["status"] == "open")
    assert (await reveal(gate, "manager-1", again)).json()["value"] == OTHER
    assert (await reveal(gate, "manager-1", task)).json()["value"] == OTHER, "also on the task of the earlier round"


async def test_of_an_erased_case_nothing_is_revealed(gate: Gate) -> None:
    task = await waiting(gate)
    async with gate.database.write() as conn:
        erased = update(cases).where(cases.c.case_id == task["case_id"]).values(erased_at=datetime.now(UTC))
        await conn.execute(erased)
    answer = await reveal(gate, "manager-1", task)
    assert (answer.status_code, answer.json()["code"]) == (409, "Erased")
    assert await events(gate, task, EventKind.FIELD_REVEALED) == []


# ------------------------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize("scripted", [False, True])
async def test_the_page_shows_the_value_once_and_a_second_time_leads_back(gate: Gate, scripted: bool) -> None:
    task = await waiting(gate)
    address = f"/tasks/{task['task_id']}"
    async with signed_in(gate, "manager-1") as browser:
        page = (await browser.get(address)).text
        assert f'action="{address}/reveal"' in page
        assert "Show payee&#39;s account" in page
        assert IBAN not in page
        form = {**WANTED, "key": hidden(page)["key"]}
        headers = {"HX-Request": "true"} if scripted else {}
        answer = await browser.post(f"{address}/reveal", data=form, headers=headers)
        assert answer.status_code == 200
        assert IBAN in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert ("<html" in answer.text) is not scripted
        assert IBAN not in str(answer.headers)
        again = await browser.post(f"{address}/reveal", data=form)
        assert (again.status_code, again.headers["location"]) == (303, address)
        history = (await browser.get(f"/cases/{task['case_id'].replace(':', '%3A')}/history")).text
    assert "manager-1 revealed “Payee&#39;s account”: “Compare with the invoice”" in history
    assert len(await events(gate, task, EventKind.FIELD_REVEALED)) == 1


async def test_the_page_offers_no_form_to_others_and_says_why_it_refuses(gate: Gate) -> None:
    task = await waiting(gate)
    address = f"/tasks/{task['task_id']}"
    async with signed_in(gate, "admin-1") as browser:
        assert "/reveal" not in (await browser.get(address)).text
        answer = await browser.post(f"{address}/reveal", data=WANTED)
        assert answer.status_code == 403
        assert "You may not reveal payee_account" in answer.text
    async with signed_in(gate, "manager-1") as browser:
        short = await browser.post(f"{address}/reveal", data={**WANTED, "reason": "x"})
        assert short.status_code == 422
        assert "Enter a reason with 3 to 500 characters" in short.text
        assert IBAN not in short.text


async def test_the_page_of_the_policy_says_who_can_reveal_what(gate: Gate) -> None:
    async with signed_in(gate, "auditor-1") as browser:
        page = (await browser.get("/policy")).text
    assert "<dt>Can reveal “Payee&#39;s account”</dt><dd><bdi>managers, directors, fraud-analysts</bdi></dd>" in page

"""A service account asks on behalf of people, and neither the account, its owners nor the person decides."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from temporalio.client import WorkflowUpdateFailedError

from domain.messages import Act, Action, Actor, Cancellation, Decision, StartNow
from domain.refusals import RefusalCode
from domain.status import Verdict
from domain.token_scopes import TokenScope
from store.audit import audit_log
from store.people import absences, service_accounts
from store.people.absences import Absence
from tests.api.conftest import API, Gate, eventually, payment
from tests.api.test_batches import sheet

BOT, OWNER, PERSON = "invoice-bot", "manager-2", "requester-1"
GROUPS = ["managers", "operators", "admins", "requesters"]


@pytest_asyncio.fixture(scope="module")
async def bot(gate: Gate) -> AsyncIterator[str]:
    """A service account with every scope and the groups of a manager, an operator and an admin; a manager owns it."""
    new = {"id": BOT, "name": "Invoice system", "owners": [OWNER], "scopes": [*TokenScope], "expires_at": None}
    made = await gate.post("admin-1", "/service-accounts", {**new, "groups": GROUPS})
    assert made.status_code == 201 and made.json()["id"] == BOT, made.text
    gate.tokens[BOT] = made.json()["token"]
    yield BOT


async def ask(gate: Gate, on_behalf_of: str | None = PERSON, **more: Any) -> httpx2.Response:
    request = payment(amount="700.00") | ({"on_behalf_of": on_behalf_of} if on_behalf_of else {})
    return await gate.post(BOT, "/cases", request | more)


async def asked(gate: Gate, **more: Any) -> dict[str, Any]:
    """The open task of a case for which the account asked."""
    answer = await ask(gate, **more)
    assert answer.status_code == 201, answer.text
    return await gate.open_task(answer.json()["case_id"])


def path_of(task: dict[str, Any]) -> str:
    return f"/tasks/{task['task_id']}"


async def update(gate: Gate, task: dict[str, Any], by: Actor) -> str:
    """Send a decision to the Workflow as a gateway signs it; answers the code of the refusal."""
    decision = Decision(
        id=uuid4().hex,
        task_id=task["task_id"],
        verdict=Verdict.APPROVE,
        by=by,
        revision=task["revision"],
        at=datetime.now(UTC),
    )
    handle = gate.app.state.services.gateway._client.get_workflow_handle(task["case_id"])
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await handle.execute_update("decide", decision, id=decision.id)
    return str(refused.value.cause.type)  # type: ignore[attr-defined]


def managers(id: str, kind: Any = "person") -> Actor:
    return Actor(id=id, kind=kind, groups=["managers"])


async def by_bulk(gate: Gate, task: dict[str, Any], person: str) -> httpx2.Response:
    item = {"task_id": task["task_id"], "verdict": "approve", "revision": task["revision"]}
    answer = await gate.post(person, "/tasks/decisions", {"items": [item]})
    if answer.status_code != 200:
        return answer
    (result,) = answer.json()["items"]
    return httpx2.Response(result["problem"]["status"], json=result["problem"])


Way = Callable[[Gate, dict[str, Any], str], Awaitable[httpx2.Response]]
WAYS: dict[str, Way] = {
    "decides": lambda gate, task, who: gate.decide(who, task),
    "decides in bulk": by_bulk,
    "claims": lambda gate, task, who: gate.post(who, f"{path_of(task)}/claim"),
    "delegates": lambda gate, task, who: gate.post(who, f"{path_of(task)}/delegate", {"to": "manager-3"}),
    "asks": lambda gate, task, who: gate.post(who, f"{path_of(task)}/questions", {"to": "manager-3", "text": "?"}),
    "is delegated to": lambda gate, task, who: gate.post("manager-1", f"{path_of(task)}/delegate", {"to": who}),
    "is given the task": lambda gate, task, who: gate.post("admin-1", f"{path_of(task)}/reassign", {"to": who}),
}


async def test_neither_the_account_nor_who_it_asks_for_decides(gate: Gate, bot: str) -> None:
    task = await asked(gate)
    for way, who in ((way, who) for way in WAYS for who in (bot, OWNER, PERSON)):
        answer = await WAYS[way](gate, task, who)
        assert answer.status_code in (403, 422), (way, who, answer.text)
        if who == bot and way.startswith("is "):  # nobody names an account where a person is meant
            assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "to"
        elif who == bot:
            assert answer.json()["type"] == "urn:holdgate:scope"
        else:
            assert "requester never decides" in answer.json()["rule"], (way, who, answer.text)
    # The same by messages that a gateway has signed, and on behalf of an absent manager.
    assert await update(gate, task, managers(bot, "service")) == RefusalCode.NOT_ALLOWED
    for who in (OWNER, PERSON):
        assert await update(gate, task, managers(who)) == RefusalCode.NOT_ALLOWED
    now = datetime.now(UTC)
    async with gate.database.write() as conn:
        away = Absence(person="manager-3", starts_at=now, ends_at=now + timedelta(hours=1), substitute=OWNER)
        await absences.set_away(conn, away, now, by="t")
    try:
        assert (await gate.decide(OWNER, task)).status_code == 403
    finally:
        async with gate.database.write() as conn:
            await absences.set_back(conn, "manager-3", datetime.now(UTC), by="t")
    for who in (bot, OWNER):
        mine = (await gate.get(who, "/tasks", mine=True, limit=200)).json()["items"]
        assert task["task_id"] not in {each["task_id"] for each in mine}
    case = await gate.case(task["case_id"])
    assert case["status"] == "awaiting_approval" and case["tasks"][0]["decisions"] == []
    assert (await gate.decide("manager-1", task)).status_code == 200


async def test_a_signal_of_a_service_account_is_refused_and_recorded(gate: Gate, bot: str) -> None:
    task, by, now = await asked(gate), managers(bot, "service"), datetime.now(UTC)
    handle = gate.app.state.services.gateway._client.get_workflow_handle(task["case_id"])
    decision = Decision(id=uuid4().hex, task_id=task["task_id"], verdict=Verdict.APPROVE, by=by, revision=1, at=now)
    await handle.signal("submit_decision", decision)
    await handle.signal("submit_action", Action(id=uuid4().hex, task_id=task["task_id"], act=Act.CLAIM, by=by, at=now))
    await handle.signal("submit_start", StartNow(id=uuid4().hex, by=by, at=now))
    other = managers("other-bot", "service")
    await handle.signal("cancel_case", Cancellation(id=uuid4().hex, by=other, reason="mine now", at=now))
    refusals = {"decision_refused", "action_refused", "message_refused"}
    case = await gate.until(task["case_id"], lambda case: refusals <= {event["kind"] for event in case["timeline"]})
    assert case["status"] == "awaiting_approval"
    refused = [event for event in case["timeline"] if event["kind"] in refusals]
    assert {event["actor"] for event in refused} == {"temporal"}
    assert any("only what it started itself" in event["summary"] for event in refused)
    assert (await gate.decide("manager-1", task)).status_code == 200


async def test_the_case_is_seen_and_cancelled_by_who_counts_as_requester(gate: Gate, bot: str) -> None:
    answer = await ask(gate)
    assert answer.json()["on_behalf_of"] == PERSON and answer.json()["requester"] == bot
    case_id = answer.json()["case_id"]
    await gate.open_task(case_id)
    case = await gate.case(case_id, PERSON)
    assert case["asked_for"] == [PERSON, OWNER]
    assert case["timeline"][0]["actor"] == bot and case["timeline"][0]["data"]["on_behalf_of"] == PERSON
    assert (await gate.get("requester-2", f"/cases/{quote(case_id, safe='')}")).status_code == 404
    assert case_id in {each["case_id"] for each in (await gate.get(PERSON, "/cases", requester=PERSON)).json()["items"]}
    cancel = f"/cases/{quote(case_id, safe='')}/cancel"
    assert (await gate.post("requester-2", cancel, {"reason": "no"})).status_code == 404
    assert (await gate.post("manager-1", cancel, {"reason": "no"})).status_code == 403
    # An account in the group of the operators cancels no case of somebody else.
    theirs = await gate.start("requester-2")
    no = await gate.post(bot, f"/cases/{quote(theirs, safe='')}/cancel", {"reason": "no"})
    assert no.status_code == 403, no.text
    for who in (bot, PERSON, OWNER):
        one = case_id if who == bot else (await ask(gate)).json()["case_id"]
        await gate.open_task(one)
        assert (await gate.post(who, f"/cases/{quote(one, safe='')}/cancel", {"reason": "r"})).status_code == 202
        await gate.until(one, lambda case: case["status"] == "cancelled")


@pytest.mark.parametrize(
    ("who", "behalf", "status", "said"),
    [
        (PERSON, "requester-2", 403, "Only a service account asks on behalf of a person"),
        (BOT, "nobody", 422, "active person"),
        (BOT, BOT, 422, "active person"),
        (BOT, "auditor-1", 422, "may not start cases"),
    ],
)
async def test_an_account_asks_for_people_who_may_ask(
    gate: Gate, bot: str, who: str, behalf: str, status: int, said: str
) -> None:
    answer = await gate.post(who, "/cases", payment() | {"on_behalf_of": behalf})
    assert answer.status_code == status and said in answer.json()["detail"], answer.text
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "on_behalf_of"


async def test_uploads_resubmissions_and_idempotent_repeats_keep_who_was_asked_for(gate: Gate, bot: str) -> None:
    mark = uuid4().hex[:8]
    file = {"file": ("p.csv", sheet(f"{mark}-1,Somebody,700.00,GBP,operating,"), "text/csv")}
    params = {"process": "payment", "on_behalf_of": PERSON}
    taken = await gate.as_(bot).post(f"{API}/batches", params=params, files=file)
    assert taken.status_code == 202 and taken.json()["on_behalf_of"] == PERSON, taken.text
    where = f"/batches/{taken.json()['batch_id']}"
    for who, seen in ((PERSON, 200), (OWNER, 200), ("requester-2", 404)):
        assert (await gate.get(who, where)).status_code == seen
    listed = (await gate.get(OWNER, "/batches", limit=200)).json()["items"]
    assert taken.json()["batch_id"] in {each["batch_id"] for each in listed}
    rows = await eventually(lambda: _items(gate, f"{where}/rows"), lambda rows: rows and rows[0]["case_id"])
    task = await gate.open_task(rows[0]["case_id"])
    assert (task["on_behalf_of"], task["asked_for"]) == (PERSON, [PERSON, OWNER])
    assert (await gate.decide(OWNER, task)).status_code == 403
    assert (await gate.decide("manager-1", task, "reject", comment="no")).status_code == 200
    await gate.until(rows[0]["case_id"], lambda case: case["status"] == "rejected")
    again = payment(f"{mark}-1", amount="700.00") | {"resubmits": rows[0]["case_id"]}
    answer = await gate.post(bot, "/cases", again, Idempotency_Key=mark)
    assert answer.status_code == 201 and answer.json()["on_behalf_of"] == PERSON, answer.text
    assert (await gate.post(bot, "/cases", again, Idempotency_Key=mark)).json() == answer.json()
    assert (await gate.case(answer.json()["case_id"]))["asked_for"] == [PERSON, OWNER]


async def _items(gate: Gate, path: str) -> list[dict[str, Any]]:
    return list((await gate.get("auditor-1", path)).json()["items"])


async def test_a_new_owner_does_not_decide_what_is_open(gate: Gate, bot: str) -> None:
    task = await asked(gate)
    changed = await gate.as_("admin-1").patch(f"{API}/service-accounts/{bot}", json={"owners": [OWNER, "manager-1"]})
    assert changed.status_code == 200, changed.text
    try:
        later = await asked(gate)
        assert (await gate.decide("manager-1", later)).status_code == 403
        assert (await gate.decide("manager-3", later)).status_code == 200
    finally:
        await gate.as_("admin-1").patch(f"{API}/service-accounts/{bot}", json={"owners": [OWNER]})
    assert (await gate.decide("manager-3", task)).status_code == 200


async def test_who_may_do_what_with_service_accounts(gate: Gate, bot: str) -> None:
    new = {"id": f"x-{uuid4().hex[:6]}", "name": "X", "owners": [OWNER], "scopes": ["cases:read"]}
    for who, status in (("admin-1", 201), ("auditor-1", 403), (OWNER, 404), ("requester-2", 404)):
        body = new | {"id": f"{new['id']}-{who}"}
        assert (await gate.post(who, "/service-accounts", body)).status_code == status, who
    id = f"{new['id']}-admin-1"
    one, made = f"/service-accounts/{id}", {"label": "more"}
    for who, seen, kept in (
        ("admin-1", 200, 201),
        ("auditor-1", 200, 403),
        (OWNER, 200, 201),
        ("requester-2", 404, 404),
    ):
        assert (await gate.get(who, one)).status_code == seen, who
        listed = {each["id"] for each in (await gate.get(who, "/service-accounts", limit=200)).json()["items"]}
        assert (id in listed) is (seen == 200), who
        assert (await gate.post(who, f"{one}/tokens", made)).status_code == kept, who
    assert (await gate.as_(OWNER).patch(API + one, json={"owners": ["manager-1"]})).status_code == 404
    shown = (await gate.get(OWNER, one)).json()
    assert len(shown["token_list"]) == 3 and "hg_" not in str(shown)
    gone = await gate.as_(OWNER).delete(f"{API}{one}/tokens/{shown['token_list'][0]['id']}")
    assert gone.status_code == 200 and gone.json()["tokens"] == 2
    assert (await gate.as_("requester-2").delete(API + one)).status_code == 404
    assert (await gate.as_(OWNER).delete(API + one)).status_code == 204
    assert (await gate.get(OWNER, one)).json()["status"] == "deactivated"
    for wrong, field in (
        ({"scopes": ["cases:decide"]}, "scopes.0"),
        ({"owners": ["nobody"]}, "owners"),
        ({"owners": [bot]}, "owners"),
        ({"owners": []}, "owners"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"id": bot}, "id"),
    ):
        answer = await gate.post("admin-1", "/service-accounts", new | wrong)
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field, answer.text


async def test_what_a_service_account_does_is_in_the_audit_log(gate: Gate, bot: str) -> None:
    async with gate.database.read() as conn:
        events = await audit_log.page(conn, "", limit=5000)
        account = await service_accounts.get(conn, bot)
    of_bot = [event for event in events if event.data.get("person") == bot]
    assert {"service_account_added", "token_made", "person_added"} <= {event.kind for event in of_bot}
    assert all("hg_" not in str(event.data) for event in of_bot)
    assert account.last_used_at is not None and account.groups == sorted(GROUPS)

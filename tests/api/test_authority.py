"""Each route of the OpenAPI document is allowed to exactly the people in the table of the HTTP contract."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from api.services import live_updates
from store.people import people, tokens
from store.receivers.accounts import AccountDirectory
from store.receivers.datasets import Datasets
from tests.api.conftest import Gate, payment

WHO = {
    "nobody": None,
    "requester": "requester-1",
    "candidate": "manager-1",
    "operator": "operator-1",
    "auditor": "auditor-1",
    "admin": "admin-1",
    "other": "steward-1",
}
YES = 0
"""Any answer but 401, 403 and 404."""

EVERYBODY = (YES, YES, YES, YES, YES, YES, YES)
SIGNED_IN = (401, YES, YES, YES, YES, YES, YES)
SEES_THE_CASE = (401, YES, YES, YES, YES, YES, 404)
STARTS = (401, YES, 403, 403, 403, YES, 403)
DECIDES = (401, 403, YES, 403, 403, 403, 404)
KEEPS_PEOPLE = (401, 404, 404, 404, 403, YES, 404)
READS_PEOPLE = (401, 404, 404, 404, YES, YES, 404)
ADMINISTERS = (401, 404, 404, 404, 404, YES, 404)
UPLOADER = (401, YES, 404, YES, YES, YES, 404)
ORDERS = (401, YES, 404, YES, 403, YES, 404)
READS_DATA = (401, YES, 404, YES, YES, YES, YES)
"""Anybody else here is a data steward."""
OVERSEES = (401, 404, 404, YES, YES, YES, 404)
OVERSEES_PEOPLE = (401, 404, 404, 404, 404, YES, 404)
"""Only HR and admins oversee the process for requests about people, by the shipped policy."""
KNOWS_PAYMENTS = (401, YES, YES, YES, YES, YES, 404)
KEEPS_ACCOUNTS = (401, 404, 404, 403, 403, YES, 404)

TABLE: dict[tuple[str, str], tuple[int, ...]] = {
    # ------------------------------------------ nobody, requester, candidate, operator, auditor, admin, anybody else
    ("get", "/health/live"): EVERYBODY,
    ("get", "/health/ready"): EVERYBODY,
    ("get", "/metrics"): EVERYBODY,
    ("get", "/api/v1/me"): SIGNED_IN,
    ("get", "/api/v1/events"): SIGNED_IN,
    ("get", "/api/v1/me/notices"): SIGNED_IN,
    ("put", "/api/v1/me/notices"): SIGNED_IN,
    ("get", "/api/v1/me/absence"): SIGNED_IN,
    ("put", "/api/v1/me/absence"): SIGNED_IN,
    ("delete", "/api/v1/me/absence"): SIGNED_IN,
    ("get", "/api/v1/me/tokens"): SIGNED_IN,
    ("post", "/api/v1/me/tokens"): (401, 403, 403, 403, 403, 403, 403),  # without a password of their own
    ("delete", "/api/v1/me/tokens/{token_id}"): (401, 404, 404, 404, 404, 404, 404),  # of others, for everybody
    # The gateway of these tests has no https, so there are no passkeys: test_passkeys.py has one.
    ("get", "/api/v1/me/passkeys"): (401, 404, 404, 404, 404, 404, 404),
    ("post", "/api/v1/me/passkeys"): (401, 404, 404, 404, 404, 404, 404),
    ("patch", "/api/v1/me/passkeys/{passkey_id}"): (401, 404, 404, 404, 404, 404, 404),
    ("delete", "/api/v1/me/passkeys/{passkey_id}"): (401, 403, 403, 403, 403, 403, 403),  # without a password
    ("get", "/api/v1/people"): READS_PEOPLE,
    ("post", "/api/v1/people"): KEEPS_PEOPLE,
    ("get", "/api/v1/people/{person_id}"): READS_PEOPLE,
    ("patch", "/api/v1/people/{person_id}"): KEEPS_PEOPLE,
    ("put", "/api/v1/people/{person_id}/groups/{group}"): KEEPS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/groups/{group}"): KEEPS_PEOPLE,
    ("get", "/api/v1/groups"): READS_PEOPLE,
    ("get", "/api/v1/people/{person_id}/tokens"): READS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/tokens/{token_id}"): KEEPS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/tokens"): KEEPS_PEOPLE,
    ("get", "/api/v1/people/{person_id}/passkeys"): READS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/passkeys/{passkey_id}"): (
        401,
        404,
        404,
        404,
        403,
        404,
        404,
    ),  # there is none
    ("post", "/api/v1/people/{person_id}/link"): (401, 404, 404, 404, 403, YES, YES),  # the last one to themselves
    ("get", "/api/v1/one-time-links"): READS_PEOPLE,
    ("post", "/api/v1/one-time-links/{link_id}/confirm"): (401, 404, 404, 404, 403, 404, 404),  # there is none
    ("post", "/api/v1/one-time-links/{link_id}/withdraw"): (401, 404, 404, 404, 403, 404, 404),
    ("post", "/api/v1/people/{person_id}/unlock"): KEEPS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/sessions"): KEEPS_PEOPLE,
    ("get", "/api/v1/people/{person_id}/absence"): READS_PEOPLE,
    ("put", "/api/v1/people/{person_id}/absence"): KEEPS_PEOPLE,
    ("delete", "/api/v1/people/{person_id}/absence"): KEEPS_PEOPLE,
    ("post", "/api/v1/people/{person_id}/replace"): KEEPS_PEOPLE,
    ("post", "/api/v1/people/{person_id}/deactivate"): KEEPS_PEOPLE,
    ("post", "/api/v1/people/{person_id}/reactivate"): KEEPS_PEOPLE,
    ("put", "/api/v1/tasks/{task_id}/follow-up"): SEES_THE_CASE,
    ("delete", "/api/v1/tasks/{task_id}/follow-up"): SEES_THE_CASE,
    ("get", "/api/v1/processes"): SIGNED_IN,
    ("get", "/api/v1/processes/{name}"): KNOWS_PAYMENTS,
    ("get", "/api/v1/processes/{name}/template.csv"): KNOWS_PAYMENTS,
    ("get", "/api/v1/cases"): SIGNED_IN,
    ("post", "/api/v1/cases"): STARTS,
    ("get", "/api/v1/cases/{case_id}"): SEES_THE_CASE,
    ("post", "/api/v1/cases/{case_id}/cancel"): (401, YES, 403, YES, 403, YES, 404),
    ("post", "/api/v1/cases/{case_id}/start"): (401, YES, 403, YES, 403, YES, 404),
    ("post", "/api/v1/cases/{case_id}/rollback"): (401, 403, 403, YES, 403, YES, 404),
    ("get", "/api/v1/incidents"): (401, 404, 404, YES, 404, YES, 404),
    ("post", "/api/v1/incidents/decisions"): (401, 404, 404, YES, 404, YES, 404),
    ("get", "/api/v1/cases/{case_id}/comments"): SEES_THE_CASE,
    ("get", "/api/v1/cases/{case_id}/timeline"): SEES_THE_CASE,
    ("post", "/api/v1/cases/{case_id}/comments"): SEES_THE_CASE,
    ("get", "/api/v1/cases/{case_id}/attachments"): SEES_THE_CASE,
    ("post", "/api/v1/cases/{case_id}/attachments"): SEES_THE_CASE,
    ("get", "/api/v1/cases/{case_id}/attachments/{attachment_id}"): SEES_THE_CASE,
    ("get", "/api/v1/dashboard"): SIGNED_IN,  # of what they may see
    ("get", "/api/v1/tasks"): SIGNED_IN,
    ("get", "/api/v1/tasks/{task_id}"): SEES_THE_CASE,
    ("get", "/api/v1/tasks/{task_id}/receipt"): SEES_THE_CASE,
    ("post", "/api/v1/tasks/{task_id}/decision"): DECIDES,
    ("post", "/api/v1/tasks/decisions"): SIGNED_IN,
    ("post", "/api/v1/tasks/reassign"): (401, 403, 403, YES, 403, YES, 403),
    ("post", "/api/v1/tasks/{task_id}/claim"): DECIDES,
    ("post", "/api/v1/tasks/{task_id}/release"): (401, 403, 403, 403, 403, YES, 404),
    ("post", "/api/v1/tasks/{task_id}/reassign"): (401, 403, 403, YES, 403, YES, 404),
    ("post", "/api/v1/tasks/{task_id}/delegate"): DECIDES,
    ("post", "/api/v1/tasks/{task_id}/withdraw"): (401, 403, 403, 403, 403, 403, 404),
    ("post", "/api/v1/tasks/{task_id}/questions"): DECIDES,
    ("post", "/api/v1/tasks/{task_id}/questions/{question_id}/answer"): (401, YES, YES, YES, YES, YES, 404),
    ("post", "/api/v1/tasks/{task_id}/questions/{question_id}/withdraw"): (401, YES, YES, YES, YES, YES, 404),
    ("post", "/api/v1/tasks/{task_id}/nudge"): (401, YES, 403, 403, 403, 403, 404),
    ("post", "/api/v1/tasks/{task_id}/clock"): (401, 403, 403, 403, 403, YES, 404),
    ("get", "/api/v1/decisions/{decision_id}"): (401, 404, YES, YES, YES, YES, 404),
    # There is none while a worker answers; test_messages_without_worker.py asks for one.
    ("get", "/api/v1/actions/{action_id}"): (401, 404, 404, 404, 404, 404, 404),
    ("post", "/api/v1/batches"): STARTS,
    ("get", "/api/v1/batches"): SIGNED_IN,
    ("get", "/api/v1/batches/{batch_id}"): UPLOADER,
    ("get", "/api/v1/batches/{batch_id}/events"): UPLOADER,
    ("get", "/api/v1/batches/{batch_id}/rows"): UPLOADER,
    ("post", "/api/v1/batches/{batch_id}/pause"): ORDERS,
    ("post", "/api/v1/batches/{batch_id}/resume"): ORDERS,
    ("post", "/api/v1/batches/{batch_id}/cancel"): ORDERS,
    ("get", "/api/v1/policies/{hash}"): (401, 404, 404, 404, YES, YES, 404),
    ("post", "/api/v1/policies/apply"): ADMINISTERS,
    ("get", "/api/v1/audit"): OVERSEES,
    ("get", "/api/v1/audit/pack"): OVERSEES,
    ("get", "/api/v1/audit/keys"): SIGNED_IN,
    ("get", "/api/v1/audit/checkpoint"): (401, 404, 404, 404, 404, 404, 404),  # there is none
    ("get", "/api/v1/ledger/accounts/{name}"): OVERSEES,
    ("get", "/api/v1/ledger/entries"): OVERSEES,
    ("get", "/api/v1/ledger/accounts"): OVERSEES,
    ("post", "/api/v1/ledger/accounts"): KEEPS_ACCOUNTS,
    ("post", "/api/v1/ledger/accounts/{name}/funds"): KEEPS_ACCOUNTS,
    ("get", "/api/v1/ledger/changes"): OVERSEES,
    ("get", "/api/v1/ledger/changes/{change_id}"): (401, 404, 404, 404, 404, 404, 404),  # there is none of this id
    ("post", "/api/v1/ledger/changes/{change_id}/confirm"): (401, 404, 404, 403, 403, 404, 404),
    ("post", "/api/v1/ledger/changes/{change_id}/withdraw"): (401, 404, 404, 403, 403, 404, 404),
    ("get", "/api/v1/directory/accounts/{username}"): OVERSEES_PEOPLE,
    ("get", "/api/v1/datasets"): READS_DATA,
    ("get", "/api/v1/datasets/{name}"): READS_DATA,
    ("get", "/api/v1/risks"): OVERSEES,
}


@dataclass
class Things:
    """One of each thing that a path names."""

    batch_id: str
    decision_id: str
    policy: str
    token_id: str
    """Of the person `kept-1`, who does nothing."""
    new_task: Callable[[], Awaitable[dict[str, Any]]]
    """A case of requester-1 at its gate."""
    _untouched: dict[str, Any] | None = None

    async def untouched(self) -> dict[str, Any]:
        """A task to which nothing was done yet; the same one until somebody says that it is used up."""
        self._untouched = self._untouched or await self.new_task()
        return self._untouched

    def used_up(self) -> None:
        """Something was done to it, such as cancelling and deciding."""
        self._untouched = None


async def some_rows() -> AsyncIterator[list[dict[str, int]]]:
    yield [{"number": 1}]


@pytest_asyncio.fixture(scope="module")
async def things(gate: Gate) -> Things:
    async def new_task() -> dict[str, Any]:
        return await gate.open_task(await gate.start("requester-1"))

    task = await new_task()
    decided = await gate.decide("manager-1", task)
    sheet = ("good.csv", b"reference,payee,amount,currency,account\nAUTH-1,Somebody,1.00,GBP,operating\n", "text/csv")
    batch = await gate.as_("requester-1").post("/api/v1/batches?process=payment", files={"file": sheet})
    assert batch.status_code == 202, batch.text
    policy = (await gate.case(task["case_id"]))["policy_hash"]
    await AccountDirectory(gate.database).reserve(
        "auth/key", "auth", username="auth.orised", full_name="A", email="a@example.org", role="r", manager=None
    )
    datasets = Datasets(gate.database)
    await datasets.stage("auth/stage", "auth", "payment", "0" * 64, {"columns": []}, some_rows())
    await datasets.publish("auth/publish", "auth", "payment", None)
    async with gate.database.write() as conn:
        await people.add(conn, "kept-1", "Kept", [], by="admin-1")
        await tokens.make(conn, "kept-1", "auth", by="admin-1")
        (token,) = await tokens.of(conn, "kept-1")
    return Things(batch.json()["batch_id"], decided.json()["decision_id"], policy, token.id, new_task)


async def ask(gate: Gate, things: Things, person: str | None, method: str, path: str) -> int:
    status = await answered(gate, things, person, method, path)
    if method != "get" and status < 400:
        things.used_up()
    return status


async def answered(gate: Gate, things: Things, person: str | None, method: str, path: str) -> int:
    task = await things.untouched() if "case_id" in path or "task_id" in path else {"case_id": "", "task_id": ""}
    attachment = ""
    if "attachment_id" in path:
        files = {"file": ("order.txt", b"An order", "text/plain")}
        case_path = f"/api/v1/cases/{quote(task['case_id'], safe='')}/attachments"
        attachment = (await gate.as_("requester-1").post(case_path, files=files)).json()["attachment_id"]
    where = path.format(
        attachment_id=attachment,
        case_id=quote(task["case_id"], safe=""),
        task_id=task["task_id"],
        decision_id=things.decision_id,
        action_id="none",
        batch_id=things.batch_id,
        hash=things.policy,
        question_id="none",
        person_id="kept-1" if "tokens" in path or "groups" in path else "steward-1",
        token_id=things.token_id,
        passkey_id="none",
        group="kept",
        username="auth.orised",
        name="operating" if "ledger" in path else "payment",
        change_id="none",
        link_id="none",
    )
    bodies: dict[str, Any] = {
        "/api/v1/cases": payment(),
        "/api/v1/cases/{case_id}/cancel": {"reason": "a test"},
        "/api/v1/cases/{case_id}/start": None,
        "/api/v1/cases/{case_id}/rollback": {"reason": "a test"},
        "/api/v1/ledger/accounts": {"account": "tested", "currency": "GBP", "reason": "a test"},
        "/api/v1/ledger/accounts/{name}/funds": {"currency": "GBP", "amount": "1.00", "reason": "a test"},
        "/api/v1/incidents/decisions": {"verdict": "retry", "task_ids": ["none"]},
        "/api/v1/cases/{case_id}/comments": {"text": "A comment"},
        "/api/v1/tasks/{task_id}/decision": {"verdict": "approve", "revision": 1},
        "/api/v1/me/notices": {"choices": {"task_lost": "off"}},
        "/api/v1/me/absence": {"from": "2033-01-01", "to": "2033-01-02"},
        "/api/v1/people/{person_id}/absence": {"from": "2033-01-01", "to": "2033-01-02"},
        "/api/v1/me/tokens": {"label": "a test", "password": "none"},
        "/api/v1/me/passkeys": {"password": "none"},
        "/api/v1/me/passkeys/{passkey_id}": {"name": "A test"} if method == "patch" else {},
        "/api/v1/people": {"id": "no id", "name": "A test"},
        "/api/v1/people/{person_id}": {"time_zone": None},
        "/api/v1/people/{person_id}/replace": {"by": "nobody-1", "reason": "a test"},
        # Without a reason it is refused, behind the question whether they may.
        "/api/v1/people/{person_id}/deactivate": {"reason": ""},
        "/api/v1/people/{person_id}/reactivate": {"groups": []},
        "/api/v1/tasks/{task_id}/follow-up": {"until": "2033-01-01T00:00:00Z"},
        "/api/v1/policies/apply": {"dry_run": True},
        "/api/v1/batches/{batch_id}/pause": {"reason": "a test"},
        "/api/v1/batches/{batch_id}/resume": {"reason": "a test"},
        "/api/v1/batches/{batch_id}/cancel": {"reason": "a test"},
        "/api/v1/tasks/reassign": {"to": "manager-2", "filter": {"gate": "none"}},
        "/api/v1/tasks/{task_id}/claim": {},
        "/api/v1/tasks/{task_id}/release": {},
        "/api/v1/tasks/{task_id}/reassign": {"to": "manager-2"},
        "/api/v1/tasks/{task_id}/delegate": {"to": "manager-2"},
        "/api/v1/tasks/{task_id}/withdraw": {},
        "/api/v1/tasks/{task_id}/questions": {"to": "requester-1", "text": "Which order?"},
        "/api/v1/tasks/{task_id}/questions/{question_id}/answer": {"text": "None"},
        "/api/v1/tasks/{task_id}/questions/{question_id}/withdraw": {},
        "/api/v1/tasks/{task_id}/nudge": None,
        "/api/v1/tasks/{task_id}/clock": {"due_at": "2033-01-01T00:00:00Z", "reason": "a test"},
        "/api/v1/tasks/decisions": {"items": [{"task_id": "none", "verdict": "approve"}]},
    }
    client = gate.as_(person)
    if method == "get":
        params = {"currency": "GBP"} if path.endswith("/ledger/accounts/{name}") else {}
        if path == "/api/v1/audit/pack":
            params = {"case_id": (await things.untouched())["case_id"]}
        return (await client.get(where, params=params)).status_code
    if method == "post" and path.endswith("/attachments"):
        return (await client.post(where, files={"file": ("order.txt", b"An order", "text/plain")})).status_code
    if path == "/api/v1/batches":
        files = {"file": ("x.csv", b"", "text/csv")}
        return (await client.post(where, params={"process": "payment", "dry_run": "true"}, files=files)).status_code
    return (await client.request(method, where, json=bodies.get(path))).status_code


def test_every_route_has_its_row_in_the_table(gate: Gate) -> None:
    routes = {(method, path) for path, item in gate.app.openapi()["paths"].items() for method in item}
    assert routes == set(TABLE)


@pytest.mark.parametrize(("method", "path"), list(TABLE))
async def test_a_route_lets_in_whom_the_table_says(
    gate: Gate, things: Things, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "LIFETIME_S", 0.05)  # here an answer is there when it has ended
    answers = {who: await ask(gate, things, person, method, path) for who, person in WHO.items()}
    met = {who: YES if status not in {401, 403, 404} else status for who, status in answers.items()}
    assert met == dict(zip(WHO, TABLE[method, path], strict=True)), answers
    assert all(status < 500 for status in answers.values()), answers


async def test_what_does_not_exist_and_what_nobody_may_see_look_the_same(gate: Gate, things: Things) -> None:
    case_id = await gate.start()
    foreign = await gate.get("steward-1", f"/cases/{quote(case_id, safe='')}")
    absent = await gate.get("steward-1", "/cases/payment:none")
    assert foreign.status_code == 404
    assert foreign.json() == absent.json()
    task = await things.new_task()
    assert (await gate.get("steward-1", f"/tasks/{task['task_id']}")).json() == (
        await gate.get("steward-1", "/tasks/none")
    ).json()


async def test_lists_hold_only_what_the_caller_may_see(gate: Gate) -> None:
    case_id = await gate.start("requester-1")
    task = await gate.open_task(case_id)
    for person, sees in {"requester-1": True, "manager-2": True, "auditor-1": True, "requester-2": False}.items():
        cases = (await gate.get(person, "/cases", q=case_id)).json()["items"]
        tasks = (await gate.get(person, "/tasks", q=case_id)).json()["items"]
        assert [case["case_id"] for case in cases] == [case_id] * sees, person
        assert [each["task_id"] for each in tasks] == [task["task_id"]] * sees, person


async def test_a_revoked_or_invented_token_is_nobody(gate: Gate) -> None:
    for token in ("", "hg_invented", "x" * 100_000, "hg_\xff"):
        answer = await gate.as_(None).get(
            "/api/v1/me", headers=[(b"authorization", f"Bearer {token}".encode("latin-1"))]
        )
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"

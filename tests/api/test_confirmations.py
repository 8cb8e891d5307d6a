"""Decisions that people confirm with the password or a passkey, over HTTP and on the pages."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import delete, func, select, update

from api.app import create_app
from api.gateway import decisions
from domain.proof.keys import base64url
from store.audit import audit_log
from store.audit.verification import verify_case
from store.cases import tasks
from store.people import passwords, people, tokens
from store.tables.cases import pending_confirmations, proofs
from store.tables.people import passwords as stored_passwords
from tests.api.conftest import Gate, Work, eventually
from tests.api.pages.visits import parsed, signed_in
from tests.api.test_evidence_pack import lines, opened
from tests.support.authenticator import Authenticator

HOME = "http://localhost:8000"
PASSWORD = "correct horse battery"
HASHED = passwords.hash_of(PASSWORD)
CONFIRM = """
confirm = "amount >= 5000 ? 'passkey' : amount >= 1000 ? 'password' : 'none'"
"""
FREE, BY_PASSWORD, BY_PASSKEY = "600.00", "1250.00", "6000.00"
"""Amounts, and how the decisions on them are confirmed."""


@pytest_asyncio.fixture(scope="module")
async def site(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    """A second gateway with a host name, for passkeys, and a policy that asks for confirmations."""
    policy = tmp_path_factory.mktemp("confirm") / "policy.toml"
    section = "[payment.gates.manager-approval]\n"
    policy.write_text(gate.settings.policy.read_text().replace(section, section + CONFIRM.lstrip()))
    settings = gate.settings.model_copy(update={"policy": policy, "public_url": HOME})
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Gate(app, settings, gate.database, gate.client, gate.tokens, gate.refusals, gate.keys)


@asynccontextmanager
async def other_gateway(site: Gate) -> AsyncIterator[Gate]:
    """One more gateway with the same database."""
    app = create_app(site.settings)
    async with app.router.lifespan_context(app):
        yield replace(site, app=app, _clients={})


async def manager(site: Gate, *, password: bool = True) -> str:
    """A new manager with a token and perhaps a password; answers their id."""
    id = f"p-{uuid4().hex[:8]}"
    async with site.database.write() as conn:
        await people.add(conn, id, f"Mia {id}", ["managers"], by="t")
        site.tokens[id] = await tokens.make(conn, id, "laptop", by="t")
        if password:
            await passwords.put(conn, id, HASHED, datetime.now(UTC), by=id)
    return id


async def with_passkey(site: Gate) -> tuple[str, Authenticator]:
    """A new manager with a passkey."""
    person, device = await manager(site), Authenticator(origin=HOME)
    asked = await site.post(person, "/me/passkeys", {"password": PASSWORD})
    made = await site.post(
        person, "/me/passkeys", {"credential": device.create(asked.json()["options"]), "name": "Laptop"}
    )
    assert made.status_code == 201, made.text
    return person, device


async def waiting(site: Gate, amount: str) -> dict[str, Any]:
    return await site.open_task(await site.start(amount=amount))


async def events(site: Gate, task: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    async with site.database.read() as conn:
        found = await audit_log.page(conn, case_id=task["case_id"], limit=1000)
    return [event.data for event in found if event.kind == kind]


async def undecided(site: Gate, task: dict[str, Any]) -> None:
    async with site.database.read() as conn:
        now = await tasks.get(conn, task["task_id"])
    assert now is not None and now.decisions == [] and now.status == "open"


async def decided(site: Gate, task: dict[str, Any], person: str, method: str) -> None:
    """The decision counts, and everything that the audit log keeps about it is right."""
    case = await site.until(task["case_id"], lambda case: case["status"] == "completed")
    (view,) = case["tasks"][-1]["decisions"]
    assert (view["by"], view["confirmed"], view["name"]) == (person, method, f"Mia {person}")
    (event,) = await events(site, task, "decided")
    assert event["confirmed"] == {"method": method, "name": f"Mia {person}", "at": view["at"].replace("Z", "+00:00")}
    async with site.database.read() as conn:
        assert (await verify_case(conn, task["case_id"], keys=site.keys.registry)).problems == []


# ------------------------------------------------------------------------------------------------------- the password


async def test_a_decision_is_confirmed_with_the_password(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    assert task["confirm"] == "password"
    asked = await site.decide(person, task)
    address = f"{HOME}/tasks/{task['task_id']}"
    problem = asked.json()
    assert (asked.status_code, problem["type"], problem["code"]) == (
        403,
        "urn:holdgate:confirm-needed",
        "ConfirmNeeded",
    )
    assert (problem["method"], problem["field"], problem["review_url"]) == ("password", "password", address)
    wrong = await site.decide(person, task, password="wrong horse battery")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "password")
    await undecided(site, task)
    right = await site.decide(person, task, password=PASSWORD)
    assert right.status_code == 200, right.text
    await decided(site, task, person, "password")
    assert await events(site, task, "decision_refused") == [], "to be asked is no refusal"


async def test_what_is_wrong_besides_is_said_before_people_confirm(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    assert (await site.decide(person, task, revision=7)).status_code == 409
    assert (await site.decide(person, task, "request_changes")).json()["errors"][0]["field"] == "comment"
    assert (await site.decide("requester-1", task)).json()["type"] == "urn:holdgate:not-allowed"
    assert (await site.decide(person, task, "maybe")).status_code == 422


async def test_a_repeat_gets_the_first_answer_without_a_confirmation(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    first = await site.decide(person, task, decision_id="once", password=PASSWORD)
    again = await site.decide(person, task, decision_id="once", revision=task["revision"])
    assert (first.status_code, again.status_code) == (200, 200), again.text
    assert first.json()["decision_id"] == again.json()["decision_id"]


async def test_a_person_with_nothing_to_confirm_with_is_told_what_to_do(site: Gate) -> None:
    person = await manager(site, password=False)
    by_password, by_passkey = await waiting(site, BY_PASSWORD), await waiting(site, BY_PASSKEY)
    told = [(await site.decide(person, task)).json() for task in (by_password, by_passkey)]
    assert "You have no password yet. Ask an administrator for a one-time link" in told[0]["detail"]
    assert "This decision needs a passkey, and you have none. Add a passkey on the page Settings" in told[1]["detail"]
    assert [each["method"] for each in told] == ["password", "passkey"]
    assert all("field" not in each and "nonce" not in each for each in told)
    refused = await site.decide(person, by_password, password=PASSWORD)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:holdgate:not-allowed")
    await undecided(site, by_password)


async def test_a_passkey_is_enough_for_people_without_a_password(site: Gate) -> None:
    person, device = await with_passkey(site)
    async with site.database.write() as conn:
        await conn.execute(delete(stored_passwords).where(stored_passwords.c.person == person))
    task = await waiting(site, BY_PASSWORD)
    answer = await confirmed(site, device, person, task)
    assert answer.status_code == 200, answer.text
    await decided(site, task, person, "passkey")


async def test_tries_of_passwords_are_limited(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    answers = [await site.decide(person, task, password=f"wrong {n} horse battery") for n in range(7)]
    assert answers[-1].status_code == 403 and "Too many attempts" in answers[-1].json()["detail"]
    assert (await site.decide(person, task, password=PASSWORD)).status_code == 403
    await undecided(site, task)


# --------------------------------------------------------------------------------------------------------- the passkey


async def confirmed(site: Gate, device: Authenticator, person: str, task: dict[str, Any], **more: Any) -> Any:
    """Ask for the challenge of an approval, let the device sign it, and decide."""
    asked = await site.decide(person, task)
    assert (asked.status_code, asked.json()["method"]) == (403, "passkey"), asked.text
    return await site.decide(person, task, passkey=signature(device, asked.json()), **more)


def signature(device: Authenticator, problem: dict[str, Any], **altered: Any) -> dict[str, Any]:
    return {"nonce": problem["nonce"], "credential": device.get(problem["options"], **altered)}


async def test_a_decision_is_confirmed_with_a_passkey(site: Gate) -> None:
    person, device = await with_passkey(site)
    task = await waiting(site, BY_PASSKEY)
    asked = (await site.decide(person, task)).json()
    assert asked["challenge"] == asked["options"]["challenge"] and asked["options"]["userVerification"] == "required"
    assert [each["id"] for each in asked["options"]["allowCredentials"]] == [device.credential_id]
    assert datetime.fromisoformat(asked["expires_at"]) - datetime.now(UTC) < timedelta(minutes=5)
    not_enough = await site.decide(person, task, password=PASSWORD)
    assert (not_enough.status_code, not_enough.json()["method"]) == (403, "passkey")
    await undecided(site, task)
    async with other_gateway(site) as elsewhere:
        answer = await elsewhere.decide(person, task, passkey=signature(device, asked))
    assert answer.status_code == 200, answer.text
    await decided(site, task, person, "passkey")
    async with site.database.read() as conn:
        kept = (await conn.execute(select(proofs.c.text).where(proofs.c.case_id == task["case_id"]))).scalar_one()
        assert not await conn.scalar(select(func.count()).where(pending_confirmations.c.nonce == asked["nonce"]))
    assert json.loads(kept.partition("\n")[2])["confirmation"]["nonce"] == asked["nonce"]


USED, OTHER = "was used before, or is older than 5 minutes", "Your passkey confirmed another decision"
OTHER_TASK, NOT_ACCEPTED = "is for a decision on another task, or of another person", "The passkey was not accepted"
Change = Callable[[dict[str, Any]], Any]
FALSE: dict[str, tuple[Change, str]] = {
    "another verdict": (lambda sent: sent.update(verdict="reject"), OTHER),
    "another comment": (lambda sent: sent.update(comment="pay twice"), OTHER),
    "another revision": (lambda sent: sent.update(revision=2), OTHER),
    "no revision": (lambda sent: sent.pop("revision"), OTHER),
    "edits": (lambda sent: sent.update(edits={"amount": "9999.00"}), OTHER),
    "another id": (lambda sent: sent.update(decision_id="another"), OTHER),
    "unknown nonce": (lambda sent: sent["passkey"].update(nonce="x"), USED),
    "empty answer": (lambda sent: sent["passkey"].update(credential={}), NOT_ACCEPTED),
    "no signature": (lambda sent: sent["passkey"]["credential"]["response"].pop("signature"), NOT_ACCEPTED),
    "another signature": (
        lambda sent: sent["passkey"]["credential"]["response"].update(signature=base64url(bytes(64))),
        NOT_ACCEPTED,
    ),
    "another passkey": (lambda sent: sent["passkey"]["credential"].update(id="AAAA"), NOT_ACCEPTED),
}


@pytest.mark.parametrize("what", FALSE)
async def test_a_passkey_confirms_exactly_one_decision(site: Gate, what: str) -> None:
    person, device = await with_passkey(site)
    task = await waiting(site, BY_PASSKEY)
    asked = (await site.decide(person, task)).json()
    change, why = FALSE[what]
    sent = {"verdict": "approve", "revision": task["revision"], "passkey": signature(device, asked)}
    true = json.loads(json.dumps(sent))
    change(sent)
    path = f"/tasks/{task['task_id']}/decision"
    refused = await site.post(person, path, sent)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:holdgate:confirm-needed"), refused.text
    assert why in refused.json()["detail"]
    await undecided(site, task)
    (event,) = await events(site, task, "decision_refused")
    assert event["code"] == "ConfirmNeeded"
    once = await site.post(person, path, true)
    assert once.status_code == (200 if what == "unknown nonce" else 403), "the nonce is used up by a wrong answer, too"


async def test_a_passkey_confirms_one_task_of_one_person_once(site: Gate) -> None:
    (person, device), (colleague, other_device) = await with_passkey(site), await with_passkey(site)
    first, second = await waiting(site, BY_PASSKEY), await waiting(site, BY_PASSKEY)

    async def ask() -> dict[str, Any]:
        problem: dict[str, Any] = (await site.decide(person, first)).json()
        return problem

    elsewhere = await site.decide(person, second, passkey=signature(device, await ask()))
    assert OTHER_TASK in elsewhere.json()["detail"]
    stolen = await site.decide(colleague, first, passkey=signature(device, await ask()))
    assert OTHER_TASK in stolen.json()["detail"]
    asked = (await site.decide(colleague, first)).json()
    theirs = await site.decide(colleague, first, passkey=signature(device, asked))
    assert NOT_ACCEPTED in theirs.json()["detail"], "the passkey of another person"
    asked = await ask()
    for altered in ({"origin": "http://evil.localhost:8000"}, {"crossOrigin": True}, {"type": "webauthn.create"}):
        wrong = await site.decide(person, first, passkey=signature(device, asked, **altered))
        assert wrong.status_code == 403, altered
        asked = await ask()
    device.verifies = False
    assert NOT_ACCEPTED in (await site.decide(person, first, passkey=signature(device, asked))).json()["detail"]
    device.verifies = True
    asked = await ask()
    async with site.database.write() as conn:
        await people.join(conn, person, "directors", by="t")
    changed = await site.decide(person, first, passkey=signature(device, asked))
    assert OTHER in changed.json()["detail"], "the person has other groups now"
    asked = await ask()
    late = update(pending_confirmations).where(pending_confirmations.c.nonce == asked["nonce"])
    async with site.database.write() as conn:
        await conn.execute(late.values(at=datetime.now(UTC) - timedelta(minutes=6)))
    assert USED in (await site.decide(person, first, passkey=signature(device, asked))).json()["detail"]
    await undecided(site, first)
    await undecided(site, second)
    answer = await confirmed(site, device, person, first)
    assert answer.status_code == 200, answer.text
    assert other_device.count == 0


async def test_a_confirmed_decision_is_stored_while_no_worker_runs(
    site: Gate, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "UPDATE_PATIENCE_S", 0.3)
    person, device = await with_passkey(site)
    task = await waiting(site, BY_PASSKEY)
    await work.stop()
    try:
        answer = await confirmed(site, device, person, task)
        assert answer.status_code == 202, answer.text
    finally:
        await work.start(site, 0)
    await eventually(lambda: site.case(task["case_id"]), lambda case: case["status"] == "completed")
    await decided(site, task, person, "passkey")


async def test_the_evidence_pack_has_printed_name_time_and_meaning(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    await site.decide(person, task, "reject", comment="Paid already", password=PASSWORD)
    case = await site.until(task["case_id"], lambda case: case["status"] == "rejected")
    (view,) = case["tasks"][-1]["decisions"]
    files = opened((await site.get("auditor-1", "/audit/pack", case_id=task["case_id"])).content)
    (signed,) = lines(files["signatures.csv"])
    assert (signed["name"], signed["meaning"], signed["method"]) == (f"Mia {person}", "rejected", "password")
    assert (signed["decision_id"], signed["person"]) == (view["decision_id"], person)
    assert datetime.fromisoformat(signed["signed_at"]) == datetime.fromisoformat(view["at"])
    assert f"Signed by Mia {person} with the password, " in files["report.html"]
    assert "Meaning: rejected." in files["report.html"]


# -------------------------------------------------------------------------------------------------- many, and on pages


async def test_one_password_confirms_a_selection(site: Gate) -> None:
    person, _ = await with_passkey(site)
    free, first, second, passkey = [
        await waiting(site, amount) for amount in (FREE, BY_PASSWORD, BY_PASSWORD, BY_PASSKEY)
    ]
    items = [
        {"task_id": task["task_id"], "verdict": "approve", "revision": task["revision"]}
        for task in (free, first, second, passkey)
    ]
    without = (await site.post(person, "/tasks/decisions", {"items": items[1:2]})).json()["items"]
    assert [(each["status"], each["problem"]["code"]) for each in without] == [("refused", "ConfirmNeeded")]
    wrong = await site.post(person, "/tasks/decisions", {"items": items, "password": "wrong horse battery"})
    assert wrong.status_code == 422
    results = (await site.post(person, "/tasks/decisions", {"items": items, "password": PASSWORD})).json()["items"]
    assert [each["status"] for each in results] == ["accepted", "accepted", "accepted", "refused"]
    problem = results[3]["problem"]
    assert (problem["method"], problem["review_url"]) == ("passkey", f"{HOME}/tasks/{passkey['task_id']}")
    assert "nonce" not in problem
    for task in (first, second):
        await decided(site, task, person, "password")
    await undecided(site, passkey)


def form_of(page: str) -> dict[str, str]:
    form = parsed(page).one("form", class_="decide")
    return {each.attrs["name"]: each.attrs.get("value", "") for each in form.all("input")}


async def test_the_page_asks_for_the_password(site: Gate) -> None:
    person, task = await manager(site), await waiting(site, BY_PASSWORD)
    async with signed_in(site, person) as client:
        address = f"/tasks/{task['task_id']}"
        form = form_of((await client.get(address)).text) | {"verdict": "approve", "comment": "fine"}
        assert form.pop("password") == ""
        wrong = await client.post(f"{address}/decide", data=form | {"password": "wrong horse battery"})
        assert wrong.status_code == 422
        assert parsed(wrong.text).one(id="task-password-error").text.startswith("The password is wrong")
        assert parsed(wrong.text).one("textarea", id="task-comment").raw.strip() == "fine"
        right = await client.post(f"{address}/decide", data=form | {"password": PASSWORD})
        assert right.status_code == 303, right.text
        await decided(site, task, person, "password")
        signed = f"Signed by Mia {person} with the password, "
        for shown in (address, f"/cases/{task['case_id']}"):
            page = parsed((await client.get(shown)).text)
            assert page.all(class_="signed")[0].text.startswith(signed)
            assert page.all(class_="signed")[0].text.endswith("Meaning: approved.")


async def test_the_page_asks_for_the_passkey_and_says_that_it_needs_a_script(site: Gate) -> None:
    person, device = await with_passkey(site)
    task = await waiting(site, BY_PASSKEY)
    async with signed_in(site, person) as client:
        address = f"/tasks/{task['task_id']}"
        form = form_of((await client.get(address)).text) | {"verdict": "approve"}
        plain = await client.post(f"{address}/decide", data=form)
        assert plain.status_code == 403 and "works only with JavaScript" in plain.text
        asked = await client.post(f"{address}/decide", data=form, headers={"Accept": "application/json"})
        signed = signature(device, asked.json())
        form |= {"nonce": signed["nonce"], "credential": json.dumps(signed["credential"])}
        other = await client.post(f"{address}/decide", data=form | {"credential": "[]"})
        assert other.status_code == 403 and NOT_ACCEPTED in other.text
        await undecided(site, task)
        asked = await client.post(
            f"{address}/decide", data=form | {"nonce": ""}, headers={"Accept": "application/json"}
        )
        signed = signature(device, asked.json())
        form |= {"nonce": signed["nonce"], "credential": json.dumps(signed["credential"])}
        assert (await client.post(f"{address}/decide", data=form)).status_code == 303
    await decided(site, task, person, "passkey")


async def test_the_page_says_what_a_person_with_nothing_to_confirm_with_can_do(site: Gate) -> None:
    person, task = await manager(site, password=False), await waiting(site, BY_PASSKEY)
    async with signed_in(site, person) as client:
        page = parsed((await client.get(f"/tasks/{task['task_id']}")).text)
    assert page.all("form", class_="decide") == []
    assert "This decision needs a passkey, and you have none" in page.one("aside").text
    assert "Confirmation Each person confirms the decision with a passkey" in page.one("section", class_="who").text


async def test_the_inbox_asks_once_and_leaves_out_what_needs_a_passkey(site: Gate) -> None:
    person, _ = await with_passkey(site)
    password, passkey = await waiting(site, BY_PASSWORD), await waiting(site, BY_PASSKEY)
    chosen = [f"{task['task_id']}.{task['revision']}" for task in (password, passkey)]
    form = {"verdict": "approve", "decision_id": uuid4().hex, "task": chosen}
    async with signed_in(site, person) as client:
        rows = parsed((await client.get("/")).text)
        assert "data-confirm" in rows.one("tr", id=password["task_id"]).attrs
        assert rows.one("tr", id=passkey["task_id"]).attrs["data-not"].startswith("The decision needs your passkey")
        page = parsed((await client.post("/bulk", data=form)).text)
        assert [each.attrs["value"] for each in page.all("input", name="task")] == chosen[:1]
        assert page.one("input", name="password").attrs["type"] == "password"
        sure = form | {"sure": "yes", "task": chosen[:1]}
        wrong = await client.post("/bulk", data=sure | {"password": "wrong horse battery"})
        assert wrong.status_code == 422 and "The password is wrong" in wrong.text
        done = await client.post("/bulk", data=sure | {"password": PASSWORD})
        assert done.status_code == 303, done.text
    await decided(site, password, person, "password")
    await undecided(site, passkey)


async def test_the_policy_page_and_the_preview_say_how_people_confirm(site: Gate) -> None:
    async with signed_in(site, "auditor-1") as client:
        page = parsed((await client.get("/policy")).text).text
    assert "with a password, a passkey or not at all, as amount >= 5000 ? 'passkey'" in page

"""Nobody can act as another person: by a token, an open browser, a route, or administrator rights."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import delete, select

from store.audit import audit_log
from store.people import passwords, people, sessions, tokens
from store.tables.people import (
    absences,
    failed_sign_ins,
    memberships,
    one_time_links as links,
    passwords as stored_passwords,
    people as persons,
    tokens as token_rows,
)
from tests.api.conftest import API, Gate
from tests.api.pages.visits import browser, secret, signed_in

PASSWORD = "correct horse battery"
HASHED = passwords.hash_of(PASSWORD)
ROLES = ("requester-1", "manager-1", "operator-1", "auditor-1", "steward-1", "admin-1")


async def somebody(
    gate: Gate, *, password: bool = False, groups: tuple[str, ...] = ("managers",), by: str = "t"
) -> str:
    """A new person with a token in `gate.tokens`; answers their id."""
    id = f"p-{uuid4().hex[:8]}"
    async with gate.database.write() as conn:
        await people.add(conn, id, id, groups, by=by, email=f"{id}@example.org")
        gate.tokens[id] = await tokens.make(conn, id, "laptop", by="holdgate")
        if password:
            await passwords.put(conn, id, HASHED, datetime.now(UTC), by=id)
    return id


async def credentials(gate: Gate) -> list[Any]:
    """All that lets people act, and as whom."""
    async with gate.database.read() as conn:
        return [
            list(await conn.execute(select(*columns).order_by(*columns)))
            for columns in (
                (token_rows.c.hash, token_rows.c.person),
                (stored_passwords.c.person, stored_passwords.c.hash),
                (memberships.c.person, memberships.c.group_name),
                (absences.c.person, absences.c.substitute),
                (persons.c.id, persons.c.email, persons.c.manager, persons.c.active, persons.c.successor),
            )
        ]


async def events(gate: Gate, kind: str) -> list[dict[str, Any]]:
    async with gate.database.read() as conn:
        newest = await audit_log.position(conn)
        return [each.data for each in await audit_log.page(conn, "", max(0, newest - 400), 400) if each.kind == kind]


# ---------------------------------------------------------------------------------- a session ends with what began it

ENDINGS: dict[str, Callable[[Gate, str], Awaitable[Any]]] = {}


def ending(work: Callable[[Gate, str], Awaitable[Any]]) -> Callable[[Gate, str], Awaitable[Any]]:
    ENDINGS[work.__name__] = work
    return work


async def id_of_token(gate: Gate, id: str) -> str:
    async with gate.database.read() as conn:
        return (await tokens.of(conn, id))[0].id


@ending
async def revoked_by_oneself(gate: Gate, id: str) -> Any:
    return await gate.as_(id).delete(f"{API}/me/tokens/{await id_of_token(gate, id)}")


@ending
async def revoked_by_an_admin(gate: Gate, id: str) -> Any:
    return await gate.as_("admin-1").delete(f"{API}/people/{id}/tokens/{await id_of_token(gate, id)}")


@ending
async def all_revoked(gate: Gate, id: str) -> Any:
    return await gate.as_("admin-1").delete(f"{API}/people/{id}/tokens")


@ending
async def deactivated(gate: Gate, id: str) -> Any:
    answer = await gate.post("admin-1", f"/people/{id}/deactivate", {"reason": "left"})
    await gate.post("admin-1", f"/people/{id}/reactivate", {"groups": ["managers"]})
    return answer


@ending
async def replaced(gate: Gate, id: str) -> Any:
    return await gate.post("admin-1", f"/people/{id}/replace", {"by": "manager-2", "reason": "left"})


@ending
async def signed_out_by_an_admin(gate: Gate, id: str) -> Any:
    return await gate.as_("admin-1").delete(f"{API}/people/{id}/sessions")


@pytest.mark.parametrize("how", ENDINGS)
async def test_a_session_ends_with_the_token_that_began_it(stopped: Gate, how: str) -> None:
    id = await somebody(stopped)
    async with signed_in(stopped, id) as client:
        assert id in (await client.get("/settings")).text
        answer = await ENDINGS[how](stopped, id)
        assert answer.status_code < 300, answer.text
        assert 'action="/sign-in"' in (await client.get("/settings")).text
        for path, form in (
            ("/settings/zone", {"value": ""}),
            ("/session", {}),
            ("/password", {"new": "x", "again": "x"}),
        ):
            assert (await client.post(path, data=form)).status_code in (401, 403), path
    async with stopped.database.read() as conn:
        assert await sessions.of(conn, id, datetime.now(UTC)) == []


async def test_a_session_that_begins_while_its_token_is_revoked_is_none(stopped: Gate) -> None:
    id, now = await somebody(stopped), datetime.now(UTC)
    async with stopped.database.write() as conn:
        person = await tokens.by_token(conn, stopped.tokens[id])
        assert person is not None
        await tokens.revoke_all(conn, id, by=id)
        proof = tokens.credential_of(stopped.tokens[id])
        begun = await sessions.begin(conn, person, "token", now, timedelta(hours=1), credential=proof)
        assert await sessions.by_token(conn, begun, now) is None


async def test_a_new_password_ends_all_other_sessions_and_one_begun_with_the_old_one(stopped: Gate) -> None:
    id, now = await somebody(stopped, password=True), datetime.now(UTC)
    async with signed_in(stopped, id) as other, browser(stopped) as here:
        await here.post("/sign-in", data={"name": id, "password": PASSWORD})
        form = {
            "csrf": secret((await here.get("/")).text),
            "old": PASSWORD,
            "new": "another good one",
            "again": "another good one",
        }
        assert (await here.post("/password", data=form)).status_code == 303
        assert id in (await here.get("/settings")).text
        assert 'action="/sign-in"' in (await other.get("/settings")).text
    async with stopped.database.write() as conn:
        person, old = await people.get(conn, id), passwords.credential_of(HASHED)
        late = await sessions.begin(conn, person, "password", now, timedelta(hours=1), credential=old)
        assert await sessions.by_token(conn, late, now) is None


# ---------------------------------------------------------------------- a thief with a token, or before an open browser


async def test_a_thief_makes_nothing_that_outlasts_what_was_stolen(stopped: Gate) -> None:
    id = await somebody(stopped)
    before = await credentials(stopped)
    new = {"new": "a thief's password", "again": "a thief's password"}
    async with signed_in(stopped, id) as client:
        page = (await client.get("/password")).text
        assert "Ask an administrator for a one-time link" in page and 'name="new"' not in page
        assert "Send me a one-time link" not in page + (await client.get("/settings")).text, "this server sends no mail"
        answers = [
            await client.post("/password", data=new),
            await client.post("/password", data={**new, "old": ""}),
            await client.post("/settings/token", data={"value": "stolen"}),
            await client.post("/settings/token", data={"value": "stolen", "password": ""}),
            await client.post("/settings/email", data={"value": "thief@example.com"}),
            await client.post("/settings/link"),
        ]
    as_them = stopped.as_(id)
    answers += [
        await as_them.post("/password", data=new),
        await as_them.post("/settings/token", data={"value": "stolen"}),
        await as_them.post(f"{API}/me/tokens", json={"label": "stolen", "password": ""}),
        await as_them.post(f"{API}/me/tokens", json={"label": "stolen"}),
        await as_them.patch(f"{API}/people/{id}", json={"email": "thief@example.com"}),
        await as_them.post(f"{API}/people/{id}/link"),
    ]
    assert all(400 <= answer.status_code < 500 for answer in answers), answers
    assert "hg_" not in "".join(answer.text for answer in answers).replace("hg_</code>", "")
    assert await credentials(stopped) == before


async def test_who_has_a_password_makes_tokens_by_typing_it_and_is_told(stopped: Gate) -> None:
    id = await somebody(stopped, password=True)
    wrong = await stopped.post(id, "/me/tokens", {"label": "ci", "password": "not this"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["field"] == "password"
    made = await stopped.post(id, "/me/tokens", {"label": "ci", "password": PASSWORD})
    assert made.status_code == 201
    as_them = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await stopped.as_(None).get(f"{API}/me", headers=as_them)).json()["id"] == id
    async with signed_in(stopped, id) as client:
        assert "Your account has changed" in (await client.get("/")).text
        page = (await client.get("/settings")).text
        assert "created an access token for your account: ci" in page
        news = re.search(r'/settings/seen#account".*?name="value" value="(\d+)"', page, re.DOTALL)
        assert news is not None
        await client.post("/settings/seen", data={"value": news[1]})
        assert "Your account has changed" not in (await client.get("/")).text
    async with stopped.database.read() as conn:
        assert {"person": id, "way": "step-up", "why": "password"} in await events(stopped, "sign_in_failed")
        assert await passwords.stored(conn, id) == HASHED


async def test_a_session_is_prolonged_for_a_day_at_most(stopped: Gate) -> None:
    id = await somebody(stopped)
    async with signed_in(stopped, id) as client:
        async with stopped.database.write() as conn:
            (session,) = await sessions.of(conn, id, datetime.now(UTC))
            ends = await sessions.extend(conn, session, session.begun_at + timedelta(hours=23), timedelta(hours=9))
        assert ends == session.begun_at + sessions.LONGEST
        assert (await client.post("/session")).status_code == 200


# ------------------------------------------------------------------------- all ways by which one could act as another

WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a token of theirs": ("POST", f"{API}/people/{{them}}/tokens", {"label": "mine"}),
    "a password of theirs": ("POST", f"{API}/people/{{them}}/password", {}),
    "put a password": ("PUT", f"{API}/people/{{them}}/password", {"password": PASSWORD}),
    "a link shown to me": ("POST", f"{API}/people/{{them}}/link", {}),
    "be in their group": ("PUT", f"{API}/people/{{me}}/groups/managers?confirm=true", {}),
    "be an administrator": ("PUT", f"{API}/people/{{me}}/groups/admins", {}),
    "my own address": ("PATCH", f"{API}/people/{{me}}", {"email": "new@example.com"}),
    "my own manager": ("PATCH", f"{API}/people/{{me}}", {"manager": "{them}"}),
    "be their manager": ("PATCH", f"{API}/people/{{them}}", {"manager": "{me}"}),
    "be their substitute": (
        "PUT",
        f"{API}/people/{{them}}/absence",
        {"from": "2033-01-01", "to": "2033-01-02", "substitute": "{me}"},
    ),
    "be their successor": ("POST", f"{API}/people/{{them}}/replace", {"by": "{me}", "reason": "mine"}),
    "the click of the demo": ("POST", "/sign-in", {"demo": "{them}"}),
    "the page that made tokens": ("POST", "/people/{them}/token", {"value": "mine"}),
    "the page that made passwords": ("POST", "/people/{them}/password", {}),
    "the page of links": ("POST", "/people/{them}/link", {}),
    "the page of groups": ("POST", "/people/{me}/join", {"value": "directors"}),
    "the page of addresses": ("POST", "/people/{me}/email", {"value": "new@example.com"}),
    "the page of managers": ("POST", "/people/{them}/manager", {"value": "{me}"}),
    "the page of absences": (
        "POST",
        "/people/{them}/away",
        {"from": "2033-01-01", "to": "2033-01-02", "substitute": "{me}"},
    ),
    "the page of successors": ("POST", "/people/{them}/replace", {"value": "{me}", "reason": "mine"}),
    "a link of nobody": ("POST", "/link", {"act": "password", "code": "hgl_x", "new": PASSWORD, "again": PASSWORD}),
    "a link for me": ("POST", "/link", {"act": "token", "code": "", "second": "", "label": "mine"}),
}


@pytest_asyncio.fixture(scope="module")
async def them(stopped: Gate) -> AsyncIterator[str]:
    yield await somebody(stopped)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("way", WAYS)
async def test_nobody_alone_gets_to_act_as_another(stopped: Gate, them: str, way: str, role: str) -> None:
    method, path, body = WAYS[way]
    said = {name: value.format(them=them, me=role) for name, value in body.items()}
    before = await credentials(stopped)
    where, client = path.format(them=them, me=role), stopped.as_(role)
    send = (
        client.request(method, where, json=said) if path.startswith(API) else client.request(method, where, data=said)
    )
    answer = await send
    assert 400 <= answer.status_code < 500, answer.text
    assert not re.search(r"hg[l12]?_[\w-]{16}", answer.text), answer.text
    assert await credentials(stopped) == before


async def test_an_administrator_alone_does_not_approve_as_three_people(stopped: Gate) -> None:
    """The attack of the issue: mint people and tokens, and decide as all of them."""
    puppet = f"puppet-{uuid4().hex[:6]}"
    new = {"id": puppet, "name": "Puppet", "groups": ["managers", "admins"], "email": f"{puppet}@example.com"}
    assert (await stopped.post("admin-1", "/people", new)).status_code == 201
    for target in (puppet, "manager-1", "manager-2"):
        for path in ("tokens", "password"):
            assert (await stopped.post("admin-1", f"/people/{target}/{path}", {"label": "x"})).status_code in (404, 405)
        asked = await stopped.post("admin-1", f"/people/{target}/link")
        assert asked.status_code == 409 and "Another administrator must confirm" in asked.json()["detail"], asked.text
    waiting = (await stopped.get("auditor-1", "/one-time-links")).json()["items"]
    assert [each for each in waiting if each["person"] in (puppet, "manager-1", "manager-2")] == []
    await stopped.post("admin-1", f"/people/{puppet}/deactivate", {"reason": "a test"})


@pytest_asyncio.fixture
async def second(stopped: Gate) -> AsyncIterator[str]:
    """A second administrator whom the command line made, who is none afterwards."""
    id = await somebody(stopped, groups=("admins",), by="cli:root")
    yield id
    async with stopped.database.write() as conn:
        await people.leave(conn, id, "admins", by="t")


async def halves(gate: Gate, second: str, id: str) -> tuple[str, str]:
    asked = await gate.post("admin-1", f"/people/{id}/link")
    assert asked.status_code == 202 and asked.json()["status"] == "waiting", asked.text
    own = await gate.post("admin-1", f"/one-time-links/{asked.json()['link_id']}/confirm")
    assert own.status_code == 403 and "another administrator" in own.json()["detail"]
    done = await gate.post(second, f"/one-time-links/{asked.json()['link_id']}/confirm")
    assert done.status_code == 200, done.text
    return asked.json()["half"], done.json()["half"]


async def test_two_administrators_without_mail_let_somebody_set_a_password(stopped: Gate, second: str) -> None:
    id = await somebody(stopped)
    one, two = await halves(stopped, second, id)
    new = {"act": "password", "new": "chosen by oneself", "again": "chosen by oneself"}
    async with signed_in(stopped, id) as before, browser(stopped) as client:
        assert (await client.post("/link", data={**new, "code": one})).status_code == 422
        assert (await client.post("/link", data={**new, "code": one, "second": two, "again": "x"})).status_code == 422
        done = await client.post("/link", data={**new, "code": one, "second": two})
        assert done.status_code == 200 and "Your password is set" in done.text
        again = await client.post("/link", data={**new, "code": one, "second": two})
        assert again.status_code == 422 and "The code is not valid: used" in again.text
        assert 'action="/sign-in"' in (await before.get("/settings")).text
        assert (await client.post("/sign-in", data={"name": id, "password": "chosen by oneself"})).status_code == 303
    failed = [each["why"] for each in await events(stopped, "sign_in_failed") if each["person"] == id]
    assert failed == ["half", "used"]
    text = str(await events(stopped, "link_asked")) + str(await events(stopped, "link_confirmed"))
    assert one not in text and two not in text


async def test_a_link_gives_a_token_to_its_owner_once(stopped: Gate, second: str) -> None:
    id = await somebody(stopped)
    one, two = await halves(stopped, second, id)
    async with browser(stopped) as client:
        form = {"act": "token", "code": one, "second": two, "label": "nightly import"}
        token = re.search(r"hg_[\w-]{20,}", (await client.post("/link", data=form)).text)
    assert token is not None
    as_them = {"Authorization": f"Bearer {token[0]}"}
    assert (await stopped.as_(None).get(f"{API}/me", headers=as_them)).json()["id"] == id


async def test_pages_let_two_administrators_ask_and_confirm(stopped: Gate, second: str) -> None:
    id = await somebody(stopped)
    async with signed_in(stopped, "admin-1") as one, signed_in(stopped, second) as two:
        asked = (await one.post(f"/people/{id}/link")).text
        assert re.search(r'class="secret">hg1_[\w-]+<', asked) and "Confirm link" not in asked
        assert f'href="/people/{id}#link-' in (await two.get("/people")).text
        page = (await two.get(f"/people/{id}")).text
        link = re.search(r'confirm-link.*?name="value" value="(k\w+)"', page, re.DOTALL)
        assert link is not None
        own = await one.post(f"/people/{id}/confirm-link", data={"value": link[1]})
        assert own.status_code == 403 and "another administrator must confirm" in own.text
        assert re.search(
            r'class="secret">hg2_[\w-]+<', (await two.post(f"/people/{id}/confirm-link", data={"value": link[1]})).text
        )
        assert "The link is withdrawn" in (await one.post(f"/people/{id}/withdraw-link", data={"value": link[1]})).text


async def test_looking_at_a_link_changes_nothing_and_another_site_cannot_use_it(stopped: Gate, second: str) -> None:
    id = await somebody(stopped)
    one, two = await halves(stopped, second, id)

    async def rows() -> list[Any]:
        async with stopped.database.read() as conn:
            return list(await conn.execute(select(links).where(links.c.person == id)))

    before, form = await rows(), {"act": "password", "code": one, "second": two, "new": PASSWORD, "again": PASSWORD}
    async with browser(stopped) as client:
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
            for agent in ("Mozilla/5.0", "Microsoft Office", "Slackbot-LinkExpanding 1.0", "WhatsApp/2"):
                answer = await client.request(method, "/link", params=form, headers={"User-Agent": agent})
                assert answer.status_code in (200, 405), method
                assert answer.headers["cache-control"] == "no-store"
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            assert (await client.post("/link", data=form, headers=headers)).status_code == 403
        assert await rows() == before
        assert (await client.post("/link", data=form)).status_code == 200


# --------------------------------------------------------------------------------------------------- failed sign-ins


async def test_failed_sign_ins_are_in_the_audit_log_without_what_was_typed(stopped: Gate) -> None:
    id = await somebody(stopped, password=True)
    revoked = await somebody(stopped)
    async with stopped.database.write() as conn:
        await tokens.revoke_all(conn, revoked, by=revoked)
        await conn.execute(delete(failed_sign_ins))  # other tests may have filled the hour with unknown names
    typed = f"my-password-{uuid4().hex}"
    async with browser(stopped) as client:
        for form in (
            {"name": id, "password": typed},
            {"name": typed, "password": typed},
            {"token": stopped.tokens[revoked]},
            {"token": typed},
        ):
            assert (await client.post("/sign-in", data=form)).status_code == 401
        for _ in range(passwords.FREE + 1):
            await client.post("/sign-in", data={"name": id, "password": typed})
    for _ in range(3):
        assert (await stopped.get(revoked, "/me")).status_code == 401
    found = await events(stopped, "sign_in_failed")
    mine = [(each["way"], each["why"]) for each in found if each["person"] == id]
    assert mine[0] == ("password", "password") and mine[-1] == ("password", "locked")
    assert any(each["person"] == id and "locked_until" in each for each in found)
    assert [each["why"] for each in found if each["person"] == revoked] == ["revoked", "revoked"], "page, and API once"
    assert {("password", "unknown"), ("token", "unknown")} <= {
        (each["way"], each["why"]) for each in found if not each["person"]
    }
    async with stopped.database.read() as conn:
        assert typed not in str([event.model_dump() for event in await audit_log.page(conn, "", 0, 5000)])


async def test_leaving_a_group_takes_effect_at_once(stopped: Gate) -> None:
    id = await somebody(stopped, groups=("auditors",))
    async with signed_in(stopped, id) as client:
        assert (await client.get("/people")).status_code == 200
        await stopped.as_("admin-1").delete(f"{API}/people/{id}/groups/auditors")
        assert (await client.get("/people")).status_code == 404
    assert (await stopped.get(id, "/people")).status_code == 404

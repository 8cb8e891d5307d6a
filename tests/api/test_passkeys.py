"""Passkeys over HTTP, with an authenticator in software: adding, removing, signing in, and all false answers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import delete, update

from api.app import create_app
from api.http.callers import COOKIE
from api.http.problems import Problem
from api.services import passkeys as service
from api.services.passkeys import NoPasskeys, NotAccepted, Verified
from api.services.relying_party import RelyingParty, relying_party
from core.settings import Settings, WrongSettings, load
from core.signing_keys import make_missing_keys
from store.audit import audit_log
from store.db.database import Database
from store.people import passkeys, passwords, people, tokens as access_tokens
from store.tables.people import sessions, sign_in_tries
from tests.support.authenticator import Authenticator
from tests.support.installed_app import free_port
from tests.support.migrated_database import migrated_copy

HOME = "http://localhost:8000"
PARTY = RelyingParty("localhost", HOME)
PASSWORD = "correct horse battery"
API = f"{HOME}/api/v1"
CHALLENGE = b"the digest of a decision, exactly"


class Site:
    """A gateway with a name, its database, and people with a token and a password."""

    def __init__(self, app: FastAPI, db: Database) -> None:
        self.app, self.db = app, db
        self.tokens: dict[str, str] = {}

    async def somebody(self, id: str, group: str = "managers") -> httpx2.AsyncClient:
        """A client with the token of a new person."""
        async with self.db.write() as conn:
            await people.add(conn, id, id.title(), [group], by="holdgate")
            await passwords.put(conn, id, passwords.hash_of(PASSWORD), datetime.now(UTC), by=id)
            token = await access_tokens.make(conn, id, "test", by="holdgate")
        return self.browser(Authorization=f"Bearer {token}")

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url=HOME, headers=headers)

    async def events(self, person: str, *kinds: str) -> list[dict[str, Any]]:
        async with self.db.read() as conn:
            found = await audit_log.page(conn, "", limit=1000)
        return [each.data for each in found if each.kind in kinds and each.data["person"] == person]


@pytest_asyncio.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder: Path = tmp_path_factory.mktemp("passkeys")
    settings = Settings(var=folder, public_url=HOME, demo=False, temporal_port=free_port(), rate_limits="off")
    migrated_copy(folder / "holdgate.db")
    make_missing_keys(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Site(app, app.state.services.db)


@pytest_asyncio.fixture(autouse=True)
async def _no_delays(site: Site) -> None:
    """Several tests try wrong passwords for the same names."""
    async with site.db.write() as conn:
        await conn.execute(delete(sign_in_tries))


async def added(client: httpx2.AsyncClient, device: Authenticator, name: str = "Laptop") -> httpx2.Response:
    asked = await client.post(f"{API}/me/passkeys", json={"password": PASSWORD})
    assert asked.status_code == 200, asked.text
    answer = {"credential": device.create(asked.json()["options"]), "name": name}
    return await client.post(f"{API}/me/passkeys", json=answer)


async def signed_in(browser: httpx2.AsyncClient, device: Authenticator, **altered: Any) -> httpx2.Response:
    asked = await browser.post("/sign-in/passkey")
    assert asked.status_code == 200, asked.text
    return await answered(browser, device.get(asked.json(), **altered))


async def answered(browser: httpx2.AsyncClient, credential: Any) -> httpx2.Response:
    return await browser.post("/sign-in", data={"passkey": json.dumps(credential), "following": "/settings"})


@pytest.mark.parametrize("kind", ["EdDSA", "ES256"])
async def test_a_person_adds_a_passkey_and_signs_in_with_it(site: Site, kind: Literal["EdDSA", "ES256"]) -> None:
    id = f"petra-{kind.lower()}"
    client, device = await site.somebody(id), Authenticator(kind=kind)
    made = await added(client, device, " Work laptop ")
    assert made.status_code == 201, made.text
    assert made.json()["name"] == "Work laptop" and made.json()["last_used_at"] is None
    async with site.browser() as browser:
        answer = await signed_in(browser, device)
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
        page = (await browser.get("/settings")).text
        assert "Work laptop" in page and id in page
        [item] = (await client.get(f"{API}/me/passkeys")).json()["items"]
        assert item["last_used_at"] is not None
        renamed = await client.patch(f"{API}/me/passkeys/{item['passkey_id']}", json={"name": "Old laptop"})
        assert renamed.json()["name"] == "Old laptop"
        gone = await client.request("DELETE", f"{API}/me/passkeys/{item['passkey_id']}", json={"password": PASSWORD})
        assert gone.json() == {"items": []}
        assert "Sign in with a passkey" in (await browser.get("/settings")).text, "its session has ended"
        assert (await signed_in(browser, device)).status_code == 401
        assert (await added(client, device)).status_code == 409, "a removed passkey does not come back"
        assert (await added(client, other := Authenticator())).status_code == 201
        assert other.handle == device.handle, "so that the device replaces the passkey that was removed"
    assert await site.events(id, "signed_in") == [{"person": id, "way": "passkey"}]
    assert len(await site.events(id, "passkey_added", "passkey_renamed", "passkey_removed")) == 4


async def test_one_authenticator_is_added_once_and_its_owner_has_one_random_handle(site: Site) -> None:
    client, device = await site.somebody("quentin"), Authenticator()
    assert (await added(client, device)).status_code == 201
    options = (await client.post(f"{API}/me/passkeys", json={"password": PASSWORD})).json()["options"]
    assert [each["id"] for each in options["excludeCredentials"]] == [device.credential_id]
    assert options["user"]["id"] == device.handle and len(device.handle) == 43 and options["user"]["name"] == "quentin"
    assert options["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    again = await added(client, device)
    assert (again.status_code, again.json()["type"]) == (409, "urn:holdgate:passkey-not-added")
    other = await added(await site.somebody("rosa"), replace(device))
    assert other.status_code == 409, "a credential id belongs to one person"


async def test_a_token_alone_neither_adds_nor_removes_a_passkey(site: Site) -> None:
    client, device = await site.somebody("sven"), Authenticator()
    passkey_id = (await added(client, device)).json()["passkey_id"]
    one = f"{API}/me/passkeys/{passkey_id}"
    for answer, status in (
        (await client.post(f"{API}/me/passkeys", json={}), 403),
        (await client.post(f"{API}/me/passkeys", json={"password": "wrong password"}), 422),
        (await client.delete(one), 403),
        (await client.request("DELETE", one, json={"password": "wrong password"}), 422),
    ):
        assert answer.status_code == status, answer.text
    other = await site.somebody("tessa")
    for answer in (
        await other.request("DELETE", one, json={"password": PASSWORD}),
        await other.patch(one, json={"name": "Mine"}),
    ):
        assert answer.status_code == 404
    assert len((await client.get(f"{API}/me/passkeys")).json()["items"]) == 1


async def test_a_false_answer_adds_no_passkey(site: Site) -> None:
    client = await site.somebody("uma")

    async def tried(device: Authenticator, name: str = "Laptop", **altered: Any) -> str:
        options = (await client.post(f"{API}/me/passkeys", json={"password": PASSWORD})).json()["options"]
        credential = device.create(options, **altered)
        answer = await client.post(f"{API}/me/passkeys", json={"credential": credential, "name": name})
        assert answer.status_code == 422, answer.text
        again = await client.post(f"{API}/me/passkeys", json={"credential": credential, "name": "Laptop"})
        assert again.status_code == (201 if not name else 422), "the challenge is used up"
        return str(answer.json()["detail"])

    assert "origin" in await tried(Authenticator(origin="http://localhost:9999"))
    assert "verif" in await tried(Authenticator(verifies=False))
    assert "This took too long" in await tried(Authenticator(), challenge="AAAA")
    assert "type" in await tried(Authenticator(), type="webauthn.get")
    assert "Enter a name" in await tried(Authenticator(), name="")
    for credential in ({}, {"id": 1, "response": {"clientDataJSON": "!"}}, {"response": {"clientDataJSON": "e30"}}):
        answer = await client.post(f"{API}/me/passkeys", json={"credential": credential, "name": "x"})
        assert answer.status_code == 422
    assert len((await client.get(f"{API}/me/passkeys")).json()["items"]) == 1


async def test_a_false_answer_signs_nobody_in(site: Site) -> None:
    client, device = await site.somebody("vera"), Authenticator()
    await added(client, device)
    device.count = 7
    async with site.browser() as browser:
        assert (await signed_in(browser, device)).status_code == 303
        assert device.count == 8
        browser.cookies.clear()
        for false, altered, why in (
            (device.copy(origin="http://localhost:9999"), {}, "invalid"),
            (device.copy(verifies=False), {}, "invalid"),
            (device, {"type": "webauthn.create"}, "invalid"),
            (device, {"challenge": "AAAA"}, "challenge"),
            (device, {"crossOrigin": True}, "challenge"),
            (device.copy(domain="example.org"), {}, "invalid"),
            (device.copy(handle="AAAA"), {}, "person"),
            (device.copy(handle=""), {}, "person"),
            (device.copy(credential_id="AAAA"), {}, "unknown"),
            (replace(device), {}, "invalid"),  # another private key
            (device.copy(count=3), {}, "copied"),
            (device.copy(count=7), {}, "copied"),
        ):
            answer = await signed_in(browser, false, **altered)
            assert answer.status_code == 401 and "The passkey was not accepted" in answer.text
            assert COOKIE not in browser.cookies
            failed = (await site.events("vera", "sign_in_failed") or [{}])[-1]
            assert failed.get("why") == why or why in ("challenge", "unknown"), why
        options = (await browser.post("/sign-in/passkey")).json()
        credential = device.get(options)
        assert (await answered(browser, credential)).status_code == 303
        browser.cookies.clear()
        assert (await answered(browser, credential)).status_code == 401, "a challenge is used once"
        odd: Any
        for odd in ([], None, "x", {"id": device.credential_id}, {"id": device.credential_id, "response": []}):
            assert (await answered(browser, odd)).status_code == 401
        assert (await browser.post("/sign-in", data={"passkey": "[" * 3000})).status_code == 401
    copied = await site.events("vera", "passkey_copied")
    assert [(each["stored"], each["signed"]) for each in copied] == [(8, 4), (8, 8)]


async def test_failed_passwords_do_not_keep_the_owner_of_a_passkey_out(site: Site) -> None:
    client, device = await site.somebody("winona"), Authenticator()
    assert (await added(client, device)).status_code == 201
    async with site.browser() as browser:
        for _ in range(passwords.FREE + 2):
            failed = await browser.post("/sign-in", data={"name": "winona", "password": "wrong password"})
        assert "Too many failed sign-ins" in failed.text
        assert (await signed_in(browser, device)).status_code == 303


async def test_a_page_asks_for_the_password_only_if_the_sign_in_is_not_fresh(site: Site) -> None:
    await site.somebody("wilma")
    device = Authenticator()
    async with site.browser() as browser:
        await browser.post("/sign-in", data={"name": "wilma", "password": PASSWORD})
        page = (await browser.get("/settings")).text
        csrf = {"csrf": page.partition('data-csrf="')[2].partition('"')[0]}
        asked = await browser.post("/settings/passkeys/options", data=csrf)
        assert asked.status_code == 200, asked.text
        form = {**csrf, "name": "Phone", "credential": json.dumps(device.create(asked.json()))}
        assert "Your passkey is added" in (await browser.post("/settings/passkeys/add", data=form)).text
        async with site.db.write() as conn:
            [known] = await passkeys.of(conn, "wilma")
            await conn.execute(update(sessions).values(begun_at=datetime.now(UTC) - timedelta(minutes=11)))
        its = {**csrf, "passkey_id": known.passkey_id}
        scripted = {"Accept": "application/json"}
        refused = await browser.post("/settings/passkeys/options", data=csrf, headers=scripted)
        assert refused.status_code == 403 and "A sign-in counts for 10 minutes" in refused.json()["detail"]
        renamed = await browser.post("/settings/passkeys/rename", data={**its, "name": "Old phone"})
        assert "The passkey is renamed" in renamed.text and "Old phone" in renamed.text
        assert (await browser.post("/settings/passkeys/remove", data=its)).status_code == 403
        removed = await browser.post("/settings/passkeys/remove", data={**its, "password": PASSWORD})
        assert "The passkey is removed" in removed.text and "No passkeys." in removed.text


async def test_an_administrator_sees_and_removes_the_passkey_of_a_lost_device(site: Site) -> None:
    client, device = await site.somebody("ulla"), Authenticator()
    passkey_id = (await added(client, device, "Lost phone")).json()["passkey_id"]
    admin, auditor = await site.somebody("adam", "admins"), await site.somebody("audrey", "auditors")
    listed = await auditor.get(f"{API}/people/ulla/passkeys")
    assert [each["name"] for each in listed.json()["items"]] == ["Lost phone"]
    one = f"{API}/people/ulla/passkeys/{passkey_id}"
    assert (await auditor.delete(one)).status_code == 403
    assert (await client.delete(one)).status_code == 404
    page = await admin.get("/people/ulla")
    assert "Lost phone" in page.text and "Remove passkey Lost phone" in page.text
    answer = await admin.post("/people/ulla/remove-passkey", data={"value": passkey_id})
    assert "The passkey is removed." in answer.text and "Lost phone" not in answer.text
    assert (await admin.delete(one)).status_code == 404
    async with site.browser() as browser:
        assert (await signed_in(browser, device)).status_code == 401
    [removed] = await site.events("ulla", "passkey_removed")
    assert removed["passkey_id"] == passkey_id


async def test_an_assertion_confirms_one_challenge_of_one_person(site: Site) -> None:
    client, device, other = await site.somebody("xenia"), Authenticator(), Authenticator(kind="ES256", counts=False)
    await added(client, device)
    await added(await site.somebody("yves"), other)
    now = datetime.now(UTC)

    async def verified(credential: Any, challenge: bytes, person: str) -> Verified | NotAccepted:
        async with site.db.write() as conn:
            return await service.verify_assertion(conn, PARTY, credential, challenge, now, person=person)

    async with site.db.read() as conn:
        options = await service.authentication_options(conn, PARTY, "xenia", CHALLENGE)
        with pytest.raises(NoPasskeys):
            await service.authentication_options(conn, PARTY, "nobody", CHALLENGE)
    assert [each["id"] for each in options["allowCredentials"]] == [device.credential_id]
    assert options["userVerification"] == "required" and options["rpId"] == "localhost"
    credential = device.get(options)
    assert await verified(credential, CHALLENGE + b"!", "xenia") == NotAccepted("challenge", "xenia")
    assert await verified(credential, CHALLENGE, "yves") == NotAccepted("person", "xenia")
    found = await verified(credential, CHALLENGE, "xenia")
    assert isinstance(found, Verified) and (found.person, found.credential_id) == ("xenia", device.credential_id)
    signed = ("clientDataJSON", "authenticatorData", "signature")
    assert found.assertion == {"id": device.credential_id} | {name: credential["response"][name] for name in signed}
    assert await verified(credential, CHALLENGE, "xenia") == NotAccepted("copied", "xenia"), "its counter was seen"
    without_handle = other.get(options)
    del without_handle["response"]["userHandle"]
    assert isinstance(await verified(without_handle, CHALLENGE, "yves"), Verified), "a security key may send none"


@pytest.mark.parametrize(
    ("public_url", "domain", "party"),
    [
        ("http://localhost:8000", None, RelyingParty("localhost", "http://localhost:8000")),
        (
            "https://Holdgate.example.org:443/",
            None,
            RelyingParty("holdgate.example.org", "https://holdgate.example.org"),
        ),
        ("https://a.example.org:8443", "Example.org", RelyingParty("example.org", "https://a.example.org:8443")),
        ("http://127.0.0.1:8000", None, "has an IP address. Set HOLDGATE_PUBLIC_URL"),
        ("http://[::1]:8000", None, "has an IP address. Set HOLDGATE_PUBLIC_URL"),
        ("http://holdgate.example.org", None, "has no https. Set HOLDGATE_PUBLIC_URL"),
        ("https://holdgate.example.org", "example.com", "HOLDGATE_PASSKEY_DOMAIN=example.com: must be the host"),
        ("https://holdgate.example.org", "org", "HOLDGATE_PASSKEY_DOMAIN=org: must be the host"),
        ("https://holdgate.example.org", "gate.example.org", "HOLDGATE_PASSKEY_DOMAIN=gate.example.org: must be"),
    ],
)
def test_passkeys_belong_to_the_host_of_the_public_url(
    public_url: str, domain: str | None, party: RelyingParty | str
) -> None:
    try:
        settings = load(public_url=public_url, passkey_domain=domain, demo=False)
    except WrongSettings as wrong:
        assert isinstance(party, str) and party in str(wrong)
        return
    if isinstance(party, RelyingParty):
        assert relying_party(settings) == party
        return
    with pytest.raises(Problem) as off:
        relying_party(settings)
    assert off.value.status == 404 and party in off.value.body["detail"]


async def test_no_page_offers_passkeys_at_an_ip_address_and_the_routes_name_the_setting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await site.somebody("zoe")
    elsewhere = site.app.state.services.settings.model_copy(update={"public_url": "http://127.0.0.1:8000"})
    monkeypatch.setattr(site.app.state, "services", replace(site.app.state.services, settings=elsewhere))
    for answer in (
        await client.get(f"{API}/me/passkeys"),
        await client.post(f"{API}/me/passkeys", json={"password": PASSWORD}),
        await client.post(f"{API}/me/passkeys", json={"credential": {}, "name": "x"}),
        await client.post(f"{HOME}/sign-in/passkey", headers={"Accept": "application/json"}),
    ):
        assert answer.status_code == 404 and "HOLDGATE_PUBLIC_URL" in answer.json()["detail"]
    async with site.browser() as browser:
        page = (await browser.get("/sign-in")).text
        assert "passkey" not in page
        await browser.post("/sign-in", data={"name": "zoe", "password": PASSWORD})
        page = (await browser.get("/settings")).text
        assert "set HOLDGATE_PUBLIC_URL to an address with a host name" in page and "Add passkey" not in page

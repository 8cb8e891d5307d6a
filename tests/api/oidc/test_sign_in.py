"""People sign in with the identity provider: who they are here, which groups they get, and what happens otherwise."""

import base64
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from api.oidc.attempts import COOKIE, Attempt
from core.secret_box import SecretBox
from store.erasure.person import erase_person
from store.people import identities, leavers, passwords, people, scim_users
from store.people.scim_people import NotLinked
from store.people.scim_users import GivenUser
from store.tables.people import identities as stored, people as persons
from tests.api.oidc.conftest import LOCAL, Site, opened
from tests.api.pages.visits import secret

PASSWORD = "correct horse battery"


async def test_a_person_signs_in_and_is_created_with_the_groups_of_the_provider(site: Site) -> None:
    site.provider.users["u-1"] = {
        "preferred_username": "Ana.Müller@example.org",
        "name": "Ana Müller",
        "email": "ana@example.org",
        "groups": ["managers", "admins", "no-such-group", "/x"],
    }
    async with site.browser() as browser:
        page = (await browser.get("/sign-in", params={"following": "/settings"})).text
        link = re.search(r'href="(/sign-in/oidc[^"]*)"[^>]*>Sign in with Example Login<', page)
        assert link is not None
        answer = await browser.get(link[1])
        assert "HttpOnly" in answer.headers["set-cookie"] and "SameSite=lax" in answer.headers["set-cookie"]
        address = answer.headers["location"]
        assert "scope=openid+profile+email+groups" in address and "offline" not in address
        answer = await site.back(browser, **site.provider.authorize(address, "u-1"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
        assert COOKIE not in browser.cookies
        assert "Ana Müller" in (await browser.get("/settings")).text
    person = await site.person("ana.muller")
    assert (person.groups, person.email) == (["managers"], "ana@example.org"), "admins must be mapped by hand"
    async with site.browser() as browser:
        assert (await site.sign_in(browser, "u-1")).status_code == 303
    async with site.db.read() as conn:
        assert len(await identities.of(conn, "ana.muller")) == 1
    told = await site.events("identity_connected", "signed_in", "group_joined")
    assert [each.get("way") for each in told if each["person"] == "ana.muller"] == [None, None, "oidc", "oidc"]
    assert "u-1" not in str(told)


@pytest.mark.parametrize(
    ("claims", "id"),
    [
        ({"preferred_username": "manager-9"}, "manager-9-2"),
        ({"email": "MANAGER-9@other.example"}, "manager-9-3"),
        ({"preferred_username": "holdgate"}, "holdgate-2"),
        ({"name": "Zoë (O'Neil)"}, "zoe-o-neil"),
        ({"preferred_username": "\u3164\u202e", "name": "  "}, "person"),
        ({"preferred_username": ["a"], "email": 5, "name": None}, "person-2"),
        ({"preferred_username": "x" * 500}, "x" * 60),
        ({"preferred_username": "bo", "name": "\u3164" * 3, "email": "no address"}, "bo"),
    ],
)
async def test_a_new_person_gets_an_id_that_nobody_had(site: Site, claims: dict[str, Any], id: str) -> None:
    async with site.db.write() as conn:
        if await people.active(conn, "manager-9") is None and id == "manager-9-2":
            await people.add(conn, "manager-9", "Local manager", [LOCAL], by="holdgate")
    site.provider.users[f"new-{id}"] = claims
    async with site.browser() as browser:
        assert (await site.sign_in(browser, f"new-{id}")).status_code == 303
        assert id in (await browser.get("/settings")).text
    assert (await site.person(id)).groups == []


@pytest.mark.parametrize("listed", [["operators"], "operators"])
@pytest.mark.parametrize("where", ["ID token", "userinfo"])
async def test_groups_come_from_the_id_token_or_userinfo(site: Site, where: str, listed: Any) -> None:
    site.provider.in_id_token = {"groups"} if where == "ID token" else set()
    site.provider.users["gia"] = {"preferred_username": "gia", "groups": listed}
    async with site.browser() as browser:
        await site.sign_in(browser, "gia")
    assert (await site.person("gia")).groups == ["operators"]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"groups": None},
        {"groups": 5},
        {"groups": {"a": 1}},
        {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph.example/x"}}},
        {"hasgroups": True},
    ],
)
async def test_a_provider_that_says_nothing_about_groups_takes_none_away(site: Site, said: dict[str, Any]) -> None:
    site.provider.in_id_token |= {"_claim_names", "_claim_sources", "hasgroups"}
    site.provider.users["mia"] = {"preferred_username": "mia", "groups": ["managers"]}
    async with site.browser() as browser:
        await site.sign_in(browser, "mia")
        site.provider.users["mia"] = {"preferred_username": "mia", **said}
        await site.sign_in(browser, "mia")
        assert (await site.person("mia")).groups == ["managers"]
        site.provider.users["mia"] = {"preferred_username": "mia", "groups": []}
        await site.sign_in(browser, "mia")
    assert (await site.person("mia")).groups == [], "an empty list means no groups"


async def test_groups_of_the_provider_leave_local_groups_alone(site: Site) -> None:
    site.provider.users["lea"] = {"preferred_username": "lea", "groups": ["managers"]}
    async with site.browser() as browser:
        await site.sign_in(browser, "lea")
        async with site.db.write() as conn:
            await people.join(conn, "lea", "auditors", by="holdgate")
        site.provider.users["lea"]["groups"] = []
        await site.sign_in(browser, "lea")
    assert (await site.person("lea")).groups == ["auditors"]


async def test_a_deactivated_person_cannot_sign_in_and_is_not_created_again(site: Site) -> None:
    site.provider.users["dan"] = {"preferred_username": "dan", "groups": ["managers"]}
    async with site.browser() as browser:
        await site.sign_in(browser, "dan")
        async with site.db.write() as conn:
            await leavers.deactivate(conn, "dan", "left", by="holdgate")
        assert 'action="/sign-in"' in (await browser.get("/settings")).text
        answer = await site.sign_in(browser, "dan")
        assert answer.status_code == 401 and "deactivated" in answer.text
    async with site.db.read() as conn:
        tokens = await conn.scalar(select(stored.c.encrypted_tokens).where(stored.c.person == "dan"))
        assert tokens is None and await people.active(conn, "dan") is None
        assert await conn.scalar(select(persons.c.id).where(persons.c.id == "dan-2")) is None
    assert {"person": "dan", "way": "oidc", "why": "deactivated"} in await site.events("sign_in_failed")


# ------------------------------------------------------------------------------------------- an address is no identity


@pytest.mark.parametrize("verified", [True, False])
async def test_an_address_alone_never_signs_in_as_a_person_who_has_it(site: Site, verified: bool) -> None:
    id = f"paul-{verified}".lower()
    await site.somebody(id, LOCAL, email=f"{id}@example.org")
    site.provider.users[id] = {"preferred_username": id, "email": f"{id}@EXAMPLE.org", "email_verified": verified}
    async with site.browser() as browser:
        answer = await site.sign_in(browser, id)
        assert answer.status_code == 401 and "already has your e-mail address or user name" in answer.text
    async with site.db.read() as conn:
        assert await identities.of(conn, id) == []
        assert await conn.scalar(select(persons.c.id).where(persons.c.id == f"{id}-2")) is None, (
            "nor as a second person"
        )


async def test_a_local_person_connects_their_account_after_the_password(site: Site) -> None:
    await site.somebody("rosa", LOCAL, email="rosa@example.org")
    async with site.db.write() as conn:
        await passwords.put(conn, "rosa", passwords.hash_of(PASSWORD), datetime.now(UTC), by="rosa")
    site.provider.users["r-1"] = {"preferred_username": "rosa", "email": "rosa@example.org"}
    async with site.browser() as browser:
        await browser.post("/sign-in", data={"name": "rosa", "password": PASSWORD})
        page = (await browser.get("/settings")).text
        assert "Connect my account of Example Login" in page
        assert (await browser.post("/sign-in/oidc/connect")).status_code == 403, "a page of another site"
        browser.headers["X-CSRF"] = secret(page)
        answer = await browser.post("/sign-in/oidc/connect")
        address = re.search(r'href="([^"]+/authorize[^"]+)"', answer.text)
        assert answer.status_code == 200 and address is not None, answer.text
        params = site.provider.authorize(address[1].replace("&amp;", "&"), "r-1")
        async with site.browser() as other:  # without rosa's session, the same answer connects nothing
            other.cookies.set(COOKIE, browser.cookies[COOKIE], domain="localhost.local")
            assert (await site.back(other, **params)).status_code == 401
        answer = await site.back(browser, **params)
        assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    async with site.browser() as browser:
        assert (await site.sign_in(browser, "r-1")).status_code == 303
        assert "rosa" in (await browser.get("/settings")).text


async def test_an_open_browser_is_not_enough_to_connect_an_account(site: Site) -> None:
    token = await site.somebody("olaf", LOCAL)
    async with site.browser() as browser:
        await browser.post("/sign-in", data={"token": token})
        browser.headers["X-CSRF"] = secret((await browser.get("/settings")).text)
        answer = await browser.post("/sign-in/oidc/connect")
        assert answer.status_code == 403 and "/sign-in/oidc?again=true" in answer.text
        site.provider.users["thief"] = {"preferred_username": "thief"}
        own = Attempt("/settings", connect="olaf")
        address = await site.app.state.services.single_sign_on.address(own)
        readable = base64.urlsafe_b64encode(json.dumps(asdict(own)).encode()).decode()
        for cookie in (readable, readable.rstrip("="), own.cookie(SecretBox(b"0" * 32))):  # written in the open browser
            browser.cookies.set(COOKIE, cookie, domain="localhost.local")
            assert (await site.back(browser, **site.provider.authorize(address, "thief"))).status_code == 401
    async with site.db.read() as conn:
        assert await identities.of(conn, "olaf") == []


async def test_a_disconnected_account_signs_in_no_more_and_its_sessions_end(site: Site) -> None:
    token = await site.somebody("adm", "admins")
    site.provider.users["eva"] = {"preferred_username": "eva", "groups": ["managers"]}
    async with site.browser() as browser, site.browser(Authorization=f"Bearer {token}") as admin:
        await site.sign_in(browser, "eva")
        [item] = (await admin.get("/api/v1/people/eva/identities")).json()["items"]
        assert item["issuer"] == site.provider.issuer and "subject" not in item
        assert (await admin.get("/people/eva")).text.count("/people/eva/disconnect") == 1
        gone = await admin.delete(f"/api/v1/people/eva/identities/{item['identity_id']}")
        assert (gone.status_code, gone.json()) == (200, {"items": []})
        assert 'action="/sign-in"' in (await browser.get("/settings")).text
        assert (await site.person("eva")).groups == []
        await site.sign_in(browser, "eva")
        assert "eva-2" in (await browser.get("/settings")).text, "a new person, for the old one belongs to nobody"


# ------------------------------------------------------------------------------------------- callbacks that do not fit


async def test_a_callback_sent_twice_gets_a_page_that_says_so(site: Site) -> None:
    site.provider.users["tim"] = {"preferred_username": "tim"}
    async with site.browser() as browser:
        params = site.provider.authorize(await site.begin(browser), "tim")
        assert (await site.back(browser, **params)).status_code == 303
        again = await site.back(browser, **params)
        assert again.status_code == 401 and "finished already" in again.text
        assert "Sign in with Example Login" in again.text
        assert "tim" in (await browser.get("/settings")).text, "the session of the first time stays"


async def test_while_the_provider_is_down_the_page_says_so_and_shows_the_other_ways(site: Site) -> None:
    site.provider.users["kim"] = {"preferred_username": "kim"}
    async with site.browser() as browser:
        params = site.provider.authorize(await site.begin(browser), "kim")
        site.provider.down = True
        answer = await site.back(browser, **params)
        assert answer.status_code == 503 and "Example Login does not answer" in answer.text
        assert 'name="password"' in answer.text and "Sign in with Example Login" in answer.text
        assert answer.headers["retry-after"] == "10"
        assert (await browser.get("/sign-in/oidc")).status_code == 303, "the metadata are known"
        site.provider.down = False
        assert (await site.sign_in(browser, "kim")).status_code == 303


async def test_a_sign_in_that_succeeds_lets_no_more_failed_ones_in(site: Site, tmp_path: Path) -> None:
    site.provider.users["rob"] = {"preferred_username": "rob"}
    async with opened(tmp_path, site.provider, rate_limits="sign-in=2/m") as other, other.browser() as browser:
        assert (await other.sign_in(browser, "rob")).status_code == 303
        browser.cookies.clear()
        failed = [(await other.back(browser, code="x", state="y")).status_code for _ in range(3)]
        assert failed == [401, 401, 429]


@pytest.mark.parametrize(
    "following", ["https://evil.example/", "//evil.example", "/\\evil", "/upload?" + "x" * 7000, "/settings?x=1"]
)
async def test_the_sign_in_returns_only_to_pages_of_holdgate(site: Site, following: str) -> None:
    site.provider.users["ned"] = {"preferred_username": "ned"}
    async with site.browser() as browser:
        answer = await site.sign_in(browser, "ned", following=following)
        assert answer.headers["location"] == (following if following.startswith("/settings") else "/")


@pytest.mark.parametrize(
    "cookie", ["", "x", "e30=", "bm90IGpzb24=", "W10=", "eyJmb2xsb3dpbmciOiAxfQ==", "A" * 20_000, "\u00e9"]
)
async def test_a_cookie_that_is_no_attempt_gets_a_page(site: Site, cookie: str) -> None:
    async with site.browser() as browser:
        header = f"{COOKIE}={cookie}".encode("latin-1")
        answer = await browser.get("/sign-in/oidc/callback?code=x&state=y", headers={b"cookie": header})
        assert answer.status_code == 401 and "Sign in again" in answer.text


async def test_tokens_of_the_provider_are_encrypted_in_the_database(site: Site) -> None:
    site.provider.users["uma"] = {"preferred_username": "uma"}
    async with site.browser() as browser:
        await site.sign_in(browser, "uma")
    async with site.db.read() as conn:
        kept = await conn.scalar(select(stored.c.encrypted_tokens).where(stored.c.person == "uma"))
    secrets = [token for token, subject in site.provider.tokens.items() if subject == "uma"]
    assert secrets and kept and not any(token in kept for token in secrets)
    assert site.settings.secrets_key.stat().st_mode & 0o077 == 0


async def test_a_verified_address_connects_a_person_only_if_a_setting_says_so(site: Site, tmp_path: Path) -> None:
    async with opened(tmp_path, site.provider, oidc_connect_by_email=True) as other, other.browser() as browser:
        await other.somebody("vera", LOCAL, email="vera@example.org")
        for subject in ("v-1", "v-2"):
            site.provider.users[subject] = {"email": "vera@example.org", "email_verified": True}

        async def set_by(who: str) -> None:
            values = {"email_set_by": who, "email_set_at": datetime.now(UTC)}
            async with other.db.write() as conn:
                await conn.execute(update(persons).where(persons.c.id == "vera").values(values))

        await set_by("adm")
        assert (await other.sign_in(browser, "v-1")).status_code == 401, "an administrator wrote the address just now"
        await set_by("cli:root")
        site.provider.users["v-1"]["email_verified"] = False
        assert (await other.sign_in(browser, "v-1")).status_code == 401
        site.provider.users["v-1"]["email_verified"] = "true"
        assert (await other.sign_in(browser, "v-1")).status_code == 303
        assert "vera" in (await browser.get("/settings")).text
        assert (await other.sign_in(browser, "v-2")).status_code == 401, "the provider gave the address away"


@pytest.mark.parametrize("same", ["userName", "externalId", "nothing"])
async def test_a_person_whom_the_provider_sent_by_scim_signs_in_as_this_person(site: Site, same: str) -> None:
    name = f"scim-{same}@example.org".lower()
    given = GivenUser(name, "ext-1" if same == "externalId" else None, "Sima", name, True, {})
    async with site.db.write() as conn:
        person = (await scim_users.create(conn, given)).person
    said = {"preferred_username": name.upper() if same == "userName" else "sima", "email": name, "oid": "ext-1"}
    site.provider.in_id_token |= {"oid"}
    site.provider.users[f"pairwise-{same}"] = said
    async with site.browser() as browser:
        answer = await site.sign_in(browser, f"pairwise-{same}")
        assert answer.status_code == (401 if same == "nothing" else 303), answer.text
        if same != "nothing":
            assert person in (await browser.get("/settings")).text
            site.provider.users[f"second-{same}"] = said
            assert (await site.sign_in(browser, f"second-{same}")).status_code == 401, "the person has an account"


async def test_a_local_person_is_not_taken_over_by_way_of_scim(site: Site) -> None:
    await site.somebody("lola", LOCAL, email="lola@example.org")
    async with site.db.write() as conn:
        await scim_users.create(conn, GivenUser("lola@example.org", None, "Lola", "lola@example.org", True, {}))
    site.provider.users["l-1"] = {"preferred_username": "lola@example.org", "email_verified": True}
    async with site.browser() as browser:
        assert (await site.sign_in(browser, "l-1")).status_code == 401
    async with site.db.read() as conn:
        assert await identities.of(conn, "lola") == []


@pytest.mark.parametrize(("claim", "name"), [("preferred_username", "dana"), ("email", "dana@example.org")])
async def test_who_signed_in_first_gets_no_groups_of_a_user_with_the_same_name(
    site: Site, claim: str, name: str
) -> None:
    thief = f"thief-{claim}"
    site.provider.users[thief] = {"preferred_username": thief, claim: name}
    async with site.browser() as browser:
        assert (await site.sign_in(browser, thief)).status_code == 303
    address = name if claim == "email" else None
    other, same = (GivenUser(name, external, "Dana", address, True, {}) for external in ("dana", thief))
    with pytest.raises(NotLinked, match="may be somebody else"):
        async with site.db.write() as conn:
            await scim_users.create(conn, other)
    async with site.db.write() as conn:  # the provider itself says that both are one account
        [account] = await identities.of(conn, (await scim_users.create(conn, same)).person)
    assert account.subject == thief


async def test_an_erased_person_who_signs_in_again_is_somebody_new(site: Site) -> None:
    site.provider.users["u-erased"] = {"preferred_username": "erika", "name": "Erika", "email": "erika@example.org"}
    async with site.browser() as browser:
        await site.sign_in(browser, "u-erased")
    async with site.db.write() as conn:
        await leavers.deactivate(conn, "erika", "Another job", by="admin")
        await erase_person(conn, "erika", by="admin", reason="Request 2026-115", request=None)
    async with site.browser() as browser:
        assert (await site.sign_in(browser, "u-erased")).status_code == 303
    old, new = await site.person("erika"), await site.person("erika-2")
    assert (old.name, old.email, new.name, new.email) == ("Erased person", None, "Erika", "erika@example.org")

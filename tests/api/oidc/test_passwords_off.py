"""`HOLDGATE_PASSWORDS=off` leaves single sign-on, and one emergency link of the command line."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from api.http.step_up import is_fresh
from api.http.ways_to_sign_in import passwords_off
from api.services.passwords_off import check_passwords_off
from core.settings import WrongSettings
from domain.confirmation import Confirm
from store.people import emergency_links, leavers, one_time_links, passwords, people, sessions
from store.people.one_time_links import WrongLink
from store.tables.people import one_time_links as links
from tests.api.oidc.conftest import API, LOCAL, Site, opened
from tests.api.pages.visits import secret
from tests.support.fake_provider import FakeProvider, provider

PASSWORD = "correct horse battery"
HASHED = passwords.hash_of(PASSWORD)


@pytest_asyncio.fixture(scope="module")
async def idp() -> AsyncIterator[FakeProvider]:
    async with provider() as found:
        found.users["boss"] = {"preferred_username": "boss", "groups": ["it"]}
        yield found


@pytest_asyncio.fixture
async def strict(idp: FakeProvider, tmp_path: Path) -> AsyncIterator[Site]:
    """A gateway with passwords off, and its local administrator with a password."""
    table = {"it": ["admins"]}
    async with opened(tmp_path, idp, passwords="off", oidc_groups=table) as found:
        found.provider.users["boss"]["groups"] = ["it"]
        await found.somebody("local-admin", "admins")
        async with found.db.write() as conn:
            await passwords.put(conn, "local-admin", HASHED, datetime.now(UTC), by="local-admin")
        yield found


async def test_no_other_way_signs_in_and_each_page_says_so(strict: Site) -> None:
    token = await strict.somebody("script", LOCAL)
    said = "HOLDGATE_PASSWORDS=off"
    async with strict.browser() as browser, strict.browser(Authorization=f"Bearer {token}") as script:
        page = (await browser.get("/sign-in")).text
        assert "Passwords are switched off" in page and "Sign in with Example Login" in page
        assert 'name="password"' not in page and 'name="token"' not in page and "passkey" not in page
        for form in (
            {"name": "local-admin", "password": PASSWORD},
            {"token": token},
            {"passkey": "{}"},
            {"demo": "admin-1"},
        ):
            answer = await browser.post("/sign-in", data=form)
            assert answer.status_code == 403 and said in answer.text, form
        assert (await browser.post("/sign-in/passkey")).status_code == 403
        assert "Only the emergency link" in (await browser.get("/link")).text
        for act in ("password", "token"):
            assert (await browser.post("/link", data={"act": act, "code": "hgl_x"})).status_code == 403
        assert (await script.get(f"{API}/me")).json()["id"] == "script", "scripts keep their tokens"
        no = await script.post(f"{API}/people/script/link")
        assert no.status_code == 403 and said in no.json()["detail"]
        assert "holdgate" not in browser.cookies
    confirmations = strict.app.state.services.confirmations
    assert await confirmations.way("local-admin", Confirm.PASSWORD) is Confirm.NONE
    assert (
        passwords_off(strict.settings)
        == "Passwords are switched off (HOLDGATE_PASSWORDS=off). Sign in with Example Login."
    )


async def test_sessions_of_other_ways_end_when_passwords_are_switched_off(idp: FakeProvider, tmp_path: Path) -> None:
    async with opened(tmp_path, idp) as before, before.browser() as browser:
        token = await before.somebody("anna", LOCAL)
        await browser.post("/sign-in", data={"token": token})
        assert "anna" in (await browser.get("/settings")).text
        cookies = dict(browser.cookies)
    async with opened(tmp_path, idp, passwords="off") as strict, strict.browser() as browser:
        browser.cookies.update(cookies)
        assert "anna" not in (await browser.get("/settings")).text


async def test_the_gateway_starts_without_passwords_only_after_an_administrator_has_signed_in(strict: Site) -> None:
    with pytest.raises(WrongSettings, match="PASSWORDS=off: no administrator has signed in with Example Login"):
        await check_passwords_off(strict.settings)
    async with strict.browser() as browser:
        await strict.sign_in(browser, "boss")
    await check_passwords_off(strict.settings)
    async with strict.db.write() as conn:
        await leavers.deactivate(conn, "boss", "left", by="holdgate")
    with pytest.raises(WrongSettings):
        await check_passwords_off(strict.settings)
    await check_passwords_off(strict.settings.model_copy(update={"passwords": "on"}))


async def made(site: Site, person: str = "local-admin") -> str:
    async with site.db.write() as conn:
        return await emergency_links.create(conn, person, "cli:root", datetime.now(UTC))


async def used(site: Site, code: str) -> Any:
    async with site.browser() as browser:
        return await browser.post("/link", data={"act": "sign-in", "code": code})


async def test_an_emergency_link_signs_in_an_administrator_once(strict: Site) -> None:
    code = await made(strict)
    async with strict.browser() as browser:
        answer = await browser.post("/link", data={"act": "sign-in", "code": code})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "local-admin" in (await browser.get("/people")).text
        assert (await used(strict, code)).status_code == 422
        browser.headers["X-CSRF"] = secret((await browser.get("/settings")).text)
        assert (await browser.post("/sign-out")).status_code == 303
    told = await strict.events("link_printed", "link_used", "signed_in")
    assert [each["person"] for each in told] == ["local-admin"] * 3 and code not in str(told)
    assert told[2]["way"] == "link"


async def test_an_emergency_link_is_void_if_it_is_old_or_another_one_is_made(strict: Site) -> None:
    await strict.somebody("second", "admins")
    first = await made(strict)
    second = await made(strict, "second")
    assert (await used(strict, first)).status_code == 422, "there is one at a time"
    async with strict.db.write() as conn:
        past = datetime.now(UTC) - timedelta(seconds=1)
        await conn.execute(update(links).where(links.c.status == "open").values(expires_at=past))
    assert (await used(strict, second)).status_code == 422
    third = await made(strict)
    async with strict.db.write() as conn:
        await people.leave(conn, "local-admin", "admins", by="second")
        await leavers.deactivate(conn, "local-admin", "left", by="second")
    assert (await used(strict, third)).status_code == 422
    for person in ("local-admin", "nobody"):
        with pytest.raises(WrongLink, match="has left, or is not known"):
            await made(strict, person)
    await strict.somebody("clerk", LOCAL)
    with pytest.raises(WrongLink, match="clerk is not in admins"):
        await made(strict, "clerk")


async def test_an_emergency_link_sets_no_password_and_another_link_signs_in_nobody(
    idp: FakeProvider, tmp_path: Path
) -> None:
    async with opened(tmp_path, idp) as site:
        await site.somebody("adm", "admins", email="adm@example.org")
        code = await made(site, "adm")
        form = {"code": code, "new": PASSWORD, "again": PASSWORD, "label": "x"}
        async with site.browser() as browser:
            for act in ("password", "token"):
                assert (await browser.post("/link", data={"act": act, **form})).status_code == 422
        async with site.db.write() as conn:
            link, _ = await one_time_links.ask(conn, "adm", "adm", datetime.now(UTC), mail=True)
            by_mail = await one_time_links.seal(conn, link.link_id, datetime.now(UTC))
        assert by_mail is not None and (await used(site, by_mail)).status_code == 422


async def test_single_sign_on_is_fresh_only_if_the_person_proved_who_they_are(strict: Site) -> None:
    async def begun(browser: Any) -> bool:
        token = next(value for name, value in browser.cookies.items() if name == "holdgate")
        async with strict.db.read() as conn:
            found = await sessions.by_token(conn, token, datetime.now(UTC))
        assert found is not None
        return is_fresh(found.person, found.session)

    async with strict.browser() as browser:
        await strict.sign_in(browser, "boss")
        assert not await begun(browser), "the provider may have asked nothing"
        page = (await browser.get("/settings")).text
        assert page.count('href="/sign-in/oidc?again=true') == 2, "for a token, and for a passkey"
        no = await browser.post("/settings/token", data={"value": "x"}, headers={"X-CSRF": secret(page)})
        assert no.status_code == 403
        address = await strict.begin(browser, again="true")
        assert re.search(r"prompt=login&max_age=0", address)
        asked_nothing = address.replace("&prompt=login&max_age=0", "")  # changed in the open browser
        await strict.back(browser, **strict.provider.authorize(asked_nothing, "boss"))
        assert not await begun(browser), "the provider does not say that it asked"
        address = await strict.begin(browser, again="true")
        await strict.back(browser, **strict.provider.authorize(address, "boss"))
        assert await begun(browser)
        page = (await browser.get("/settings")).text
        browser.headers["X-CSRF"] = secret(page)
        assert 'action="/settings/token#tokens"' in page and 'name="password"' not in page
        made = await browser.post("/settings/token", data={"value": "nightly import"})
        token = re.search(r"hg_[\w-]+", made.text)
        assert made.status_code == 200 and token is not None
    async with strict.browser(Authorization=f"Bearer {token[0]}") as script:
        assert (await script.get(f"{API}/me")).json()["id"] == "boss"

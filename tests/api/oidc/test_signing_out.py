"""People sign out both ways: here and then at the provider, or at the provider, which then tells Holdgate."""

import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.api.oidc.conftest import HOME, LOCAL, Site
from tests.api.oidc.test_bad_tokens import OF_ANY_TOKEN, changed
from tests.api.pages.visits import secret
from tests.support.fake_provider import CLIENT, FakeProvider, signed

EVENT: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


def logout(provider: FakeProvider, jti: str, **claims: Any) -> str:
    """A logout token of the session that the provider began for this person."""
    good = {name: value for name, value in provider.claims("nora").items() if name != "exp"}
    return signed(provider, {**good, "jti": jti, "sid": "s-nora", "events": EVENT, **claims}, typ="logout+jwt")


async def is_signed_in(browser: Any) -> bool:
    return 'action="/sign-out"' in (await browser.get("/settings")).text


async def test_after_signing_out_here_a_link_leads_to_the_provider(site: Site) -> None:
    site.provider.users["nora"] = {"preferred_username": "nora"}
    async with site.browser() as browser:
        await site.sign_in(browser, "nora")
        form = {"csrf": secret((await browser.get("/settings")).text)}
        answer = await browser.post("/sign-out", data=form)
        assert answer.status_code == 200 and "You are signed out of Holdgate" in answer.text
        link = re.search(r'href="([^"]+/logout\?[^"]+)"', answer.text)
        assert link is not None
        asked = dict(parse_qsl(urlsplit(link[1].replace("&amp;", "&")).query))
        assert asked.pop("id_token_hint").count(".") == 2
        assert asked == {"client_id": CLIENT, "post_logout_redirect_uri": f"{HOME}/sign-in"}
        assert not await is_signed_in(browser)


@pytest.mark.parametrize("way", ["token", "oidc"])
async def test_without_an_address_at_the_provider_signing_out_leads_to_the_sign_in_page(site: Site, way: str) -> None:
    site.provider.metadata["end_session_endpoint"] = None
    kept = site.app.state.services.single_sign_on._provider._metadata
    kept._read_at = kept._tried_at = -1e9
    token = await site.somebody(f"otto-{way}", LOCAL)
    site.provider.users[f"o-{way}"] = {"preferred_username": f"o-{way}"}
    async with site.browser() as browser:
        if way == "token":
            await browser.post("/sign-in", data={"token": token})
        else:
            await site.sign_in(browser, f"o-{way}")
        form = {"csrf": secret((await browser.get("/settings")).text)}
        answer = await browser.post("/sign-out-everywhere", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
    site.provider.metadata.clear()
    kept._read_at = kept._tried_at = -1e9


@pytest.mark.parametrize("by", ["sid", "sub"])
async def test_the_provider_ends_the_sessions_of_a_person(site: Site, by: str) -> None:
    site.provider.users |= {"nora": {"preferred_username": "nora"}, "mark": {"preferred_username": "mark"}}
    async with site.browser() as nora, site.browser() as mark, site.browser() as provider:
        await site.sign_in(nora, "nora")
        await site.sign_in(mark, "mark")
        claims: dict[str, Any] = {"sub": None} if by == "sid" else {"sid": None}
        good = {name: value for name, value in site.provider.claims("nora").items() if name != "exp"}
        good |= {"jti": f"j-{by}", "sid": "s-nora", "events": EVENT} | claims
        token = signed(site.provider, {name: value for name, value in good.items() if value is not None})
        answer = await provider.post("/sign-out/oidc", data={"logout_token": token})
        assert (answer.status_code, answer.json()) == (200, {}) and answer.headers["cache-control"] == "no-store"
        assert not await is_signed_in(nora) and await is_signed_in(mark)
        await site.sign_in(nora, "nora")
        again = await provider.post("/sign-out/oidc", data={"logout_token": token})
        assert again.status_code == 400 and "jti" in again.json()["error_description"]
        assert await is_signed_in(nora), "a logout token works once"
    assert {"person": "nora", "way": "oidc", "issuer": site.provider.issuer} in await site.events("signed_out")


OF_LOGOUT_TOKENS: dict[str, dict[str, Any]] = {
    "no events": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "events of a wrong type": {"events": [next(iter(EVENT))]},
    "an event of a wrong type": {"events": {next(iter(EVENT)): True}},
    "a nonce": {"nonce": "x"},
    "no jti": {"jti": None},
    "neither sid nor sub": {"sid": None, "sub": None},
    "an hour old": {"iat": int(time.time()) - 3600},
    "another audience": {"aud": "another-client"},
}


BAD = [*OF_LOGOUT_TOKENS, "an access token", "an ID token", "nothing", *OF_ANY_TOKEN]
MAY_BE_MISSING = ("exp missing", "sub missing")
"""A logout token may leave these claims out."""


@pytest.mark.parametrize("bad", [each for each in BAD if each not in MAY_BE_MISSING])
async def test_no_bad_logout_token_ends_a_session(site: Site, bad: str) -> None:
    site.provider.users["nora"] = {"preferred_username": "nora"}
    claims = {**site.provider.claims("nora"), "jti": f"j-{bad}", "sid": "s-nora", "events": EVENT}
    match bad:
        case "nothing":
            token = ""
        case "an ID token":
            token = signed(site.provider, site.provider.claims("nora", sid="s-nora"))
        case "an access token":
            token = signed(site.provider, claims, typ="at+jwt")
        case _ if bad in OF_ANY_TOKEN:
            token = OF_ANY_TOKEN[bad](site.provider, claims)
        case _:
            token = changed(**OF_LOGOUT_TOKENS[bad])(site.provider, claims)
    async with site.browser() as browser, site.browser() as provider:
        await site.sign_in(browser, "nora")
        answer = await provider.post("/sign-out/oidc", data={"logout_token": token})
        refused = (413, None) if bad == "20,000 characters" else (400, "invalid_request")
        assert (answer.status_code, answer.json().get("error")) == refused, answer.text
        assert await is_signed_in(browser)

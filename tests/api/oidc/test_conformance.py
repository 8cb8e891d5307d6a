"""Single sign-on with two identity providers of other projects: `oidc-provider` (npm) and `oidc-provider-mock` (PyPI).

`make conformance` installs both and runs these tests.
"""

import asyncio
import base64
import html
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import update

from api.__main__ import Server
from api.app import create_app
from api.http.problems import Problem
from api.oidc.attempts import COOKIE, Attempt
from core.settings import Settings
from core.signing_keys import make_missing_keys
from store.db.database import Database
from store.people import identities, people
from store.tables.people import identities as stored, people as persons
from tests.api.pages.visits import secret
from tests.support.fake_provider import AUDIENCE
from tests.support.installed_app import free_port
from tests.support.migrated_database import migrated_copy
from tests.support.real_providers import PACKAGES, SECRET, MockProvider, NodeProvider, key

pytestmark = pytest.mark.conformance


class Site:
    """A gateway that listens on a port, as providers send logout tokens to it, and its provider."""

    def __init__(self, server: Server, db: Database, home: str, provider: "NodeProvider | MockProvider") -> None:
        self.server, self.db, self.home, self.provider = server, db, home, provider
        self.sign_on = server._app.state.services.single_sign_on

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.home, headers=headers, timeout=30)

    async def begin(self, browser: httpx2.AsyncClient) -> str:
        answer = await browser.get("/sign-in/oidc")
        assert answer.status_code == 303, answer.text
        address: str = answer.headers["location"]
        return address

    async def back_from(self, browser: httpx2.AsyncClient, subject: str) -> str:
        """Sign in at the provider; answers the address with which the browser comes back."""
        return await self.provider.sign_in(browser, await self.begin(browser), subject)

    def cookie(self, attempt: Attempt) -> str:
        """The cookie of an attempt as the gateway makes it."""
        text: str = attempt.cookie(self.sign_on.box)
        return text

    async def is_signed_in(self, browser: httpx2.AsyncClient) -> bool:
        return 'action="/sign-out"' in (await browser.get("/settings")).text


@asynccontextmanager
async def opened(folder: Path, kind: type[NodeProvider] | type[MockProvider]) -> AsyncIterator[Site]:
    port = free_port()
    home = f"http://localhost:{port}"
    provider = kind(folder, home)
    await provider.start()
    settings = Settings(
        var=folder / "var",
        port=port,
        public_url=home,
        demo=False,
        temporal_port=free_port(),
        rate_limits="off",
        oidc_issuer=provider.issuer,
        oidc_client_id="holdgate",
        oidc_client_secret=SECRET,
        oidc_audience=AUDIENCE,
    )
    settings.var.mkdir()
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    app = create_app(settings)
    server = Server(app, host="127.0.0.1", port=port, log_config=None)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.05)
    try:
        yield Site(server, app.state.services.db, home, provider)
    finally:
        server.should_exit = True
        await serving
        provider.stop()


@pytest_asyncio.fixture(scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    if not (PACKAGES / "node_modules" / "oidc-provider").is_dir():
        pytest.fail("npm's oidc-provider is not installed: run `make conformance`")
    async with opened(tmp_path_factory.mktemp("node"), NodeProvider) as site:
        yield site


@pytest_asyncio.fixture(scope="module")
async def mock(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with opened(tmp_path_factory.mktemp("mock"), MockProvider) as site:
        yield site


def account(site: Site, subject: str, **claims: Any) -> None:
    provider = site.provider
    assert isinstance(provider, NodeProvider)
    provider.accounts[subject] = {"preferred_username": subject, "name": subject.title(), **claims}
    provider.write()


def decoded(part: str) -> bytes:
    """A part of a token."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def groups_of(site: Site, person: str) -> list[str]:
    async with site.db.read() as conn:
        return (await people.get(conn, person)).groups


# -------------------------------------------------------------------------------------------------- oidc-provider (npm)


async def test_node_a_person_signs_in_with_their_groups_and_both_ways_out(node: Site) -> None:
    account(node, "anna", email="anna@example.org", email_verified=True, groups=["managers", "admins"])
    async with node.browser() as browser:
        answer = await browser.get(await node.back_from(browser, "anna"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
        assert await node.is_signed_in(browser) and await groups_of(node, "anna") == ["managers"]
        form = {"csrf": secret((await browser.get("/settings")).text)}
        answer = await browser.post("/sign-out", data=form)
        link = re.search(r'href="([^"]+/session/end[^"]*)"', answer.text)
        assert link is not None, answer.text
        page = await browser.get(html.unescape(link[1]))
        action, xsrf = re.search(r'action="([^"]+)"', page.text), re.search(r'name="xsrf" value="([^"]+)"', page.text)
        assert action and xsrf, page.text
        back = await browser.post(html.unescape(action[1]), data={"xsrf": xsrf[1], "logout": "yes"})
        assert back.headers["location"].startswith(f"{node.home}/sign-in")


async def test_node_ends_the_session_here_by_back_channel_logout(node: Site) -> None:
    account(node, "bert", groups=["managers"])
    async with node.browser() as browser:
        await browser.get(await node.back_from(browser, "bert"))
        assert await node.is_signed_in(browser)
        metadata = await node.sign_on._provider.metadata()
        page = await browser.get(metadata.end_session_endpoint)
        action, xsrf = re.search(r'action="([^"]+)"', page.text), re.search(r'name="xsrf" value="([^"]+)"', page.text)
        assert action and xsrf, page.text
        await browser.post(html.unescape(action[1]), data={"xsrf": xsrf[1], "logout": "yes"})
        deadline = time.monotonic() + 10
        while await node.is_signed_in(browser):
            assert time.monotonic() < deadline, "no logout token arrived"
            await asyncio.sleep(0.1)


async def test_node_groups_are_read_again_by_the_refresh_token(node: Site) -> None:
    account(node, "cleo", groups=["managers"])
    async with node.browser() as browser:
        await browser.get(await node.back_from(browser, "cleo"))
    for now in (["directors"], ["directors", "operators"], []):  # the refresh token changes each time
        account(node, "cleo", groups=now)
        before = datetime.now(UTC) - timedelta(hours=1)
        async with node.db.write() as conn:
            await conn.execute(update(stored).where(stored.c.person == "cleo").values(groups_read_at=before))
            person = await people.get(conn, "cleo")
        assert (await node.sign_on.fresh(person, confirm=True)).groups == now


async def test_node_accepts_no_altered_callback(node: Site) -> None:
    account(node, "dora", groups=["managers"])
    async with node.browser() as browser, node.browser() as other:
        good = await node.back_from(browser, "dora")
        params = dict(parse_qsl(urlsplit(good).query))
        others = dict(parse_qsl(urlsplit(await node.back_from(other, "dora")).query))
        kept = browser.cookies[COOKIE]
        forged = node.cookie(Attempt("/", state=params["state"]))
        for altered, cookie in (
            (params | {"state": "x"}, kept),
            (params | {"state": others["state"]}, kept),
            (others, kept),
            (params | {"iss": "https://evil.example"}, kept),
            ({name: value for name, value in params.items() if name != "iss"}, kept),
            (params | {"code": "x"}, kept),
            (params, forged),  # another nonce and another verifier
        ):
            async with node.browser() as fresh:
                answer = await fresh.get(
                    "/sign-in/oidc/callback", params=altered, headers={"cookie": f"{COOKIE}={cookie}"}
                )
                assert answer.status_code == 401 and "holdgate" not in fresh.cookies, altered
        async with node.browser() as fresh:
            first, second = await node.back_from(fresh, "dora"), fresh.cookies[COOKIE]
            assert (await fresh.get(first)).status_code == 303
            again = await fresh.get(first, headers={"cookie": f"{COOKIE}={second}"})
            assert again.status_code == 401, "a code works once"


async def test_node_signs_in_after_its_keys_have_changed(node: Site) -> None:
    provider = node.provider
    assert isinstance(provider, NodeProvider)
    account(node, "emma", groups=["managers"])
    async with node.browser() as browser:
        await browser.get(await node.back_from(browser, "emma"))
    provider.stop()
    provider.keys.insert(0, key("k2"))
    async with node.browser() as browser:
        assert (await browser.get("/sign-in/oidc")).status_code == 303, "the metadata are known"
        token = jwt.encode({"alg": "RS256", "kid": "k1", "typ": "at+jwt"}, {}, provider.keys[1])
        async with node.browser(Authorization=f"Bearer {token}") as caller:
            assert (await caller.get("/api/v1/me")).status_code == 401, "the keys are known, too"
    await provider.start()
    node.sign_on._provider._keys._tried_at -= 60
    async with node.browser() as browser:
        answer = await browser.get(await node.back_from(browser, "emma"))
        assert answer.status_code == 303, answer.text


async def test_node_access_tokens_of_a_program_belong_to_a_service_account(node: Site) -> None:
    provider = node.provider
    async with httpx2.AsyncClient() as client:
        form = {"grant_type": "client_credentials", "resource": AUDIENCE, "scope": "cases:ask"}
        answer = await client.post(f"{provider.issuer}/token", data=form, auth=("nightly-import", SECRET))
        token = answer.json()["access_token"]
        other = await client.post(
            f"{provider.issuer}/token",
            data=form | {"resource": "https://other.example"},
            auth=("nightly-import", SECRET),
        )
    async with node.browser(Authorization=f"Bearer {token}") as program:
        assert (await program.get("/api/v1/me")).status_code == 401, "nobody has connected it"
        async with node.db.write() as conn:
            await people.add(conn, "import", "Import", ["requesters"], by="holdgate")
            await identities.connect(conn, "import", provider.issuer, "nightly-import", "cli:t", datetime.now(UTC))
        assert (await program.get("/api/v1/me")).status_code == 401, "a program is no person"
        async with node.db.write() as conn:
            await conn.execute(update(persons).where(persons.c.id == "import").values(kind="service"))
        person, credential = await node.sign_on.caller(token)
        assert (person.id, credential.kind, credential.scopes) == ("import", "jwt", frozenset({"cases:ask"}))
    head, body, signature = token.split(".")
    said, claims = json.loads(decoded(head)), json.loads(decoded(body))
    forged = jwt.encode(said, claims | {"sub": "anna"}, key(said["kid"]))
    secret_key = OctKey.import_key(SECRET)
    bad = {
        "another audience": other.json()["access_token"],
        "another key with the same kid": forged,
        "HS256 with a secret": jwt.encode(said | {"alg": "HS256"}, claims, secret_key, algorithms=["HS256"]),
        "other claims": f"{head}.{forged.split('.')[1]}.{signature}",
        "no signature": f"{head}.{body}.",
    }
    for name, each in bad.items():
        with pytest.raises(Problem) as no:
            await node.sign_on.caller(each)
        assert no.value.status == 401, name


# ------------------------------------------------------------------------------------------- oidc-provider-mock (PyPI)


async def test_mock_a_person_signs_in_with_their_groups(mock: Site) -> None:
    provider = mock.provider
    assert isinstance(provider, MockProvider)
    await provider.person("frida@example.org", email="frida@example.org", name="Frida", groups=["managers"])
    async with mock.browser() as browser:
        back = await mock.back_from(browser, "frida@example.org")
        assert (await browser.get(back)).status_code == 303
        assert await mock.is_signed_in(browser)
        assert await groups_of(mock, "frida") == ["managers"]
        assert (await browser.get(back)).status_code == 401, "sent twice"
        answer = await browser.post("/sign-out", data={"csrf": secret((await browser.get("/settings")).text)})
        assert answer.status_code in (200, 303)


async def test_mock_accepts_no_altered_callback(mock: Site) -> None:
    provider = mock.provider
    assert isinstance(provider, MockProvider)
    await provider.person("gina", name="Gina")
    async with mock.browser() as browser:
        params = dict(parse_qsl(urlsplit(await mock.back_from(browser, "gina")).query))
        for altered, cookie in (
            (params | {"state": "x"}, browser.cookies[COOKIE]),
            (params | {"code": "x"}, browser.cookies[COOKIE]),
            (params, mock.cookie(Attempt("/", state=params["state"]))),  # it ignores PKCE, so the nonce must protect
        ):
            async with mock.browser() as fresh:
                answer = await fresh.get(
                    "/sign-in/oidc/callback", params=altered, headers={"cookie": f"{COOKIE}={cookie}"}
                )
                assert answer.status_code == 401 and "holdgate" not in fresh.cookies

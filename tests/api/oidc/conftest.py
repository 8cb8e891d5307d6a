"""A gateway that signs people in with a provider on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import delete

from api.app import create_app
from api.oidc.attempts import Attempt
from core.settings import Settings
from core.signing_keys import make_missing_keys
from store.audit import audit_log
from store.db.database import Database
from store.people import people, tokens
from store.people.people import Person
from store.tables.people import failed_sign_ins
from tests.support.fake_provider import AUDIENCE, CLIENT, SECRET, FakeProvider, provider
from tests.support.installed_app import free_port
from tests.support.migrated_database import migrated_copy

LOCAL = "fraud-analysts"
"""A group that the provider of the tests gives to nobody, so that people get it here."""
HOME = "http://localhost:8000"
API = f"{HOME}/api/v1"


@dataclass
class Site:
    """The gateway, its database and its provider."""

    app: FastAPI
    db: Database
    provider: FakeProvider
    settings: Settings

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        """A browser in which nobody has signed in."""
        transport = httpx2.ASGITransport(self.app)
        return httpx2.AsyncClient(transport=transport, base_url=HOME, headers=headers)

    async def begin(self, browser: httpx2.AsyncClient, **query: str) -> str:
        """Click on the link of the sign-in page; answers the address at the provider."""
        answer = await browser.get("/sign-in/oidc", params=query)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    async def back(self, browser: httpx2.AsyncClient, **params: str) -> httpx2.Response:
        """Come back from the provider."""
        return await browser.get("/sign-in/oidc/callback", params=params)

    async def sign_in(self, browser: httpx2.AsyncClient, subject: str, **query: str) -> httpx2.Response:
        """Sign in as the account with this subject; answers what the callback answers."""
        return await self.back(browser, **self.provider.authorize(await self.begin(browser, **query), subject))

    def cookie(self, attempt: Attempt) -> str:
        """The cookie of an attempt as the gateway makes it."""
        return attempt.cookie(self.app.state.services.single_sign_on.box)

    async def person(self, id: str) -> Person:
        async with self.db.read() as conn:
            return await people.get(conn, id)

    async def somebody(self, id: str, *groups: str, **more: Any) -> str:
        """A new local person; answers their token."""
        async with self.db.write() as conn:
            await people.add(conn, id, id.title(), groups, by="holdgate", **more)
            return await tokens.make(conn, id, "test", by="holdgate")

    async def events(self, *kinds: str) -> list[dict[str, Any]]:
        async with self.db.read() as conn:
            found = await audit_log.page(conn, "", limit=2000)
        return [each.data for each in found if each.kind in kinds]


@asynccontextmanager
async def opened(folder: Path, idp: FakeProvider, **settings: Any) -> AsyncIterator[Site]:
    """A gateway with a fresh database."""
    chosen: dict[str, Any] = {
        "var": folder,
        "public_url": HOME,
        "demo": False,
        "temporal_port": free_port(),
        "rate_limits": "off",
        "oidc_issuer": idp.issuer,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "oidc_audience": AUDIENCE,
        "oidc_name": "Example Login",
    }
    found = Settings(**(chosen | settings))
    if not (folder / "holdgate.db").exists():
        migrated_copy(folder / "holdgate.db")
        make_missing_keys(found)
    app = create_app(found)
    async with app.router.lifespan_context(app):
        yield Site(app, app.state.services.db, idp, found)


@pytest_asyncio.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with provider() as idp, opened(tmp_path_factory.mktemp("oidc"), idp) as found:
        yield found


@pytest_asyncio.fixture(autouse=True)
async def _as_before(request: pytest.FixtureRequest) -> None:
    """Each test begins with a provider that works, and with few failed sign-ins."""
    if "site" not in request.fixturenames:
        return
    site: Site = request.getfixturevalue("site")
    fresh = FakeProvider(site.provider.issuer)
    for name in ("down", "sign", "typed", "in_id_token", "metadata", "gives_refresh_tokens", "access_lasts"):
        setattr(site.provider, name, getattr(fresh, name))
    async with site.db.write() as conn:
        await conn.execute(delete(failed_sign_ins))

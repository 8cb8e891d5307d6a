"""The people of the tests, as programs with a token and as browsers with a session, and credentials that ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx2
from sqlalchemy import update

from api.http.callers import SECURE_COOKIE
from domain.token_scopes import TokenScope
from store.people import leavers, passwords, people, service_accounts, sessions, tokens
from store.tables.people import tokens as stored_tokens
from tests.api.conftest import Gate
from tests.api.pages.visits import secret
from tests.authorization.permissions import Role

URL = "https://gateway"
PASSWORD = "a good long password"
EVERYBODY = {
    "requester-1": ["requesters"],
    "requester-2": ["requesters"],
    "manager-1": ["managers"],
    "manager-2": ["managers"],
    "operator-1": ["operators"],
    "auditor-1": ["auditors"],
    "admin-1": ["admins"],
    "admin-2": ["admins"],  # confirms what admin-1 asks for
    "stranger-1": [],
    "left-1": ["admins", "operators"],  # leaves while the tests begin
}
ROLES: Mapping[Role, str] = {
    Role.REQUESTER: "requester-1",
    Role.CANDIDATE: "manager-1",
    Role.OPERATOR: "operator-1",
    Role.AUDITOR: "auditor-1",
    Role.ADMIN: "admin-1",
    Role.ANYBODY: "stranger-1",
}
"""Who asks in each column of the table."""
Ended = Literal[
    "no credential",
    "an invented token",
    "a revoked token",
    "an expired token",
    "the token of a person who left",
    "an ended session",
    "a session whose token was revoked",
    "the session of a person who left",
    "the token of a suspended service account",
    "a token with scopes, at a page",
    "the session of a page, at the API",
]
"""Credentials with which the caller counts as nobody. All but the first two belonged to an administrator."""


@dataclass
class Callers:
    """HTTP clients of people: `program` sends a token, `browser` the cookie of a session and the secret of pages."""

    gate: Gate
    ended: dict[Ended, httpx2.AsyncClient] = field(default_factory=dict)
    _browsers: dict[str, httpx2.AsyncClient] = field(default_factory=dict)

    def program(self, person: str) -> httpx2.AsyncClient:
        return self.gate.as_(person)

    async def browser(self, person: str) -> httpx2.AsyncClient:
        """A browser in which the person has signed in; the same one until its session ends."""
        if person not in self._browsers:
            self._browsers[person] = await self.new_browser(person)
        return self._browsers[person]

    async def new_browser(self, person: str, lasts: timedelta = timedelta(hours=1)) -> httpx2.AsyncClient:
        """Another browser in which the person has signed in."""
        now, token = datetime.now(UTC), self.gate.tokens[person]
        async with self.gate.database.write() as conn:
            somebody = await people.get(conn, person)
            session = await sessions.begin(conn, somebody, "token", now, lasts, credential=tokens.credential_of(token))
        client = self._client(Cookie=f"{SECURE_COOKIE}={session}")
        if lasts > timedelta():
            client.headers["X-CSRF"] = secret((await client.get("/password")).text)
        return client

    def with_token(self, token: str) -> httpx2.AsyncClient:
        """A program with this token."""
        return self._client(Authorization=f"Bearer {token}")

    def forget(self, person: str) -> None:
        """The sessions of the person have ended."""
        self._browsers.pop(person, None)

    def _client(self, **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.gate.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers, timeout=30)

    async def prepare(self) -> None:
        """Give everybody a password, and let some credentials end."""
        gate, now = self.gate, datetime.now(UTC)
        hashed = passwords.hash_of(PASSWORD)
        async with gate.database.write() as conn:
            for person in EVERYBODY:
                await passwords.put(conn, person, hashed, now, by=person)
            made = {name: await tokens.make(conn, "admin-2", name, by="holdgate") for name in ("old", "gone")}
            its = stored_tokens.c.hash == tokens.credential_of(made["old"])
            await conn.execute(update(stored_tokens).where(its).values(expires_at=now - timedelta(days=1)))
            scoped = await tokens.make(conn, "admin-2", "scoped", by="holdgate", scopes=[*TokenScope])
            suspended = await service_accounts.create(
                conn, "bot-1", "A bot", owners=["left-1"], scopes=[*TokenScope], expires_at=None, by="admin-2"
            )
        kept, gate.tokens["admin-2"] = gate.tokens["admin-2"], made["gone"]
        of_revoked = await self.new_browser("admin-2")
        gate.tokens["admin-2"] = kept
        ended = await self.new_browser("admin-2", timedelta(seconds=-1))
        of_left = await self.new_browser("left-1")
        async with gate.database.write() as conn:
            await tokens.revoke(conn, "admin-2", tokens.credential_of(made["gone"])[: tokens.TOKEN_ID], "admin-2")
            await leavers.deactivate(conn, "left-1", "Another job", "admin-2")
        cookie = (await self.browser("admin-1")).headers["Cookie"]
        self.ended = {
            "no credential": self._client(),
            "an invented token": self.with_token("hg_invented"),
            "a revoked token": self.with_token(made["gone"]),
            "an expired token": self.with_token(made["old"]),
            "the token of a person who left": self.with_token(gate.tokens["left-1"]),
            "the token of a suspended service account": self.with_token(suspended),
            "a token with scopes, at a page": self.with_token(scoped),
            "an ended session": ended,
            "a session whose token was revoked": of_revoked,
            "the session of a person who left": of_left,
            "the session of a page, at the API": self._client(Cookie=cookie),
        }

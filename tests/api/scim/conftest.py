"""The SCIM endpoint over a real database, without Temporal."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount

from api.scim.endpoint import MOUNT, ScimEndpoint
from api.services.rate_limits import RateLimits
from store.db.database import Database
from store.people import people
from store.people.people import Person
from tests.api.conftest import Gate

TOKEN = "scim-secret-of-a-test"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@dataclass
class Provider:
    """An identity provider that sends requests to the endpoint."""

    client: httpx2.AsyncClient
    db: Database

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Send a request, as providers write them."""
        content = None if body is None else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, content=content, headers=named)

    async def create(self, user_name: str, **more: Any) -> dict[str, Any]:
        """Create a user, and return the user as the endpoint answers it."""
        return await self._created("/Users", {"schemas": [USER], "userName": user_name, "active": True, **more})

    async def group(self, name: str, *users: dict[str, Any]) -> dict[str, Any]:
        """Create a group with members, and return the group as the endpoint answers it."""
        members = [{"value": user["id"]} for user in users]
        return await self._created("/Groups", {"schemas": [GROUP], "displayName": name, "members": members})

    async def _created(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.send("POST", path, body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def patch(self, path: str, *operations: dict[str, Any], **headers: str) -> httpx2.Response:
        """Send a PATCH with these operations."""
        return await self.send("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers)

    async def person(self, id: str) -> tuple[Person, bool]:
        """Return the person, and whether the person is active."""
        async with self.db.read() as conn:
            return await people.get(conn, id), await people.active(conn, id) is not None

    async def groups_of(self, id: str) -> list[str]:
        """Return the groups of the person."""
        return (await self.person(id))[0].groups


def endpoint(db: Database, token: str | None = TOKEN) -> Starlette:
    """Return an application with only the SCIM endpoint."""
    app = Starlette(routes=[Mount(MOUNT, ScimEndpoint())])
    settings = SimpleNamespace(scim_token=token and SecretStr(token), public_url="https://holdgate.example.org")
    app.state.services = SimpleNamespace(db=db, settings=settings, limits=RateLimits(db, {}))
    return app


def client_of(app: Starlette, token: str | None = TOKEN) -> httpx2.AsyncClient:
    """Return a client of the application, with the token."""
    headers = {"Content-Type": "application/scim+json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    transport = httpx2.ASGITransport(app, raise_app_exceptions=True)
    return httpx2.AsyncClient(transport=transport, base_url="http://gateway/scim/v2", headers=headers, timeout=30)


@pytest.fixture
async def provider(db: Database) -> AsyncIterator[Provider]:
    async with client_of(endpoint(db)) as client:
        yield Provider(client, db)


@contextmanager
def scim_on(gate: Gate) -> Iterator[None]:
    """The whole gateway answers SCIM while the block runs."""
    services = gate.app.state.services
    before = services.settings
    object.__setattr__(services, "settings", before.model_copy(update={"scim_token": SecretStr(TOKEN)}))
    try:
        yield
    finally:
        object.__setattr__(services, "settings", before)


@pytest.fixture
async def of_gateway(stopped: Gate) -> AsyncIterator[Provider]:
    """A provider of the whole gateway, with all its middleware."""
    with scim_on(stopped):
        async with client_of(stopped.app) as client:
            yield Provider(client, stopped.database)

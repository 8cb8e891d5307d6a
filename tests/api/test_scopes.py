"""Tokens with scopes and an end: every route says which scope it needs, and nothing else is open to such a token."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.app import create_app
from api.http.middleware import API
from api.http.token_scopes import NEEDED
from core.settings import Settings
from domain.moments import moment_text
from domain.token_scopes import TokenScope
from store.people import tokens
from store.tables.people import tokens as token_rows
from tests.api.conftest import Gate

EVERYTHING = {
    *("GET /actions/{action_id}", "GET /decisions/{decision_id}", "GET /datasets", "GET /datasets/{name}"),
    *("GET /directory/accounts/{username}", "GET /groups", "GET /incidents", "POST /incidents/decisions"),
    *("GET /ledger/accounts", "POST /ledger/accounts", "GET /ledger/accounts/{name}", "GET /ledger/entries"),
    *("POST /ledger/accounts/{name}/funds", "GET /ledger/changes", "GET /ledger/changes/{change_id}"),
    *("POST /ledger/changes/{change_id}/confirm", "POST /ledger/changes/{change_id}/withdraw", "GET /risks"),
    *("GET /me/absence", "PUT /me/absence", "DELETE /me/absence", "GET /me/notices", "PUT /me/notices"),
    *("GET /me/passkeys", "POST /me/passkeys", "PATCH /me/passkeys/{passkey_id}", "DELETE /me/passkeys/{passkey_id}"),
    *("GET /me/tokens", "POST /me/tokens", "DELETE /me/tokens/{token_id}", "GET /one-time-links"),
    *("POST /one-time-links/{link_id}/confirm", "POST /one-time-links/{link_id}/withdraw"),
    *("GET /people", "POST /people", "GET /people/{person_id}", "PATCH /people/{person_id}"),
    *("GET /people/{person_id}/absence", "PUT /people/{person_id}/absence", "DELETE /people/{person_id}/absence"),
    *("POST /people/{person_id}/deactivate", "POST /people/{person_id}/reactivate", "POST /people/{person_id}/replace"),
    *("PUT /people/{person_id}/groups/{group}", "DELETE /people/{person_id}/groups/{group}"),
    *("POST /people/{person_id}/link", "POST /people/{person_id}/unlock", "DELETE /people/{person_id}/sessions"),
    *("GET /people/{person_id}/passkeys", "DELETE /people/{person_id}/passkeys/{passkey_id}"),
    *("GET /me/identities", "GET /people/{person_id}/identities"),
    "DELETE /people/{person_id}/identities/{identity_id}",
    *("GET /people/{person_id}/tokens", "DELETE /people/{person_id}/tokens"),
    *("DELETE /people/{person_id}/tokens/{token_id}", "POST /policies/apply", "GET /policies/{hash}"),
    *("GET /service-accounts", "POST /service-accounts", "GET /service-accounts/{account_id}"),
    *("PATCH /service-accounts/{account_id}", "DELETE /service-accounts/{account_id}"),
    *("POST /service-accounts/{account_id}/deactivate", "POST /service-accounts/{account_id}/reactivate"),
    *("POST /service-accounts/{account_id}/tokens", "DELETE /service-accounts/{account_id}/tokens/{token_id}"),
    *("POST /tasks/decisions", "POST /tasks/reassign", "POST /tasks/{task_id}/decision"),
    *(
        f"POST /tasks/{{task_id}}/{act}"
        for act in ("claim", "release", "reassign", "delegate", "withdraw", "questions", "reveal")
    ),
    *("POST /tasks/{task_id}/questions/{question_id}/answer", "POST /tasks/{task_id}/questions/{question_id}/withdraw"),
    *("POST /tasks/{task_id}/clock", "POST /tasks/{task_id}/nudge"),
    *("PUT /tasks/{task_id}/follow-up", "DELETE /tasks/{task_id}/follow-up"),
    *("POST /cases/{case_id}/start", "POST /cases/{case_id}/rollback"),
    *("POST /cases/{case_id}/comments", "POST /cases/{case_id}/attachments"),
    *(f"POST /{subject}/erase" for subject in ("cases/{case_id}", "batches/{batch_id}", "people/{person_id}")),
    *("GET /legal-holds", "POST /legal-holds", "DELETE /legal-holds/{hold_id}"),
}
"""The routes that need a credential without scopes. Move a route to `api.http.token_scopes.NEEDED` only if no message
to a case other than a request or its cancellation can come through it.
"""
NO_TOKEN = {"GET /health/live", "GET /health/ready", "GET /metrics"}
CODEC = {"POST /codec/decode", "POST /codec/encode"}
"""Not there without encryption. `tests/authorization/test_codec_server.py` tests them with tokens of each scope."""


def test_every_route_of_the_document_says_which_scope_it_needs(tmp_path: Path) -> None:
    paths = create_app(Settings(var=tmp_path)).openapi()["paths"]
    routes = {f"{method.upper()} {path.removeprefix(API)}" for path, methods in paths.items() for method in methods}
    scoped = {f"{method} {path}" for method, path in NEEDED}
    assert not scoped & EVERYTHING
    unclassified = routes - scoped - EVERYTHING - NO_TOKEN - CODEC
    assert not unclassified, f"say in api/http/token_scopes.py or here what a token with scopes may do: {unclassified}"
    assert not (scoped | EVERYTHING) - routes, "these routes are gone"
    assert all(NEEDED.values()) and set[TokenScope]().union(*NEEDED.values()) == set(TokenScope)


async def token(gate: Gate, person: str, **more: Any) -> str:
    async with gate.database.write() as conn:
        made = await tokens.make(conn, person, "scoped", by="holdgate", **more)
    name = f"{person}-{made[-6:]}"
    gate.tokens[name] = made
    return name


def filled(path: str) -> str:
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize("scope", TokenScope)
async def test_a_scope_opens_its_routes_and_no_other(stopped: Gate, scope: TokenScope) -> None:
    who = await token(stopped, "admin-1", scopes=[scope])
    routes = [(method, path, NEEDED[method, path]) for method, path in NEEDED if path not in ("/metrics", "/events")]
    routes += [(*route.split(" "), frozenset()) for route in EVERYTHING]  # type: ignore[misc]
    for method, path, needed in routes:
        if path.endswith("/events"):
            continue  # a stream does not end
        answer = await stopped.as_(who).request(method, API + filled(path), json={})
        refused = answer.status_code == 403 and answer.json()["type"] == "urn:holdgate:scope"
        assert refused is (scope not in needed), (method, path, answer.text)
        if refused:
            said = answer.json()
            assert said["scopes"] == [scope] and set(said["needed"]) == needed
            assert all(each in said["detail"] for each in needed)


async def test_a_token_with_scopes_begins_no_session_and_opens_no_page(stopped: Gate) -> None:
    who = await token(stopped, "manager-1", scopes=[TokenScope.CASES_READ])
    page = await stopped.as_(who).get("/", headers={"Accept": "text/html"})
    assert "This token has scopes" in page.text and "Inbox" not in page.text
    assert (await stopped.as_(who).post("/settings/zone", data={"value": "Europe/London"})).status_code == 401
    form = {"token": stopped.tokens[who]}
    answer = await stopped.as_(None).post("/sign-in", data=form, headers={"Accept": "text/html"})
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "cannot begin a session" in answer.text


async def test_a_token_that_has_ended_says_so_and_when(stopped: Gate) -> None:
    who = await token(stopped, "manager-1", expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert (await stopped.get(who, "/me")).status_code == 200
    over = datetime.now(UTC) - timedelta(minutes=5)
    async with stopped.database.write() as conn:
        its = token_rows.c.hash == tokens.credential_of(stopped.tokens[who])
        await conn.execute(token_rows.update().where(its).values(expires_at=over))
    answer = await stopped.get(who, "/me")
    assert answer.status_code == 401
    assert f"This token ended at {moment_text(over)}" in answer.json()["detail"]
    page = await stopped.as_(who).get("/", headers={"Accept": "text/html"})
    assert "This token ended at" in page.text


async def test_people_make_tokens_with_scopes_and_an_end_and_see_their_last_use(stopped: Gate) -> None:
    who = await token(stopped, "steward-1", scopes=[TokenScope.CASES_READ])
    assert (await stopped.get(who, "/cases")).status_code == 200
    listed = (await stopped.get("auditor-1", "/people/steward-1/tokens")).json()["items"]
    (mine,) = [each for each in listed if each["label"] == "scoped"]
    assert (mine["scopes"], mine["expires_at"], mine["revoked_at"]) == (["cases:read"], None, None)
    for wrong, field in (({"scopes": ["cases:decide"]}, "scopes.0"), ({"scopes": []}, "scopes")):
        body = {"label": "x", "password": "x", **wrong}
        answer = await stopped.post("steward-1", "/me/tokens", body)
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field

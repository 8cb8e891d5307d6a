"""Groups that an identity provider fills: the API and the pages refuse to change them, and say where they come from."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest

from store.people import group_owners, leavers, people, provided_groups, service_accounts, tokens
from tests.api.conftest import API, Gate
from tests.api.pages.visits import signed_in

SENTENCE = "The identity provider sets the members of {group} (by {name}): change the group in the identity provider."


class Provided(NamedTuple):
    """A group that a provider fills, with one member, and people who are not in it."""

    group: str
    name: str
    member: str
    other: str
    gone: str


@pytest.fixture(params=[("scim", "SCIM"), ("oidc", "single sign-on")])
async def provided(stopped: Gate, request: pytest.FixtureRequest) -> AsyncIterator[Provided]:
    provider, name = request.param
    suffix = uuid4().hex[:8]
    found = Provided(f"g-{suffix}", name, f"member-{suffix}", f"other-{suffix}", f"gone-{suffix}")
    async with stopped.database.write() as conn:
        for id in (found.member, found.other, found.gone):
            await people.add(conn, id, id, [], by="cli:test")
        await provided_groups.assign(conn, found.member, [found.group], provider, by=f"provider:{provider}")
        await leavers.deactivate(conn, found.gone, "a test", by="cli:test")
    yield found


async def test_the_api_refuses_to_change_a_provided_group(stopped: Gate, provided: Provided) -> None:
    client, group = stopped.as_("admin-1"), provided.group
    new = {"id": f"new-{group}", "name": "New", "groups": ["managers", group]}
    answers = [
        await client.put(f"{API}/people/{provided.other}/groups/{group}"),
        await client.put(f"{API}/people/{provided.other}/groups/{group.upper()}"),
        await client.delete(f"{API}/people/{provided.member}/groups/{group}"),
        await client.post(f"{API}/people", json=new),
        await client.post(f"{API}/people/{provided.gone}/reactivate", json={"groups": [group]}),
    ]
    for answer in answers:
        said = answer.json()
        assert (answer.status_code, said["type"]) == (409, "urn:holdgate:provided-group"), answer.text
        assert said["detail"] == SENTENCE.format(group=group, name=provided.name)
    entry = (await client.get(f"{API}/people/{provided.member}")).json()
    assert (entry["groups"], list(entry["provided"])) == ([group], [group])
    assert (await client.get(f"{API}/people/{provided.other}")).json()["groups"] == []
    assert (await client.get(f"{API}/people/{new['id']}")).status_code == 404
    assert (await client.get(f"{API}/people/{provided.gone}")).json()["active"] is False
    listed = (await client.get(f"{API}/groups")).json()["items"]
    assert [each["provider"] for each in listed if each["group"] == group] == list(entry["provided"].values())
    assert {each["provider"] for each in listed if each["group"] in ("managers", "admins")} == {None}


async def test_the_pages_say_where_a_group_comes_from_and_refuse_to_change_it(
    stopped: Gate, provided: Provided
) -> None:
    async with signed_in(stopped, "admin-1") as client:
        page = (await client.get(f"/people/{provided.member}")).text
        assert f"from {provided.name}" in page and f"Remove from group {provided.group}" not in page
        assert f"from {provided.name}" in (await client.get("/groups")).text
        other = await client.get(f"/people/{provided.other}")
        assert f'<option value="{provided.group}">' not in other.text and '<option value="managers">' in other.text
        for path, form in (
            (f"/people/{provided.other}/join", {"value": provided.group}),
            (f"/people/{provided.member}/leave", {"value": provided.group}),
            (f"/people/{provided.gone}/reactivate", {"value": provided.group}),
            ("/people", {"id": f"page-{provided.group}", "name": "New", "groups": provided.group}),
        ):
            answer = await client.post(path, data=form)
            assert answer.status_code in (409, 422)
            assert SENTENCE.format(group=provided.group, name=provided.name) in answer.text


async def test_the_log_says_which_provider_fills_a_group(stopped: Gate, provided: Provided) -> None:
    async with signed_in(stopped, "auditor-1") as client:
        page = (await client.get("/audit", params={"q": provided.group})).text
        assert f"sets the members of {provided.group} now" in page


async def test_an_administrator_deactivates_others_but_not_the_own_account(stopped: Gate) -> None:
    alone = await stopped.post("admin-1", "/people/admin-1/deactivate", {"reason": "left"})
    assert (alone.status_code, alone.json()["type"]) == (409, "urn:holdgate:last-admin")
    second = f"admin-{uuid4().hex[:8]}"
    async with stopped.database.write() as conn:
        await people.add(conn, second, second, ["admins"], by="cli:test")
        stopped.tokens[second] = await tokens.make(conn, second, "test", by="cli:test")
    own = await stopped.post("admin-1", "/people/admin-1/deactivate", {"reason": "left"})
    assert (own.status_code, own.json()["type"]) == (403, "urn:holdgate:not-allowed")
    assert "You cannot deactivate your own account by yourself." in own.json()["detail"]
    assert (await stopped.get("admin-1", "/me")).status_code == 200
    async with signed_in(stopped, "admin-1") as client:
        page = await client.post("/people/admin-1/deactivate", data={"reason": "left"})
        assert page.status_code == 403 and "You cannot deactivate your own account" in page.text
    assert (await stopped.post("admin-1", f"/people/{second}/deactivate", {"reason": "left"})).status_code == 204
    assert (await stopped.get(second, "/me")).status_code == 401


async def test_the_last_administrator_of_a_provider_has_no_successor_and_a_program_never_has_one(stopped: Gate) -> None:
    suffix = uuid4().hex[:8]
    heir, bot = f"heir-{suffix}", f"bot-{suffix}"
    async with stopped.database.write() as conn:
        await people.add(conn, heir, heir, [], by="cli:test")
        await service_accounts.create(
            conn, bot, bot, owners=[heir], scopes=["cases:ask"], expires_at=None, by="cli:test"
        )
        await group_owners.own(conn, "admins", "scim", by="cli:test")
    try:
        no = await stopped.post("admin-1", "/people/admin-1/replace", {"by": heir, "reason": "left"})
        assert (no.status_code, no.json()["type"]) == (409, "urn:holdgate:last-admin")
        assert (await stopped.get("admin-1", "/me")).status_code == 200
        for old, new, why in ((bot, heir, "is a service account"), (heir, bot, "no active person")):
            no = await stopped.post("admin-1", f"/people/{old}/replace", {"by": new, "reason": "left"})
            assert no.status_code == 422 and why in no.text, no.text
    finally:
        async with stopped.database.write() as conn:
            await group_owners.release(conn, "admins", "scim", by="cli:test")

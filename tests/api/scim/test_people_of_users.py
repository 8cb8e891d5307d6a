"""Which person a user of a provider is, and what happens to the person when the user changes."""

from typing import Any

import pytest
from sqlalchemy import select, update

from store.erasure.person import erase_person
from store.people import leavers, people, scim_people, tokens
from store.tables.people import people as people_rows, sessions, tokens as token_rows
from tests.api.scim.conftest import USER, Provider

OFF: list[dict[str, Any]] = [
    {"op": "replace", "value": {"active": False}},
    {"op": "Replace", "path": "active", "value": "False"},
    {"op": "replace", "path": "active", "value": "false"},
    {"op": "replace", "path": "active", "value": False},
]
ON: dict[str, Any] = {"op": "replace", "path": "active", "value": True}


async def here(provider: Provider, id: str, *groups: str, email: str | None = None) -> None:
    """Add a person as an administrator does."""
    async with provider.db.write() as conn:
        await people.add(conn, id, id.title(), groups, by="cli:test", email=email)


@pytest.mark.parametrize(
    ("user_name", "id"),
    [
        ("Anna.Berg@example.org", "anna.berg"),
        ("anna", "anna"),
        ("J\u00f6rg M\u00fcller", "jorg-muller"),
        ("DOMAIN\\anna", "domain-anna"),
        ("\u5c71\u7530", "person"),
        ("holdgate", "holdgate-2"),
        ("_-_@example.org", "person"),
    ],
)
async def test_a_new_user_becomes_a_person_with_an_id_like_the_user_name(
    provider: Provider, user_name: str, id: str
) -> None:
    user = await provider.create(user_name)
    assert user["userName"] == user_name
    person, active = await provider.person(id)
    assert (person.name, person.groups, active) == (user_name, [], True)


@pytest.mark.both_databases
async def test_two_users_with_like_names_are_two_people(provider: Provider) -> None:
    for user_name, id in (("anna@a.example", "anna"), ("anna@b.example", "anna-2"), ("Anna@c.example", "anna-3")):
        await provider.create(user_name)
        assert (await provider.person(id))[0].email == user_name


async def test_the_id_of_a_person_never_changes_when_the_user_gets_another_name(provider: Provider) -> None:
    user = await provider.create("anna.smith@example.org", displayName="Anna Smith")
    changes = {"userName": "anna.jones@example.org", "displayName": "Anna Jones"}
    assert (await provider.patch(f"/Users/{user['id']}", {"op": "replace", "value": changes})).status_code == 204
    person, _ = await provider.person("anna.smith")
    assert (person.name, person.email) == ("Anna Jones", "anna.jones@example.org")
    another = await provider.create("anna.smith@example.org")
    assert another["id"] != user["id"]
    assert (await provider.person("anna.smith-2"))[1]


@pytest.mark.parametrize(
    ("id", "email", "sent"),
    [
        ("anna@example.org", None, {"userName": "Anna@Example.org"}),
        ("a1", "Anna@example.org", {"userName": "anna@example.org"}),
        ("a1", "anna@example.org", {"userName": "x77", "emails": [{"value": "anna@example.org", "primary": True}]}),
    ],
)
async def test_a_user_is_linked_to_the_person_with_the_same_id_or_address(
    provider: Provider, id: str, email: str | None, sent: dict[str, Any]
) -> None:
    await here(provider, id, "requesters", email=email)
    await provider.create(sent.pop("userName"), displayName="Anna Berg", **sent)
    person, active = await provider.person(id)
    assert (person.name, person.groups, active) == ("Anna Berg", ["requesters"], True)
    async with provider.db.read() as conn:
        assert len(await people.all(conn)) == 1


async def refused(provider: Provider, user_name: str, **more: Any) -> str:
    answer = await provider.send("POST", "/Users", {"schemas": [USER], "userName": user_name, **more})
    assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness"), answer.text
    return str(answer.json()["detail"])


async def test_an_administrator_a_program_and_a_doubtful_person_are_linked_only_by_hand(provider: Provider) -> None:
    await here(provider, "root", "admins")
    await here(provider, "robot")
    await here(provider, "anna")
    async with provider.db.write() as conn:
        await conn.execute(update(people_rows).where(people_rows.c.id == "robot").values(kind="service"))
    assert "root is an administrator" in await refused(provider, "root")
    assert "robot is a service account" in await refused(provider, "robot")
    assert "anna may be this user" in await refused(provider, "anna@example.org")
    for id in ("root", "anna"):
        async with provider.db.write() as conn:
            await scim_people.link(conn, f"{id}@example.org", id, by="cli:test")
        await provider.create(f"{id}@example.org", displayName=f"Linked {id}")
        assert (await provider.person(id))[0].name == f"Linked {id}"


@pytest.mark.both_databases
@pytest.mark.parametrize("off", OFF)
async def test_a_user_who_is_not_active_is_deactivated_and_comes_back(provider: Provider, off: dict[str, Any]) -> None:
    user = await provider.create("anna")
    await provider.group("Managers", user)
    async with provider.db.write() as conn:
        token = await tokens.make(conn, "anna", "laptop", by="anna")
    assert (await provider.patch(f"/Users/{user['id']}", off)).status_code == 204
    person, active = await provider.person("anna")
    assert (person.groups, active) == ([], False)
    async with provider.db.read() as conn:
        assert await tokens.by_token(conn, token) is None
        assert (await conn.execute(select(token_rows).where(token_rows.c.revoked_at.is_(None)))).first() is None
        assert (await conn.execute(select(sessions))).first() is None
    assert (await provider.patch(f"/Users/{user['id']}", ON)).status_code == 204
    person, active = await provider.person("anna")
    assert (person.groups, active) == (["managers"], True)


async def test_a_group_that_the_user_got_while_away_counts_after_the_return(provider: Provider) -> None:
    user = await provider.create("anna", active=False)
    assert not (await provider.person("anna"))[1]
    await provider.group("Managers", user)
    assert await provider.groups_of("anna") == []
    await provider.patch(f"/Users/{user['id']}", ON)
    assert await provider.groups_of("anna") == ["managers"]


@pytest.mark.both_databases
async def test_a_deleted_user_is_gone_for_ever_and_the_person_comes_back_with_a_new_user(provider: Provider) -> None:
    user = await provider.create("Anna@example.org")
    group = await provider.group("Managers", user)
    assert (await provider.send("DELETE", f"/Users/{user['id']}")).status_code == 204
    assert (await provider.person("anna"))[1] is False
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"schemas": [USER], "userName": "anna"})):
        assert (await provider.send(method, f"/Users/{user['id']}", body)).status_code == 404
    now = (await provider.send("GET", f"/Groups/{group['id']}")).json()
    assert now.get("members", []) == [] and now["meta"]["version"] != group["meta"]["version"]
    again = await provider.create("anna@example.org")
    assert again["id"] != user["id"]
    assert await provider.person("anna") == ((await provider.person("anna"))[0], True)
    assert await provider.groups_of("anna") == []


async def test_a_person_deactivated_here_stays_so_until_the_provider_says_no_and_yes(provider: Provider) -> None:
    user = await provider.create("anna")
    async with provider.db.write() as conn:
        await leavers.deactivate(conn, "anna", "an incident", by="cli:test")
    for change, active in (
        ({"op": "replace", "path": "displayName", "value": "Anna"}, False),
        (ON, False),
        (OFF[0], False),
        (ON, True),
    ):
        assert (await provider.patch(f"/Users/{user['id']}", change)).status_code == 204
        assert (await provider.person("anna"))[1] is active


async def test_what_was_given_is_given_back(provider: Provider) -> None:
    given: dict[str, Any] = {
        "userName": "anna",
        "externalId": "e-1",
        "name": {"formatted": "Dr Anna Berg"},
        "emails": [{"value": "not an address", "type": "home"}, {"value": "a@example.org"}],
    }
    answer = await provider.send("POST", "/Users", {"schemas": [USER], **given})
    assert answer.status_code == 201, answer.text
    found = (await provider.send("GET", f"/Users/{answer.json()['id']}")).json()
    assert {name: value for name, value in found.items() if name not in ("id", "meta", "schemas")} == given
    person, _ = await provider.person("anna")
    assert (person.name, person.email) == ("Dr Anna Berg", "a@example.org")


async def test_an_address_of_another_person_is_refused(provider: Provider) -> None:
    await provider.create("anna", emails=[{"value": "a@example.org"}])
    assert "email: 'anna' already has this e-mail address" in await refused(
        provider, "bert", emails=[{"value": "A@example.org"}]
    )
    user = await provider.create("carl")
    taken = {"op": "add", "path": "emails", "value": [{"value": "a@example.org"}]}
    answer = await provider.patch(f"/Users/{user['id']}", taken)
    assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
    assert "emails" not in (await provider.send("GET", f"/Users/{user['id']}")).json()


@pytest.mark.parametrize("removed", [False, True], ids=["the provider keeps the user", "the provider deleted the user"])
async def test_an_erased_person_comes_back_as_somebody_new(provider: Provider, removed: bool) -> None:
    user = await provider.create("anna@example.org", displayName="Anna Berg")
    if removed:
        assert (await provider.send("DELETE", f"/Users/{user['id']}")).status_code == 204
    else:
        assert (await provider.patch(f"/Users/{user['id']}", OFF[0])).status_code == 204
    async with provider.db.write() as conn:
        await erase_person(conn, "anna", by="operator-1", reason="Request 2026-115", request=None)
    assert (await provider.send("GET", f"/Users/{user['id']}")).status_code == 404
    assert (await provider.send("GET", "/Users")).json()["totalResults"] == 0
    again = await provider.create("anna@example.org", displayName="Anna Berg")
    assert again["id"] != user["id"]
    assert (await provider.person("anna"))[0].name == "Erased person"
    new, active = await provider.person("anna-2")
    assert (new.name, new.email, active) == ("Anna Berg", "anna@example.org", True)
    async with provider.db.write() as conn:
        with pytest.raises(ValueError, match="was erased"):
            await scim_people.link(conn, "other@example.org", "anna", by="cli:test")

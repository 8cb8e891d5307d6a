"""Groups of a provider: which group they fill, who owns it, and that no member is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from store.audit import audit_log
from store.people import leavers, people, provided_groups, scim_groups
from store.people.group_owners import ProvidedGroup
from store.people.last_admin import LastAdmin
from tests.api.scim.conftest import GROUP, USER, Provider, client_of, endpoint


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Managers", "managers"),
        ("Finance Approvers", "finance-approvers"),
        ("  Z\u00fcrich / Legal ", "zurich-legal"),
        ("admins", None),
        ("Admins", None),
        ("ADMINS!", None),
        ("\u5c71\u7530", None),
        ("x" * 61, None),
    ],
)
async def test_a_group_fills_the_group_with_its_name_but_never_the_administrators(
    provider: Provider, name: str, group: str | None
) -> None:
    user = await provider.create("anna")
    made = await provider.group(name, user)
    assert (made["displayName"], len(made["members"])) == (name, 1)
    assert await provider.groups_of("anna") == ([group] if group else [])


@pytest.mark.both_databases
async def test_a_mapping_says_what_a_group_fills_before_and_after_it_is_sent(provider: Provider) -> None:
    anna = await provider.create("anna")
    await provider.group("Finance", anna)
    async with provider.db.write() as conn:
        await people.add(conn, "root", "Root", ["admins"], by="cli:test")
        await scim_groups.map_name(conn, "finance", "managers", by="cli:test")
        await scim_groups.map_name(conn, "Holdgate admins", "admins", by="cli:test")
    assert await provider.groups_of("anna") == ["managers"]
    admins = await provider.group("Holdgate Admins", anna)
    assert await provider.groups_of("anna") == ["admins", "managers"]
    async with provider.db.write() as conn:
        assert await scim_groups.unmap_name(conn, "Finance", by="cli:test") == "finance"
        assert await provided_groups.owner(conn, "managers") is None
    assert await provider.groups_of("anna") == ["admins", "finance"]
    renamed = {"op": "replace", "path": "displayName", "value": "Others"}
    assert (await provider.patch(f"/Groups/{admins['id']}", renamed)).status_code == 204
    assert await provider.groups_of("anna") == ["finance", "others"]
    async with provider.db.read() as conn:
        kinds = {event.kind for event in await audit_log.page(conn, "")}
    assert {"group_mapped", "group_unmapped", "group_provided", "group_released", "group_joined", "group_left"} <= kinds


async def test_a_group_that_a_provider_fills_is_changed_only_there(provider: Provider) -> None:
    anna = await provider.create("anna")
    async with provider.db.write() as conn:
        await people.add(conn, "bert", "Bert", ["managers"], by="cli:test")
        await people.add(conn, "carl", "Carl", [], by="cli:test")
    group = await provider.group("Managers", anna)
    sentence = r"the identity provider sets the members of managers \(by SCIM\): change the group in the"
    changes: list[Callable[[Any], Any]] = [
        lambda conn: people.join(conn, "carl", "Managers", by="cli:test"),
        lambda conn: people.leave(conn, "anna", "managers", by="cli:test"),
        lambda conn: people.add(conn, "dora", "Dora", ["managers"], by="cli:test"),
    ]
    for change in changes:
        with pytest.raises(ProvidedGroup, match=sentence):
            async with provider.db.write() as conn:
                await change(conn)
    async with provider.db.write() as conn:
        await leavers.replace(conn, "anna", "carl", "left", by="cli:test")
        with pytest.raises(ProvidedGroup, match=sentence):
            await leavers.reactivate(conn, "anna", ["managers"], by="cli:test")
    async with provider.db.write() as conn:
        await people.leave(conn, "bert", "managers", by="cli:test")  # what was added here can be taken away here
        await leavers.reactivate(conn, "anna", [], by="cli:test")
    assert [await provider.groups_of(id) for id in ("anna", "bert", "carl")] == [["managers"], [], []]
    assert (await provider.send("DELETE", f"/Groups/{group['id']}")).status_code == 204
    assert await provider.groups_of("anna") == []
    async with provider.db.write() as conn:
        await people.join(conn, "carl", "managers", by="cli:test")


async def test_what_was_added_here_belongs_to_the_provider_that_gives_it_later(provider: Provider) -> None:
    anna = await provider.create("anna")
    async with provider.db.write() as conn:
        await people.join(conn, "anna", "managers", by="cli:test")
        await provided_groups.assign(conn, "anna", ["auditors", "operators"], "oidc", by="oidc")
    group = await provider.group("Managers", anna)
    auditors = await provider.group("Auditors", anna)
    async with provider.db.write() as conn:
        await provided_groups.assign(conn, "anna", ["operators"], "oidc", by="oidc")
    assert await provider.groups_of("anna") == ["auditors", "managers", "operators"], "SCIM gives auditors, too"
    for each in (group, auditors):
        await provider.patch(f"/Groups/{each['id']}", {"op": "remove", "path": "members"})
    assert await provider.groups_of("anna") == ["operators"], (
        "what SCIM takes away is gone, also if single sign-on gave it first"
    )


# ------------------------------------------------------------------------------------------------------ the last admin


def removals(user: str, group: str) -> list[tuple[str, str, Any]]:
    """Every request that takes the last administrator away: by the user, by the members, by the name, by deletion."""

    def patch(path: str, *operations: dict[str, Any]) -> tuple[str, str, Any]:
        schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
        return "PATCH", path, {"schemas": schemas, "Operations": list(operations)}

    of_user, of_group = f"/Users/{user}", f"/Groups/{group}"
    return [
        patch(of_user, {"op": "replace", "value": {"active": False}}),
        patch(of_user, {"op": "Replace", "path": "active", "value": "False"}),
        patch(
            of_user, {"op": "replace", "path": "displayName", "value": "X"}, {"op": "add", "value": {"active": "false"}}
        ),
        ("PUT", of_user, {"schemas": [USER], "userName": "anna", "active": False}),
        ("DELETE", of_user, None),
        patch(of_group, {"op": "remove", "path": f'members[value eq "{user}"]'}),
        patch(of_group, {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": user}]}),
        patch(of_group, {"op": "remove", "path": "members"}),
        patch(of_group, {"op": "replace", "path": "members", "value": []}),
        patch(of_group, {"op": "replace", "value": {"id": group, "displayName": "Others"}}),
        ("PUT", of_group, {"schemas": [GROUP], "displayName": "Root", "members": []}),
        ("PUT", of_group, {"schemas": [GROUP], "displayName": "Others", "members": [{"value": user}]}),
        ("DELETE", of_group, None),
    ]


@pytest.mark.both_databases
async def test_the_last_administrator_is_removed_by_no_request(provider: Provider) -> None:
    user = await provider.create("anna")
    async with provider.db.write() as conn:
        await scim_groups.map_name(conn, "Root", "admins", by="cli:test")
    group = await provider.group("Root", user)
    before = [(await provider.send("GET", path)).json() for path in (f"/Users/{user['id']}", f"/Groups/{group['id']}")]
    for method, path, body in removals(user["id"], group["id"]):
        answer = await provider.send(method, path, body)
        said = answer.json()
        assert (answer.status_code, said["status"]) == (409, "409"), (method, path, body, answer.text)
        assert "is the last member of admins. Add another administrator first." in said["detail"]
        assert await provider.groups_of("anna") == ["admins"] and (await provider.person("anna"))[1]
    after = [(await provider.send("GET", path)).json() for path in (f"/Users/{user['id']}", f"/Groups/{group['id']}")]
    assert after == before
    with pytest.raises(LastAdmin):
        async with provider.db.write() as conn:
            await scim_groups.unmap_name(conn, "Root", by="cli:test")
    async with provider.db.write() as conn:
        await people.add(conn, "heir", "Heir", [], by="cli:test")
    with pytest.raises(LastAdmin):
        async with provider.db.write() as conn:
            await leavers.replace(conn, "anna", "heir", "left", by="cli:test")
    async with provider.db.write() as conn:
        await people.add(conn, "spare", "Spare", [], by="cli:test")
        await provided_groups.assign(conn, "spare", ["admins"], "oidc", by="oidc")
    assert (await provider.send("DELETE", f"/Users/{user['id']}")).status_code == 204


# --------------------------------------------------------------------------------------------------------- concurrency


@pytest.mark.both_databases
async def test_requests_at_the_same_time_lose_no_member(provider: Provider, another_db: Any) -> None:
    users = [await provider.create(f"user-{number}") for number in range(8)]
    group = await provider.group("Managers", *users[:4])
    path = f"/Groups/{group['id']}"
    async with client_of(endpoint(another_db())) as client:
        second = Provider(client, provider.db)
        adds = [
            (provider, second)[number % 2].patch(
                path, {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
            )
            for number, user in enumerate(users[4:])
        ]
        gone = [second.patch(path, {"op": "remove", "path": f'members[value eq "{user["id"]}"]'}) for user in users[:2]]
        answers = await asyncio.gather(*adds, *gone)
    assert [answer.status_code for answer in answers] == [204] * 6
    now = (await provider.send("GET", path)).json()
    assert {each["value"] for each in now["members"]} == {user["id"] for user in users[2:]}
    assert now["meta"]["version"] == 'W/"7"'
    async with provider.db.read() as conn:
        members = [person.id for person in await people.all(conn) if "managers" in person.groups]
    assert sorted(members) == sorted(user["userName"] for user in users[2:])


@pytest.mark.both_databases
async def test_one_of_two_users_created_at_the_same_time_with_one_name_is_refused(provider: Provider) -> None:
    bodies = [{"schemas": [USER], "userName": name} for name in ("anna", "ANNA")]
    answers = await asyncio.gather(*(provider.send("POST", "/Users", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


@pytest.mark.both_databases
async def test_a_request_with_an_old_version_is_refused(provider: Provider) -> None:
    group = await provider.group("Managers")
    path, old = f"/Groups/{group['id']}", group["meta"]["version"]
    renamed = {"op": "replace", "path": "externalId", "value": "x"}
    assert (await provider.patch(path, renamed, If_Match=old)).status_code == 204
    for method in ("PATCH", "PUT", "DELETE"):
        bodies: dict[str, Any] = {"PUT": {"schemas": [GROUP], "displayName": "Managers"}}
        if method == "PATCH":
            answer = await provider.patch(path, {**renamed, "value": "y"}, If_Match=old)
        else:
            answer = await provider.send(method, path, bodies.get(method), If_Match=old)
        assert answer.status_code == 412, answer.text
    now = await provider.send("GET", path)
    assert (await provider.send("GET", path, If_None_Match=now.headers["ETag"])).status_code == 304

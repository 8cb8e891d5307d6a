"""The commands of SCIM: mappings, links, and what the provider has sent."""

import asyncio
import os
from pathlib import Path

from store.db.database import Database
from store.people import scim_groups, scim_users
from store.people.scim_groups import GivenGroup, Member
from store.people.scim_users import GivenUser
from tests.support.in_process_command_line import Run


def sent(*groups: str) -> None:
    """The provider sends a user, who is in these groups."""

    async def send() -> None:
        database = Database(f"sqlite:///{Path(os.environ['HOLDGATE_VAR']) / 'holdgate.db'}")
        async with database.write() as conn:
            given = GivenUser("anna@example.org", None, "Anna", None, True, {"userName": "anna@example.org"})
            user = await scim_users.create(conn, given)
            for name in groups:
                group = GivenGroup(name, None, {"displayName": name}, [Member(user.scim_id)])
                await scim_groups.create(conn, group)
        await database.close()

    asyncio.run(send())


def groups_of(run: Run, id: str) -> list[str]:
    found: list[str] = next(each["groups"] for each in run("people", "list", "--json").json if each["id"] == id)
    return found


def test_groups_of_the_provider_are_mapped_and_unmapped(run: Run) -> None:
    assert run("people", "add", "root", "--group", "admins").code == 0
    assert run("scim", "map", "Holdgate Admins", "admins").out == "Holdgate Admins fills admins\n"
    sent("Holdgate admins", "Finance")
    assert groups_of(run, "anna") == ["admins", "finance"]
    assert run("scim", "map", "finance", "Managers").out == "finance fills managers\n"
    assert groups_of(run, "anna") == ["admins", "managers"]
    assert run("scim", "map", "Later", "auditors").code == 0
    table = [line.split() for line in run("scim", "groups").out.splitlines()]
    assert ["Finance", "managers", "mapping", "1"] in table
    assert ["Later", "auditors", "mapping", "not", "sent", "yet"] in table
    assert run("scim", "unmap", "Finance").out == "Finance fills finance\n"
    assert run("scim", "unmap", "Holdgate Admins").out == "Holdgate Admins fills holdgate-admins\n"
    assert groups_of(run, "anna") == ["finance", "holdgate-admins"]
    again = run("scim", "unmap", "Finance")
    assert again.code == 1 and "is not mapped" in again.err
    assert run("scim", "map", "Finance", "no group!").code == 1


def test_a_group_of_the_provider_is_refused_by_the_commands_of_people(run: Run) -> None:
    assert run("people", "add", "bert").code == 0
    sent("Managers")
    for command in (("join", "bert", "managers"), ("leave", "anna", "managers")):
        refused = run("people", *command)
        assert refused.code == 1 and "the identity provider sets the members of managers (by SCIM)" in refused.err
    assert run("people", "deactivate", "bert", "--reason", "left").code == 0
    assert "by SCIM" in run("people", "reactivate", "bert", "--group", "managers").err


def test_a_user_is_linked_to_a_person_by_hand(run: Run) -> None:
    assert run("people", "add", "root", "--group", "admins").code == 0
    assert run("scim", "link", "Anna@example.org", "nobody").code == 1
    assert run("scim", "link", " ", "root").code == 1
    assert run("scim", "link", "Anna@example.org", "root").code == 0
    sent()
    assert run("scim", "users", "--json").json == [{"user_name": "anna@example.org", "person": "root", "active": True}]
    refused = run("scim", "link", "anna@example.org", "root")
    assert refused.code == 1 and "is the person root already" in refused.err

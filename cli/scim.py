"""The commands `./holdgate scim ...`: what an identity provider sends by SCIM, and what it is in Holdgate."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import CommandError, in_database, in_transaction, operator, print_answer
from cli.options import AsJson

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.database import Database

app = typer.Typer(
    help="Users and groups of an identity provider (SCIM), changed in the database.", no_args_is_help=True
)

_AT_ONCE = 500
"""The number of users or groups that one query reads."""

DisplayName = Annotated[str, typer.Argument(metavar="NAME", help="The displayName of the group of the provider.")]


@app.command("users")
def scim_users(as_json: AsJson = False) -> None:
    """List the users of the identity provider, each with the person in Holdgate."""
    from store.people import scim_users

    async def look(database: "Database") -> list[dict[str, Any]]:
        found: list[scim_users.ScimUser] = []
        async with database.read() as connection:
            while part := await scim_users.listed(connection, {}, offset=len(found), limit=_AT_ONCE):
                found += part
        return [
            {"user_name": each.attributes["userName"], "person": each.person, "active": each.active} for each in found
        ]

    rows = in_database(look)
    shown = [(each["user_name"], each["person"], "active" if each["active"] else "deactivated") for each in rows]
    print_answer(rows, as_json, lambda _: output.table_of(("User", "Person", "State"), shown))


@app.command("groups")
def scim_groups(as_json: AsJson = False) -> None:
    """List the groups of the identity provider, each with the group that it fills in Holdgate, and the mappings."""
    from store.people import scim_groups

    async def look(database: "Database") -> dict[str, list[dict[str, Any]]]:
        found: list[scim_groups.ScimGroup] = []
        async with database.read() as connection:
            while part := await scim_groups.listed(connection, {}, offset=len(found), limit=_AT_ONCE):
                found += part
            mapped = await scim_groups.mappings(connection)
        groups = [
            {"display_name": each.display_name, "group": each.group, "members": len(each.members)} for each in found
        ]
        return {"groups": groups, "mappings": [each._asdict() for each in mapped]}

    answer = in_database(look)
    by_hand = {each["display_name"].casefold() for each in answer["mappings"]}
    rows = [
        (
            each["display_name"],
            each["group"] or "none",
            "mapping" if each["display_name"].casefold() in by_hand else "name",
            str(each["members"]),
        )
        for each in answer["groups"]
    ]
    here = {each["display_name"].casefold() for each in answer["groups"]}
    rows += [
        (each["display_name"], each["group"], "mapping", "not sent yet")
        for each in answer["mappings"]
        if each["display_name"].casefold() not in here
    ]
    print_answer(answer, as_json, lambda _: output.table_of(("Group of the provider", "Fills", "By", "Members"), rows))


@app.command("map")
def scim_map(
    name: DisplayName, group: Annotated[str, typer.Argument(metavar="GROUP", help="The group of Holdgate.")]
) -> None:
    """Let a group of the identity provider fill a group of Holdgate. From then on, only the provider adds members.

    Only this command lets a provider fill `admins`.
    """
    from store.people import scim_groups

    filled = in_transaction(lambda connection: scim_groups.map_name(connection, name, group, by=operator()))
    output.say(f"{name} fills {filled}")


@app.command("unmap")
def scim_unmap(name: DisplayName) -> None:
    """Delete the mapping of a group of the identity provider. Then its name says which group it fills."""
    from store.people import scim_groups

    after = in_transaction(lambda connection: scim_groups.unmap_name(connection, name, by=operator()))
    output.say(f"{name} fills {after}" if after else f"{name} fills no group")


@app.command("link")
def scim_link(
    user_name: Annotated[str, typer.Argument(metavar="USERNAME", help="The userName at the identity provider.")],
    person: Annotated[str, typer.Argument(metavar="ID", help="The id of the person in Holdgate.")],
) -> None:
    """Let a user whom the identity provider sends later be a person who is here, such as an administrator."""
    from domain.normalization import fold
    from store.people import scim_people

    if not 1 <= len(key := fold(user_name)) <= 500:
        raise CommandError("enter the userName of a user of the identity provider, with 1 to 500 characters")

    in_transaction(lambda connection: scim_people.link(connection, key, person, by=operator()))
    output.say(f"the user {user_name} of the identity provider will be {person}")

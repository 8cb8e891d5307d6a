"""The commands `./holdgate people ...`: list and change people, groups, absences, tokens and passwords."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import (
    ADMIN,
    CommandError,
    ResultT,
    gateway_as,
    in_database,
    in_transaction,
    operator,
    print_answer,
    settings_with_plugins,
)
from cli.options import AsJson, AsPerson
from domain.moments import moment_text

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.connection import AsyncConnection
    from store.db.database import Database

app = typer.Typer(help="People, their groups and tokens, changed in the database.", no_args_is_help=True)


NewGroupMeant = Annotated[
    bool, typer.Option("--new-group", help="Allow a new group, which has no members and which no policy names.")
]


Id = Annotated[str, typer.Argument(metavar="WHO", help="Id, name or e-mail address.")]


@app.command("add")
def people_add(
    person: Annotated[str, typer.Argument(metavar="ID", help="A short id that never changes.")],
    name: Annotated[str | None, typer.Option(help="The name that pages show. Default: the id.")] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", help="A group of the person. You can repeat this option.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="The e-mail address.")] = None,
    new_group: NewGroupMeant = False,
    as_json: AsJson = False,
) -> None:
    """Add a person. Then './holdgate link send ID' sends the person a link to set a password or get a token."""
    from store.people import people

    added = _put_into(
        group or [],
        new_group,
        lambda connection: people.add(connection, person, name or person, group or [], by=operator(), email=email),
        migrated=True,
    )
    groups = ", ".join(added.groups) or "no groups"
    print_answer(
        added.model_dump(exclude={"stands_in_for"}),
        as_json,
        lambda _: output.say(f"added {added.id} ({added.name}): {groups}"),
    )


@app.command("list")
def people_list(as_json: AsJson = False) -> None:
    """List people and their groups."""
    from store.people import people

    async def everybody(database: "Database") -> list[people.Person]:
        async with database.read() as connection:
            return [each for each in await people.all(connection) if each.kind == "person"]

    found = in_database(everybody)
    rows = [
        (each.id, each.name, ", ".join(each.groups), each.email or "", each.manager or "", each.time_zone or "")
        for each in found
    ]
    columns = ("Id", "Name", "Groups", "Mail", "Manager", "Time zone")
    known = [person.model_dump(exclude={"stands_in_for", "comes_after"}) for person in found]
    print_answer(known, as_json, lambda _: output.table_of(columns, rows))


@app.command("join")
def people_join(
    person: Id, group: Annotated[str, typer.Argument(metavar="GROUP")], new_group: NewGroupMeant = False
) -> None:
    """Add a person to a group."""
    from store.people import people

    id = id_of(person)
    _put_into([group], new_group, lambda connection: people.join(connection, id, group, by=operator()))
    output.say(f"{id} is in {group}")


@app.command("leave")
def people_leave(person: Id, group: Annotated[str, typer.Argument(metavar="GROUP")]) -> None:
    """Remove a person from a group.

    Open gates that too few people can decide afterwards escalate at once, or ask operators.
    """
    from store.people import people

    id = id_of(person)
    in_transaction(lambda connection: people.leave(connection, id, group, by=operator()))
    output.say(f"{id} is no longer in {group}")


@app.command("manager")
def people_manager(
    person: Id,
    manager: Annotated[str, typer.Argument(metavar="MANAGER", help="Id, name or e-mail address; '' for no manager.")],
) -> None:
    """Set the manager of a person. The policy can let a requester's manager decide: manager_of(requester)."""
    from store.people import people

    id, above = id_of(person), id_of(manager) if manager.strip() else None
    in_transaction(lambda connection: people.set_manager(connection, id, above, by=operator()))
    output.say(f"the manager of {id} is {above}" if above else f"{id} has no manager")


@app.command("zone")
def people_zone(person: Id, time_zone: Annotated[str, typer.Argument(metavar="ZONE")]) -> None:
    """Set the time zone of a person, such as Europe/London."""
    from store.people import people

    id = id_of(person)
    in_transaction(lambda connection: people.set_time_zone(connection, id, time_zone or None, by=operator()))
    output.say(f"the time zone of {id} is {time_zone or 'UTC'}")


@app.command("away")
def people_away(
    person: Id,
    starts: Annotated[
        str, typer.Option("--from", metavar="DAY", help="The first day, such as 2026-12-21; or a date with a time.")
    ],
    ends: Annotated[str, typer.Option("--to", metavar="DAY", help="The last day; or a date with a time.")],
    substitute: Annotated[
        str | None, typer.Option(metavar="WHO", help="The substitute: id, name or e-mail address.")
    ] = None,
) -> None:
    """Record that a person is out of office, from the first day to the last day; both days are included."""
    from store.people import absences, people

    id, instead_of = id_of(person), id_of(substitute) if substitute else None

    async def change(connection: "AsyncConnection") -> absences.Absence:
        zone = people.zone_of((await people.get(connection, id)).time_zone)
        return await absences.add_by_days(connection, id, zone, (starts, ends), instead_of, by=operator())

    made = in_transaction(change)
    instead = f"; the substitute is {instead_of}" if instead_of else "; there is no substitute"
    output.say(f"{id} is away from {moment_text(made.starts_at)} to {moment_text(made.ends_at)}{instead}")


@app.command("back")
def people_back(person: Id) -> None:
    """End the absence of a person now, and delete the person's future absences."""
    from store.people import absences

    id = id_of(person)

    async def change(connection: "AsyncConnection") -> bool:
        return await absences.set_back(connection, id, datetime.now(UTC), by=operator())

    output.say(f"{id} is back" if in_transaction(change) else f"{id} has no absence that can be ended")


@app.command("replace")
def people_replace(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The id of the person who has left.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The successor: id, name or e-mail address.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit log.")],
    person: AsPerson = None,
) -> None:
    """Give the requests, groups, reports, substitutions and open tasks of OLD, who leaves, to NEW.

    OLD can no longer sign in.
    """
    from cli.client import part

    done = gateway_as(person, ADMIN).post(f"people/{part(old)}/replace", {"by": new, "reason": reason})
    refused = [item for item in done["items"] if item["status"] == "refused"]
    output.say(f"{new} is the successor of {old}; {len(done['items']) - len(refused)} open tasks were reassigned")
    for item in refused:
        output.say(f"{item['task_id']}: {item['problem']['detail']}")
    raise typer.Exit(1 if refused else 0)


@app.command("deactivate")
def people_deactivate(
    person: Id, reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit log.")]
) -> None:
    """Deactivate a person who has left without a successor. The person can no longer sign in."""
    from store.people import leavers

    id = id_of(person)
    in_transaction(lambda connection: leavers.deactivate(connection, id, reason, by=operator()))
    output.say(f"{id} has left; tasks that nobody else can decide escalate or ask operators")


@app.command("reactivate")
def people_reactivate(
    person: Id,
    group: Annotated[
        list[str] | None, typer.Option(metavar="GROUP", help="A group of the person. You can repeat this option.")
    ] = None,
    new_group: NewGroupMeant = False,
) -> None:
    """Reactivate a person who has left, under the same id. The person then needs a new password or token to sign in."""
    from store.people import leavers

    id, wanted = id_of(person), group or []
    groups = _put_into(wanted, new_group, lambda connection: leavers.reactivate(connection, id, wanted, by=operator()))
    output.say(f"{id} is back with {', '.join(groups) or 'no groups'}")


@app.command("email")
def people_email(
    person: Id,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The e-mail address; '' for no mail.")],
) -> None:
    """Set the e-mail address of a person. The audit log shows that the address changed, but not the address itself."""
    from store.people import people

    id = id_of(person)
    in_transaction(lambda connection: people.set_email(connection, id, address, by=operator()))
    output.say(f"{id} gets mail at {address}" if address else f"{id} gets no mail")


@app.command("token")
def people_token(
    person: Id,
    label: Annotated[str, typer.Option(help="The place where the token is used, for the audit log.")] = "command line",
    as_json: AsJson = False,
) -> None:
    """Create a token for a person, in an emergency or for the first admin.

    The token is shown only once, and the person is notified.
    """
    from store.people import tokens

    id = id_of(person)
    token = in_transaction(lambda connection: tokens.make(connection, id, label, by=operator()))
    print_answer({"person": id, "token": token}, as_json, lambda _: output.say(token))


@app.command("revoke")
def people_revoke(person: Id) -> None:
    """Revoke all tokens of a person."""
    from store.people import tokens

    id = id_of(person)
    number = in_transaction(lambda connection: tokens.revoke_all(connection, id, by=operator()))
    output.say(f"access tokens of {id} that were revoked: {number}")


@app.command("password")
def people_password(person: Id, as_json: AsJson = False) -> None:
    """Create a password for a person, in an emergency or for the first admin.

    The password is shown only once. The person must change the password after the first sign-in.
    """
    from store.people import passwords, sessions

    id = id_of(person)

    async def make(database: "Database") -> str:
        password = passwords.temporary()
        async with database.write() as connection:
            hashed = passwords.hash_of(password)
            await sessions.replace_password(connection, id, hashed, datetime.now(UTC), by=operator())
        return password

    password = in_database(make)
    print_answer({"person": id, "password": password}, as_json, lambda _: output.say(password))


@app.command("unlock")
def people_unlock(person: Id) -> None:
    """Let a person who entered too many wrong passwords try to sign in again at once."""
    from store.people import passwords

    id = id_of(person)
    in_transaction(lambda connection: passwords.unlock(connection, id, by=operator()))
    output.say(f"{id} may try to sign in again")


def id_of(text: str) -> str:
    """Return the id of the person whom a text names: an id, a name or an e-mail address.

    A person who has left is found only by the id. Raises CommandError if no person or several people match.
    """
    from store.people import people
    from store.people.name_resolver import id_meant

    async def look(database: "Database") -> str:
        async with database.read() as connection:
            try:
                return (await people.get(connection, text)).id
            except people.UnknownPerson:
                return await id_meant(connection, text)

    return in_database(look)


def _put_into(
    groups: Sequence[str],
    meant: bool,
    work: "Callable[[AsyncConnection], Coroutine[Any, Any, ResultT]]",
    *,
    migrated: bool = False,
) -> ResultT:
    """Run `work`, which adds a person to `groups`, in one transaction, and return its result.

    If a group has no members and no policy names it, the user must confirm the group at the terminal, unless `meant` is
    True. Raises CommandError if there is no terminal to confirm the group, or if the user does not confirm.
    """
    from plugins import loader
    from policy.groups import known_groups
    from policy.model import PolicyError
    from store.people.name_resolver import NewGroup, new_group

    try:
        named = known_groups(loader.policy_file(settings_with_plugins().policy).current)
    except (PolicyError, OSError):  # there is no valid policy yet: then each new group is a question
        named = set()

    async def change(database: "Database") -> ResultT:
        async with database.write() as connection:
            doubtful = None if meant else await new_group(connection, groups, named)
            done = await work(connection)
            if doubtful:
                raise doubtful
            return done

    while True:
        try:
            return in_database(change, migrated=migrated)
        except NewGroup as new:
            if not sys.stdin.isatty():
                raise CommandError(f"{new}\nto create this new group, add --new-group") from new
            if not typer.confirm(f"{new} Make a new group?"):
                raise CommandError("nothing was changed") from new
            named.add(new.group)

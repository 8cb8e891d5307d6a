"""The commands `./holdgate service-accounts ...`: accounts of programs, which ask and read, and never decide."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.common import CommandError, in_database, in_transaction, operator, print_answer
from cli.options import AsJson
from domain.moments import moment_of, moment_text

if TYPE_CHECKING:  # imported by the commands that need it
    from datetime import datetime

    from store.db.connection import AsyncConnection
    from store.db.database import Database
    from store.people.service_accounts import ServiceAccount

app = typer.Typer(
    help="Accounts of programs, which ask and read, and never decide; changed in the database.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The id of the service account.")]
Owner = Annotated[
    list[str],
    typer.Option(
        "--owner", metavar="PERSON", help="The id of a person who answers for it. You can repeat this option."
    ),
]
ScopeName = typer.Option(
    "--scope",
    metavar="SCOPE",
    help="cases:ask, cases:read, batches:upload, audit:read or metrics:read. You can repeat this option.",
)
Ends = Annotated[
    str | None, typer.Option("--expires", metavar="TIME", help="When its tokens end, such as 2027-06-30T00:00Z.")
]


@app.command("add")
def add(
    account: Annotated[str, typer.Argument(metavar="ID", help="A short id that never changes.")],
    owner: Owner,
    scope: Annotated[list[str], ScopeName],
    name: Annotated[str | None, typer.Option(help="The name that pages show. Default: the id.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="A group of the account. Default: the groups that its scopes need.")
    ] = None,
    expires: Ends = None,
    as_json: AsJson = False,
) -> None:
    """Create a service account, and print its first token, which is shown only once."""
    from store.people import service_accounts

    last = _moment(expires)
    token = in_transaction(
        lambda conn: service_accounts.create(
            conn, account, name or account, owners=owner, scopes=scope, expires_at=last, by=operator(), groups=group
        )
    )
    print_answer({"id": account, "token": token}, as_json, lambda _: output.say(token))


@app.command("list")
def show(as_json: AsJson = False) -> None:
    """List service accounts with their owners, scopes and last use."""
    from store.people import service_accounts

    async def everything(database: "Database") -> "list[ServiceAccount]":
        async with database.read() as conn:
            return await service_accounts.listed(conn)

    found = in_database(everything)
    columns = ("Id", "State", "Owners", "Scopes", "Groups", "Ends", "Last used")
    rows = [
        (
            each.id,
            each.status,
            ", ".join(each.owners),
            ", ".join(each.scopes),
            ", ".join(each.groups),
            moment_text(each.expires_at) if each.expires_at else "",
            moment_text(each.last_used_at) if each.last_used_at else "",
        )
        for each in found
    ]
    print_answer([each.model_dump(mode="json") for each in found], as_json, lambda _: output.table_of(columns, rows))


@app.command("tokens")
def token_list(account: Id, as_json: AsJson = False) -> None:
    """List the tokens of a service account, without their secrets."""
    from store.people import service_accounts, tokens

    async def theirs(database: "Database") -> list[tokens.Token]:
        async with database.read() as conn:
            await service_accounts.get(conn, account)
            return await tokens.of(conn, account)

    found = in_database(theirs)
    columns = ("Id", "Label", "Scopes", "Created", "Ends", "Last used", "Revoked")
    rows = [
        (
            each.id,
            each.label,
            ", ".join(each.scopes or []),
            *(moment_text(at) if at else "" for at in (each.created_at, each.expires_at)),
            *(moment_text(at) if at else "" for at in (each.last_used_at, each.revoked_at)),
        )
        for each in found
    ]
    print_answer([each.model_dump(mode="json") for each in found], as_json, lambda _: output.table_of(columns, rows))


@app.command("token")
def new_token(
    account: Id,
    label: Annotated[str, typer.Option(help="The place where the token is used.")] = "command line",
    scope: Annotated[list[str] | None, ScopeName] = None,
    expires: Ends = None,
    as_json: AsJson = False,
) -> None:
    """Create another token of a service account. The token is shown only once."""
    from store.people import service_accounts

    last = _moment(expires)
    token = in_transaction(
        lambda conn: service_accounts.new_token(
            conn, account, label, by=operator(), scopes=scope or None, expires_at=last
        )
    )
    print_answer({"id": account, "token": token}, as_json, lambda _: output.say(token))


@app.command("revoke")
def revoke(
    account: Id,
    token_id: Annotated[
        str | None, typer.Argument(metavar="TOKEN", help="The id of one token. Default: all tokens.")
    ] = None,
) -> None:
    """Revoke all tokens of a service account, or one of them."""
    from store.people import service_accounts, tokens

    async def change(conn: "AsyncConnection") -> int:
        await service_accounts.get(conn, account)
        if token_id is None:
            return await tokens.revoke_all(conn, account, by=operator())
        try:
            await tokens.revoke(conn, account, token_id, by=operator())
        except tokens.UnknownToken as unknown:
            raise CommandError(str(unknown)) from unknown
        return 1

    output.say(f"access tokens of {account} that were revoked: {in_transaction(change)}")


@app.command("owners")
def owners(account: Id, owner: Owner) -> None:
    """Set the owners of a service account, which also ends a suspension."""
    from store.people import service_accounts

    changed = in_transaction(lambda conn: service_accounts.set_owners(conn, account, owner, by=operator()))
    output.say(f"the owners of {account} are {', '.join(changed.owners)}")


@app.command("deactivate")
def deactivate(account: Id) -> None:
    """Deactivate a service account and revoke all its tokens. Its cases continue."""
    from store.people import service_accounts

    in_transaction(lambda conn: service_accounts.deactivate(conn, account, by=operator()))
    output.say(f"{account} is deactivated, and its tokens are revoked")


@app.command("reactivate")
def reactivate(account: Id) -> None:
    """Reactivate a service account, which then needs a new token."""
    from store.people import service_accounts

    in_transaction(lambda conn: service_accounts.reactivate(conn, account, by=operator()))
    output.say(f"{account} is active; './holdgate service-accounts token {account}' creates a token")


def _moment(text: str | None) -> "datetime | None":
    """Return the moment that the text names. Raises CommandError for a text that is no time with a zone."""
    if text is None:
        return None
    try:
        return moment_of(text)
    except ValueError as wrong:
        raise CommandError(f"--expires '{text}': {wrong}") from wrong

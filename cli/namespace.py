"""The command `./holdgate namespace bind`: give a Temporal namespace to this installation."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.common import in_database, operator
from core.settings import load as load_settings

if TYPE_CHECKING:  # imported by the command that needs it
    from store.db.database import Database

app = typer.Typer(help="The Temporal namespace of this installation.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `bind` a command of a group, although the group has no other command."""


@app.command("bind")
def namespace_bind(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Give the Temporal namespace to the installation of HOLDGATE_DATABASE_URL.

    First stop the workers and gateways of the installation that has the namespace now. This command shows which
    installation that is. The running cases of the other installation stay in the namespace, and cannot continue
    without its database.
    """
    from temporalio.service import RPCError

    from cases.namespace_binding import NamespaceBinding, mark_of
    from core.temporal import TemporalUnreachable, connect
    from domain.installation import owner
    from store.db import installation

    settings = load_settings()

    async def bind(database: "Database") -> None:
        client = await connect(settings)
        own = await installation.read(database)
        try:
            at = client.service_client.config.target_host
            output.say(f"the namespace {client.namespace} at {at} belongs to {owner(await mark_of(client))}")
            if not yes:
                typer.confirm(f"give the namespace to {own}?", abort=True, err=True)
            await NamespaceBinding(client, database).bind(by=operator())
        except RPCError as error:
            raise TemporalUnreachable(f"Temporal did not bind the namespace: {error.message}") from error
        output.say(f"the namespace {client.namespace} belongs to {own} now")

    in_database(bind)

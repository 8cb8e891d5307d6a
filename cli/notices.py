"""The command `./holdgate notices`: list the notifications that are not sent yet."""

from typing import TYPE_CHECKING, Any

import typer

from cli import output
from cli.common import in_database, print_answer
from cli.options import AsJson

if TYPE_CHECKING:  # imported by the command
    from store.db.database import Database

app = typer.Typer()


@app.command()
def notices(as_json: AsJson = False) -> None:
    """List notifications that are not sent yet: collected, held for an import, being sent, tried again or refused."""
    from store.notifications import outbox

    async def look(database: "Database") -> tuple[list[outbox.UnsentMessages], outbox.Lag]:
        async with database.read() as connection:
            return await outbox.unsent(connection), await outbox.lag(connection)

    lines, lag = in_database(look)
    columns = ("State", "Channel", "Person", "Notices", "At", "Tries", "Why")
    rows = [
        (
            line.state,
            line.channel,
            line.person,
            f"{line.notices:,}",
            output.when(line.at.isoformat()),
            str(line.attempts),
            line.problem or "",
        )
        for line in lines
    ]

    def print_it(_: Any) -> None:
        output.table_of(columns, rows)
        if lag.unread:
            output.say(f"{lag.unread:,} events of the audit log are not read yet; a running worker reads them")

    print_answer({"items": [line.model_dump() for line in lines], "lag": lag.model_dump()}, as_json, print_it)

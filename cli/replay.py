"""The command `./holdgate replay`: check that open cases can continue with the code of this checkout."""

import asyncio
from typing import Annotated

import typer

from cli import output
from cli.common import print_answer, settings_with_plugins
from cli.options import AsJson

app = typer.Typer()


@app.command()
def replay(
    process: Annotated[str | None, typer.Option(metavar="NAME", help="Only cases of this process.")] = None,
    case: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="CASE", help="Only this case, open or closed. You can repeat this option."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="The most cases to check, the newest first. Default: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check before a deployment that open cases can continue with the code of this checkout.

    Exit code 1: a case cannot continue.
    """
    from ops.replay.check import check

    if case and (process or limit):
        raise typer.BadParameter("--case names the cases; it goes with neither --process nor --limit")
    with output.progress("replaying cases") as progress:
        found = asyncio.run(check(settings_with_plugins(), process, case or [], limit, progress))
    print_answer(found.as_json(), as_json, lambda _: output.replayed(found, "cases" if case else "open cases"))
    raise typer.Exit(1 if found.differences else 0)

"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from cli.common import ADMIN, REQUESTER

AsPerson = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PERSON",
        help=f"The demo person to act as. Default: the person of HOLDGATE_TOKEN, else {ADMIN} ({REQUESTER} to submit).",
    ),
]
AsDecider = Annotated[
    str | None,
    typer.Option("--as", metavar="PERSON", help="The demo person to act as. Default: the person of HOLDGATE_TOKEN."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="The most lines to show.")]
Comment = Annotated[str, typer.Option(help="The reason, for the audit log.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group, as './holdgate incidents list' names it.")]

BatchId = Annotated[str, typer.Argument(metavar="ID", help="The id of the upload, as './holdgate batches' shows it.")]
BadRows = Annotated[
    Path | None,
    typer.Option(
        "--bad-rows", metavar="FILE", help="Write the invalid and failed rows to this file, to correct and submit."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Watch until all cases of the file are closed.")]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The encoding of a CSV, such as Windows-1251. Default: detected."),
]
SheetName = Annotated[
    str | None,
    typer.Option("--sheet", metavar="NAME", help="The sheet of a workbook. Default: the first with a table."),
]

"""The commands `./holdgate audit ...`: check the audit log, and write evidence for auditors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, download, gateway_as, in_database, print_answer, sequenced
from cli.options import AsJson, AsPerson
from core.settings import load as load_settings

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.database import Database

app = typer.Typer(help="The append-only audit log.", no_args_is_help=True)


@app.command("verify")
def audit_verify(
    case: Annotated[str | None, typer.Option(metavar="CASE", help="Only this case.")] = None, as_json: AsJson = False
) -> None:
    """Check the audit log: that no event, no row and no stored file was edited, removed, inserted or moved, and that
    the messages that changed cases have valid signatures.

    Exit code 1: problems were found.
    """
    from core.signing_keys import read_registry
    from store.audit.verification import Folders, Verification, verify, verify_case

    settings = load_settings()
    folders = Folders(settings.attachments, settings.uploads)
    keys = read_registry(settings.trusted_keys) if settings.trusted_keys.exists() else None

    async def check(database: "Database") -> Verification:
        await sequenced(settings.database_url)  # a process that was killed may have left something
        if case is None:
            return await verify(database, folders=folders, keys=keys)
        async with database.read() as connection:
            return await verify_case(connection, case, folders, keys)

    found = in_database(check)

    def print_it(_: Any) -> None:
        for line in found.lines():
            output.say(line)
        erased = f", {found.erased} of them with erased payload" if found.erased else ""
        result = f"{len(found.problems)} problems" if found.problems else "the audit log is intact"
        output.say(f"{result}: {found.events} events of {found.cases} cases{erased}")
        if keys is None and found.cases:
            output.say(f"the signatures were not checked: there is no registry {settings.trusted_keys}")
        if found.unsequenced:
            waits = f"{found.unsequenced} events and seals are not sequenced yet"
            output.say(f"{waits}, the oldest for {found.oldest_unsequenced_s:.1f} s")

    print_answer(found.model_dump(), as_json, print_it)
    raise typer.Exit(1 if found.problems else 0)


@app.command("pack")
def audit_pack(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The ZIP file to write. A file of this name is replaced.")
    ],
    case: Annotated[str | None, typer.Option(metavar="CASE", help="The evidence of this case.")] = None,
    starts: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="The first day of a period, in place of --case.")
    ] = None,
    ends: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day of the period.")] = None,
    person: AsPerson = None,
) -> None:
    """Write the evidence of a case or a period to a ZIP file: events, cases, policies, a report and a check."""
    if (case is None) == (starts is None and ends is None):
        raise typer.BadParameter("give either --case, or a period by --from, --to or both")
    query = {"case_id": case, "from": starts, "to": ends}
    download(gateway_as(person, ADMIN), "audit/pack", out, "application/zip", **query)
    output.say(f"the evidence is in {out}")

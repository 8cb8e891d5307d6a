"""The commands `./holdgate audit ...`: check the audit log, its checkpoints and evidence packs, and make the packs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, CommandError, download, gateway_as, in_database, print_answer, sequenced
from cli.options import AsJson, AsPerson
from core.settings import Settings, load as load_settings

if TYPE_CHECKING:  # imported by the commands that need it
    from store.audit.checkpoints.note import VerifierKey
    from store.audit.verification import Trust
    from store.db.database import Database

app = typer.Typer(help="The append-only audit log.", no_args_is_help=True)


Key = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="VKEY", help="The public key that you trust, as './holdgate audit key' prints it. Repeatable."
    ),
]


@app.command("verify")
def audit_verify(
    case: Annotated[str | None, typer.Option(metavar="CASE", help="Only this case.")] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Also compare with the checkpoints in this file. Repeatable."),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Check the audit log: that no event, no row and no stored file was edited, removed, inserted or moved, and that
    the messages that changed cases have valid signatures.

    Also check that the audit log begins with exactly what its signed checkpoints state. Exit code 1: problems were
    found.
    """
    if case is not None and (checkpoint or key):
        raise typer.BadParameter("checkpoints cover the whole audit log: do not give --case with --checkpoint or --key")
    from core.signing_keys import read_registry
    from store.audit.verification import Folders, Verification, verify, verify_case

    settings = load_settings()
    folders = Folders(settings.attachments, settings.uploads)
    keys = read_registry(settings.trusted_keys) if settings.trusted_keys.exists() else None
    trust = _trust(settings, checkpoint or [], key or [])

    async def check(database: "Database") -> Verification:
        await sequenced(settings.database_url)  # a process that was killed may have left something
        if case is None:
            return await verify(database, folders=folders, keys=keys, trust=trust)
        async with database.read() as connection:
            return await verify_case(connection, case, folders, keys)

    found = in_database(check)

    def print_it(_: Any) -> None:
        for line in found.lines():
            output.say(line)
        result = f"{len(found.problems)} problems" if found.problems else "the audit log is intact"
        output.say(f"{result}: {found.events} events of {found.cases} cases")
        if found.erased_in_words:
            output.say(f"erased, as events say: {found.erased_in_words}")
        if keys is None and found.cases:
            output.say(f"the signatures were not checked: there is no registry {settings.trusted_keys}")
        if found.checkpoints:
            signed = "" if trust.keys else "; no key is known, so the signatures were not checked"
            newest = f"the newest of {found.newest_checkpoint} events"
            output.say(f"{found.checkpoints} checkpoints, {newest}, were compared{signed}")
        if found.unsequenced:
            waits = f"{found.unsequenced} events and seals are not sequenced yet"
            output.say(f"{waits}, the oldest for {found.oldest_unsequenced_s:.1f} s")

    print_answer(found.model_dump(), as_json, print_it)
    raise typer.Exit(1 if found.problems else 0)


def _trust(settings: Settings, files: list[Path], keys: list[str]) -> "Trust":
    """Return what the check of checkpoints relies on. Raises CommandError for a wrong key or a file without a note."""
    from store.audit.checkpoints.files import notes_of
    from store.audit.checkpoints.keys import WrongKey
    from store.audit.checkpoints.note import NotSigned, opened
    from store.audit.verification import Trust

    given = _keys(keys)
    try:
        own = Trust.of(settings.record_public_keys, settings.checkpoints)
    except WrongKey as error:
        raise CommandError(str(error)) from error
    if files and not (given or own.keys):
        raise CommandError("there is no key to check the file with: give the public key with --key")
    notes = {}
    for file in files:
        notes[str(file)] = notes_of(file)
        if not notes[str(file)]:
            raise CommandError(f"{file} cannot be read, or has no checkpoint")
        for note in notes[str(file)]:
            try:
                opened(note, given or own.keys)
            except NotSigned as error:
                raise CommandError(f"{file} has a checkpoint that does not count: {error}") from error
    return own._replace(keys=[*given, *own.keys], notes=notes)


def _keys(texts: list[str]) -> "list[VerifierKey]":
    from store.audit.checkpoints.note import VerifierKey

    try:
        return [VerifierKey.read(text) for text in texts]
    except ValueError as error:
        raise CommandError(f"--key: {error}") from error


@app.command("key")
def audit_key() -> None:
    """Print the public key that checks the checkpoints of the audit log. Make a key if there is none.

    Give the printed line to auditors. The private key is in the file of HOLDGATE_RECORD_KEY.
    """
    from store.audit.checkpoints import keys

    settings = load_settings()
    try:
        default = keys.default_origin(settings.public_url)
        made = keys.make(settings.record_key, settings.record_public_keys, settings.record_origin, default)
    except keys.WrongKey as error:
        raise CommandError(str(error)) from error
    output.say(str(made))


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


@app.command("verify-pack")
def audit_verify_pack(
    pack: Annotated[Path, typer.Argument(metavar="FILE", help="The ZIP file, or the folder of the unpacked files.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="VKEY", help="The public key that you trust, as './holdgate audit key' prints it."),
    ] = None,
) -> None:
    """Check an evidence pack, as the program verify.py in the pack does.

    Exit code 1: something is wrong. Exit code 2: a part could not be checked, for example without --key.
    """
    from api.services.verify_pack import verify

    _keys([key] if key is not None else [])
    raise typer.Exit(verify(str(pack), key))

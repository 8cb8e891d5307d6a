"""The commands about uploaded files: `submit`, `batches` and `batch ...`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import ADMIN, REQUESTER, download, gateway_as, interrupted, print_answer
from cli.mapping import mapping_to_send
from cli.options import AsJson, AsPerson, BadRows, BatchId, Encoding, Limit, SheetName, Wait

if TYPE_CHECKING:  # imported by the commands that need it
    from cli.client import Remote


class _ShowByDefault(typer.core.TyperGroup):
    """A group of commands with a default: `batch ID` means `batch show ID`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer()
batch_app = typer.Typer(
    help="One uploaded file: './holdgate batch ID' shows the result of each row.",
    no_args_is_help=True,
    cls=_ShowByDefault,
)


@app.command()
def submit(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A CSV or .xlsx file: a heading row, and a row for each case.")
    ],
    process: Annotated[
        str, typer.Option(help="The process of the cases. Default: each row names its process in the column task_type.")
    ] = "several",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file and show what would happen; start nothing.")
    ] = False,
    resubmit: Annotated[
        bool,
        typer.Option(
            "--resubmit", help="Submit your rejected, expired, cancelled or failed cases again, as the next round."
        ),
    ] = False,
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="A saved mapping, or a TOML or JSON file with a mapping. Default: Holdgate suggests one.",
        ),
    ] = None,
    encoding: Encoding = None,
    sheet: SheetName = None,
    wait: Wait = False,
    bad_rows: BadRows = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Start a case for each valid row of a file, and watch until all are started.

    Exit code 1: a row is invalid or could not be started, or the upload was cancelled or failed. Ctrl-C stops only the
    command, with exit code 130: the upload continues.
    """
    from cli.client import Unusable

    if dry_run and (wait or bad_rows):
        raise typer.BadParameter("--dry-run starts no case and stores nothing: remove --wait and --bad-rows")
    remote = gateway_as(person, REQUESTER)
    try:
        content = file.read_bytes()
    except OSError as wrong:
        raise Unusable(f"{file} cannot be read: {wrong.strerror}") from wrong
    form = {"mapping": mapping_to_send(mapping), "encoding": encoding, "sheet": sheet}
    try:
        report = remote.upload("batches", file.name, content, form, process=process, dry_run=dry_run, resubmit=resubmit)
    except KeyboardInterrupt:
        interrupted("the gateway may have accepted the file: './holdgate batches' lists accepted files")
    if not dry_run:
        report = _follow(remote, report["batch_id"], wait, quiet=as_json)
    _answer_batch(remote, report, bad_rows, as_json)


@batch_app.command("show")
def batch_show(
    batch_id: BatchId,
    follow: Annotated[bool, typer.Option("--follow", help="Watch until all rows of the file are started.")] = False,
    wait: Wait = False,
    bad_rows: BadRows = None,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Show or watch the result of an uploaded file.

    Exit code 1: a row is invalid or could not be started, or the upload was cancelled or failed. Ctrl-C stops only the
    command, with exit code 130: the upload continues.
    """
    from cli.client import part

    remote = gateway_as(person, ADMIN)
    if follow or wait:
        report = _follow(remote, batch_id, wait, quiet=as_json)
    else:
        report = remote.get(f"batches/{part(batch_id)}")
    _answer_batch(remote, report, bad_rows, as_json)


@batch_app.command("pause")
def batch_pause(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Pause an upload: Holdgate starts no more of its rows until you resume it. Cases that are started continue."""
    _steer(batch_id, "pause", {"reason": reason}, person, as_json)


@batch_app.command("resume")
def batch_resume(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Resume an upload that was paused: Holdgate starts its other rows."""
    _steer(batch_id, "resume", {"reason": reason}, person, as_json)


@batch_app.command("cancel")
def batch_cancel(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    roll_back: Annotated[bool, typer.Option("--roll-back", help="Also roll back the cases that are started.")] = False,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an upload: Holdgate starts no more of its rows.

    Cases that are started continue, unless you use --roll-back.
    """
    _steer(batch_id, "cancel", {"reason": reason, "rollback_started": roll_back}, person, as_json)


@app.command()
def batches(
    process: Annotated[str | None, typer.Option(help="Only files of this process.")] = None,
    status: Annotated[str | None, typer.Option(help="Only this status, such as running, paused or completed.")] = None,
    limit: Limit = 50,
    person: AsPerson = None,
    as_json: AsJson = False,
) -> None:
    """List uploaded files, newest first."""
    found = gateway_as(person, ADMIN).get("batches", process=process, status=status, limit=limit)
    columns = ("Batch", "Status", "File", "Process", "Rows", "Requester", "Created")
    print_answer(
        found,
        as_json,
        lambda page: output.table_of(
            columns,
            [
                (
                    each["batch_id"],
                    output.state(each["status"]),
                    each["filename"],
                    each["process"],
                    f"{each['total']:,}",
                    each["requester"],
                    output.when(each["created_at"]),
                )
                for each in page["items"]
            ],
            more=page["next_cursor"],
        ),
    )


def _follow(remote: "Remote", batch_id: str, wait: bool, quiet: bool) -> dict[str, Any]:
    """Watch a batch until it ends and return its report.

    Ctrl-C, or a gateway that does not answer for five minutes, ends only the command: the batch continues.
    """
    from cli.client import Away
    from cli.follow_batch import follow

    again = f"batch {batch_id} continues; './holdgate batch {batch_id} --follow' watches it again"
    try:
        return follow(remote, batch_id, wait=wait, quiet=quiet)
    except KeyboardInterrupt:
        interrupted(again)
    except Away as gone:
        raise Away(f"{gone}\n{again}") from gone


def _answer_batch(remote: "Remote", report: dict[str, Any], bad_rows: Path | None, as_json: bool) -> None:
    """Print the report of a batch, and write its invalid rows to the file `bad_rows` if given.

    Exit with code 1 if a row is invalid or could not be started, or if the batch was cancelled or failed; else with 0.
    """
    from cli.client import part

    print_answer(report, as_json, output.batch)
    bad = report["rows"]["invalid"] + report["rows"]["failed"]
    if bad_rows:
        download(remote, f"batches/{part(report['batch_id'])}/rows", bad_rows)
        sys.stderr.write(f"{bad:,} invalid or failed rows are in {bad_rows}\n")
    raise typer.Exit(1 if bad or report["status"] in ("cancelled", "failed") else 0)


def _steer(batch_id: str, what: str, body: dict[str, Any], person: str | None, as_json: bool) -> None:
    from cli.client import part

    answer = gateway_as(person, ADMIN).post(f"batches/{part(batch_id)}/{what}", body)
    print_answer(
        answer,
        as_json,
        lambda _: output.say(f"{what} was requested; './holdgate batch {batch_id}' shows the result"),
    )

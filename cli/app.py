"""The command line `./holdgate COMMAND`: join all groups of commands, and turn errors into texts and exit codes.

Commands about cases call the public HTTP API, so they work on any machine, with a token. Commands about people, and
some others such as `audit verify`, `ledger lock` and `notices`, use the database directly. Exit codes: 0 done; 1
refused, or problems were found; 2 wrong usage or settings, or a server does not answer; 130 ended by Ctrl-C.
"""

import sys
import tomllib
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import (
    audit,
    batches,
    cases,
    erase,
    incidents,
    keys,
    ledger,
    link,
    mapping,
    namespace,
    notices,
    output,
    payload_keys,
    policy,
    process,
    programs,
    replay,
    scim,
    service_accounts,
    single_sign_on,
    tasks,
)
from cli.common import CommandError
from core.settings import ROOT, WrongSettings, unknown_variables

app = typer.Typer(
    help="Holdgate: durable approvals with an undo.",
    epilog="Exit codes: 0 done; 1 refused, or problems were found; 2 wrong usage or settings, or a server does not "
    "answer; 130 ended by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (programs, replay, batches, cases, tasks, notices):
    app.add_typer(commands.app)
app.add_typer(batches.batch_app, name="batch")
app.add_typer(tasks.tasks_app, name="tasks")
app.add_typer(erase.app, name="erase")
app.add_typer(erase.holds, name="hold")
app.add_typer(erase.periods)
app.add_typer(incidents.app, name="incidents")
app.add_typer(process.app, name="process")
app.add_typer(mapping.app, name="mapping")
app.add_typer(single_sign_on.app, name="people")  # the commands of `people`, and those of single sign-on
app.add_typer(service_accounts.app, name="service-accounts")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")
app.add_typer(payload_keys.app, name="payload-keys")
app.add_typer(namespace.app, name="namespace")
app.add_typer(policy.app, name="policy")
app.add_typer(ledger.app, name="ledger")
app.add_typer(link.app, name="link")
app.add_typer(scim.app, name="scim")


def _print_version(wanted: bool) -> None:
    if wanted:
        pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
        output.say(f"holdgate {pyproject['project']['version']}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand not in ("up", "worker", "api"):  # these programs print the warnings themselves
        for line in unknown_variables():
            sys.stderr.write(output.clean(f"warning: {line}") + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` (None: the arguments of this process) and return its exit code.

    An error is printed as text, not as a stack trace.
    """
    from store.db.private_files import keep_private

    keep_private()
    try:
        app(args=None if arguments is None else list(arguments), prog_name="holdgate")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0 if done.code is None else 1
    except Exception as wrong:
        if sys.flags.dev_mode:  # python -X dev -m cli: for developers
            raise
        text, code = _text_and_code(wrong)
        sys.stderr.write(output.clean(text) + "\n")
        return code
    return 0


def _text_and_code(wrong: Exception) -> tuple[str, int]:
    """Return the text of an error for people, and its exit code."""
    from cli.client import Denied, Unusable
    from core.errors import Mistake
    from core.temporal import TemporalUnreachable
    from store.db.database import DatabaseUnavailable

    match wrong:
        case Denied() | CommandError():
            return str(wrong), 1
        case Unusable() | Mistake() | WrongSettings() | TemporalUnreachable():
            return str(wrong), 2
        case DatabaseUnavailable():
            return f"the database cannot be used: {wrong}", 2
        case _:
            return f"holdgate has a defect: {type(wrong).__name__}: {wrong} ('python -X dev -m cli' shows where)", 2

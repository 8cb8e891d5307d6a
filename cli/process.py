"""The commands `./holdgate process ...`: write, check and test a process of your own."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.common import CommandError, ResultT, print_answer
from cli.options import AsJson
from core.settings import ROOT, load as load_settings

app = typer.Typer(help="Processes of your own, in the folder HOLDGATE_PROCESSES.", no_args_is_help=True)


@app.command("new")
def process_new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name in small letters, such as expense_claim.")],
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The folder of your processes. Default: HOLDGATE_PROCESSES.")
    ] = None,
) -> None:
    """Create a folder with a small process that works, its policy, a sample and tests.

    After that, change the files of the process as you need.
    """
    from plugins.scaffold import make

    configured = load_settings().processes
    folder = into.expanduser().resolve() if into else configured
    if folder is None:
        raise CommandError(
            "say where your processes are to be: set HOLDGATE_PROCESSES to a folder, or use --into FOLDER"
        )
    made = _of_processes(lambda: make(name, folder))
    output.say(f"{made} is a process that works: {', '.join(sorted(file.name for file in made.iterdir()))}")
    if folder != configured:
        output.say(f"first set HOLDGATE_PROCESSES={folder}, in the environment or in .env; then:")
    output.say(f"  ./holdgate process test {name}    runs its tests")
    output.say(f"  ./holdgate process check {name}   says what it lacks")
    output.say(f"  make up, ./holdgate submit {made / 'sample.csv'} --process {name}   runs it")


@app.command("check")
def process_check(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A process. Default: all in HOLDGATE_PROCESSES.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a process still lacks: wording, a policy for each gate, a valid sample, a test of each undo."""
    from plugins.check import check

    settings = load_settings()
    found = _of_processes(lambda: check(settings, name))

    def print_it(_: Any) -> None:
        for process, lacks in found.items():
            for lack in lacks:
                output.say(f"{process}: {lack}")
            if not lacks:
                output.say(f"{process} lacks nothing")
        if not found:
            output.say("there is no process in HOLDGATE_PROCESSES; './holdgate process new NAME' makes one")

    print_answer(found, as_json, print_it)
    raise typer.Exit(1 if any(found.values()) else 0)


@app.command("test")
def process_test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A process in HOLDGATE_PROCESSES.")],
) -> None:
    """Run the tests of a process. Exit code 1: a test fails."""
    folder = load_settings().processes
    if folder is None or not (folder / name / "__init__.py").exists():
        raise CommandError(f"there is no process '{name}' in {folder or 'HOLDGATE_PROCESSES, which is not set'}")
    if importlib.util.find_spec("pytest") is None:
        raise CommandError(
            f"pytest is not installed: 'make test ARGS={folder / name}' installs pytest and runs the tests"
        )
    arguments = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", str(folder / name)]
    raise typer.Exit(min(1, subprocess.run(arguments, cwd=ROOT).returncode))


def _of_processes(work: Callable[[], ResultT]) -> ResultT:
    """Run `work` and return its result. Raises CommandError if `work` raises WrongProcess."""
    from plugins.errors import WrongProcess

    try:
        return work()
    except WrongProcess as wrong:
        raise CommandError(str(wrong)) from wrong

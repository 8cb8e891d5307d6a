"""The commands `./holdgate mapping ...`: suggest, list and check mappings of the columns of files to fields."""

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import CommandError, print_answer, settings_with_plugins
from cli.options import AsJson, Encoding, SheetName

if TYPE_CHECKING:  # imported by the commands that need it
    from intake.mapping.column_mapping import Target, WrongMapping
    from intake.mapping.saved_mappings import SavedMappings

app = typer.Typer(help="Mappings: how the columns of a file become fields.", no_args_is_help=True)


@app.command("suggest")
def mapping_suggest(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or .xlsx file.")],
    process: Annotated[str, typer.Option(help="The process of the cases in the file.")] = "payment",
    encoding: Encoding = None,
    sheet: SheetName = None,
) -> None:
    """Print a mapping that fits a file, in the form of mappings.toml.

    Exit code 1: the content of the file cannot be read.
    """
    from cli.client import Unusable
    from intake.mapping.column_mapping import WrongMapping, parse_mapping
    from intake.mapping.saved_mappings import as_toml
    from intake.read_file import read_file
    from intake.tables.open_table import UnreadableFile

    saved, targets = _saved_mappings()
    if process not in targets:
        raise CommandError(f"there is no process '{process}'; name one of: {', '.join(targets)}")
    try:
        opening = {key: value for key, value in (("encoding", encoding), ("sheet", sheet)) if value}
        given = parse_mapping(opening, []) if opening else None
        found = read_file(file.read_bytes(), targets[process], given, usual=lambda: saved.usual(process))
    except OSError as wrong:
        raise Unusable(f"{file} cannot be read: {wrong.strerror}") from wrong
    except (UnreadableFile, WrongMapping) as wrong:
        raise CommandError(f"{file}: {wrong}") from wrong
    for line in (f"{file.name}: {found.format}", *found.notes):
        output.say(f"# {line}")
    if found.mapping is None:
        output.say("# The headings of this file are the fields: the file needs no mapping.")
    else:
        name = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "mine"
        output.say(as_toml(name, process, found.mapping))


@app.command("list")
def mapping_list(as_json: AsJson = False) -> None:
    """List the saved mappings."""
    from intake.mapping.column_mapping import WrongMapping

    saved, _ = _saved_mappings()
    try:
        found = dict(saved.all)
    except WrongMapping as wrong:
        raise CommandError(_mistakes(wrong)) from wrong

    def print_it(_: Any) -> None:
        for name, each in found.items():
            columns = ", ".join(f"{key} = {' | '.join(said)}" for key, said in each.mapping.columns.items())
            output.say(f"{name} ({each.process}): {columns}")
        if not found:
            output.say(f"{saved.path} has no mappings")

    answer = {name: {"process": each.process, **each.mapping.model_dump(mode="json")} for name, each in found.items()}
    print_answer(answer, as_json, print_it)


@app.command("check")
def mapping_check(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file of mappings. Default: HOLDGATE_MAPPINGS.")
    ] = None,
) -> None:
    """Check a file of mappings. Each problem names file, line and key. Exit code 1: problems were found."""
    from cli.client import Unusable
    from intake.mapping.column_mapping import WrongMapping

    saved, _ = _saved_mappings(file)
    if saved.path is None or not saved.path.is_file():
        raise Unusable(f"{saved.path} does not exist: create the file, or name another file")
    try:
        output.say(f"{saved.path} is valid; mappings: {len(saved.all)}")
    except WrongMapping as wrong:
        raise CommandError(_mistakes(wrong)) from wrong


def _saved_mappings(path: Path | None = None) -> "tuple[SavedMappings, dict[str, Target]]":
    """Return the saved mappings, and the fields of each process by its name.

    `path` is the file of mappings; None for HOLDGATE_MAPPINGS.
    """
    from intake.mapping.mapping_choice import target_of
    from intake.mapping.saved_mappings import SavedMappings
    from workflows.registry import PROCESSES

    settings = settings_with_plugins()
    targets = {name: target_of(process) for name, process in PROCESSES.items()}
    return SavedMappings(path or settings.mappings, targets), targets


def _mistakes(wrong: "WrongMapping") -> str:
    return "\n".join(f"{each.message} ({each.column})" if each.column else each.message for each in wrong.problems)


def mapping_to_send(said: str | None) -> str | None:
    """Return what the gateway takes as the mapping: the mapping in the file `said` as JSON, or `said` itself.

    If `said` is not the path of a file, it is the name of a saved mapping, or None. Raises CommandError if the file has
    no mapping, or more than one.
    """
    from domain import strict_json

    if said is None or not Path(said).is_file():
        return said
    try:
        text = Path(said).read_text(encoding="utf-8")
        found = strict_json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (OSError, ValueError) as wrong:
        raise CommandError(f"{said} is not a valid mapping file: {wrong}") from wrong
    tables = found.get("mappings")
    if isinstance(tables, dict):
        if len(tables) != 1:
            raise CommandError(f"{said} has {len(tables)} mappings: use a file with one, or name a saved mapping")
        found = next(iter(tables.values()))
    return json.dumps({key: value for key, value in found.items() if key != "process"})

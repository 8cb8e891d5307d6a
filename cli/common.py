"""Functions for all commands: call the gateway, open the database, print an answer, end early."""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from core.settings import Settings, load as load_settings
from domain.strict_json import escape_control

if TYPE_CHECKING:  # the commands that need more import it themselves, so that `up` starts at once
    from cli.client import Remote
    from store.db.connection import AsyncConnection
    from store.db.database import Database

REQUESTER = "requester-1"
ADMIN = "admin-1"
"""The demo people who submit cases (`REQUESTER`) or run other commands (`ADMIN`), unless the user names another
person or sets HOLDGATE_TOKEN."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells define it.

The work in Holdgate continues, but the command did not see its end.
"""

ResultT = TypeVar("ResultT")


class CommandError(Exception):
    """Raised if a command cannot be carried out as the user gave it; the command ends with exit code 1.

    The text says what to change.
    """


def gateway_as(person: str | None, default: str | None) -> "Remote":
    """Return a client of the gateway with the token of `person`, else HOLDGATE_TOKEN, else the token of `default`.

    `person` and `default` are ids of demo people. Raises Unusable if there is no token for the person.
    """
    from cli.client import Remote, address, token

    settings = load_settings()
    return Remote(address(settings, os.environ), token(settings, os.environ, person, default))


def database_url() -> str:
    """Return HOLDGATE_DATABASE_URL. Raises WrongSettings if the setting names no database that Holdgate can use."""
    from store.db.database import check_url

    url = load_settings().database_url
    check_url(url)
    return url


def update_schema(url: str) -> None:
    """Create the database or update its schema, as its owner if there is one.

    Raises DatabaseUnavailable, and Unusable if HOLDGATE_DATABASE_OWNER_URL does not fit.
    """
    from cli.client import Unusable
    from store.db.database import migrate

    try:
        migrate(url, load_settings().owner_url)
    except ValueError as wrong:
        raise Unusable(str(wrong)) from wrong


def in_database(work: "Callable[[Database], Coroutine[Any, Any, ResultT]]", *, migrated: bool = False) -> ResultT:
    """Open the database, run `work` with it and return its result.

    With `migrated`, first create the database if there is none, or update its schema. Raises DatabaseUnavailable,
    WrongSettings for an invalid HOLDGATE_DATABASE_URL, and CommandError if `work` raises UnknownPerson or ValueError.
    """
    from store.db.database import Database, DatabaseUnavailable, normalised
    from store.people.people import UnknownPerson

    url = database_url()
    where = normalised(url)
    if migrated:
        update_schema(url)
    elif where.get_backend_name() == "sqlite" and not os.access(str(where.database), os.R_OK | os.W_OK):
        raise DatabaseUnavailable(f"{where.database} is missing, or you cannot write to it; 'make up' creates it")

    async def run() -> ResultT:
        database = Database(url)
        try:
            await database.ready()
            try:
                return await work(database)
            finally:
                await sequenced(url)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except (UnknownPerson, ValueError) as wrong:
        raise CommandError(str(wrong)) from wrong


def in_transaction(work: "Callable[[AsyncConnection], Coroutine[Any, Any, ResultT]]") -> ResultT:
    """Run `work` in one transaction that changes the database, and return its result. Raises as `in_database` does."""

    async def change(database: "Database") -> ResultT:
        async with database.write() as connection:
            return await work(connection)

    return in_database(change)


async def sequenced(url: str) -> None:
    """Give a position to events and seals that have none yet, because perhaps no worker and no gateway runs.

    Do nothing if the database cannot be reached or written.
    """
    from store.audit.sequencer import Sequencer
    from store.db.database import DatabaseUnavailable

    sequencer = Sequencer(url)
    with suppress(DatabaseUnavailable):
        await sequencer.catch_up()
    await sequencer.close()


def operator() -> str:
    """Return the actor that the audit log stores for changes by this command line: `cli:` and the account name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as in some containers
        return f"cli:{os.getuid()}"


def settings_with_plugins() -> Settings:
    """Load the processes in the folder HOLDGATE_PROCESSES, and return the settings.

    Raises Unusable if a process cannot be loaded.
    """
    from cli.client import Unusable
    from plugins import loader
    from plugins.errors import WrongProcess

    settings = load_settings()
    try:
        loader.load(settings.processes)
    except WrongProcess as wrong:
        raise Unusable(str(wrong)) from wrong
    return settings


def print_answer(found: Any, as_json: bool, print_it: Callable[[Any], None]) -> None:
    """Print an answer: as JSON if `as_json` is True, else with `print_it` as text for people."""
    if as_json:
        sys.stdout.write(escape_control(json.dumps(found, indent=2, ensure_ascii=False, default=str)) + "\n")
    else:
        print_it(found)


def download(remote: "Remote", path: str, file: Path, media_type: str = "text/csv", /, **query: str | None) -> None:
    """Download an answer of the gateway to a file, which appears only when it is complete.

    Raises CommandError if the file cannot be written.
    """
    part_of = file.with_name(f".{file.name}.part")
    try:
        try:
            with part_of.open("wb") as into:
                remote.download(path, into, media_type, **query)
            part_of.replace(file)
        finally:
            part_of.unlink(missing_ok=True)
    except OSError as wrong:
        raise CommandError(f"{file} cannot be written: {wrong.strerror}") from wrong


def interrupted(text: str) -> NoReturn:
    """Print on stderr what continues after Ctrl-C, and end the command with exit code 130."""
    sys.stderr.write(f"\n{text}\n")
    raise typer.Exit(INTERRUPTED)

"""What all commands of the command line share: who asks, where, and how an answer is printed."""

import asyncio
import getpass
import json
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from core import settings as configuration

if TYPE_CHECKING:  # the rest is imported by the commands that need it, so that `up` starts at once
    from ops.remote import Remote
    from store.db.database import Database

REQUESTER = "requester-1"
ADMIN = "admin-1"

AsPerson = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="PERSON",
        help=f"A demo person. Without it: the holder of HOLDGATE_TOKEN, else {ADMIN} ({REQUESTER} to submit).",
    ),
]
AsDecider = Annotated[
    str | None,
    typer.Option("--as", metavar="PERSON", help="A demo person. Without it: the holder of HOLDGATE_TOKEN."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]

ResultT = TypeVar("ResultT")


class Mistake(Exception):
    """The command cannot be carried out as it was given. `str()` says what to change."""


def gateway(person: str | None, default: str | None) -> "Remote":
    from ops.remote import Remote, address, token

    settings = configuration.load()
    return Remote(address(settings, os.environ), token(settings, os.environ, person, default))


def in_database(work: "Callable[[Database], Coroutine[Any, Any, ResultT]]", *, migrated: bool = False) -> ResultT:
    """Do something with the store. `migrated`: make the database first where there is none yet. Raises Mistake."""
    from store.db.database import Database, DatabaseUnavailable, migrate, normalised
    from store.people.people import UnknownPerson

    url = configuration.load().database_url
    where = normalised(url)
    if migrated:
        migrate(url)
    elif where.get_backend_name() == "sqlite" and not os.access(str(where.database), os.R_OK | os.W_OK):
        raise DatabaseUnavailable(f"{where.database} is not there, or not yours; 'make up' creates it")

    others = set(threading.enumerate())

    async def run() -> ResultT:
        database = Database(url)
        try:
            await database.ready()
            return await work(database)
        finally:
            await database.close()
            # SQLite's driver leaves the thread of a connection that failed; it must not find the loop closed.
            for thread in set(threading.enumerate()) - others:
                if "_connection_worker_thread" in thread.name:
                    await asyncio.to_thread(thread.join, 1)

    try:
        return asyncio.run(run())
    except (UnknownPerson, ValueError) as wrong:
        raise Mistake(str(wrong)) from wrong


def operator() -> str:
    """Whom the record names for a change at the command line: the account at this machine."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # an account without a name, as in some containers
        return f"cli:{os.getuid()}"


def answer(found: Any, as_json: bool, print_it: Callable[[Any], None]) -> None:
    """Print an answer: as it is for programs, else by `print_it` for people."""
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False, default=str) + "\n")
    else:
        print_it(found)

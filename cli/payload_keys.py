"""The commands `./holdgate payload-keys ...`: the keys that encrypt the payloads of Workflows in Temporal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.common import CommandError, in_database, operator, print_answer
from cli.options import AsJson
from core.settings import load as load_settings

if TYPE_CHECKING:  # imported by the commands that need it
    from store.db.database import Database

app = typer.Typer(
    help="The keys that encrypt what Temporal stores. Encryption is off unless there are keys.", no_args_is_help=True
)

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key, as `payload-keys list` shows it.")]


@app.command("create")
def payload_keys_create(
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The new file. Default: HOLDGATE_PAYLOAD_KEYS, else keys/payload-keys.toml in HOLDGATE_VAR.",
        ),
    ] = None,
) -> None:
    """Create the file of payload keys of an installation that does not encrypt yet, with one key.

    The command prints the line for `.env` that switches encryption on. Keep a backup of the file, apart from the
    backups of the databases: without its keys, nobody can read the open cases.
    """
    from core.payload_keys import SETTING, create_payload_keys

    settings = load_settings()
    path = (file or settings.payload_keys or settings.var / "keys" / "payload-keys.toml").expanduser().absolute()
    if since := _encrypts_since():
        raise CommandError(
            f"this installation encrypts since {since}: new keys could not read its cases. Restore the file of its keys"
        )
    try:
        key = create_payload_keys(path)
    except FileExistsError:
        raise CommandError(f"{path} exists already; `./holdgate payload-keys add` adds a key to it") from None
    except OSError as wrong:
        raise CommandError(f"{path} cannot be created: {wrong}") from wrong
    output.say(f"created the key {key.id} in {path}. Keep a backup of this file, apart from the databases")
    if settings.payload_keys != path:
        output.say("to switch encryption on, add this line to .env on each machine, then start all programs again:")
        output.say(f"{SETTING}={path}")


@app.command("add")
def payload_keys_add() -> None:
    """Add a new key, which wraps all data keys from now on. Running programs read the file again by themselves.

    With several machines, copy the file to all of them at once: until then, programs on the others cannot read new
    cases, and those wait. Then a worker wraps all data keys again, and `remove` destroys the old key.
    """
    from core.payload_keys import PayloadKey, changed_payload_keys

    path = _path()

    async def add(database: "Database") -> None:
        key = PayloadKey.generate()
        with changed_payload_keys(path) as keys:
            keys.insert(0, key)
        summary = f"The payload key {key.id} was added and is the current key now"
        await _note(database, "payload_key_added", summary, {"key_id": key.id})
        output.say(f"added the key {key.id}, the current one now, to {path}. Keep a backup of this file")

    in_database(add)


@app.command("list")
def payload_keys_list(as_json: AsJson = False) -> None:
    """Show the keys of the file, the current one first, and how many data keys each wraps.

    A key that is not in the file although it wraps data keys is shown as missing: its cases cannot be read.
    """
    from core.payload_keys import read_payload_keys
    from domain.moments import moment_text
    from store.cases import case_keys

    keys = read_payload_keys(_path())

    async def used(database: "Database") -> dict[str, int]:
        async with database.read() as conn:
            return {use.key_id: use.data_keys for use in await case_keys.uses(conn)}

    uses = in_database(used)
    found: list[dict[str, Any]] = [
        {
            "key_id": key.id,
            "state": "current" if key.id == keys.current else "old",
            "created_at": moment_text(key.created_at),
            "data_keys": uses.pop(key.id, 0),
        }
        for key in keys.keys.values()
    ]
    found += [
        {"key_id": key_id, "state": "missing", "created_at": None, "data_keys": count} for key_id, count in uses.items()
    ]

    def print_it(_: object) -> None:
        for each in found:
            since = each["created_at"] or "not in the file"
            output.say(f"{each['key_id']}  {each['state']:<8} {since}  wraps {each['data_keys']} data keys")

    print_answer(found, as_json, print_it)


@app.command("rewrap")
def payload_keys_rewrap() -> None:
    """Wrap all data keys with the current key, now. A worker does the same within a minute after `add`."""
    from core.errors import PayloadKeyMissing
    from core.payload_keys import read_payload_keys
    from store.cases import case_keys

    keys = read_payload_keys(_path())

    async def rewrap(database: "Database") -> int:
        try:
            return await case_keys.rewrap(database, keys, by=operator())
        except PayloadKeyMissing as error:
            said = f"some data keys cannot be wrapped again: {error}. Restore the key from a backup"
            raise CommandError(said) from None

    output.say(f"{in_database(rewrap)} data keys were wrapped again; all are wrapped by {keys.current} now")


@app.command("remove")
def payload_keys_remove(key_id: KeyId) -> None:
    """Destroy an old key that wraps no data keys any more.

    Backups of the database from before `rewrap` then cannot be decrypted. Delete the key from the backups of the file,
    too, and remove it on all machines.
    """
    from core.payload_keys import changed_payload_keys, read_payload_keys
    from store.cases import case_keys

    path = _path()
    keys = read_payload_keys(path)
    if key_id not in keys.keys:
        raise CommandError(f"{path} has no key {key_id}; `./holdgate payload-keys list` shows its keys")
    if key_id == keys.current:
        raise CommandError(f"{key_id} is the current key: first add another key, with `./holdgate payload-keys add`")

    async def remove(database: "Database") -> None:
        async with database.read() as conn:
            count = next((use.data_keys for use in await case_keys.uses(conn) if use.key_id == key_id), 0)
        if count:
            raise CommandError(
                f"{key_id} still wraps {count} data keys, so without it their cases could not be read: first run "
                "`./holdgate payload-keys rewrap`"
            )
        with changed_payload_keys(path) as left:
            left[:] = [key for key in left if key.id != key_id]
        summary = f"The payload key {key_id} was destroyed"
        await _note(database, "payload_key_removed", summary, {"key_id": key_id})
        output.say(f"removed the key {key_id} from {path}. Delete it from the backups of this file, too")

    in_database(remove)


def _path() -> Path:
    """Return the file of payload keys. Raises CommandError if encryption is off."""
    from core.payload_keys import CREATE, SETTING

    path = load_settings().payload_keys
    if path is None:
        raise CommandError(f"{SETTING} is not set, so encryption is off; {CREATE}")
    return path


def _encrypts_since() -> str | None:
    """Return since when the installation encrypts; None if it does not, or if there is no database yet."""
    from domain.moments import moment_text
    from store.cases import case_keys
    from store.db.database import DatabaseUnavailable

    try:
        since = in_database(case_keys.encrypts_since)
    except DatabaseUnavailable:
        return None
    return moment_text(since) if since else None


async def _note(database: "Database", kind: str, summary: str, data: dict[str, Any]) -> None:
    from store.audit import audit_log

    async with database.write() as conn:
        await audit_log.note(conn, kind, by=operator(), summary=summary, data=data)

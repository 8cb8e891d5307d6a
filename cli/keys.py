"""The commands `./holdgate keys ...`: the keys whose signatures cases believe."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.common import CommandError, print_answer
from cli.options import AsJson
from core.settings import load as load_settings

if TYPE_CHECKING:  # imported by the commands that need it
    from domain.proof.keys import TrustedKey

app = typer.Typer(help="The keys that sign messages to cases.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key, as `keys list` shows it.")]


@app.command("list")
def keys_list(as_json: AsJson = False) -> None:
    """Show the registry of public keys: the id of each key, its role, its state, and since when it is valid."""
    from core.signing_keys import read_registry
    from domain.moments import moment_text

    keys = read_registry(load_settings().trusted_keys).keys
    found = [{"key_id": key_id, "state": key.state, **key.model_dump(mode="json")} for key_id, key in keys.items()]

    def print_it(_: object) -> None:
        for key_id, key in keys.items():
            ended = key.revoked_at or key.retired_at
            since = f"{key.state} since {moment_text(ended)}" if ended else key.state
            output.say(f"{key_id}  {key.role:<8} from {moment_text(key.not_before)}  {since}")

    print_answer(found, as_json, print_it)


@app.command("init")
def keys_init() -> None:
    """Create the keys of a new installation, as `make up` does. If there is a registry, nothing is created."""
    from core.signing_keys import make_missing_keys

    settings = load_settings()
    try:
        made = make_missing_keys(settings)
    except (OSError, ValueError) as wrong:
        raise CommandError(f"the keys cannot be created: {wrong}") from wrong
    output.say(
        f"created the keys {', '.join(made)}" if made else f"there is a registry already: {settings.trusted_keys}"
    )


@app.command("add")
def keys_add(
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="Who signs with the key: `gateway` or `worker`.")
    ] = "gateway",
    private: Annotated[
        Path | None,
        typer.Option("--private", metavar="FILE", help="The file of the private key, created if it is missing."),
    ] = None,
    public: Annotated[
        str | None, typer.Option("--public", metavar="KEY", help="A public key in base64url, in place of --private.")
    ] = None,
) -> None:
    """Add a key to the registry. Workers believe its signatures after a second.

    To rotate a key: add the new key on the machines of all workers, set HOLDGATE_SIGNING_KEY of the gateways to the new
    file and restart them, then retire the old key.
    """
    from core.settings import WrongSettings
    from core.signing_keys import changed_registry, make_private_key, read_private_key
    from domain.proof.keys import Role, TrustedKey

    if role not in {*Role}:
        raise typer.BadParameter("a role is `gateway` or `worker`")
    if (private is None) == (public is None):
        raise typer.BadParameter("give either --private or --public")
    path = load_settings().trusted_keys
    if private is not None:
        try:
            made = read_private_key(private, "signing_key") if private.exists() else make_private_key(private)
        except (OSError, WrongSettings) as wrong:
            raise CommandError(f"{private} cannot be used: {wrong}") from wrong
        key = made.trusted(Role(role), datetime.now(UTC))
    else:
        try:
            key = TrustedKey.model_validate({"public_key": public, "role": role, "not_before": datetime.now(UTC)})
        except ValueError as wrong:
            raise CommandError("the public key is not 32 bytes in base64url") from wrong
    with changed_registry(path) as keys:
        if key.key_id in keys:
            raise CommandError(f"the registry has the key {key.key_id} already")
        keys[key.key_id] = key
    output.say(f"added the key {key.key_id} of the {role} to {path}")


@app.command("retire")
def keys_retire(key_id: KeyId) -> None:
    """End a key. Messages that it signed before stay valid, also those that no worker has handled yet.

    Retire a key after all gateways sign with another key.
    """
    now = datetime.now(UTC)
    _change(key_id, lambda key: key.model_copy(update={"retired_at": key.retired_at or now}))
    output.say(f"retired the key {key_id}: what it signs from now on is refused")


@app.command("revoke")
def keys_revoke(key_id: KeyId) -> None:
    """Refuse a key that somebody else may have: no message that it signed is believed any more.

    `./holdgate audit verify` then lists the messages that changed a case and were signed with the key.
    """
    now = datetime.now(UTC)
    _change(key_id, lambda key: key.model_copy(update={"revoked_at": key.revoked_at or now}))
    output.say(f"revoked the key {key_id}: every message that it signed is refused")


def _change(key_id: str, change: "Callable[[TrustedKey], TrustedKey]") -> None:
    from core.signing_keys import changed_registry

    path = load_settings().trusted_keys
    with changed_registry(path) as keys:
        if key_id not in keys:
            raise CommandError(f"the registry {path} has no key {key_id}; `./holdgate keys list` shows its keys")
        keys[key_id] = change(keys[key_id])

"""The commands `./holdgate people link`, `connect` and `disconnect`: emergency links, and accounts of a provider."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.common import CommandError, in_transaction, operator, print_answer
from cli.options import AsJson
from cli.people import Id, app as app, id_of
from core.settings import load

if TYPE_CHECKING:
    from store.db.connection import AsyncConnection

Issuer = Annotated[
    str | None, typer.Option(metavar="URL", help="The identity provider. Default: HOLDGATE_OIDC_ISSUER.")
]


@app.command("link")
def people_link(person: Id, as_json: AsJson = False) -> None:
    """Create an emergency link, with which an administrator signs in once, also while passwords are switched off.

    The link is shown only once, works for an hour, and the person is notified.
    """
    from store.people import emergency_links

    id = id_of(person)
    code = in_transaction(lambda connection: emergency_links.create(connection, id, operator(), datetime.now(UTC)))
    link = f"{load().public_url}/link#{code}"
    print_answer({"person": id, "link": link}, as_json, lambda _: output.say(link))


@app.command("connect")
def people_connect(
    person: Id,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject (sub) of the account there.")],
    issuer: Issuer = None,
) -> None:
    """Connect an account of the identity provider to a person or a service account, who then signs in with it.

    Use this for people who were added here before single sign-on. People can also connect their own account on the page
    Settings.
    """
    from store.people import identities

    id, named, now = id_of(person), _issuer(issuer), datetime.now(UTC)
    in_transaction(lambda connection: identities.connect(connection, id, named, subject, operator(), now))
    output.say(f"{id} signs in with the account {subject} of {named}")


@app.command("disconnect")
def people_disconnect(
    person: Id,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="The subject (sub) of the account there.")],
    issuer: Issuer = None,
) -> None:
    """Disconnect an account of the identity provider from a person. Sessions with this account end."""
    from store.people import identities

    id, named = id_of(person), _issuer(issuer)

    async def change(connection: "AsyncConnection") -> None:
        found = await identities.find(connection, named, subject)
        if found is None or found.person != id:
            raise CommandError(f"{id} has no account {subject} of {named}")
        await identities.disconnect(connection, id, found.identity_id, by=operator())

    in_transaction(change)
    output.say(f"{id} no longer signs in with the account {subject} of {named}")


def _issuer(given: str | None) -> str:
    if found := given or load().oidc_issuer:
        return found
    raise CommandError("name the identity provider: add --issuer URL, or set HOLDGATE_OIDC_ISSUER")

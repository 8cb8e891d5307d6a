"""Check before the start that somebody can still sign in if passwords are switched off."""

import logging

from core.settings import Settings, WrongSettings
from store.db.database import Database, DatabaseUnavailable
from store.people import identities

_log = logging.getLogger("holdgate.api")


async def check_passwords_off(settings: Settings) -> None:
    """Raise WrongSettings if passwords are off and no administrator has signed in with the identity provider yet.

    If the database does not answer, nothing is checked: passwords stay off, and an administrator can sign in with an
    emergency link.
    """
    if settings.passwords == "on" or settings.oidc_issuer is None:
        return
    database = Database(settings.database_url)
    try:
        async with database.read() as conn:
            signed_in = await identities.admin_has_signed_in(conn, settings.oidc_issuer)
    except DatabaseUnavailable as error:
        _log.warning("it cannot be checked whether an administrator has signed in with single sign-on: %s", error)
        return
    finally:
        await database.close()
    if not signed_in:
        raise WrongSettings(
            f"HOLDGATE_PASSWORDS=off: no administrator has signed in with {settings.oidc_label} yet, so nobody could "
            "administer Holdgate. Set HOLDGATE_PASSWORDS=on, sign in with single sign-on as a member of admins, then "
            "switch passwords off"
        )

"""Which ways to sign in to the pages are allowed: `HOLDGATE_PASSWORDS`, single sign-on, the demo."""

from collections.abc import Callable

from api.http.problems import Problem, forbidden
from core.settings import Settings
from store.people.sessions import Session

ONLY_PROVIDER = ("oidc", "link")
"""The ways to sign in while `HOLDGATE_PASSWORDS` is `off`. `link` is the emergency link of the command line."""


def counts(settings: Settings, session: Session, demo_secret: Callable[[], str | None]) -> bool:
    """Return True if a session may still be used: the settings still allow the way in which the session began.

    `demo_secret` returns what a session of the demo would begin with now.
    """
    if settings.passwords == "off" and session.way not in ONLY_PROVIDER:
        return False
    match session.way:
        case "demo":
            return session.credential == demo_secret()  # the secret in the demo's link may be replaced
        case "oidc":
            return session.issuer == settings.oidc_issuer
        case _:
            return True


def passwords_off(settings: Settings) -> str | None:
    """Return why people cannot sign in by password, passkey, token or one-time link; None if they can."""
    if settings.passwords == "on":
        return None
    return f"Passwords are switched off (HOLDGATE_PASSWORDS=off). Sign in with {settings.oidc_label}."


def check_passwords_on(settings: Settings) -> None:
    """Raise Problem 403 if passwords, passkeys for the sign-in and one-time links are switched off."""
    if (why := passwords_off(settings)) is not None:
        raise forbidden(why, "HOLDGATE_PASSWORDS=off leaves single sign-on only")


def not_configured(setting: str, what: str) -> Problem:
    """Return problem 404 for a feature that needs a setting. `what` is the feature, as it begins a sentence."""
    return Problem(404, f"{what} is not configured: set {setting}.", kind="not-configured", setting=setting)

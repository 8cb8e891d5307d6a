"""One attempt to sign in with the identity provider: what the browser keeps until it comes back.

The browser keeps the attempt in an encrypted cookie for ten minutes: somebody at an open browser could otherwise write
an attempt that connects an account without the password of the person. The `state` proves that the answer of the
provider returns to the browser that began, the `nonce` that the ID token belongs to this attempt, and the `verifier`
that nobody else uses the code (PKCE).
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass, field

from api.oidc.errors import NotAccepted
from core.secret_box import SecretBox

COOKIE, SECURE_COOKIE = "holdgate-oidc", "__Host-holdgate-oidc"
"""Names of the cookie of an attempt. With https the second name is used, as for sessions."""
LASTS_S = 600
"""Seconds that a person has for the sign-in at the provider."""
LONGEST_FOLLOWING = 2_000
"""The most characters of the page to open after the sign-in: browsers drop cookies of more than 4,096 bytes."""
_LONGEST = 4_096
_OWNER = "sign-in attempt"


def _random() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Attempt:
    """One attempt to sign in."""

    following: str
    """The page to open after the sign-in."""
    again: bool = False
    """True if the provider must ask the person for a password or a device, even if the person is signed in there."""
    connect: str | None = None
    """The id of the signed-in person who connects an account of the provider; None for a sign-in."""
    state: str = field(default_factory=_random)
    nonce: str = field(default_factory=_random)
    verifier: str = field(default_factory=_random)
    begun_at: int = field(default_factory=lambda: int(time.time()))

    @property
    def challenge(self) -> str:
        """Return the code challenge of the verifier (RFC 7636, S256)."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")

    def cookie(self, box: SecretBox) -> str:
        """Return the attempt as the value of a cookie, which only a gateway with the key of the box can make."""
        return box.encrypt(json.dumps(asdict(self)), _OWNER)

    def check(self, state: str) -> None:
        """Raise NotAccepted unless an answer with this state belongs to this attempt, and came in time."""
        if not state.isascii() or not hmac.compare_digest(state, self.state):
            raise NotAccepted("state")
        if not 0 <= time.time() - self.begun_at <= LASTS_S:
            raise NotAccepted("late")


def of_cookie(value: str | None, box: SecretBox) -> Attempt | None:
    """Return the attempt in a cookie; None without a cookie, or with one that no gateway of this version made."""
    if not value or len(value) > _LONGEST or (kept := box.decrypt(value, _OWNER)) is None:
        return None
    try:
        return Attempt(**json.loads(kept))
    except TypeError:  # another version of Holdgate made the cookie
        return None

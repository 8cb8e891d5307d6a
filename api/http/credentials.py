"""With what a caller has proved who they are: an access token, a session of the pages, or a JWT of a provider."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Credential:
    """The credential of one request. Authentication sets it as `request.state.credential`."""

    kind: Literal["token", "jwt", "session"]
    key: str
    """What identifies the credential without disclosing it: the hash of a token or session, or `jwt:<subject>`."""
    scopes: frozenset[str] | None = None
    """What the credential may be used for; None for everything that its person may do."""

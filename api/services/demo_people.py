"""The demo people. A person with the link that `make up` prints may sign in as each of them.

The link has a secret that only the account running Holdgate can read. Host, addresses and proxies are checked in
addition, never instead: a header that a proxy leaves out proves nothing.
"""

import hashlib
import hmac
import json

from fastapi import Request

from api.http.origins import asks_this_machine, forwarded
from core.settings import Settings

COOKIE, SECURE_COOKIE = "holdgate-demo", "__Host-holdgate-demo"
"""Names of the cookie that keeps the secret in the browser. The second name is used with https."""
SHORTEST = 32
"""Characters of a secret. A file that was cut short opens nothing."""


class Demo:
    """Sign-in as a demo person by one click. It needs the demo to be on, and the secret in the browser."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[int, list[str]] = (0, [])

    @property
    def cookie(self) -> str:
        """Return the name of the cookie that keeps the secret."""
        return SECURE_COOKIE if self._settings.https else COOKIE

    def is_here(self, request: Request) -> bool:
        """Return True if the demo is on and the request comes from this machine without a proxy."""
        return self._settings.demo and asks_this_machine(request.headers) and not forwarded(request.headers)

    def is_secret(self, given: str) -> bool:
        """Return True if the text is the secret."""
        wanted = self._secret()
        return bool(wanted) and hmac.compare_digest(given.encode(errors="replace"), wanted)

    def credential(self) -> str | None:
        """Return the fingerprint of the secret that a session stores; None if there is no secret now."""
        secret = self._secret()
        return hashlib.sha256(secret).hexdigest() if secret else None

    def people(self, request: Request) -> list[str]:
        """Return the ids of the people as whom this browser may sign in, in the order of their creation."""
        given = request.cookies.get(self.cookie)
        return self._everybody() if given and self.is_here(request) and self.is_secret(given) else []

    def _secret(self) -> bytes:
        """Return the secret, empty without one. The file is read each time, because it may be replaced."""
        try:
            found = self._settings.demo_secret.read_bytes().strip()
        except OSError:
            return b""
        return found if len(found) >= SHORTEST else b""

    def _everybody(self) -> list[str]:
        file = self._settings.demo_tokens
        try:
            changed = file.stat().st_mtime_ns
            if self._read[0] != changed:
                self._read = changed, list(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []
        return self._read[1]

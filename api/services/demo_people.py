"""The demo people, as whom somebody at this machine may look around: whoever has the link that `make up` shows.

The link carries a secret, which only the account that runs Holdgate can read. Host, addresses and proxies are looked
at beside it, and never instead of it: what a proxy leaves out proves nothing.
"""

import hashlib
import hmac
import json

from fastapi import Request

from api.http.origins import asks_this_machine, forwarded
from core.settings import Settings

COOKIE, SECURE_COOKIE = "holdgate-demo", "__Host-holdgate-demo"
"""Keeps the secret in the browser that opened the link; the second name where that is by https."""
SHORTEST = 32
"""Characters of a secret; a file that was cut short opens nothing."""


class Demo:
    """Who may be signed in as by one click: nobody where there is no demo, or for who does not have its secret."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[int, list[str]] = (0, [])

    @property
    def cookie(self) -> str:
        """The name of the cookie that keeps the secret."""
        return SECURE_COOKIE if self._settings.https else COOKIE

    def is_here(self, request: Request) -> bool:
        """Whether there is a demo, and the request comes from this machine without a proxy."""
        return self._settings.demo and asks_this_machine(request.headers) and not forwarded(request.headers)

    def is_secret(self, given: str) -> bool:
        """Whether this is the secret."""
        wanted = self._secret()
        return bool(wanted) and hmac.compare_digest(given.encode(errors="replace"), wanted)

    def credential(self) -> str | None:
        """What a session remembers of the secret that began it; None where there is no secret now."""
        secret = self._secret()
        return hashlib.sha256(secret).hexdigest() if secret else None

    def people(self, request: Request) -> list[str]:
        """The ids of whom this browser may sign in as, in the order in which they were made."""
        given = request.cookies.get(self.cookie)
        return self._everybody() if given and self.is_here(request) and self.is_secret(given) else []

    def _secret(self) -> bytes:
        """The secret, empty without one. Its file is read each time: gateways share it, and it may be replaced."""
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

"""Let a browser with the link that `make up` prints sign in as any of the demo people.

The link contains a secret, which is in a file that only the account that runs Holdgate can read. The host name and the
headers of proxies are checked in addition to the secret. The two checks alone would not be enough: a proxy may send no
header that shows the proxy.
"""

import hashlib
import hmac
import json

from fastapi import Request

from api.http.origins import asks_this_machine, forwarded
from core.settings import Settings

COOKIE, SECURE_COOKIE = "holdgate-demo", "__Host-holdgate-demo"
"""The names of the cookie that keeps the secret of the demo in the browser. The second name is used with https."""
SHORTEST = 32
"""The least characters of a secret. If the file of the secret was cut short, nobody can sign in with it."""


class Demo:
    """Decides if a browser may sign in as a demo person by one click.

    The browser may sign in if the demo is on, the browser has the secret, and the request comes from this machine
    without a proxy.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: tuple[int, list[str]] = (0, [])

    @property
    def cookie(self) -> str:
        """Return the name of the cookie that keeps the secret of the demo, with or without https."""
        return SECURE_COOKIE if self._settings.https else COOKIE

    def is_here(self, request: Request) -> bool:
        """Return True if the demo is on, the request names this machine as its host, and no header shows a proxy."""
        return self._settings.demo and asks_this_machine(request.headers) and not forwarded(request.headers)

    def is_secret(self, given: str) -> bool:
        """Return True if the given text is the secret of the demo."""
        wanted = self._secret()
        return bool(wanted) and hmac.compare_digest(given.encode(errors="replace"), wanted)

    def credential(self) -> str | None:
        """Return the fingerprint of the present secret, which demo sessions store; None if there is no secret."""
        secret = self._secret()
        return hashlib.sha256(secret).hexdigest() if secret else None

    def people(self, request: Request) -> list[str]:
        """Return the ids of the demo people as whom this browser may sign in, the first created first."""
        given = request.cookies.get(self.cookie)
        return self._everybody() if given and self.is_here(request) and self.is_secret(given) else []

    def _secret(self) -> bytes:
        """Return the secret from its file; empty if there is none, or if it is shorter than `SHORTEST`.

        The file is read at each call, because the secret may be replaced.
        """
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

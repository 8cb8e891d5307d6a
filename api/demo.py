"""The demo people, as whom anybody at this machine may look around."""

import ipaddress
import json
from pathlib import Path

from settings import Settings


class Demo:
    """Who may be signed in as by one click: nobody where there is no demo, or where others can reach the gateway."""

    def __init__(self, settings: Settings) -> None:
        self._file: Path | None = settings.demo_tokens if settings.demo and _loopback(settings.host) else None
        self._read: tuple[int, list[str]] = (0, [])

    @property
    def people(self) -> list[str]:
        """Their ids, in the order in which they were made; read anew when the file of their tokens has changed."""
        if self._file is None:
            return []
        try:
            changed = self._file.stat().st_mtime_ns
            if self._read[0] != changed:
                self._read = changed, list(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return []
        return self._read[1]


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

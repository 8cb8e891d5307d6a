"""Files that wait between looking and starting, so that nobody sends theirs twice.

Each lies under its own hash in a folder of whoever sent it. So a hash opens nothing but what the same person has sent,
whatever a form says, and a gateway needs no memory of it. Nothing here is a record: a file that is gone is sent again.
"""

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

from core.file_storage import keep

KEPT_S = 24 * 3600.0
"""Seconds after which a file that nobody started is removed."""
MOST = 5
"""Files that are held for one person, the newest."""
_TAKEN, _STARTED = ".taken", ".started"
"""Behind the names of files that are being started, and of notes that say as which batch they were."""


class NotHeld(Exception):
    """This person has sent no such file, or it was removed."""


class TakenBefore(Exception):
    """The file was started before: `batch_id` says as what, or is empty while that goes on."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(batch_id)
        self.batch_id = batch_id


class HeldFiles:
    """The files of one folder. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, person: str, data: bytes) -> str:
        """Keep the bytes for the person; answers their SHA-256. Removes what was forgotten."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._tidy()
        own = self._own(person)
        keep(own, sha256, data)
        for mark in (_TAKEN, _STARTED):  # sent again on purpose
            (own / f"{sha256}{mark}").unlink(missing_ok=True)
        for old in _newest_first(own)[MOST:]:
            old.unlink(missing_ok=True)
        return sha256

    def read(self, person: str, sha256: str) -> bytes:
        """The bytes. Raises NotHeld, and TakenBefore for a file that was started."""
        path = self._path(person, sha256)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise self._gone(path) from None

    def take(self, person: str, sha256: str) -> bytes:
        """The bytes, for whoever is first: a form that comes twice starts a file once. Raises NotHeld and TakenBefore.

        Follow with `started` or, if nothing came of it, `give_back`.
        """
        path = self._path(person, sha256)
        taken = path.with_suffix(_TAKEN)
        try:
            path.rename(taken)
        except FileNotFoundError:
            raise self._gone(path) from None
        return taken.read_bytes()

    def started(self, person: str, sha256: str, batch_id: str) -> None:
        """The file is this batch now; its bytes lie with the batches."""
        path = self._path(person, sha256)
        path.with_suffix(_STARTED).write_text(batch_id)
        path.with_suffix(_TAKEN).unlink(missing_ok=True)

    def give_back(self, person: str, sha256: str) -> None:
        """Nothing was started: the file can be taken again."""
        path = self._path(person, sha256)
        with suppress(FileNotFoundError):
            path.with_suffix(_TAKEN).rename(path)

    def _gone(self, path: Path) -> NotHeld | TakenBefore:
        with suppress(FileNotFoundError):
            return TakenBefore(path.with_suffix(_STARTED).read_text())
        return TakenBefore("") if path.with_suffix(_TAKEN).exists() else NotHeld()

    def _path(self, person: str, sha256: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise NotHeld
        return self._own(person) / sha256

    def _own(self, person: str) -> Path:
        return self._folder / hashlib.sha256(person.encode()).hexdigest()

    def _tidy(self) -> None:
        oldest = time.time() - KEPT_S
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # somebody else tidies too
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _newest_first(folder: Path) -> list[Path]:
    found: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]

"""Uploaded files between preview and start, so that a person need not upload the file twice.

Each file is stored under its SHA-256 in a folder of the person who sent it. So the hash in a form opens only files of
the person who sends the form, and the gateway keeps no state in memory. A file that was removed can be uploaded again.
"""

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

from core.file_storage import keep

KEPT_S = 24 * 3600.0
"""The number of seconds after which a file is removed if its cases were not started."""
MOST = 5
"""How many files are kept for one person. If there are more, the oldest are removed."""
_TAKEN, _STARTED = ".taken", ".started"
"""Suffixes of file names: of a file whose cases are being started, and of a note with the id of the started batch."""


class NotStaged(Exception):
    """Raised if the person has not sent a file with this hash, or if the file was removed."""


class StartedBefore(Exception):
    """Raised if the cases of the file were started before. `batch_id` is empty while the start is still running."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(batch_id)
        self.batch_id = batch_id


class StagedFiles:
    """The uploaded files of all people in one folder, between preview and start. Every method can raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, person: str, data: bytes) -> str:
        """Store the bytes for the person and return their SHA-256. Removes old files."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._tidy()
        own = self._own(person)
        keep(own, sha256, data)
        for mark in (_TAKEN, _STARTED):  # the person sent the file again on purpose
            (own / f"{sha256}{mark}").unlink(missing_ok=True)
        for old in _newest_first(own)[MOST:]:
            old.unlink(missing_ok=True)
        return sha256

    def read(self, person: str, sha256: str) -> bytes:
        """Return the bytes of a file. Raises NotStaged, and StartedBefore for a file whose cases were started."""
        path = self._path(person, sha256)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise self._gone(path) from None

    def take(self, person: str, sha256: str) -> bytes:
        """Take the file for one start and return its bytes.

        If a form is sent twice, the second call fails, so that one batch starts.

        Call `started` afterwards, or `give_back` when the start failed. Raises NotStaged and StartedBefore.
        """
        path = self._path(person, sha256)
        taken = path.with_suffix(_TAKEN)
        try:
            path.rename(taken)
        except FileNotFoundError:
            raise self._gone(path) from None
        return taken.read_bytes()

    def started(self, person: str, sha256: str, batch_id: str) -> None:
        """Store the id of the batch that a taken file has started, and remove the file.

        The batch has its own copy of the file.
        """
        path = self._path(person, sha256)
        path.with_suffix(_STARTED).write_text(batch_id)
        path.with_suffix(_TAKEN).unlink(missing_ok=True)

    def give_back(self, person: str, sha256: str) -> None:
        """Make a taken file available again, because no batch was started."""
        path = self._path(person, sha256)
        with suppress(FileNotFoundError):
            path.with_suffix(_TAKEN).rename(path)

    def _gone(self, path: Path) -> NotStaged | StartedBefore:
        with suppress(FileNotFoundError):
            return StartedBefore(path.with_suffix(_STARTED).read_text())
        return StartedBefore("") if path.with_suffix(_TAKEN).exists() else NotStaged()

    def _path(self, person: str, sha256: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise NotStaged
        return self._own(person) / sha256

    def _own(self, person: str) -> Path:
        return self._folder / hashlib.sha256(person.encode()).hexdigest()

    def _tidy(self) -> None:
        oldest = time.time() - KEPT_S
        for path in self._folder.glob("*/*"):
            with suppress(FileNotFoundError):  # another process removes old files at the same time
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _newest_first(folder: Path) -> list[Path]:
    found: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]

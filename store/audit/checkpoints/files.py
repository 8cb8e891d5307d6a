"""The folder to which workers export the signed checkpoints. Notes are only appended.

A worker begins a new file when it starts, and each day. The name of a file is the size of its first checkpoint, so the
names are in the order of the checkpoints. A file has one note, or several with an empty line between them.
"""

import errno
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from store.audit.checkpoints.note import notes_in

SUFFIX = ".note"


class Export:
    """The file to which this process appends checkpoints."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: Path | None = None
        self._day: date | None = None

    def append(self, note: str, events: int, day: date) -> None:
        """Append a note of so many events, and return when it is on disk. Raises OSError."""
        if self._file is None or self._day != day:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file, self._day = self._folder / f"{events:012}{SUFFIX}", day
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            data = ("\n" + note if size else note).encode()
            if os.write(descriptor, data) < len(data):
                # A part of a note would look like an edited note for ever.
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, "the checkpoint was not written completely", str(self._file))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def exported(folder: Path) -> list[Path]:
    """Return the files in the folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (len(path.name), path.name))


def newest(folder: Path) -> Iterator[str]:
    """Yield the exported notes, newest first."""
    for path in reversed(exported(folder)):
        yield from reversed(notes_of(path))


def notes_of(path: Path) -> list[str]:
    """Return the notes of a file; an empty list if it cannot be read, or has none."""
    try:
        return list(notes_in(path.read_text(errors="replace")))
    except OSError:
        return []

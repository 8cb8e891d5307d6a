"""Files and folders that only the user we run as can read: databases, uploads, attachments, logs, tokens.

Each process calls `keep_private` before it makes any, so that they are private from the first byte, whatever umask it
was started with. `tighten` puts right what an older version, or a restored backup, left open. A folder that people
share with us, such as the import folder, keeps the modes that they expect: `usual`.
"""

import logging
import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o077
"""The umask of our processes."""
OTHERS = 0o077

_started_with: list[int] = []
_looking = threading.Lock()
log = logging.getLogger(__name__)


def keep_private() -> None:
    """From now on let nobody else read what this process makes."""
    before = os.umask(PRIVATE)
    if not _started_with:
        _started_with.append(before)


def usual_umask() -> int:
    """Return the umask that this process was started with: for folders that are not ours alone."""
    if _started_with:
        return _started_with[0]
    with _looking:  # the umask is read by setting it: two threads at once would leave the private one behind
        os.umask(before := os.umask(PRIVATE))
    return before


def usual(mode: int) -> int:
    """Return the mode that a file or folder gets in a folder that others share with us."""
    return mode & ~usual_umask()


def tighten(var: Path, database_url: str = "", shared: Collection[Path | None] = ()) -> int:
    """Take from others what they may do with our folder and our SQLite file, and tell it; answers how much it was.

    `shared` are folders of other people, which stay as they are also where they lie in ours.
    """
    kept = {path.resolve() for path in shared if path is not None}
    changed = sum(map(_take_from_others, [*_all_of(var, kept), *_files_of(database_url)]))
    if changed:
        log.warning("%d files and folders of %s could be used by other users of this machine: no more", changed, var)
    return changed


def _all_of(folder: Path, kept: Collection[Path]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    yield folder
    for above, folders, names in os.walk(folder):
        here = Path(above)
        folders[:] = [name for name in folders if (here / name).resolve() not in kept]
        yield from (here / name for name in (*folders, *names))


def _files_of(database_url: str) -> Iterator[Path]:
    """Of SQLite; read by hand, for the library that reads it takes longer to import than all else at a start."""
    scheme, _, rest = database_url.partition(":///")
    if scheme.partition("+")[0] == "sqlite" and (path := rest.partition("?")[0]):
        yield from (Path(path + suffix) for suffix in ("", "-wal", "-shm", "-journal"))


def _take_from_others(path: Path) -> bool:
    """Whether there was something to take; a file of another user, or one that has just gone, is left alone."""
    with suppress(OSError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & OTHERS and found.st_uid == os.getuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
            return True
    return False

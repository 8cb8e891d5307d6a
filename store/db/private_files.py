"""Files and folders that only the user of this process can read: databases, uploads, attachments, logs, tokens.

Each program calls `keep_private` before the program creates any file, so that files are private from the first byte
with any inherited umask. `tighten` corrects the modes of files from an older version or a restored backup. Folders
shared with other users, such as the import folder, keep their modes: see `usual`.
"""

import logging
import os
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o077
"""The umask of Holdgate's programs."""
OTHERS = 0o077

_started_with: list[int] = []
_looking = threading.Lock()
log = logging.getLogger(__name__)


def keep_private() -> None:
    """Make all files that this process creates from now on private."""
    before = os.umask(PRIVATE)
    if not _started_with:
        _started_with.append(before)


def usual_umask() -> int:
    """Return the umask with which this process was started: for folders shared with other users."""
    if _started_with:
        return _started_with[0]
    with _looking:  # the umask is read by setting it: two threads at once would leave the private one behind
        os.umask(before := os.umask(PRIVATE))
    return before


def usual(mode: int) -> int:
    """Return `mode` with the umask with which this process was started.

    This is the mode for a new file or folder inside a folder that is shared with other users.
    """
    return mode & ~usual_umask()


def tighten(var: Path, database_url: str = "", shared: Collection[Path | None] = ()) -> int:
    """Remove other users' access to the folder `var`, to all that is in it, and to the SQLite files.

    Log and return the number of changes. `shared` are folders that other users must reach: nothing changes in them,
    even if they are inside `var`. Files of another owner are skipped.
    """
    kept = {path.resolve() for path in shared if path is not None}
    changed = sum(map(_take_from_others, [*_all_of(var, kept), *_files_of(database_url)]))
    if changed:
        log.warning(
            "%d files and folders in %s, or of the database, could be used by other users of this machine. Holdgate "
            "has removed their access",
            *(changed, var),
        )
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
    """Yield the files of SQLite. The URL is parsed by hand because importing SQLAlchemy would slow down the start."""
    scheme, _, rest = database_url.partition(":///")
    if scheme.partition("+")[0] == "sqlite" and (path := rest.partition("?")[0]):
        yield from (Path(path + suffix) for suffix in ("", "-wal", "-shm", "-journal"))


def _take_from_others(path: Path) -> bool:
    """Remove the access of other users to a path. Return True if the mode was changed.

    Skips files of other users and missing files.
    """
    with suppress(OSError):
        found = path.lstat()
        if not stat.S_ISLNK(found.st_mode) and found.st_mode & OTHERS and found.st_uid == os.getuid():
            path.chmod(stat.S_IMODE(found.st_mode) & ~OTHERS)
            return True
    return False

"""The drop folder: find complete files, claim them, and move them away with a report.

A file is claimed by a rename into `.taking/TOKEN/FOLDER/`, so no other program can claim or overwrite it. The file is
moved into `done/` or `refused/` after its report is written. After a crash the file is still in `.taking`, where the
next call of `DropFolder.look` finds it. Folders are opened relative to each other and no link is followed, so no link
can make Holdgate read or write elsewhere. This module does not interpret the content of files.
"""

import errno
import fcntl
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Literal, get_args

from store.db.private_files import usual

Where = Literal["done", "refused"]
PUT_AWAY: tuple[Where, ...] = get_args(Where)
TAKING = ".taking"
REPORT = ".report.json"
"""The suffix of the name of a report.

A report also reserves the names of further files about the same import, which begin with the name of the imported file.
"""
STABLE_FOR = 2.0
"""Seconds for which a file must not change before it counts as complete."""

_UNFINISHED = (".tmp", ".part", ".crdownload")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 160
"""The maximum number of bytes of a file name in `done/` and `refused/`, before a token and suffixes are added.

File systems allow 255 bytes.
"""
_LOCK = ".lock"

_Stamp = tuple[int, int, int, int]

log = logging.getLogger(__name__)


class Unfit(Exception):
    """Raised for a file in the drop folder that cannot be read.

    `str()` is a sentence for the person who put the file there.
    """


class StillWritten(Exception):
    """Raised if another program still writes to the file. The file is read again later."""


@dataclass(frozen=True)
class Claim:
    """A file of the drop folder that this import has claimed, by moving it to `.taking/`."""

    token: str
    folder: str
    """The folder in the drop folder that held the file; empty for the drop folder itself."""
    name: str


class DropFolder:
    """One drop folder. If several programs of Holdgate watch the folder, only the program with the lock uses the
    folder.
    """

    def __init__(self, path: Path, stable_for: float = STABLE_FOR) -> None:
        """Watch `path`. A file is complete after `stable_for` seconds without a change."""
        self._path = path
        self._stable_for = stable_for
        self._seen: dict[tuple[str, str], tuple[_Stamp, float]] = {}
        self._warned: set[tuple[str, str]] = set()
        self._lock: int | None = None

    def look(self) -> list[Claim]:
        """Claim every complete file, and return all claimed files, oldest first.

        Return an empty list while another program has the lock. Raises OSError if the drop folder is missing or cannot
        be written.
        """
        with opened(self._path) as root, made(TAKING, root) as taking:
            if not self._has_lock(taking):
                return []
            now, seen = time.monotonic(), {}
            for folder, entry in self._dropped(root):
                key, stamp = (folder, entry.name), _stamp(entry)
                if stamp is None:
                    continue
                before, since = self._seen.get(key, (stamp, now))
                seen[key] = stamp, since if before == stamp else now
                if before == stamp and now - since >= self._stable_for:
                    try:
                        _take(root, taking, folder, entry.name)
                        del seen[key]
                    except OSError as error:
                        self._warn(folder, entry, f"cannot be imported: {error.strerror}")
            self._seen = seen
            return _taken(taking)

    def read(self, claim: Claim, limit: int) -> bytes:
        """Return the bytes of a claimed file.

        Raises Unfit for a file that cannot be read or has more than `limit` bytes, StillWritten, and OSError.
        """
        with self._claimed(claim) as mine:
            try:
                # Without O_NONBLOCK, opening a FIFO would wait for ever. The flag changes nothing for a file.
                file = os.open(claim.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=mine)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise Unfit("This is a link to another file. Copy the file itself into the folder.") from error
                if error.errno == errno.EACCES:
                    raise Unfit(
                        "Holdgate cannot read the file. Give read permission to the account that runs Holdgate."
                    ) from error
                raise
            with os.fdopen(file, "rb") as opened_file:
                before = os.fstat(file)
                if not stat.S_ISREG(before.st_mode):
                    raise Unfit("This is not a regular file. Copy a regular file into the folder.")
                if before.st_nlink > 1:
                    raise Unfit("The file has a second name (a hard link). Copy the file into the folder.")
                if before.st_size > limit:
                    size = f"The file has {before.st_size:,} bytes, and the limit is {limit:,} bytes."
                    raise Unfit(f"{size} Split the file.")
                data = opened_file.read(limit + 1)
                after = os.fstat(file)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
            raise StillWritten(claim.name)
        return data

    def put_away(self, claim: Claim, where: Where, report: Mapping[str, object], **beside: bytes) -> str:
        """Move a claimed file and its report to `done/` or `refused/`, and return the name of the file there.

        `beside` has more files to write, by suffix: `bad_csv` becomes `NAME.bad.csv`. The file is moved last, so every
        moved file has its report. After a crash, a second call completes the first. Raises OSError.
        """
        with opened(self._path) as root, made(where, root) as target:
            name = _reserve(target, claim, report)
            for behind, data in beside.items():
                _write(target, f"{name}.{behind.replace('_', '.')}", data, claim.token)
            with self._claimed(claim) as mine:
                os.rename(claim.name, name, src_dir_fd=mine, dst_dir_fd=target)
            with opened(TAKING, root) as taking:
                _tidy(taking, claim.token, claim.folder or ".")
        return name

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _has_lock(self, taking: int) -> bool:
        """Return True if this process has the lock. The kernel releases the lock when the process ends."""
        if self._lock is not None:
            return True
        file = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660, dir_fd=taking)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError as error:
            # Two processes can then do the same work. The database still makes sure that a file is imported once.
            log.warning(
                "the drop folder %s is on a drive without locks (%s): let only one worker use it",
                self._path,
                error.strerror,
            )
        self._lock = file
        return True

    def _dropped(self, root: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Yield the files in the drop folder and in its subfolders except `done` and `refused`, each with the name of
        its folder.
        """
        for entry in _entries(root):
            if not entry.is_dir(follow_symlinks=False):
                yield from self._if_file("", entry)
            elif entry.name not in PUT_AWAY:
                try:
                    with opened(entry.name, root) as folder:
                        inside = _entries(folder)
                        yield from (found for inner in inside for found in self._if_file(entry.name, inner))
                except OSError as error:
                    self._warn("", entry, f"cannot be read: {error.strerror}")

    def _if_file(self, folder: str, entry: os.DirEntry[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        if entry.is_file(follow_symlinks=False):
            yield folder, entry
        elif not entry.is_dir(follow_symlinks=False):
            self._warn(folder, entry, "is a link or a device and is not imported")

    def _warn(self, folder: str, entry: os.DirEntry[str], wrong: str) -> None:
        """Log what is wrong with an entry of the drop folder, once for each entry.

        The log names the inode, which `find -inum` finds, because names of files can hold names of people.
        """
        if (folder, entry.name) not in self._warned:
            self._warned.add((folder, entry.name))
            log.warning("the entry with inode %d in the drop folder %s %s", entry.inode(), self._path, wrong)

    @contextmanager
    def _claimed(self, claim: Claim) -> Iterator[int]:
        with (
            opened(self._path) as root,
            opened(TAKING, root) as taking,
            opened(claim.token, taking) as token,
            opened(claim.folder or ".", token) as mine,
        ):
            yield mine


# --------------------------------------------------------------------------------------------------------- small parts


@contextmanager
def opened(path: str | Path, parent: int | None = None) -> Iterator[int]:
    """Open a folder until the block ends. Raises OSError for a symbolic link, or a folder that cannot be opened."""
    folder = os.open(path, _FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def made(name: str, parent: int) -> Iterator[int]:
    """Open a folder; create it if it does not exist."""
    with suppress(FileExistsError):
        _make(name, parent)
    with opened(name, parent) as folder:
        yield folder


def _make(name: str, parent: int) -> None:
    """Create a folder that the people who use the drop folder can use, too."""
    os.mkdir(name, dir_fd=parent)
    with opened(name, parent) as folder:
        os.fchmod(folder, usual(0o777))


def _entries(folder: int) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name, without hidden files, and without files whose names end as those of
    unfinished files do, such as `.part`.
    """
    with os.scandir(folder) as found:
        entries = [each for each in found if not each.name.startswith((".", "~$"))]
    return sorted((each for each in entries if not each.name.lower().endswith(_UNFINISHED)), key=lambda each: each.name)


def _stamp(entry: os.DirEntry[str]) -> _Stamp | None:
    """Return the values that change when a program writes to a file; None if the file does not exist any more."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _take(root: int, taking: int, folder: str, name: str) -> None:
    token = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    _make(token, taking)
    try:
        with opened(token, taking) as token_folder:
            if folder:
                _make(folder, token_folder)
            with opened(folder or ".", root) as source, opened(folder or ".", token_folder) as mine:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=mine)
    except OSError as error:
        _tidy(taking, token, folder)
        if not isinstance(error, FileNotFoundError):  # the person has moved the file away in this moment
            raise


def _taken(taking: int) -> list[Claim]:
    """Return all claimed files. Remove folders in `.taking/` without a file, which a crash has left."""
    claims = []
    for token in _entries(taking):
        found = []
        with opened(token.name, taking) as token_folder:
            for entry in _entries_of_claim(token_folder):
                if not entry.is_dir(follow_symlinks=False):
                    found.append(Claim(token.name, "", entry.name))
                    continue
                with opened(entry.name, token_folder) as folder:
                    found += [Claim(token.name, entry.name, inner.name) for inner in _entries_of_claim(folder)]
                if not found:
                    os.rmdir(entry.name, dir_fd=token_folder)
        if not found:
            os.rmdir(token.name, dir_fd=taking)
        claims += found
    return claims


def _entries_of_claim(folder: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(found)


def _tidy(taking: int, token: str, folder: str) -> None:
    """Remove the folders of a claim in `.taking/` after its file was moved."""
    with suppress(OSError):
        if folder not in ("", "."):
            os.rmdir(f"{token}/{folder}", dir_fd=taking)
        os.rmdir(token, dir_fd=taking)


def _reserve(target: int, claim: Claim, report: Mapping[str, object]) -> str:
    """Write the report of a claimed file under a name that is free.

    Return the name under which the file must be moved.
    """
    text = json.dumps({**report, "claim": claim.token}, indent=2).encode()
    suffix = PurePath(claim.name).suffix
    suffix = suffix if len(suffix) <= 10 else ""
    stem = claim.name.removesuffix(suffix)
    if len(os.fsencode(stem)) > _MOST_BYTES:
        stem = os.fsencode(stem)[:_MOST_BYTES].decode(errors="ignore")
    for name in (f"{stem}{suffix}", f"{stem}-{claim.token}{suffix}"):
        owner = _owner(target, name)
        if owner == claim.token or (owner is None and not _exists(target, name)):
            _write(target, name + REPORT, text, claim.token)
            return name
    raise FileExistsError(errno.EEXIST, "there is a file of this name already", name)


def _owner(target: int, name: str) -> str | None:
    """Return the token of the claim that wrote the report of the file `name`; None if there is no such report.

    Return an empty text if the report cannot be read.
    """
    try:
        file = os.open(name + REPORT, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as opened_file, suppress(ValueError, AttributeError):
        return str(json.load(opened_file).get("claim"))
    return ""


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write(folder: int, name: str, data: bytes, token: str) -> None:
    """Write a file completely or not at all. A second call with the same name replaces the file."""
    hidden = f".{token}"
    with suppress(FileNotFoundError):
        os.unlink(hidden, dir_fd=folder)  # left by a process that ended here
    file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    with os.fdopen(file, "wb") as opened_file:
        os.fchmod(file, usual(0o666))  # people read the drop folder
        opened_file.write(data)
        opened_file.flush()
        os.fsync(file)
    os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)

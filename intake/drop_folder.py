"""A folder into which people drop files: what in it is complete, taking it out of their hands, and putting it away.

A file is taken by renaming it into `.taking/TOKEN/FOLDER/`, so nobody else can take it or write another one over it,
and put away into `done/` or `refused/` behind its report. Whatever dies on the way leaves the file in `.taking`, where
the next look finds it. Folders are opened one in another and no link is followed, so nobody can make us read or write
elsewhere. Nothing here knows what is in a file.
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
"""Behind the name of a file: its report, by which its other names beside it are reserved, too."""
STABLE_FOR = 2.0
"""Seconds for which a file must not change before it counts as complete."""

_UNFINISHED = (".tmp", ".part", ".crdownload")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 160
"""Of a name as it is put away: the file system takes 255, and a token, a suffix and `.report.json` come behind it."""
_LOCK = ".lock"

_Look = tuple[int, int, int, int]

log = logging.getLogger(__name__)


class Unfit(Exception):
    """A dropped thing that is not read at all. `str()` is a sentence for the person who dropped it."""


class StillWritten(Exception):
    """Somebody writes to the file; it is looked at again later."""


@dataclass(frozen=True)
class Claim:
    """A file that was taken."""

    token: str
    folder: str
    """The folder it lay in; empty for the box itself."""
    name: str


class DropFolder:
    """One such folder, for one process; of several processes one at a time has it."""

    def __init__(self, path: Path, stable_for: float = STABLE_FOR) -> None:
        """`stable_for` is in seconds."""
        self._path = path
        self._stable_for = stable_for
        self._seen: dict[tuple[str, str], tuple[_Look, float]] = {}
        self._told: set[tuple[str, str]] = set()
        self._lock: int | None = None

    def look(self) -> list[Claim]:
        """Take every complete file, and answer all that are taken and not put away, oldest first.

        Empty while another process has the box. Raises OSError when the folder is away or cannot be written.
        """
        with opened(self._path) as box, made(TAKING, box) as taking:
            if not self._has_lock(taking):
                return []
            now, seen = time.monotonic(), {}
            for folder, entry in self._dropped(box):
                key, looks = (folder, entry.name), _looks(entry)
                if looks is None:
                    continue
                before, since = self._seen.get(key, (looks, now))
                seen[key] = looks, since if before == looks else now
                if before == looks and now - since >= self._stable_for:
                    try:
                        _take(box, taking, folder, entry.name)
                        del seen[key]
                    except OSError as wrong:
                        self._tell(folder, entry.name, f"cannot be imported: {wrong.strerror}")
            self._seen = seen
            return _taken(taking)

    def read(self, claim: Claim, limit: int) -> bytes:
        """The bytes of a taken file. Raises Unfit, also beyond `limit` bytes, StillWritten and OSError."""
        with self._claimed(claim) as mine:
            try:
                # A FIFO would else be waited for; of a file it means nothing.
                file = os.open(claim.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=mine)
            except OSError as wrong:
                if wrong.errno == errno.ELOOP:
                    raise Unfit("This is a link to another file. Copy the file itself into the folder.") from wrong
                if wrong.errno == errno.EACCES:
                    raise Unfit(
                        "Holdgate cannot read the file. Give read permission to the account that runs Holdgate."
                    ) from wrong
                raise
            with os.fdopen(file, "rb") as opened_file:
                before = os.fstat(file)
                if not stat.S_ISREG(before.st_mode):
                    raise Unfit("This is not a regular file. Copy a regular file into the folder.")
                if before.st_nlink > 1:
                    raise Unfit("The file has a second name (a hard link). Copy the file into the folder.")
                if before.st_size > limit:
                    raise Unfit(f"It has {before.st_size:,} bytes; the limit is {limit:,} bytes. Split the file.")
                data = opened_file.read(limit + 1)
                after = os.fstat(file)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
            raise StillWritten(claim.name)
        return data

    def put_away(self, claim: Claim, where: Where, report: Mapping[str, object], **beside: bytes) -> str:
        """Move a taken file to `done/` or `refused/`, its report beside it; answers the name it has there.

        `beside` is what else goes there, by what stands behind the name: `bad_csv` is `NAME.bad.csv`. The file comes
        last: what lies there has its report. Done again after a crash this goes on where it was. Raises OSError.
        """
        with opened(self._path) as box, made(where, box) as target:
            name = _reserve(target, claim, report)
            for behind, data in beside.items():
                _write(target, f"{name}.{behind.replace('_', '.')}", data, claim.token)
            with self._claimed(claim) as mine:
                os.rename(claim.name, name, src_dir_fd=mine, dst_dir_fd=target)
            with opened(TAKING, box) as taking:
                _tidy(taking, claim.token, claim.folder or ".")
        return name

    def close(self) -> None:
        """Let another process have the box."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _has_lock(self, taking: int) -> bool:
        """Whether this process has the box. The kernel gives it to another one when this one dies, however it does."""
        if self._lock is not None:
            return True
        file = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660, dir_fd=taking)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError as wrong:
            # Two of us may then do the same work; that a file is started once is seen to by SQL.
            log.warning("%s lies on a drive without locks (%s)", self._path, wrong.strerror)
        self._lock = file
        return True

    def _dropped(self, box: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """The files that lie in the box and in the folders in it, with the name of the folder."""
        for entry in _entries(box):
            if not entry.is_dir(follow_symlinks=False):
                yield from self._if_file("", entry)
            elif entry.name not in PUT_AWAY:
                try:
                    with opened(entry.name, box) as folder:
                        inside = _entries(folder)
                        yield from (found for inner in inside for found in self._if_file(entry.name, inner))
                except OSError as wrong:
                    self._tell("", entry.name, f"cannot be read: {wrong.strerror}")

    def _if_file(self, folder: str, entry: os.DirEntry[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
        if entry.is_file(follow_symlinks=False):
            yield folder, entry
        elif not entry.is_dir(follow_symlinks=False):
            self._tell(folder, entry.name, "is a link or a device and is not imported")

    def _tell(self, folder: str, name: str, wrong: str) -> None:
        """Say once what is wrong with something that lies in the box."""
        if (folder, name) not in self._told:
            self._told.add((folder, name))
            log.warning("%s %s", self._path / folder / name, wrong)

    @contextmanager
    def _claimed(self, claim: Claim) -> Iterator[int]:
        with (
            opened(self._path) as box,
            opened(TAKING, box) as taking,
            opened(claim.token, taking) as token,
            opened(claim.folder or ".", token) as mine,
        ):
            yield mine


# --------------------------------------------------------------------------------------------------------- small parts


@contextmanager
def opened(path: str | Path, parent: int | None = None) -> Iterator[int]:
    """A folder, never by way of a link. Raises OSError."""
    folder = os.open(path, _FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def made(name: str, parent: int) -> Iterator[int]:
    """A folder that is made if need be."""
    with suppress(FileExistsError):
        _make(name, parent)
    with opened(name, parent) as folder:
        yield folder


def _make(name: str, parent: int) -> None:
    """Make a folder with the mode that folders have in a box which is shared with people."""
    os.mkdir(name, dir_fd=parent)
    with opened(name, parent) as folder:
        os.fchmod(folder, usual(0o777))


def _entries(folder: int) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, but for what is hidden or by its name not finished."""
    with os.scandir(folder) as found:
        entries = [each for each in found if not each.name.startswith((".", "~$"))]
    return sorted((each for each in entries if not each.name.lower().endswith(_UNFINISHED)), key=lambda each: each.name)


def _looks(entry: os.DirEntry[str]) -> _Look | None:
    """What changes when somebody writes to a file; None when it is gone."""
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _take(box: int, taking: int, folder: str, name: str) -> None:
    token = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    _make(token, taking)
    try:
        with opened(token, taking) as token_folder:
            if folder:
                _make(folder, token_folder)
            with opened(folder or ".", box) as source, opened(folder or ".", token_folder) as mine:
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=mine)
    except OSError as wrong:
        _tidy(taking, token, folder)
        if not isinstance(wrong, FileNotFoundError):  # then somebody took it back in this moment
            raise


def _taken(taking: int) -> list[Claim]:
    """All files that are taken. Folders that lost theirs to a crash are removed."""
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
    """Remove the folders of a claim whose file is gone."""
    with suppress(OSError):
        if folder not in ("", "."):
            os.rmdir(f"{token}/{folder}", dir_fd=taking)
        os.rmdir(token, dir_fd=taking)


def _reserve(target: int, claim: Claim, report: Mapping[str, object]) -> str:
    """Put the report of a file where nothing is in its way; answers the name that the file gets beside it."""
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
    """Whose report lies under a name; None when there is none."""
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
    """A file that is there whole or not at all; the same one again replaces it."""
    hidden = f".{token}"
    with suppress(FileNotFoundError):
        os.unlink(hidden, dir_fd=folder)  # of a life that ended here
    file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=folder)
    with os.fdopen(file, "wb") as opened_file:
        os.fchmod(file, usual(0o666))  # the box is shared with people, who read it
        opened_file.write(data)
        opened_file.flush()
        os.fsync(file)
    os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)

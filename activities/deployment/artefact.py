"""Unpack archives that may be malicious.

Only plain files and folders below one folder are unpacked: no links, no devices, no names outside the folder. Limits
are checked before anything is written, so a zip bomb costs no more than the limits allow.
"""

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from domain.errors import Refused

CHUNK = 1 << 20
MAX_HEADERS = 4 << 20
MAX_HEADERS_OF_ALL = 4096
_DIGITS = re.compile(rb"[0-9]{100}")


@dataclass(frozen=True)
class ArchiveLimits:
    """The limits of an archive that is unpacked. Sizes are in bytes."""

    archive: int = 64 << 20
    """The maximum size of the archive."""
    total: int = 256 << 20
    """The maximum unpacked size of the whole archive, with headers."""
    single: int = 64 << 20
    """The maximum size of one file."""
    members: int = 5_000
    """The maximum number of files and folders, including folders that occur only in the name of a file."""
    ratio: int = 100
    """Maximum ratio of the unpacked size to the archive size, checked above `ratio_from` bytes."""
    ratio_from: int = 4 << 20
    name: int = 240
    """The maximum number of bytes of a name with its folders."""
    depth: int = 20
    """The maximum number of folders above a file."""


LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Unpacked:
    """The content of an archive that was unpacked."""

    files: tuple[str, ...]
    """The names of files, relative and with `/`, sorted."""
    bytes: int


def copy_hashed(source: IO[bytes], target: Path, limit: int = LIMITS.archive) -> str:
    """Copy a file and return its SHA-256 in hex. Raises Refused if the file is too large."""
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as written:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > limit:
                raise Refused(f"The archive has more than {limit:,} bytes, which is not allowed. Make it smaller.")
            digest.update(chunk)
            written.write(chunk)
    return digest.hexdigest()


def unpack(archive: Path, into: Path, limits: ArchiveLimits = LIMITS) -> Unpacked:
    """Unpack a tar.gz into an empty folder that nobody else writes to, and flush it to the disk.

    Raises Refused for a damaged archive, for an archive above the limits, and for content that an attacker could use,
    such as links. After an error the folder contains the files written so far, and the caller must delete it.
    """
    with tempfile.TemporaryFile(dir=into.parent) as raw:
        _decompress(archive, raw, limits)
        try:
            with _Tar.open(fileobj=raw, mode="r:", encoding="utf-8", errors="strict") as tar:
                unpacked = _extract(tar, into, limits)
                raw.seek(tar.offset)
                # The tar reader takes a broken header for the end of the archive, and would ignore everything after it.
                if raw.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
                    raise Refused("The archive is damaged: it breaks off, or a part is not readable. Pack it again.")
        except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
            raise Refused("The archive is damaged: a part of it cannot be read. Pack it again.") from error
    if not unpacked.files:
        raise _refused("no files")
    for folder, _, _ in os.walk(into):
        sync(Path(folder))
    return unpacked


def sync(folder: Path) -> None:
    """Flush the entries of a folder to the disk, so that they survive a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _decompress(archive: Path, into: IO[bytes], limits: ArchiveLimits) -> None:
    """Decompress a tar.gz to a tar file. Check the size first, so that a tar file that is too large is never parsed."""
    by_ratio = max(limits.ratio_from, limits.ratio * archive.stat().st_size)
    size = 0
    try:
        with gzip.open(archive, "rb") as compressed:
            while chunk := compressed.read(CHUNK):
                size += len(chunk)
                if size > limits.total:
                    raise Refused(
                        f"The archive unpacks to more than {limits.total:,} bytes, which is not allowed. Make it "
                        "smaller."
                    )
                if size > by_ratio:
                    said = (
                        f"The archive unpacks to more than {limits.ratio} times its own size, which is not allowed. "
                        "Leave out large files of repeated content, and pack it again."
                    )
                    raise Refused(said)
                into.write(chunk)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise  # A full disk is not an error of the archive.
        raise Refused("The archive is damaged or is not a tar.gz file. Pack it again.") from error
    into.seek(0)


class _Header(tarfile.TarInfo):
    """A tar header that is checked before Python's tar reader parses it, because this reader is very slow for some
    headers.
    """

    def _proc_pax(self, tar: "_Tar") -> tarfile.TarInfo:
        source = tar.fileobj
        assert source is not None, "it is open"
        tar.told += self.size
        tar.told_of_all += self.size if self.type == tarfile.XGLTYPE else 0
        if tar.told > MAX_HEADERS or tar.told_of_all > MAX_HEADERS_OF_ALL:
            raise Refused("The archive has extended attributes of files, which are not read: pack it without them.")
        at = source.tell()
        # Python before 3.11.10 needs quadratic time for these headers: 64 KB of them block a worker for a minute.
        if _DIGITS.search(source.read(self.size)):
            raise Refused("The archive has a header with a number that is too long: pack it without extended headers.")
        source.seek(at)
        found: tarfile.TarInfo = super()._proc_pax(tar)  # type: ignore[misc]
        return found


class _Tar(tarfile.TarFile):
    tarinfo = _Header
    told = 0
    """How many bytes of extended headers of single files were read."""
    told_of_all = 0
    """How many bytes of global extended headers were read.

    The tar reader processes these headers again for each file.
    """


def _extract(tar: tarfile.TarFile, into: Path, limits: ArchiveLimits) -> Unpacked:
    files: dict[PurePosixPath, int] = {}
    folders: set[PurePosixPath] = {PurePosixPath()}
    declared: set[PurePosixPath] = set()
    for member in tar:
        name = _name_of(member, limits)
        if name in declared:
            raise _refused(f"'{name}' twice")
        declared.add(name)
        _check(member, name, limits)
        if name in files or any(above in files for above in name.parents) or (member.isreg() and name in folders):
            raise _refused(f"'{name}' both as a file and as a folder")
        folders.update(name.parents, [name] if member.isdir() else [])
        if len(files) + len(folders) > limits.members:
            raise _refused(f"more than {limits.members:,} files and folders, which is not allowed")
        target = into / name
        if member.isdir():
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
            continue
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        content = tar.extractfile(member)
        assert content is not None, "it is a plain file"
        _write(content, target, 0o755 if member.mode & 0o100 else 0o644)
        if target.stat().st_size != member.size:
            raise Refused("The archive is damaged: it breaks off, or a part is not readable. Pack it again.")
        files[name] = member.size
    return Unpacked(tuple(sorted(map(str, files))), sum(files.values()))


def _name_of(member: tarfile.TarInfo, limits: ArchiveLimits) -> PurePosixPath:
    """Return the name of a member, relative and without `.`. Raises Refused for a name that could leave the folder."""
    name = PurePosixPath(member.name)
    if len(member.name.encode()) > limits.name or len(name.parts) > limits.depth + 1:
        raise _refused(
            f"a name of more than {limits.name} bytes, or in more than {limits.depth} folders: '{member.name[:60]}…'"
        )
    if not member.name or not member.name.isprintable() or "\\" in member.name:
        raise _refused(f"a name with characters that are not allowed: {member.name!a}")
    if name.is_absolute() or ".." in name.parts:
        raise _refused(f"a name that leads out of it: '{member.name}'")
    return name


def _refused(what: str) -> Refused:
    """Return the refusal of an archive that contains `what`, with what its author has to do."""
    return Refused(f"The archive contains {what}. Correct the archive and submit again.")


def _check(member: tarfile.TarInfo, name: PurePosixPath, limits: ArchiveLimits) -> None:
    """Raise Refused unless a member is a plain file or folder within the limits."""
    if member.issym() or member.islnk():
        raise _refused(f"a link, which is not allowed: '{name}'")
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise _refused(f"something that is neither a plain file nor a folder: '{name}'")
    if member.mode & 0o7000:
        raise _refused(f"a set-user-id or set-group-id file, or a folder with special rights: '{name}'")
    if not 0 <= member.size <= limits.single:
        raise _refused(f"a file of more than {limits.single:,} bytes: '{name}'")
    if member.isreg() and name == PurePosixPath():
        raise _refused("a file without a name")


def _write(content: IO[bytes], target: Path, mode: int) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(content, file, CHUNK)
        file.flush()
        os.fsync(file.fileno())


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by name.

    Files that Python writes when it runs code (`__pycache__`) are left out.
    """
    return {str(path.relative_to(folder)): _digest(path) for path in _plain_files(folder)}


def _plain_files(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (path for name in names if (path := Path(above, name)).is_file() and not path.is_symlink())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

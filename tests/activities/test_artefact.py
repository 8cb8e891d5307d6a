"""Hostile archives are refused, and valid archives are unpacked unchanged."""

import gzip
import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.deployment.artefact import ArchiveLimits, copy_hashed, digests, unpack
from domain.errors import Refused

SMALL = ArchiveLimits(
    archive=1 << 20, total=1 << 20, single=100_000, members=20, ratio=50, ratio_from=200_000, name=60, depth=4
)

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, content: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, to: str = ""
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, to
    info.size = len(content) if kind in (tarfile.REGTYPE, tarfile.AREGTYPE) else 0
    return info, content


def tar_of(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def packed(*members: Member) -> bytes:
    return gzip.compress(tar_of(*members))


def at(tmp_path: Path, data: bytes) -> tuple[Path, Path]:
    archive, into = tmp_path / "a.tar.gz", tmp_path / "tree"
    archive.write_bytes(data)
    into.mkdir()
    return archive, into


def test_files_folders_and_the_right_to_be_run_come_out_and_nothing_else_of_a_mode(tmp_path: Path) -> None:
    data = packed(
        member("./", kind=tarfile.DIRTYPE, mode=0o755),
        member("./bin/run", b"#!/bin/sh\n", mode=0o777),
        member("empty", kind=tarfile.DIRTYPE, mode=0o700),
        member("a b/ü.txt", "Grüße".encode(), mode=0o600),
    )
    archive, into = at(tmp_path, data)
    made = unpack(archive, into, SMALL)
    assert made.files == ("a b/ü.txt", "bin/run") and made.bytes == 17
    assert (into / "a b" / "ü.txt").read_text() == "Grüße" and (into / "empty").is_dir()
    assert os.access(into / "bin" / "run", os.X_OK)
    assert (into / "a b" / "ü.txt").stat().st_mode & 0o7777 == 0o644
    assert set(digests(into)) == set(made.files)


def bomb_of_one_file() -> bytes:
    return packed(member("zeros", bytes(400_000)))


def sparse() -> bytes:
    info = tarfile.TarInfo("holes")
    said = {"major": "0", "minor": "1", "name": "holes", "size": str(1 << 40), "numblocks": "1", "map": "0,1"}
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in said.items()}
    info.size = 1
    return packed((info, b"x"))


def no_text() -> bytes:
    raw = bytearray(tar_of(member("abc"), form=tarfile.USTAR_FORMAT))
    raw[:3] = b"\xff\xfec"
    return gzip.compress(_summed(raw))


def _summed(raw: bytearray) -> bytes:
    """With the sum of the first header as it must be."""
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw[:512])
    return bytes(raw)


def with_size(value: bytes) -> bytes:
    """A header whose size says something else than there is."""
    raw = bytearray(tar_of(member("a"), form=tarfile.USTAR_FORMAT))
    raw[124:136] = value
    return gzip.compress(_summed(raw))


def broken_in_the_middle() -> bytes:
    raw = bytearray(tar_of(member("a"), member("b"), form=tarfile.USTAR_FORMAT))
    raw[1024:1030] = b"?????\0"
    return gzip.compress(bytes(raw))


def nested_headers() -> bytes:
    """Headers for headers, as deep as a program that calls itself for each can be made to go."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 0
    block = info.tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress(block * 1900 + tar_of(member("a")))


ROOM = {"total": 1 << 20, "ratio": 10_000, "single": 1 << 20}
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "name that climbs": (lambda: packed(member("../evil")), "leads out"),
    "name that climbs later": (lambda: packed(member("a/../../evil")), "leads out"),
    "absolute name": (lambda: packed(member("/etc/cron.d/evil")), "leads out"),
    "two slashes": (lambda: packed(member("//evil")), "leads out"),
    "backslashes": (lambda: packed(member("..\\evil")), "characters that are not allowed"),
    "line break in a name": (lambda: packed(member("a\nb")), "characters that are not allowed"),
    "marks that turn the direction": (lambda: packed(member("a\u202egpj.sh")), "characters that are not allowed"),
    "bytes that are no text": (no_text, "damaged"),
    "symbolic link": (lambda: packed(member("l", kind=tarfile.SYMTYPE, to="/etc/passwd")), "link"),
    "file through a symbolic link": (
        lambda: packed(member("l", kind=tarfile.SYMTYPE, to="/tmp"), member("l/evil")),
        "link",
    ),
    "hard link": (lambda: packed(member("a"), member("l", kind=tarfile.LNKTYPE, to="a")), "link"),
    "device": (lambda: packed(member("d", kind=tarfile.CHRTYPE)), "neither a plain file"),
    "block device": (lambda: packed(member("d", kind=tarfile.BLKTYPE)), "neither a plain file"),
    "pipe": (lambda: packed(member("p", kind=tarfile.FIFOTYPE)), "neither a plain file"),
    "unknown kind": (lambda: packed(member("u", kind=b"Z")), "neither a plain file"),
    "holes": (sparse, "neither a plain file"),
    "rights of its owner": (lambda: packed(member("s", mode=0o4755)), "special rights"),
    "rights of its group": (lambda: packed(member("s", mode=0o2755)), "special rights"),
    "folder for everybody": (lambda: packed(member("s", kind=tarfile.DIRTYPE, mode=0o1777)), "special rights"),
    "one name twice": (lambda: packed(member("a"), member("a")), "twice"),
    "one name twice, written otherwise": (lambda: packed(member("b/a"), member("./b//a")), "twice"),
    "file and folder": (lambda: packed(member("a"), member("a/b")), "both as a file and as a folder"),
    "folder and file": (lambda: packed(member("a/b"), member("a")), "both as a file and as a folder"),
    "too many": (lambda: packed(*(member(f"{n}") for n in range(21))), "more than 20 files"),
    "too many folders in names": (lambda: packed(*(member(f"{n}/{n}/{n}/f") for n in range(7))), "more than 20 files"),
    "large file": (lambda: packed(member("a", os.urandom(100_001))), "more than 100,000 bytes"),
    "large in all": (lambda: packed(*(member(f"{n}", os.urandom(99_000)) for n in range(11))), "more than 1,048,576"),
    "bomb": (bomb_of_one_file, "50 times its own size"),
    "long name": (lambda: packed(member("a" * 61)), "a name of more than 60 bytes, or in more than 4 folders"),
    "deep name": (lambda: packed(member("a/b/c/d/e/f")), "a name of more than 60 bytes, or in more than 4 folders"),
    "size below zero": (lambda: with_size(b"\xff" * 12), "damaged|more than"),
    "size beyond the end": (lambda: with_size(b"00000200000\0"), "damaged"),
    "broken in the middle": (broken_in_the_middle, "damaged"),
    "cut off": (lambda: packed(member("a", os.urandom(5000)))[:-400], "damaged"),
    "cut off tar": (lambda: gzip.compress(tar_of(member("a", bytes(5000)))[:2048]), "damaged"),
    "headers in headers": (nested_headers, "damaged|50 times"),
    "no gzip": (lambda: tar_of(member("a")), "not a tar.gz"),
    "no tar": (lambda: gzip.compress(b"hello"), "damaged"),
    "nothing": (lambda: b"", "damaged|not a tar.gz"),
    "no files": (lambda: packed(member("a", kind=tarfile.DIRTYPE)), "contains no files"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_artefact_is_refused_in_words_and_leaves_nothing_outside(tmp_path: Path, bad: str) -> None:
    make, words = BAD[bad]
    archive, into = at(tmp_path, make())
    began = time.monotonic()
    with pytest.raises(Refused, match=words):
        unpack(archive, into, SMALL)
    assert time.monotonic() - began < 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "tree"]
    assert not any(path.is_symlink() for path in into.rglob("*"))


def test_a_bomb_of_gigabytes_costs_no_more_than_the_limits_allow(tmp_path: Path) -> None:
    archive, into = tmp_path / "a.tar.gz", tmp_path / "tree"
    into.mkdir()
    header = tarfile.TarInfo("zeros")
    header.size = 4 << 30
    with gzip.open(archive, "wb", compresslevel=1) as file:
        file.write(header.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(Refused, match="unpacks to more than"):
        unpack(archive, into, ArchiveLimits(total=16 << 20))
    assert list(into.iterdir()) == []


def test_a_file_that_is_too_large_is_refused_while_it_is_copied(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="more than 7 bytes"):
        copy_hashed(io.BytesIO(b"artefact"), tmp_path / "copy", 7)


def header(kind: bytes, text: bytes) -> bytes:
    """A header of a tar that says more of the file after it, or of all."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(text)
    return info.tobuf(tarfile.USTAR_FORMAT) + text + bytes(-len(text) % tarfile.BLOCKSIZE)


def records(kind: bytes, count: int) -> Callable[[], list[bytes]]:
    """Return a function that makes a header of so many records: the collection of tests has no time for them."""
    return lambda: [header(kind, b"".join(b"16 k%08d=v\n" % number for number in range(count)))]


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (lambda: [header(tarfile.XHDTYPE, b"1" * 64_000)], "a number that is too long"),
        (lambda: [header(tarfile.SOLARIS_XHDTYPE, b"1" * 64_000)], "a number that is too long"),
        (lambda: [header(tarfile.XGLTYPE, b"1" * 4_000)], "a number that is too long"),
        (lambda: [header(tarfile.XHDTYPE, b"30 comment=" + b"7" * 64_000)], "a number that is too long"),
        (records(tarfile.XGLTYPE, 1_000), "has extended attributes of files"),
        (records(tarfile.XHDTYPE, 400_000), "has extended attributes of files"),
        (lambda: [header(tarfile.XHDTYPE, b"13 comment=x\n")] * 1_100, "damaged"),
    ],
)
def test_headers_that_take_long_to_read_are_refused_at_once(
    tmp_path: Path, headers: Callable[[], list[bytes]], words: str
) -> None:
    archive, into = at(tmp_path, gzip.compress(b"".join(headers()) + tar_of(member("a"))))
    began = time.process_time()
    with pytest.raises(Refused, match=words):
        unpack(archive, into)
    assert time.process_time() - began < 2


def test_what_git_and_python_say_of_files_is_read(tmp_path: Path) -> None:
    of_all = header(tarfile.XGLTYPE, b"52 comment=" + b"0123456789abcdef" * 2 + b"01234567\n")
    members = [member(f"{number}/" + "ü" * 40) for number in range(300)]
    archive, into = at(tmp_path, gzip.compress(of_all + tar_of(*members)))
    assert len(unpack(archive, into).files) == 300

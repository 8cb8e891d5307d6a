"""Files between preview and start: available to their sender only, started once, and deleted after a time."""

import os
import time
from pathlib import Path

import pytest

from intake.staged_files import KEPT_S, MOST, NotStaged, StagedFiles, StartedBefore

BATCH = "b0123456789abcdef"


def test_a_staged_file_is_available_to_its_sender_only(tmp_path: Path) -> None:
    held = StagedFiles(tmp_path)
    sha256 = held.hold("requester-1", b"a,b")
    assert held.read("requester-1", sha256) == b"a,b"
    for person, name in (("requester-2", sha256), ("requester-1", "../" + sha256), ("requester-1", "0" * 64)):
        with pytest.raises(NotStaged):
            held.read(person, name)
        with pytest.raises(NotStaged):
            held.take(person, name)


def test_it_is_taken_once_and_says_as_what(tmp_path: Path) -> None:
    held = StagedFiles(tmp_path)
    sha256 = held.hold("requester-1", b"b" * 17)
    assert held.take("requester-1", sha256) == b"b" * 17
    with pytest.raises(StartedBefore) as before:
        held.take("requester-1", sha256)
    assert before.value.batch_id == ""
    held.give_back("requester-1", sha256)
    held.take("requester-1", sha256)
    held.started("requester-1", sha256, BATCH)
    with pytest.raises(StartedBefore) as before:
        held.read("requester-1", sha256)
    assert before.value.batch_id == BATCH
    held.hold("requester-1", b"b" * 17)
    assert held.read("requester-1", sha256) == b"b" * 17, "sent again on purpose"


def test_what_was_forgotten_is_removed_and_one_person_cannot_fill_the_disk(tmp_path: Path) -> None:
    held = StagedFiles(tmp_path)
    old = held.hold("requester-2", b"old")
    (path,) = tmp_path.glob(f"*/{old}")
    long_ago = time.time() - KEPT_S - 1
    os.utime(path, (long_ago, long_ago))
    for number in range(MOST + 3):
        newest = held.hold("requester-1", f"file {number}".encode())
    assert not path.exists()
    assert len(list(tmp_path.glob("*/*"))) == MOST
    assert held.read("requester-1", newest) == f"file {MOST + 2}".encode()

"""The key that signs checkpoints: a file of its own, and a file with the list of public keys."""

import os
import threading
from pathlib import Path

import pytest

from store.audit.checkpoints import keys
from store.audit.checkpoints.keys import WrongKey
from store.audit.checkpoints.note import SigningKey, VerifierKey


def public_file(file: Path) -> Path:
    return file.with_name("record.vkey")


def made_key(file: Path, origin: str | None, default: str) -> VerifierKey:
    return keys.make(file, public_file(file), origin, default)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "record.key"


def test_a_key_is_made_once_and_only_its_owner_can_read_it(file: Path) -> None:
    made = made_key(file, None, "127.0.0.1:8000/record")
    assert made.name == "127.0.0.1:8000/record" and keys.read(file).verifier == made
    assert made_key(file, None, "another") == made_key(file, made.name, "another") == made
    assert keys.trusted(public_file(file)) == [made] and public_file(file).read_text() == f"{made}\n"
    assert {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {
        "record.key": 0o600,
        "record.vkey": 0o600,
    }


def test_programs_that_make_the_key_at_once_make_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(100, 200))
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))  # threads stand for processes
    made = []
    threads = [threading.Thread(target=lambda: made.append(made_key(file, None, "record"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and {*made} == {keys.read(file).verifier}


def test_a_new_key_keeps_the_line_of_the_old_one(file: Path) -> None:
    old = made_key(file, None, "record")
    file.rename(file.with_name("old.key"))
    new = made_key(file, None, "record")
    assert keys.trusted(public_file(file)) == [old, new] and old.id != new.id


def test_a_key_of_another_name_than_the_setting_is_refused(file: Path) -> None:
    made_key(file, "holdgate.example/record", "x")
    with pytest.raises(WrongKey, match=r"is named holdgate.example/record, and HOLDGATE_RECORD_ORIGIN is other"):
        made_key(file, "other", "x")


@pytest.mark.parametrize(
    ("content", "words"), [("rubbish", "is no private key"), (None, "cannot be read"), (b"\xff", "is no private key")]
)
def test_a_file_that_is_no_key_is_named(file: Path, content: str | bytes | None, words: str) -> None:
    file.parent.mkdir()
    if content is not None:
        file.touch(0o600)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(WrongKey, match=words):
        keys.read(file)


def test_a_key_that_others_can_read_is_refused(file: Path) -> None:
    made_key(file, None, "record")
    file.chmod(0o640)
    with pytest.raises(WrongKey, match=f"chmod 600 {file}"):
        keys.read(file)


def test_a_wrong_line_among_the_public_keys_is_refused(file: Path) -> None:
    assert keys.trusted(public_file(file)) == []
    made_key(file, None, "record")
    with public_file(file).open("a") as more:
        more.write("\nrubbish\n")
    with pytest.raises(WrongKey, match="no verifier key"):
        keys.trusted(public_file(file))


def test_the_name_of_the_audit_log_comes_from_the_address_of_the_gateway() -> None:
    assert keys.default_origin("https://holdgate.example.org") == "holdgate.example.org/record"
    assert SigningKey.new(keys.default_origin("http://127.0.0.1:8000")).verifier.name == "127.0.0.1:8000/record"

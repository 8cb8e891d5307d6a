"""Signed notes are those of Go's package `note`, byte for byte, and checkpoints those of C2SP."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from store.audit.checkpoints.note import (
    Checkpoint,
    NotSigned,
    SigningKey,
    VerifierKey,
    notes_in,
    opened,
    text_of,
)
from store.audit.tree import EMPTY

GO_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)  # fmt: skip
GO_NOTE = (
    GO_TEXT + "\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""The example of golang.org/x/mod/sumdb/note."""


def test_the_published_note_of_go_is_made_and_opened_byte_for_byte() -> None:
    key = SigningKey.read(GO_PRIVATE)
    assert key.sign(GO_TEXT) == GO_NOTE
    assert str(key.verifier) == GO_PUBLIC and key.private_text() == GO_PRIVATE
    assert opened(GO_NOTE, [VerifierKey.read(GO_PUBLIC)]) == GO_TEXT


@pytest.mark.parametrize("place", range(0, len(GO_NOTE) - 1, 7))
def test_a_note_with_another_character_is_refused(place: int) -> None:
    other = "x" if GO_NOTE[place] != "x" else "y"
    with pytest.raises(NotSigned):
        opened(GO_NOTE[:place] + other + GO_NOTE[place + 1 :], [VerifierKey.read(GO_PUBLIC)])


def test_a_note_needs_a_signature_by_a_known_key_and_others_are_ignored() -> None:
    ours, other = SigningKey.new("holdgate.example/record"), SigningKey.new("holdgate.example/record")
    note = ours.sign("hello\n") + other.sign("hello\n").rpartition("\n\n")[2]
    for key in (ours, other):
        assert opened(note, [key.verifier]) == "hello\n"
    with pytest.raises(NotSigned, match="by a known key"):
        opened(note, [SigningKey.new("holdgate.example/record").verifier])
    with pytest.raises(NotSigned, match="by a known key"):
        opened(note, [])


@pytest.mark.parametrize("text", ["", "hello", "hello\n", "\n\n", "hello\n\nsigned: me\n"])
def test_a_text_without_signature_lines_is_no_note(text: str) -> None:
    with pytest.raises(NotSigned, match="no signed note"):
        text_of(text)


@pytest.mark.parametrize(
    "text",
    ["", "name", "name+id", "name+00000000+AAAA", GO_PUBLIC.replace("c74f20a3", "c74f20a4"), GO_PUBLIC[:-4],
     GO_PUBLIC.replace("PeterNeumann", "Peter Neumann"), GO_PUBLIC.replace("+AR", "+AB")],
)  # fmt: skip
def test_a_wrong_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        VerifierKey.read(text)
    with pytest.raises(ValueError):
        SigningKey.read("PRIVATE+KEY+" + text)


def test_a_key_needs_a_name_and_a_private_key_says_that_it_is_one() -> None:
    for name in ("", "two words", "a+b", "line\nbreak"):
        with pytest.raises(ValueError, match="cannot be the name of a key"):
            SigningKey.new(name)
    with pytest.raises(ValueError, match="begins with PRIVATE"):
        SigningKey.read(GO_PUBLIC)


def test_a_text_that_does_not_end_its_line_is_not_signed() -> None:
    with pytest.raises(ValueError, match="newline"):
        SigningKey.read(GO_PRIVATE).sign("hello")


def test_a_file_may_have_several_notes_and_an_interrupted_one_at_its_end() -> None:
    key = SigningKey.new("holdgate.example/record")
    notes = [key.sign(Checkpoint(key.verifier.name, size, EMPTY).text()) for size in range(3)]
    assert list(notes_in(notes[0])) == notes[:1]
    file = "\n".join(notes)
    assert list(notes_in(file)) == list(notes_in(file + "\n")) == notes
    assert list(notes_in(file + "\nholdgate.example/record\n7\n")) == notes
    assert list(notes_in("")) == []


@pytest.mark.parametrize(("seals", "seals_hash"), [(0, ""), (17, "ab" * 32)])
def test_a_checkpoint_is_read_as_it_was_written(seals: int, seals_hash: str) -> None:
    known = Checkpoint("holdgate.example/record", 4711, bytes(range(32)), seals, seals_hash)
    assert Checkpoint.read(known.text()) == known
    assert known.text().splitlines()[:3] == [
        *("holdgate.example/record", "4711", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    ]
    assert Checkpoint.read(known.text() + "another extension\n") == known


@pytest.mark.parametrize("text", ["", "a\n1\n", "a\n-1\nAA==\n", "a\n01\n" + "A" * 43 + "=\n", "\n1\n", "a\n1\nAA==\n"])
def test_another_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(ValueError, match="no checkpoint"):
        Checkpoint.read(text)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_checks_a_note_as_the_docs_say(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[3] / "docs" / "operate" / "checkpoints.md").read_text()
    (commands,) = (part for part in docs.split("```") if "openssl pkeyutl" in part)
    (tmp_path / "copy.note").write_text(GO_NOTE)
    for key, code in ((GO_PUBLIC, 0), (str(SigningKey.new("another").verifier), 1)):
        command = ["bash", "-euc", commands.removeprefix("text\n")]
        said = subprocess.run(command, cwd=tmp_path, env={**os.environ, "VKEY": key}, capture_output=True, text=True)
        assert said.returncode == code and ("Verified Successfully" in said.stdout) == (code == 0), said

"""The files folder gives only files inside it, for every name."""

import os
import socket
from pathlib import Path

import pytest

from activities.shared.files_folder import Folder
from domain.errors import Refused, Trouble


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of files beside one that is nobody's business."""
    root = tmp_path / "files"
    (root / "inner").mkdir(parents=True)
    (root / "a.csv").write_text("a")
    (root / "inner" / "b.csv").write_text("b")
    (root / ".hidden").write_text("h")
    (root / "large.csv").write_bytes(b"x" * 101)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.csv").write_text("secret")
    (tmp_path / "files-too").mkdir()
    (tmp_path / "files-too" / "secret.csv").write_text("secret")
    (root / "out.csv").symlink_to(tmp_path / "outside" / "secret.csv")
    (root / "up.csv").symlink_to("../outside/secret.csv")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "sibling.csv").symlink_to(tmp_path / "files-too" / "secret.csv")
    (root / "link.csv").symlink_to("inner/b.csv")
    (root / "round.csv").symlink_to("round.csv")
    (root / "lost.csv").symlink_to("nowhere.csv")
    (root / "null.csv").symlink_to("/dev/null")
    os.mkfifo(root / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "s"))
    return root


@pytest.mark.parametrize(("name", "text"), [("a.csv", "a"), ("inner/b.csv", "b"), ("link.csv", "b")])
def test_a_file_inside_is_opened_also_through_a_link_that_stays_inside(root: Path, name: str, text: str) -> None:
    with Folder(root).open(name, 100) as file:
        assert file.read().decode() == text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "Name a file"),
        ("/etc/passwd", "begins with /"),
        ("../outside/secret.csv", "goes through '..'"),
        ("inner/../../outside/secret.csv", "goes through '..'"),
        ("./a.csv", "goes through '.'"),
        ("inner//b.csv", "two / in a row"),
        ("inner/", "ends with /"),
        ("inner", "is not a regular file"),
        ("inner\\b.csv", "backslash"),
        ("..\\outside\\secret.csv", "backslash"),
        ("a.csv\0.txt", "cannot be shown"),
        ("a\n.csv", "cannot be shown"),
        ("a\u202e.csv", "cannot be shown"),
        ("\udcff.csv", "cannot be shown"),
        (".hidden", "hidden"),
        ("inner/.b.csv", "hidden"),
        ("x" * 501, "500 characters"),
        ("x" * 300, "cannot be opened as a file"),
        ("missing.csv", "There is no file 'missing.csv'"),
        ("a.csv/b.csv", "cannot be opened as a file"),
        ("out.csv", "leads out"),
        ("up.csv", "leads out"),
        ("out/secret.csv", "leads out"),
        ("sibling.csv", "leads out"),
        ("null.csv", "leads out"),
        ("round.csv", "cannot be opened as a file"),
        ("lost.csv", "There is no file"),
        ("pipe.csv", "is not a regular file"),
        ("s", "cannot be opened as a file"),
        ("large.csv", "101 bytes; at most 100"),
    ],
)
def test_nothing_else_is_opened_and_a_sentence_says_why(root: Path, name: str, words: str) -> None:
    with pytest.raises(Refused, match=words.replace("(", r"\(")):
        Folder(root).open(name, 100)


def test_a_folder_inside_is_opened_also_through_a_link_that_stays_inside(root: Path) -> None:
    (root / "linked").symlink_to("inner")
    for name in ("inner", "linked"):
        with Folder(root).folder(name) as descriptor:
            assert os.stat("b.csv", dir_fd=descriptor).st_size == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.csv", "'a.csv' is not a folder"),
        ("missing", "There is no folder 'missing'"),
        ("out", "leads out"),
        ("../outside", "goes through '..'"),
        ("pipe.csv", "is not a folder"),
    ],
)
def test_no_other_folder_is_opened(root: Path, name: str, words: str) -> None:
    with pytest.raises(Refused, match=words), Folder(root).folder(name):
        pass


def test_a_part_that_becomes_a_link_while_the_name_is_looked_at_leads_nowhere(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = Path.resolve

    def resolved_a_moment_ago(path: Path, strict: bool = False) -> Path:
        found = resolve(path, strict)
        if path.name == "b.csv":
            (root / "inner").rename(root / "was-inner")
            (root / "inner").symlink_to(root.parent / "outside")
            (root.parent / "outside" / "b.csv").write_text("secret")
        return found

    monkeypatch.setattr(Path, "resolve", resolved_a_moment_ago)
    with pytest.raises(Refused):
        Folder(root).open("inner/b.csv", 100)


def test_without_a_folder_operators_are_asked_and_the_case_is_not_refused(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="folder of files"):
        Folder(tmp_path / "not-there").open("a.csv", 100)

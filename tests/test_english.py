"""Docs are written in plain English: `docs/contribute/writing.md` has the rules."""

from pathlib import Path

import pytest

from tests import english


def test_docs_contain_no_forbidden_phrase() -> None:
    held = english.held()
    assert len(held) > 100
    assert not [str(finding) for path in held for finding in english.findings(path)]


def test_the_list_names_each_phrase_once() -> None:
    phrases = english.phrases()
    assert len(phrases) > 30 and len(phrases) == len(set(phrases))
    assert not {phrase for phrase in phrases if phrase != " ".join(phrase.split())}


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("page.md", "One.\n\nWhoever asks.\n", 3),
        ("page.md", "The\nrecord says so.\n", 1),
        ("module.py", '"""Do it.\n\nIt is taken back.\n"""\n', 3),
        ("module.py", "x = 1  # lies in the folder\n", 1),
        ("page.html", "<p>{# whoever #}</p>\n<p>The doors</p>\n", 2),
    ],
)
def test_a_forbidden_phrase_is_found_with_its_line(tmp_path: Path, name: str, text: str, line: int) -> None:
    (tmp_path / name).write_text(text)
    (found,) = english.findings(tmp_path / name)
    assert found.line == line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "`whoever` and\n\n```text\nthe record\n```\n\n[a](the-record.md)\n"),
        ("module.py", "def whoever(the_record: str) -> str:\n    return the_record\n"),
        ("page.html", "{# the record #}<p>The recorded end</p>\n"),
    ],
)
def test_code_and_longer_words_are_not_findings(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert not english.findings(tmp_path / name)

"""Processes for tests, each removed from this interpreter when its test has ended."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.scaffold import make
from workflows.registry import GATES, INPUTS, MASKED, PROCESSES, STEPS


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for processes, and unload after the test what was loaded from it."""
    tables: list[dict[str, object]] = [PROCESSES, INPUTS, STEPS, GATES, MASKED]  # type: ignore[list-item]
    before, path, modules = [dict(table) for table in tables], list(sys.path), set(sys.modules)
    yield tmp_path / "mine"
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def claim(folder: Path) -> Path:
    """Return the folder of a new process, made from the template."""
    return make("expense_claim", folder)


def change(file: Path, old: str, new: str) -> None:
    """Replace a text in a file, which must contain it."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))

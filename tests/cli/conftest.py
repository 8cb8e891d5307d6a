"""Fixtures of the tests of the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli import app as command_line


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in an empty folder without a gateway."""
    for name in ("HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL", "HOLDGATE_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("HOLDGATE_URL", "http://127.0.0.1:9")

    def run(*arguments: str) -> Answer:
        code = command_line.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run

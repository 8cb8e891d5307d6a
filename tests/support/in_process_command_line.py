"""Run command lines of Holdgate in the process of a test."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from cli import app as command_line


class Answer(NamedTuple):
    """How a command line ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command line. A stack trace in its output fails the test."""

    def run(*arguments: str) -> Answer:
        code = command_line.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run

"""Fixtures of the tests of the command line."""

from pathlib import Path

import pytest

from tests.support.in_process_command_line import Run, runner


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in an empty folder without a gateway."""
    for name in ("HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL", "HOLDGATE_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("HOLDGATE_URL", "http://127.0.0.1:9")
    return runner(capsys)

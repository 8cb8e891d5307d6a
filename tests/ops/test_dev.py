"""`make dev`: who saves a file sees the new code answer; who saves a mistake sees it answer after the next save."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.product import ROOT, Product

LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv", ".env", ".hypothesis", "__pycache__", "var", "tests", "docs"
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the checkout that `make dev` runs, and the address of its gateway."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    environment = Product(tmp_path / "var").environment
    with (tmp_path / "printed").open("wb") as printed:
        command = [sys.executable, "-m", "ops.up", "--restart-on-save"]
        process = subprocess.Popen(command, cwd=copy, env=environment, stdout=printed, stderr=printed)
    deadline = time.monotonic() + 60
    while not (tmp_path / "var" / "up.json").exists():
        assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "printed").read_text()
        time.sleep(0.1)
    yield copy, f"http://127.0.0.1:{environment['HOLDGATE_PORT']}/health/live"
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def answers(address: str, wanted: str) -> None:
    deadline = time.monotonic() + 30
    said = ""
    while wanted not in said:
        assert time.monotonic() < deadline, said
        time.sleep(0.1)
        try:
            said = httpx2.get(address, timeout=2).text
        except httpx2.HTTPError:
            said = "nothing"


def save(path: Path, text: str) -> None:
    """As editors do: whole, or not at all."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_saved_code_answers_and_a_mistake_is_mended_by_the_next_save(running: tuple[Path, str]) -> None:
    copy, address = running
    health = copy / "api" / "routes" / "health.py"
    before = health.read_text()
    answers(address, "live")
    save(health, "this is no Python")
    answers(address, "nothing")
    save(health, before.replace('status: str = "live"', 'status: str = "saved"'))
    answers(address, "saved")

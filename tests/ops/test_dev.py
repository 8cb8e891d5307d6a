"""`make dev`: after each save the new code answers, also after a save with a mistake."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ops import dev
from tests.ops.test_supervisor import STEADY, Run, program, run as run, until
from tests.support.installed_app import ROOT, Product

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


async def test_saved_code_starts_worker_and_gateway_again_and_nothing_else_does(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, own = tmp_path / "checkout", tmp_path / "own"
    for room in ("api", "tests"):
        (checkout / room).mkdir(parents=True)
        (checkout / room / "__init__.py").touch()
    own.mkdir()
    monkeypatch.setattr(dev, "ROOT", checkout)
    await run.start(*(program(name, STEADY) for name in ("temporal", "worker", "gateway")))
    saving = asyncio.create_task(dev.restart_on_save(run.supervisor, own))
    await asyncio.sleep(0.5)  # until it watches
    for idle, code in (("checkout/tests/test_app.py", "checkout/api/app.py"), ("own/notes.md", "own/process.py")):
        before = run.supervisor.pids
        save(tmp_path / idle, "")
        await asyncio.sleep(0.3)
        assert run.supervisor.pids == before
        save(tmp_path / code, "")
        for name in ("worker", "gateway"):
            await until(lambda name=name, was=before[name]: run.supervisor.pids.get(name, was) != was)  # type: ignore[misc]
        assert run.supervisor.pids["temporal"] == before["temporal"]
    saving.cancel()


@pytest.mark.soak
def test_saved_code_answers_and_the_next_save_corrects_a_mistake(running: tuple[Path, str]) -> None:
    copy, address = running
    health = copy / "api" / "routes" / "health.py"
    before = health.read_text()
    answers(address, "live")
    save(health, "this is no Python")
    answers(address, "nothing")
    save(health, before.replace('status: str = "live"', 'status: str = "saved"'))
    answers(address, "saved")

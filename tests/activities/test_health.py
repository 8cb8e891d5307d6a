"""Checks run within limits and apart from the release; health checks ask real servers, also broken ones."""

import asyncio
import gzip
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from activities.deployment.apps import App
from activities.deployment.artefact import digests
from activities.deployment.health import run_checks, wait_until_healthy
from domain.errors import Refused
from tests.support.installed_app import ROOT, free_port

URL = "http://127.0.0.1:1/health"


def an_app(*checks: str, **more: object) -> App:
    """An app whose checks are lines of Python."""
    return App.model_validate({"health": URL, "checks": [["python3", "-c", line] for line in checks], **more})


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "app.py").write_text("print('here')\n")
    return folder


async def test_what_checks_print_is_kept_and_what_they_write_is_not(release: Path) -> None:
    app = an_app("open('litter', 'w'); import app", "print('x' * 5000, 'the end')")
    first, second = await run_checks(app, release, release.parent / "checks", isolated=True)
    assert first.output == "here" and first.command.startswith("python3 -c")
    assert second.output.endswith("the end") and len(second.output) == 800
    assert set(digests(release)) == {"app.py"}


async def test_checks_see_nothing_of_the_environment_of_the_worker(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDGATE_SMTP_URL", "smtp://secret@host")
    app = App.model_validate({"health": URL, "checks": [["env"]]})
    (check,) = await run_checks(app, release, release.parent / "checks", isolated=True)
    assert {line.partition("=")[0] for line in check.output.splitlines()} == {"HOME", "LANG", "PATH", "TMPDIR"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("print('three tests failed'); raise SystemExit(3)", "failed. three tests failed"),
        ("import os; os.kill(os.getpid(), 9)", "failed"),
        ("import time; time.sleep(60)", "did not end in time"),
        ("import os, time; os.fork(); time.sleep(60)", "did not end in time"),
        ("x = bytearray(2 << 30)", "MemoryError"),
        ("open('a', 'wb').write(bytes(3 << 20))", "File too large|wrote more"),
        ("print('x' * (3 << 20))", "File too large|wrote more|failed"),
    ],
)
async def test_a_check_that_fails_or_wants_too_much_is_refused_with_its_last_lines(
    release: Path, line: str, words: str
) -> None:
    span = timedelta(seconds=1 if "in time" in words else 20)  # a machine that is busy takes long for little
    app = an_app(line, checks_memory_mb=512, checks_file_mb=2).model_copy(update={"checks_timeout": span})
    before, began = children(), time.monotonic()
    with pytest.raises(Refused, match=words) as refused:
        await run_checks(app, release, release.parent / "checks", isolated=True)
    assert refused.value.message.startswith("The check 'python3 -c ")
    assert time.monotonic() - began < 10
    assert children() <= before


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_what_a_killed_worker_left_of_its_checks_goes_with_the_next(release: Path) -> None:
    """Of checks that were not isolated; else there is no copy on the disk."""
    home = release.parent / "checks"
    code = (
        "import asyncio, sys; from pathlib import Path; from activities.deployment.apps import App\n"
        "from activities.deployment.health import run_checks\n"
        "check = ['python3', '-c', 'import time; print(1, flush=True); time.sleep(60)']\n"
        f"app = App.model_validate({{'health': '{URL}', 'checks': [check], 'checks_timeout': '5s'}})\n"
        "asyncio.run(run_checks(app, Path(sys.argv[1]), Path(sys.argv[2]), isolated=False))\n"
    )
    dying = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(release), str(home), cwd=ROOT)
    async with asyncio.timeout(20):
        while not list(home.glob("*/*/work/app.py")):
            await asyncio.sleep(0.05)
    dying.kill()
    await dying.wait()
    assert len(list(home.iterdir())) == 1
    await run_checks(an_app("print('well')"), release, home, isolated=True)
    assert list(home.iterdir()) == []


async def test_a_check_whose_command_is_not_there_says_so(release: Path) -> None:
    app = App.model_validate({"health": URL, "checks": [["no-such-command", "now"]]})
    with pytest.raises(Refused, match=r"'no-such-command now' failed\. no-such-command: No such file"):
        await run_checks(app, release, release.parent / "checks", isolated=True)


async def test_a_check_is_stopped_when_its_case_is_cancelled(release: Path) -> None:
    before = children()
    running = asyncio.create_task(
        run_checks(an_app("import time; time.sleep(60)"), release, release.parent / "checks", isolated=True)
    )
    async with asyncio.timeout(5):
        while children() <= before:
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert children() <= before


@contextmanager
def answering(*answers: tuple[int, bytes], slow: float = 0, coded: str = "") -> Iterator[str]:
    """A server that gives these answers one after the other, and the last one from then on."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(slow)
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            if coded:
                self.send_header("Content-Encoding", coded)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:  # nobody wants to hear all of it
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/health"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def watched(url: str, **more: object) -> App:
    return App.model_validate({"health": url, "health_timeout": "1s", **more})


async def test_an_app_that_becomes_well_in_time_is_well() -> None:
    with answering((503, b""), (200, b"[]"), (200, b'{"id": "r0"}'), (200, b'{"id": "r1", "all": "well"}')) as url:
        app = watched(url, health_text="well", health_release="id", health_timeout="10s")
        assert await wait_until_healthy("shop", app, "r1") == 4


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, b"out of order\n"), "the answer was 503 out of order"),
        ((302, b""), "the answer was 302"),
        ((200, b'{"id": "r1"}'), "does not hold 'well'"),
        ((200, b"all is well"), "does not contain the id of the release"),
        ((200, b'["well"]'), "does not contain the id of the release"),
        ((200, b'{"id": "r0", "all": "well"}'), "release r0 answered"),
        ((200, b"x" * (1 << 22)), "does not hold 'well'"),
        ((200, b"[" * 60_000 + b"well"), "does not contain the id of the release"),
    ],
)
async def test_an_app_that_does_not_become_well_is_refused_with_what_was_wrong(
    answer: tuple[int, bytes], words: str
) -> None:
    with answering(answer) as url, pytest.raises(Refused) as refused:
        app = watched(url, health_text="well", health_release="id")
        await wait_until_healthy("shop", app.model_copy(update={"health_timeout": timedelta(milliseconds=100)}), "r1")
    said = refused.value.message
    assert said.startswith("Release r1 went live as shop, and its health check failed: ") and words in said


async def test_an_app_that_cannot_be_reached_is_refused() -> None:
    app = watched(f"http://127.0.0.1:{free_port()}/")
    began = time.monotonic()
    with pytest.raises(Refused, match="health check failed: the app cannot be reached"):
        await wait_until_healthy("shop", app, "r1")
    assert timedelta(seconds=time.monotonic() - began) < timedelta(seconds=3)


async def test_an_answer_that_is_compressed_is_not_unpacked() -> None:
    bomb = gzip.compress(b"well" + bytes(50 << 20), 9)
    with answering((200, bomb[: 60 << 10]), coded="gzip") as url, pytest.raises(Refused, match="does not hold 'well'"):
        tracemalloc.start()
        try:
            await wait_until_healthy("shop", watched(url, health_text="well"), "r1")
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most < 8 << 20

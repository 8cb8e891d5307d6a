"""Real scanners on files that try to hide, how secrets are reported, and which files are left behind."""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from activities.security_review import scanners
from activities.security_review.request import SecurityReviewRequest
from activities.security_review.scanners import Finding, ScannerFailed, scan
from activities.security_review.steps import MAX_FACTS, SecurityReviews, shown
from activities.shared import isolation
from activities.shared.scratch_folder import run_to_the_end, scratch
from domain.errors import Refused
from domain.names import MAX_FACTS_BYTES
from tests.support.installed_app import ROOT

FAULTY = "import subprocess\n\n\ndef run(name: str) -> None:\n    subprocess.run(f'x {name}', shell=True)\n"
KEY = "AKIA" + "EXAMPLEEXAMPLE00"
PASSWORD = "made-up-" + "horse-battery-77"
LINE = f'aws_key = "{KEY}"\n'


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def places(found: list[Finding], rule: str) -> set[str]:
    return {each.file for each in found if each.rule == rule}


async def test_no_name_hides_faulty_code(tmp_path: Path) -> None:
    hidden = (
        *("deep/__pycache__/a.py", "deep/.tox/b.py", "deep/.git/c.py", "deep/.eggs/d.py", "x.egg/e.py", "f.pyw"),
        *("G.PY", "my__pycache__helper.py", "CVSreader.py", "x.git.py", "-h.py", "--help.py"),
    )
    script = {"bin/script": "#!/usr/bin/env python3\n" + FAULTY}
    found = await scan(write(tmp_path, {**dict.fromkeys(hidden, FAULTY), **script}))
    assert places(found, "B602") == {*hidden, *script}


async def test_no_name_and_no_encoding_hides_a_secret(tmp_path: Path) -> None:
    hidden: dict[str, str | bytes] = dict.fromkeys(
        ("poetry.lock", "package-lock.json", "a.svg", "b.css", "c.map", "swagger/d.py", "e", "f.jpg", ".hidden"), LINE
    )
    hidden["latin.ini"] = b"# caf\xe9\n" + LINE.encode()
    hidden["wide.ini"] = LINE.encode("utf-16")
    hidden["marked.ini"] = LINE.encode("utf-8-sig")
    found = await scan(write(tmp_path, hidden))
    assert places(found, "AWS Access Key") == set(hidden)
    assert [each.line for each in found if each.file == "latin.ini"] == [2]


async def test_names_that_are_no_text_are_scanned_and_shown_without_what_cannot_be(tmp_path: Path) -> None:
    write(tmp_path, {os.fsdecode(b"caf\xe9.py"): FAULTY})
    assert places(await scan(tmp_path), "B602") == {"caf?.py"}


async def test_a_password_is_never_repeated_whatever_bandit_says_of_it(tmp_path: Path) -> None:
    text = f'password = "{PASSWORD}"\n\n\ndef f(password="{PASSWORD}"):\n    f(password="{PASSWORD}")\n'
    found = await scan(write(tmp_path, {"a.py": text}))
    assert {"B105", "B106", "B107"} <= {each.rule for each in found}
    assert PASSWORD not in repr(found) and "horse" not in repr(found)
    assert {each.what for each in found if each.rule == "B105"} == {"Possible hardcoded password"}


async def test_a_scanner_that_overlooks_a_file_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.py": FAULTY})
    monkeypatch.setattr(scanners, "CANARY", "nothing that is one\n")
    with pytest.raises(ScannerFailed, match="detect-secrets did not find"):
        await scan(tmp_path)
    report = b'{"results": [], "errors": [], "metrics": {"_totals": {}}}'
    with pytest.raises(ScannerFailed, match="bandit skipped"):
        scanners._of_bandit(report, {"python/1.py": "a.py"})
    named = b'{"results": [], "errors": [{"filename": "/etc/passwd", "reason": "x"}], "metrics": {"python/1.py": {}}}'
    with pytest.raises(ScannerFailed, match="wrote a report that cannot be read"):
        scanners._of_bandit(named, {"python/1.py": "a.py"})


@pytest.fixture
def bare(tmp_path: Path) -> str:
    """A Python without any packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return str(tmp_path / "bare" / "bin" / "python")


async def test_a_scanner_that_is_not_installed_has_failed(
    tmp_path: Path, bare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "target", {"a.py": FAULTY})
    monkeypatch.setattr(sys, "executable", bare)
    with pytest.raises(ScannerFailed):
        await scan(tmp_path / "target")


async def test_a_cancelled_scan_leaves_no_process_and_no_files(tmp_path: Path) -> None:
    room = tmp_path / "room"
    room.mkdir()
    write(
        tmp_path / "target", {f"{number}.txt": "one word and = another 'word' here\n" * 20_000 for number in range(3)}
    )
    running = asyncio.create_task(scan(tmp_path / "target", within=room))
    while not _scanning(room):
        assert not running.done()
        await asyncio.sleep(0.02)
    assert any(b'"isolate": true' in each for each in _scanning(room)) is (isolation.missing() is None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert list(room.iterdir()) == [] and not _scanning(room)


def _scanning(room: Path) -> list[bytes]:
    """The commands of the processes that work on a copy of a folder, or below it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if str(room).encode() in command or (process / "cwd").readlink().is_relative_to(room):
                found.append(command)
        except OSError:
            continue
    return found


# ------------------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize("letter", ["a", "漢"])
def test_the_facts_never_grow_beyond_what_a_gate_takes_and_the_worst_are_shown(letter: str) -> None:
    one = Finding(
        scanner="detect-secrets", rule="r" * 40, severity="high", file=letter * 160, line=1, what=letter * 160
    )
    few = shown([one] * 5_000)
    size = sum(len(each.model_dump_json().encode()) + 1 for each in few)
    assert 30 <= len(few) <= 100 and size <= MAX_FACTS < MAX_FACTS_BYTES - 4_000


def copied(files: Path, tmp_path: Path) -> tuple[str, int, list[str]]:
    room = tmp_path / "room"
    room.mkdir()
    reviews = SecurityReviews(None, files, room)  # type: ignore[arg-type]
    return reviews._copied(SecurityReviewRequest(target="job"), room, room / "tree")


def test_what_is_not_scanned_is_named_and_still_counts_for_the_digest(tmp_path: Path) -> None:
    big = b"x = 1\n" * (1 << 20)
    files = write(tmp_path / "files", {"job/a.bin": b"\0\1", "job/big.py": big, "job/wide.ini": LINE.encode("utf-16")})
    digest, number, left_out = copied(files, tmp_path)
    assert (number, left_out) == (3, ["a.bin", "big.py"])
    assert (tmp_path / "room" / "tree" / "wide.ini").exists()
    write(files, {"job/a.bin": b"\0\2"})
    other = tmp_path / "other"
    other.mkdir()
    assert copied(files, other)[0] != digest


def test_more_text_than_scanners_get_through_is_refused_with_what_to_do(tmp_path: Path) -> None:
    files = write(tmp_path / "files", {f"job/{number}.txt": b"word\n" * 800_000 for number in range(3)})
    with pytest.raises(Refused, match="review of each part"):
        copied(files, tmp_path)


# --------------------------------------------------------------------------------------------------------- left behind


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    home = tmp_path / "scans"
    with pytest.raises(ZeroDivisionError), scratch(home) as room:
        write(room, {"a/b/c.txt": "x"})
        assert home.stat().st_mode & 0o077 == 0
        raise ZeroDivisionError
    assert list(home.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_and_what_is_in_use_stays(tmp_path: Path) -> None:
    home = tmp_path / "scans"
    code = (
        "import sys, time; from pathlib import Path; from activities.shared.scratch_folder import scratch\n"
        "with scratch(Path(sys.argv[1])) as room:\n"
        "    (room / 'secret.txt').write_text('x'); print('there', flush=True); time.sleep(60)\n"
    )
    dying = subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=ROOT, stdout=subprocess.PIPE)
    assert dying.stdout is not None and dying.stdout.readline() == b"there\n"
    (left,) = home.iterdir()
    with scratch(home) as room:
        assert set(home.iterdir()) == {left, room}
        dying.send_signal(signal.SIGKILL)
        dying.wait()
        dying.stdout.close()
        with scratch(home) as next_room:
            assert set(home.iterdir()) == {room, next_room}
    assert list(home.iterdir()) == []


def test_two_processes_may_make_their_folders_at_once(tmp_path: Path) -> None:
    home = tmp_path / "scans"
    home.mkdir()
    door = os.open(home, os.O_RDONLY)
    fcntl.flock(door, fcntl.LOCK_EX)
    code = (
        "import sys; from pathlib import Path; from activities.shared.scratch_folder import scratch\n"
        "with scratch(Path(sys.argv[1])) as room: print(room)\n"
    )
    waits = subprocess.Popen([sys.executable, "-c", code, str(home)], cwd=ROOT, stdout=subprocess.PIPE)
    time.sleep(0.3)
    assert waits.poll() is None and list(home.iterdir()) == []
    os.close(door)
    assert waits.communicate(timeout=10)[0].decode().startswith(str(home)) and waits.returncode == 0


async def test_work_in_a_thread_ends_before_its_files_are_removed() -> None:
    ended: list[str] = []

    def work() -> None:
        time.sleep(0.3)
        ended.append("work")

    running = asyncio.create_task(run_to_the_end(work))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["work"]

"""The supervisor with real, tiny children."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from ops.supervisor import KeepsDying, Pace, Program, Supervisor, reap

QUICK = Pace(first_delay=0.05, longest_delay=0.1)

STEADY = "import time\nwhile True: time.sleep(1)"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + STEADY
"""Does not stop when asked to."""
SICK = "print('no money left'); raise SystemExit(7)"
PARENT = (
    "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', sys.argv[1]]).pid, flush=True)\n" + STEADY
)
"""Has a child of its own, whose pid it prints."""


async def at_once(_pid: int) -> bool:
    return True


async def never(_pid: int) -> bool:
    return False


def program(
    name: str, code: str, *arguments: str, healthy: Callable[..., object] = at_once, grace: float = 5
) -> Program:
    return Program(name, (sys.executable, "-c", code, *arguments), healthy, grace=grace)  # type: ignore[arg-type]


class Run:
    """A supervisor and what it announced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.healthy: list[str] = []
        self.supervisor = Supervisor(folder, on_healthy=self.healthy.append, pace=QUICK)

    async def start(self, *programs: Program) -> None:
        for one in programs:
            self.supervisor.start(one)
        await self.supervisor.until_healthy(*(one.name for one in programs), within=10)

    def printed(self, name: str) -> str:
        log = self.folder / "log" / f"{name}.log"
        return log.read_text() if log.exists() else ""


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    made = Run(tmp_path)
    yield made
    await made.supervisor.stop()


async def test_the_pids_are_the_real_processes(run: Run) -> None:
    await run.start(program("worker", STEADY))
    assert psutil.Process(run.supervisor.pids["worker"]).cmdline() == [sys.executable, "-c", STEADY]


async def test_a_child_killed_with_kill_9_is_started_again_and_announced(run: Run) -> None:
    await run.start(program("temporal", STEADY), program("worker", STEADY))
    before = run.supervisor.pids
    os.kill(before["worker"], signal.SIGKILL)
    await until(lambda: run.supervisor.pids.get("worker", before["worker"]) != before["worker"])
    assert run.supervisor.pids["temporal"] == before["temporal"]
    assert run.healthy == ["temporal", "worker", "worker"]


async def test_a_child_that_does_not_answer_yet_has_no_pid_for_others(run: Run) -> None:
    run.supervisor.start(program("worker", STEADY, healthy=never))
    with pytest.raises(KeepsDying, match=r"worker did not answer within 0\.3 s"):
        await run.supervisor.until_healthy("worker", within=0.3)
    assert run.supervisor.pids == {}


async def test_a_child_that_dies_five_times_before_it_answers_ends_the_run_with_its_last_lines(run: Run) -> None:
    run.supervisor.start(program("worker", SICK, healthy=never))
    with pytest.raises(KeepsDying, match="worker stopped 5 times before it answered") as failure:
        await run.supervisor.watch()
    assert failure.value.lines == ["no money left"] * 5


async def test_a_child_that_answers_and_dies_again_and_again_ends_the_run_too(tmp_path: Path) -> None:
    answered: list[str] = []
    pace = Pace(first_delay=0.01, longest_delay=0.01, deaths=4)
    supervisor = Supervisor(tmp_path, on_healthy=answered.append, pace=pace)
    supervisor.start(program("worker", "import time; print('up'); time.sleep(0.3)"))
    with pytest.raises(KeepsDying, match="worker stopped 4 times in"):
        await supervisor.watch()
    await supervisor.stop()
    assert answered == ["worker"] * 4


async def test_no_more_than_the_last_twenty_lines_are_shown(run: Run) -> None:
    run.supervisor.start(program("worker", "print(*range(50), sep='\\n'); raise SystemExit(1)", healthy=never))
    with pytest.raises(KeepsDying) as failure:
        await run.supervisor.watch()
    assert failure.value.lines == [str(number) for number in range(30, 50)]


async def test_the_delay_before_a_restart_doubles_up_to_its_limit(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.supervisor.start(program("worker", SICK, healthy=never))
    with pytest.raises(KeepsDying):
        await run.supervisor.watch()
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(" in ")[2] for line in told] == ["0.1 s"] * 4
    assert all("ended with code 7" in line for line in told)


async def test_children_stop_in_the_reverse_order_of_their_start(run: Run) -> None:
    last_words = (
        "import signal, sys, time\n"
        "def end(*_): print(time.time(), flush=True); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\n"
    ) + STEADY
    names = ["temporal", "worker", "gateway"]
    await run.start(*(program(name, last_words) for name in names))
    await until(lambda: all("ready" in run.printed(name) for name in names))
    pids = run.supervisor.pids
    await run.supervisor.stop()
    ends = [float(run.printed(name).split()[-1]) for name in names]
    assert ends == sorted(ends, reverse=True)
    assert all(gone(pid) for pid in pids.values())
    assert not (run.folder / "run.json").exists()


async def test_a_child_that_does_not_stop_is_killed_after_its_grace(run: Run) -> None:
    await run.start(program("worker", STUBBORN, grace=0.3))
    await until(lambda: "deaf" in run.printed("worker"))
    pid = run.supervisor.pids["worker"]
    started = time.monotonic()
    await run.supervisor.stop()
    assert 0.3 <= time.monotonic() - started < 3
    assert gone(pid)


async def test_grandchildren_do_not_outlive_the_run(run: Run) -> None:
    await run.start(program("worker", PARENT, STUBBORN))
    await until(lambda: run.printed("worker").strip())
    grandchild = int(run.printed("worker").split()[0])
    await run.supervisor.stop()
    await until(lambda: gone(grandchild))


async def test_stopping_while_a_child_waits_for_its_restart_starts_nothing(run: Run) -> None:
    slow = Supervisor(run.folder, on_healthy=run.healthy.append, pace=Pace(first_delay=30))
    slow.start(program("worker", SICK))
    await until(lambda: "no money" in run.printed("worker"))
    await slow.stop()
    assert run.printed("worker").count("no money") == 1


async def test_the_log_of_the_run_before_is_kept_once(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        run = Run(tmp_path)
        await run.start(program("worker", f"print('{word}', flush=True)\n{STEADY}"))
        await until(lambda run=run, word=word: word in run.printed("worker"))  # type: ignore[misc]
        await run.supervisor.stop()
    assert (tmp_path / "log" / "worker.log").read_text() == "third\n"
    assert (tmp_path / "log" / "worker.log.1").read_text() == "second\n"


ABANDON = """
import asyncio, os, pathlib, signal, sys
from ops.supervisor import Program, Supervisor

async def at_once(pid): return True

async def main():
    supervisor = Supervisor(pathlib.Path(sys.argv[1]), on_healthy=lambda name: None)
    for name in ("temporal", "worker"):
        supervisor.start(Program(name, (sys.executable, "-c", sys.argv[2], name), at_once))
    await supervisor.until_healthy("temporal", "worker", within=10)
    print(*supervisor.pids.values(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def abandoned(folder: Path, code: str) -> list[int]:
    """The pids of children whose supervisor was killed with kill -9."""
    killed = subprocess.run([sys.executable, "-c", ABANDON, str(folder), code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return [int(pid) for pid in killed.stdout.split()]


@pytest.mark.parametrize("code", [STEADY, STUBBORN], ids=["that stop when asked", "that do not"])
def test_orphans_of_a_killed_supervisor_are_ended_at_the_next_start(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.supervisor.KILLED_WITHIN", 1.0)
    pids = abandoned(tmp_path, code)
    assert not any(gone(pid) for pid in pids)
    assert reap(tmp_path) == [f"temporal (pid {pids[0]})", f"worker (pid {pids[1]})"]
    assert all(gone(pid) for pid in pids)
    assert reap(tmp_path) == []


def test_a_process_that_only_got_the_pid_of_an_orphan_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STEADY]) as other:
        started = psutil.Process(other.pid).create_time()
        strangers = [
            {"name": "worker", "pid": other.pid, "created": started - 60, "command": [sys.executable, "-c", STEADY]},
            {"name": "gateway", "pid": other.pid, "created": started, "command": ["postgres"]},
        ]
        (tmp_path / "run.json").write_text(json.dumps(strangers))
        assert reap(tmp_path) == []
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("left", ["", '[{"pid"'], ids=["nothing", "half a file"])
def test_a_broken_record_of_children_stops_nobody_from_starting(tmp_path: Path, left: str) -> None:
    (tmp_path / "run.json").write_text(left)
    assert reap(tmp_path) == []

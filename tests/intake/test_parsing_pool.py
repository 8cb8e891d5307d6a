"""Files are read in processes with limits, a few at a time, and each process ends with its work."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil
import pytest

from api.http.exception_handlers import problem_of_error
from domain.scope import EVERYWHERE
from intake.parsing import parsing_pool
from intake.parsing.parsing_pool import LARGE, MOST_WAITING_OF_ONE, QUICK, LineTooLong, ParserEnded, ParsingPool
from intake.tables.table import UnreadableFile
from tests.intake.conftest import HEAD, POLICY, ROOT, Office

T = TypeVar("T")
MB = 1024**2


def rows(count: int, name: str = "INV") -> bytes:
    return (
        HEAD + "".join(f"{name}-{each},Acme Paper Ltd,{each % 900}.50,GBP,operating\n" for each in range(count))
    ).encode()


async def nothing_stored(question: str, value: Any) -> Any:
    assert question == "known"
    return {process: {} for process in value}


ABOUT: dict[str, Any] = {"process": "payment", "mappings": None, "given": None, "opening": {}}
DRY_RUN = {**ABOUT, "policy": POLICY.read_text(), "by": "rita", "resubmit": False, "starts": EVERYWHERE}


async def dry_run(pool: ParsingPool, data: bytes, by: str = "rita") -> dict[str, Any]:
    found: dict[str, Any] = await pool.run("dry_run", data, by, DRY_RUN, nothing_stored)
    return found


def parsers() -> list[psutil.Process]:
    """The parser processes of this process that run now."""
    return [
        parser
        for template in parsing_pool._templates.values()
        for parser in psutil.Process(template.process.pid).children()
        if parser.status() != psutil.STATUS_ZOMBIE
    ]


async def until(found: Callable[[], T], seconds: float = 60) -> T:
    async with asyncio.timeout(seconds):
        while not (what := found()):
            await asyncio.sleep(0.01)
    return what


async def test_a_file_is_read_in_a_process_with_limits_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_SMTP_URL", "smtp://user:secret@host:587")
    monkeypatch.setattr(parsing_pool, "_templates", {})
    try:
        reading = asyncio.create_task(dry_run(ParsingPool(), rows(20_000)))
        (parser,) = await until(parsers)
        await until(lambda: parser.nice() == LARGE.niceness)
        await until(lambda: parser.rlimit(psutil.RLIMIT_AS)[0] > 0)
        assert parser.rlimit(psutil.RLIMIT_CPU)[0] == LARGE.cpu_seconds
        assert parser.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        assert not [name for name in parser.environ() if name.startswith(("HOLDGATE", "TEMPORAL", "PG"))]
        assert (await reading)["rows"]["valid"] == 20_000
        await until(lambda: not parsers())
    finally:
        parsing_pool._stop_templates()


async def test_the_gateway_spends_little_time_of_its_own_on_a_file(office: Office) -> None:
    await office.uploads.dry_run("payment", "small.csv", rows(10), "rita")
    files = [rows(5_000, name) for name in ("A", "B")]
    before, memory = time.process_time(), psutil.Process().memory_info().rss
    reports = await asyncio.gather(*(office.uploads.dry_run("payment", "x.csv", data, "rita") for data in files))
    took = time.process_time() - before
    assert [report.rows.valid for report in reports] == [5_000, 5_000]
    assert took < 0.6, "reading, judging and forecasting them takes seconds"
    assert psutil.Process().memory_info().rss - memory < 30 * MB


@pytest.mark.parametrize(
    ("limits", "count", "said"),
    [
        (LARGE._replace(cpu_seconds=1), 30_000, "1 seconds of the processor"),
        (LARGE._replace(memory=MB), 60_000, "memory"),
    ],
    ids=["cpu", "memory"],
)
async def test_a_file_that_takes_too_much_is_refused_with_the_limit(limits: Any, count: int, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said) as refused:
        await dry_run(ParsingPool(large=limits), rows(count))
    problem = problem_of_error(refused.value)
    assert problem.status == 422
    assert "split the file" in problem.body["detail"]
    await until(lambda: not parsers())


async def test_a_small_file_that_takes_long_goes_on_among_the_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing_pool, "SMALL", 10 * MB)
    found = await dry_run(ParsingPool(quick=QUICK._replace(cpu_seconds=1)), rows(20_000))
    assert found["rows"]["valid"] == 20_000


async def killed(times: int, reading: "asyncio.Task[Any]") -> None:
    done: set[int] = set()
    while len(done) < times and not reading.done():
        for parser in parsers():
            if parser.pid not in done:
                done.add(parser.pid)
                parser.kill()
        await asyncio.sleep(0.01)


async def test_a_parser_that_is_killed_is_tried_once_more(office: Office) -> None:
    reading = asyncio.create_task(office.uploads.start("payment", "x.csv", rows(3_000), "rita"))
    await until(lambda: parsers() or reading.done())
    await asyncio.sleep(0.3)
    await killed(1, reading)
    report = await reading
    assert report.rows.valid == 3_000
    assert len(await office.rows(report.batch_id or "")) == 3_000, "and none is stored twice"

    reading = asyncio.create_task(office.uploads.start("payment", "y.csv", rows(3_000, "B"), "rita"))
    await killed(2, reading)
    with pytest.raises(ParserEnded) as ended:
        await reading
    assert problem_of_error(ended.value).status == 503


async def test_a_request_that_is_given_up_leaves_no_parser() -> None:
    reading = asyncio.create_task(dry_run(ParsingPool(), rows(50_000)))
    await until(parsers)
    reading.cancel()
    await until(lambda: not parsers(), 5)
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_parsers_start_again_after_their_template_was_killed() -> None:
    pool = ParsingPool()
    await dry_run(pool, rows(10))
    for template in parsing_pool._templates.values():
        template.process.kill()
    assert (await dry_run(pool, rows(10)))["rows"]["valid"] == 10


async def test_people_take_turns_and_small_files_do_not_wait() -> None:
    pool, ended = ParsingPool(), []

    async def read(name: str, data: bytes, by: str) -> None:
        await dry_run(pool, data, by)
        ended.append(name)

    async with asyncio.TaskGroup() as files:
        for number in range(4):
            files.create_task(read(f"rita {number}", rows(4_000), "rita"))
        await asyncio.sleep(0.1)
        files.create_task(read("raul large", rows(4_000), "raul"))
        files.create_task(read("raul small", rows(10), "raul"))
        await until(parsers)
        assert len(parsers()) <= len(os.sched_getaffinity(0))
    assert ended.index("raul small") <= 1
    assert ended.index("raul large") <= len(os.sched_getaffinity(0)), "before the other files of rita"


async def test_too_many_files_of_one_person_are_refused_for_now() -> None:
    pool = ParsingPool()
    most = MOST_WAITING_OF_ONE + max(1, len(os.sched_getaffinity(0)) - 1)
    reading = [asyncio.create_task(dry_run(pool, rows(30_000))) for _ in range(most)]
    await asyncio.sleep(0)
    with pytest.raises(LineTooLong) as refused:
        await dry_run(pool, rows(30_000))
    assert problem_of_error(refused.value).status == 503
    assert (await dry_run(pool, rows(10), "raul"))["rows"]["valid"] == 10
    for each in reading:
        each.cancel()
    ended = await asyncio.gather(*reading, return_exceptions=True)
    assert {type(each) for each in ended} <= {asyncio.CancelledError}
    await until(lambda: not parsers(), 5)


KILLED = """
import asyncio
from tests.intake.test_parsing_pool import dry_run, rows, parsers, until
from intake.parsing.parsing_pool import ParsingPool, _templates

async def main():
    reading = asyncio.create_task(dry_run(ParsingPool(), rows(90_000)))
    (parser,) = await until(parsers)
    print(*(each.process.pid for each in _templates.values()), parser.pid, flush=True)
    await reading

asyncio.run(main())
"""


async def test_parsers_end_with_the_process_that_started_them() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout
    pids = list(map(int, (await process.stdout.readline()).split()))
    assert len(pids) == 2
    process.kill()
    await process.communicate()
    await until(lambda: not any(map(running, pids)), 10)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

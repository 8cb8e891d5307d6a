"""How speed, memory and databases change while thousands of cases wait: `python -m scripts.bench growth --rows 10000`.

Holdgate imports one CSV file. A bare system starts the same number of cases over HTTP, with as many of them on the way
to their gates as an import has. So the two rates show which part of a decrease is due to Temporal itself.
"""

import argparse
import asyncio
import csv
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

from rich.table import Table

from scripts.bench.compare import FOLDER, PAUSE, single
from scripts.bench.figures import Figures, about, console, disk, milliseconds, say, write_json
from scripts.bench.plot import draw
from scripts.bench.systems import SYSTEMS, Bare, Holdgate, System, in_turns

HEAD = "reference,payee,amount,currency,account\n"
IN_FLIGHT = 50
"""Cases of a bare system on the way to their gates, as many as Holdgate's default for an import."""
LOOK_EVERY = 0.25
"""Seconds between two counts of the rows that are done.

The rates of the first and the last tenth are computed from these counts.
"""
STUCK = 300.0
"""Seconds without progress after which the measurement fails."""
GOAL_RATIO, GOAL_LATENCY = 0.85, 1.4
"""The smallest ratio of the rate of the last tenth of the rows to that of the first tenth, and the largest ratio of the
latency with open cases to the latency with none."""
GOAL_MB = {"worker": 120.0, "gateway": 25.0}
"""The most megabytes that a process may grow by."""


def run(arguments: Sequence[str]) -> None:
    """Measure one system, print its figures, and write the samples as CSV. With `--svg` also draw them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench growth", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file (default: %(default)s)")
    parser.add_argument("--open", type=int, metavar="N", help="open cases for the second latency (default: all rows)")
    parser.add_argument("--system", choices=SYSTEMS, default="holdgate", help="what to measure (default: %(default)s)")
    parser.add_argument("--singles", type=int, default=20, help="single cases for each latency (default: %(default)s)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the databases are, on a disk")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the samples (default: in the folder)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the samples into this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    asked = parser.parse_args(arguments)
    name = f"growth-{asked.system}-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    folder, samples = asked.folder / name, asked.csv or asked.folder / f"{name}.csv"
    folder.mkdir(parents=True)
    try:
        found = {**about(), **disk(folder), "system": asked.system}
        system = SYSTEMS[asked.system](folder / "state")
        more = max(0, (asked.open or 0) - asked.rows)
        found |= asyncio.run(growth(system, asked.rows, more, asked.singles, asked.every, samples))
    finally:
        shutil.rmtree(folder)
    show(found)
    say(samples)
    write_json(asked.json, found)
    if asked.svg:
        draw([samples], asked.svg)
        say(asked.svg)


async def growth(system: System, rows: int, more: int, singles: int, every: float, samples: Path) -> Figures:
    """Return the figures of one system; write a sample to a CSV file every `every` seconds.

    `more`: further cases to open after the measurement, before the second latency is taken.
    """
    try:
        await system.open()
        for _ in range(3):
            await single(system)  # imports and first connections must not count
        alone = [await single(system) for _ in range(singles)]
        before = system.memory()
        progress = await _import(system, rows, Sampler(system, samples, every))
        after = system.memory()
        if more:
            await _import(system, more, None)
        await asyncio.sleep(10 * PAUSE)
        beside = [await single(system) for _ in range(singles)]
    finally:
        await system.close()
    first, last = tenths(progress, rows)
    latencies = {
        "none_open": {name: milliseconds([each[name] for each in alone]) for name in alone[0]},
        "all_open": {name: milliseconds([each[name] for each in beside]) for name in beside[0]},
    }
    return {
        "rows": rows,
        "open": rows + more,
        "seconds": round(progress[-1][0], 1),
        "first_tenth_per_s": round(first, 1),
        "last_tenth_per_s": round(last, 1),
        "ratio": round(last / first, 2),
        "memory_growth_mb": {name: round(after[name] - before[name]) for name in after},
        "memory_mb": {name: round(after[name]) for name in after},
        "latency": latencies,
        "latency_ratio": {
            name: round(row["median_ms"] / latencies["none_open"][name]["median_ms"], 2)
            for name, row in latencies["all_open"].items()
        },
    }


Progress = list[tuple[float, int]]
"""Seconds since the first row could start, and the number of cases that wait at their gates then."""


def tenths(progress: Progress, rows: int) -> tuple[float, float]:
    """Return the cases a second of the first and of the last tenth of the rows.

    The first tenth begins at the last count that was 0: the time for reading the file does not count. Between two
    counts the rate is taken as constant.
    """

    def reached(number: float) -> float:
        for (earlier, before), (later, after) in pairwise(progress):
            if after >= number:
                share = (number - before) / (after - before) if number > before else 0.0
                return earlier + share * (later - earlier)
        return progress[-1][0]

    began = max(seconds for seconds, done in progress if done == 0)
    part = rows / 10
    return part / (reached(part) - began), part / (reached(rows) - reached(rows - part))


@dataclass
class Sampler:
    """Writes a line into a CSV file every `every` seconds."""

    system: System
    path: Path
    every: float
    _next: float = 0.0
    _last: tuple[float, int] = (0.0, 0)
    _cpu: dict[str, float] = field(default_factory=dict)

    def look(self, seconds: float, done: int, *, final: bool = False) -> None:
        """Write a line if it is time for the next one, or with `final`. Each line has the rate since the line before.

        `seconds` is the time since the first row could start, `done` the number of cases at their gates.
        """
        if seconds < self._next and not final:
            return
        self._next = seconds + self.every
        before, had = self._last
        cpu, new = self.system.cpu(), done - had
        line: dict[str, float] = {
            "seconds": round(seconds, 1),
            "done": done,
            "per_s": round(new / (seconds - before), 2) if seconds > before else 0.0,
            **{f"rss_mb_{name}": round(mb, 1) for name, mb in self.system.memory().items()},
            **{f"db_mb_{name}": round(mb, 1) for name, mb in self.system.sizes().items()},
            **{
                f"cpu_ms_{name}": round(1000 * (spent - self._cpu.get(name, spent)) / new, 1) if new else 0.0
                for name, spent in cpu.items()
            },
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a" if self._cpu else "w", newline="") as file:
            writer = csv.DictWriter(file, list(line))
            if not self._cpu:
                writer.writeheader()
            writer.writerow(line)
        self._last, self._cpu = (seconds, done), cpu


async def _import(system: System, rows: int, sampler: Sampler | None) -> Progress:
    """Open this number of cases. When all wait at their gates, return how their number has grown."""
    began = time.monotonic()
    if isinstance(system, Holdgate):
        return await _watch(await _upload(system, rows), rows, began, sampler)
    assert isinstance(system, Bare)
    reached = await _start_all(system, rows)
    try:
        return await _watch(reached, rows, began, sampler)
    finally:
        system.leave_open(rows)


async def _upload(system: Holdgate, rows: int) -> Callable[[], int]:
    """Upload a file and return a function that counts its cases at their gates."""
    mark = uuid4().hex[:6]
    body = HEAD + "".join(f"{mark}-{n},Payee {n},600.00,GBP,operating\n" for n in range(rows))
    answer = await system.requester.post("/batches?process=payment", files={"file": ("bench.csv", body, "text/csv")})
    assert answer.status_code == 202, answer.text
    batch_id = str(answer.json()["batch_id"])
    return lambda: system.waiting_of(batch_id)


async def _start_all(system: Bare, rows: int) -> Callable[[], int]:
    """Start cases in the background and return a function that counts those at their gates."""
    mark, before, sent = uuid4().hex[:6], system.gates(), 0

    def reached() -> int:
        if starting.done():
            starting.result()  # raises what went wrong
        return system.gates() - before

    async def start(number: int) -> None:
        nonlocal sent
        while sent - reached() >= IN_FLIGHT:  # noqa: ASYNC110  # another process changes it
            await asyncio.sleep(0.01)
        await system.start(f"{mark}-{number}")
        sent += 1

    async def start_each() -> None:
        await in_turns([lambda number=number: start(number) for number in range(rows)], 16)  # type: ignore[misc]

    starting = asyncio.create_task(start_each())
    return reached


async def _watch(reached: Callable[[], int], rows: int, began: float, sampler: Sampler | None) -> Progress:
    """Count until all cases are at their gates. Raises TimeoutError after `STUCK` seconds without progress."""
    progress: Progress = [(0.0, 0)]
    while progress[-1][1] < rows:
        await asyncio.sleep(LOOK_EVERY)
        seconds, done = time.monotonic() - began, reached()
        if done > progress[-1][1] or done == 0:
            progress.append((seconds, done))
        if seconds - progress[-1][0] > STUCK or (done == 0 and seconds > STUCK):
            raise TimeoutError(f"no case reached its gate for {STUCK:g} s; {done:,} of {rows:,} are there")
        if sampler:
            sampler.look(seconds, done, final=done >= rows)
    return progress


def show(found: Figures) -> None:
    """Print the figures as a table."""
    where = f"{found['machine']}, {found['file_system']}"
    table = Table(f"{found['system']}, {found['rows']:,} rows", "measured", "goal", title=where)
    table.add_row("all at their gates", f"{found['seconds']} s", "")
    rates = f"{found['first_tenth_per_s']} and {found['last_tenth_per_s']}: ratio {found['ratio']}"
    table.add_row("first and last tenth, rows/s", rates, f">= {GOAL_RATIO}")
    for name, grown in found["memory_growth_mb"].items():
        goal = f"<= {GOAL_MB[name]:g}" if name in GOAL_MB else ""
        table.add_row(f"{name} grows by", f"{grown} MB, to {found['memory_mb'][name]} MB", goal)
    latency = found["latency"]
    for name, ratio in found["latency_ratio"].items():
        medians = f"{latency['none_open'][name]['median_ms']} and {latency['all_open'][name]['median_ms']} ms"
        goal = f"<= {GOAL_LATENCY}" if name == "closed" else ""
        table.add_row(f"single case, {name}: none and {found['open']:,} open", f"{medians}: ratio {ratio}", goal)
    console().print(table)

"""Holdgate beside the bare engine: the systems take turns in one run, so that noise affects all of them."""

import argparse
import asyncio
import shutil
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from rich.table import Table

from scripts.bench.figures import Figures, about, console, disk, milliseconds, write_json
from scripts.bench.systems import LOOK_EVERY, SYSTEMS, System, in_turns, until
from tests.support.installed_app import ROOT

REFERENCE = "bare"
"""The system to which ratios are computed."""
RATES = ("start", "decision", "decided_to_closed", "end_to_end")
GOALS = {"start": 0.65, "decision": 0.80, "decided_to_closed": 0.85, "end_to_end": 0.90, "cpu": 1.10}
"""The least ratio of Holdgate to the bare engine; of `cpu` the largest."""
MOST_EVENTS, MOST_IDLE_MS = 24, 45.0
"""The most history events of a payment with one gate, and the longest median from its decision to its end."""
WARM_UP = 30
"""The maximum number of cases of each system before the first round: imports and first connections must not count."""
PAUSE = 0.2
"""Seconds to wait after a single case has reached its gate, so that work in the background is done."""
FOLDER = ROOT / "var" / "bench"


def run(arguments: Sequence[str]) -> None:
    """Measure the systems, print a table and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cases", type=int, default=100, help="cases of each system in a round")
    parser.add_argument("--at-once", type=int, default=16, help="calls that run at the same time")
    parser.add_argument("--singles", type=int, default=30, help="cases one after another, for the latency")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 20 cases, 5 single cases: about a minute")
    parser.add_argument("--only", default=",".join(SYSTEMS), help="systems, separated by commas (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the databases are, on a disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    asked = parser.parse_args(arguments)
    if asked.quick:
        asked.rounds, asked.cases, asked.singles = 3, 20, 5
    names = asked.only.split(",")
    if unknown := [name for name in names if name not in SYSTEMS]:
        parser.error(f"there is no system {', '.join(unknown)}; systems are {', '.join(SYSTEMS)}")
    folder = asked.folder / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}"
    folder.mkdir(parents=True)
    try:
        found = {**about(), **disk(folder), "rounds": asked.rounds, "cases": asked.cases, "at_once": asked.at_once}
        systems = [SYSTEMS[name](folder / name) for name in names]
        found |= asyncio.run(compare(systems, asked.rounds, asked.cases, asked.at_once, asked.singles))
    finally:
        shutil.rmtree(folder)
    show(found)
    write_json(asked.json, found)


async def compare(systems: Sequence[System], rounds: int, cases: int, at_once: int, singles: int) -> Figures:
    """Return all figures of these systems. The order of the systems is reversed in every second round."""
    measured: dict[str, list[dict[str, float]]] = {system.name: [] for system in systems}
    histories, idle = {}, {}
    try:
        for system in systems:
            await system.open()
        for system in systems:
            await one_round(system, min(WARM_UP, cases), at_once)
        for number in range(rounds):
            for system in systems if number % 2 == 0 else reversed(systems):
                measured[system.name].append(await one_round(system, cases, at_once))
        for system in systems:
            took = [await single(system) for _ in range(singles)]
            idle[system.name] = {name: milliseconds([each[name] for each in took]) for name in took[0]}
            case_id = await system.start(f"H-{uuid4().hex[:12]}")
            await _finish(system, case_id)
            histories[system.name] = await system.history(case_id)
    finally:
        for system in systems:
            await system.close()
    return {
        "systems": {
            system.name: {
                **summary(measured[system.name], measured.get(REFERENCE)),
                "events": histories[system.name][0],
                "history_bytes": histories[system.name][1],
                "idle": idle[system.name],
                "answered_202": system.late,
            }
            for system in systems
        },
        "every_round": measured,
    }


async def one_round(system: System, number: int, at_once: int) -> dict[str, float]:
    """Return the figures of one round with `number` cases: cases a second, and processor milliseconds a case.

    Processor time is given by process, and for all processes as `cpu`.
    """
    names = [f"B-{uuid4().hex[:12]}" for _ in range(number)]
    before, clock = system.cpu(), time.perf_counter
    began = clock()
    ids = await in_turns([lambda name=name: system.start(name) for name in names], at_once)  # type: ignore[misc]
    started = clock() - began
    await until(lambda: system.at_gate(ids), number)
    opened = clock() - began
    began = clock()
    await in_turns([lambda each=each: system.decide(each) for each in ids], at_once)  # type: ignore[misc]
    decided = clock() - began
    await until(lambda: system.ended(ids), number)
    closed = clock() - began
    spent = {f"cpu_{name}": 1000 * (now - before[name]) / number for name, now in system.cpu().items()}
    return {
        "start": number / started,
        "decision": number / decided,
        "decided_to_closed": number / closed,
        "end_to_end": number / (opened + closed),
        **spent,
        "cpu": sum(spent.values()),
    }


async def single(system: System) -> dict[str, float]:
    """Return the seconds of one case while nothing else runs.

    `started` and `opened`: from the start of the case until the start is answered, and until the case is at its gate.
    `decided` and `closed`: from the decision until it is answered, and until the case has ended.
    """
    clock = time.perf_counter
    began = clock()
    case_id = await system.start(f"S-{uuid4().hex[:12]}")
    started = clock() - began
    await until(lambda: system.at_gate([case_id]), 1, LOOK_EVERY)
    opened = clock() - began
    await asyncio.sleep(PAUSE)
    began = clock()
    await system.decide(case_id)
    decided = clock() - began
    await until(lambda: system.ended([case_id]), 1, LOOK_EVERY)
    return {"started": started, "opened": opened, "decided": decided, "closed": clock() - began}


async def _finish(system: System, case_id: str) -> None:
    await until(lambda: system.at_gate([case_id]), 1)
    await system.decide(case_id)
    await until(lambda: system.ended([case_id]), 1)
    await asyncio.sleep(PAUSE)  # the Workflow completes after its last step


def summary(rounds: Sequence[dict[str, float]], reference: Sequence[dict[str, float]] | None) -> Figures:
    """Return the median of each figure over the rounds, and the median, least and largest of the ratios of rounds.

    `reference` are the rounds of the system to which ratios are computed; None for no ratios.
    """
    found: Figures = {}
    for name in rounds[0]:
        found[name] = {"median": round(statistics.median(each[name] for each in rounds), 1)}
        if reference:
            ratios = [mine[name] / theirs[name] for mine, theirs in zip(rounds, reference, strict=True) if theirs[name]]
            if ratios:
                spread = {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
                found[name] |= {each: round(value, 2) for each, value in spread.items()}
    return found


def show(found: Figures) -> None:
    """Print the figures as tables."""
    where = f"{found['machine']}, {found['file_system']}, a sync takes {found['sync_ms']} ms"
    shape = f"{found['rounds']} rounds of {found['cases']} cases, {found['at_once']} at once, medians (ratio to bare)"
    systems: Figures = found["systems"]
    table = Table("", "start/s", "decision/s", "closed/s", "end to end/s", "202", title=f"{shape}; {where}")
    for name, row in systems.items():
        table.add_row(name, *(_with_ratio(row[rate]) for rate in RATES), str(row["answered_202"]))
    if "holdgate" in systems and REFERENCE in systems:
        table.add_row("goal", *(f">= {GOALS[rate]}" for rate in RATES), "")
    processes = [name for name in next(iter(systems.values())) if name.startswith("cpu_")]
    console().print(table)
    table = Table("CPU ms a case", "all", *(name.removeprefix("cpu_") for name in processes), "history", "bytes")
    for name, row in systems.items():
        spent = (str(row[process]["median"]) for process in processes)
        table.add_row(name, _with_ratio(row["cpu"]), *spent, f"{row['events']} events", f"{row['history_bytes']:,}")
    if "holdgate" in systems and REFERENCE in systems:
        table.add_row("goal", f"<= {GOALS['cpu']}", *("" for _ in processes), f"<= {MOST_EVENTS} events", "")
    console().print(table)
    steps = next(iter(systems.values()))["idle"]
    table = Table("one case alone, ms: median (95th percentile)", *steps)
    for name, row in systems.items():
        table.add_row(name, *(f"{row['idle'][step]['median_ms']} ({row['idle'][step]['p95_ms']})" for step in steps))
    if "holdgate" in systems:
        table.add_row("goal", *(f"<= {MOST_IDLE_MS:g}" if step == "closed" else "" for step in steps))
    console().print(table)


def _with_ratio(figure: dict[str, float]) -> str:
    ratio = figure.get("ratio")
    return f"{figure['median']}" + (f" ({ratio:.2f})" if ratio is not None else "")

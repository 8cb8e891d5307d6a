"""Run all benchmarks (`make bench`), print tables, and write JSON to `var/bench/`.

A run with `--quick` takes about one minute, a full run about five minutes.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from core.exit import leave
from scripts.bench.batches import batches
from scripts.bench.dashboard import GOAL_MS as DASHBOARD_MS, dashboard
from scripts.bench.engine import engine
from scripts.bench.inbox import GOAL_MS, inbox
from scripts.bench.lists import lists
from tests.support import postgres
from tests.support.installed_app import ROOT

GOALS = {"start": 0.8, "decision": 0.8, "decided_to_closed": None, "end_to_end": 0.7}
"""The goals: by measure, the least ratio of the speed of Holdgate to the speed of the bare engine."""
GATEWAY_ADDS_MS = 10.0


def main(arguments: list[str]) -> int:
    """Run the benchmarks that the arguments choose, and print their results. Return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds, 10,000 tasks only")
    parser.add_argument("--tiny", action="store_true", help="very few cases, only to see that the benchmarks run")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "bench", help="the folder to write the JSON file to")
    parser.add_argument("--batches", type=int, metavar="ROWS", help="measure only a file with this number of rows")
    parser.add_argument(
        "--inbox", type=int, metavar="TASKS", help="measure only the inbox, with this number of open tasks"
    )
    parser.add_argument(
        "--dashboard", type=int, metavar="TASKS", help="measure only the dashboard, with this number of open tasks"
    )
    asked = parser.parse_args(arguments)
    rounds, cases, singles, sizes = (5, 200, 60, (10_000, 100_000))
    if asked.quick:
        rounds, cases, singles, sizes = (3, 60, 20, (10_000,))  # type: ignore[assignment]
    if asked.tiny:
        rounds, cases, singles, sizes = (1, 8, 4, (200,))  # type: ignore[assignment]
    if asked.batches:
        found, shown = of_files(asked.batches), show_files
    elif asked.inbox:
        found, shown = of_inbox(asked.inbox, 3 if asked.tiny else 20 if asked.quick else 50), show_inbox
    elif asked.dashboard:
        found, shown = of_dashboard(asked.dashboard), show_dashboard
    else:
        found, shown = measure(rounds, cases, singles, sizes), show
    shown(found)
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"
    path.write_text(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(f"{path}\n")
    return 0


def measure(rounds: int, cases: int, singles: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Run all benchmarks and return their figures."""
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as name:
        folder = Path(name)
        (folder / "product").mkdir()
        found: dict[str, Any] = {
            **_about(),
            **asyncio.run(engine(folder / "product", rounds=rounds, cases=cases, singles=singles)),
        }
        repeats = max(singles // 2, 3)
        (folder / "lists").mkdir()
        sqlite = f"sqlite:///{folder / 'lists' / 'holdgate.db'}"
        found["lists"] = {"sqlite": lists(sqlite, folder / "lists", sizes, repeats)}
        if postgres.programs():
            with postgres.server() as server:
                found["lists"]["postgresql"] = lists(server.url(server.create()), folder / "lists", sizes, repeats)
    return found


def _about() -> dict[str, Any]:
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def of_files(rows: int) -> dict[str, Any]:
    """Measure a file with this number of rows, and return its figures."""
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as name:
        return {**_about(), **asyncio.run(batches(Path(name), rows=rows, singles=20))}


def of_dashboard(open_tasks: int) -> dict[str, Any]:
    """Measure the dashboard with this number of open tasks, and as many ended cases. Return the figures."""
    found: dict[str, Any] = {**_about(), "open_tasks": open_tasks}
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as name:
        folder = Path(name)
        found["sqlite"] = dashboard(f"sqlite:///{folder / 'holdgate.db'}", folder, open_tasks)
        if postgres.programs():
            with postgres.server() as server:
                found["postgresql"] = dashboard(server.url(server.create()), folder, open_tasks)
    return found


def show_dashboard(found: dict[str, Any]) -> None:
    """Print the figures of the dashboard as a table."""
    _show_by_database(found, "dashboard", f"and as many ended cases, median / p95 in ms, goal {DASHBOARD_MS:g}; ")


def of_inbox(open_tasks: int, repeats: int) -> dict[str, Any]:
    """Measure the inbox with this number of open tasks, and return the figures."""
    found: dict[str, Any] = {**_about(), "open_tasks": open_tasks}
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as name:
        folder = Path(name)
        found["sqlite"] = inbox(f"sqlite:///{folder / 'holdgate.db'}", folder, open_tasks, repeats)
        if postgres.programs():
            with postgres.server() as server:
                found["postgresql"] = inbox(server.url(server.create()), folder, open_tasks, repeats)
    return found


def show_inbox(found: dict[str, Any]) -> None:
    """Print the figures of the inbox as a table."""
    _show_by_database(found, "inbox", f"median / p95 in ms, goal of the first page {GOAL_MS:g}; ")


def _show_by_database(found: dict[str, Any], what: str, unit: str) -> None:
    databases = [name for name in ("sqlite", "postgresql") if name in found]
    table = Table(what, *databases, title=f"{found['open_tasks']:,} open tasks, {unit}{found['machine']}")
    for name in found["sqlite"]:
        table.add_row(
            name, *(f"{found[each][name]['median_ms']} / {found[each][name]['p95_ms']}" for each in databases)
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def show_files(found: dict[str, Any]) -> None:
    """Print the figures of a file as a table."""
    table = Table(f"{found['rows']:,} rows", "measured", "goal", title=found["machine"])
    table.add_row("202 after the upload", f"{found['accepted_s']} s", "<= 2 s, of 10,000")
    ratio = f"{found['all_waiting_s']} s, {found['ratio']} x {found['bare_s']} s of a bare loop"
    table.add_row("all cases at their gates", ratio, "<= 1.3 x")
    single = f"p95 {found['single_p95_s']} s, median {found['single_median_s']} s"
    table.add_row("a single case beside it", single, "p95 <= 3 s")
    growth = ", ".join(f"{name} {grown} MB" for name, grown in found["memory_growth_mb"].items())
    table.add_row("memory grows by", growth, "<= 150 MB")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def show(found: dict[str, Any]) -> None:
    """Print the figures as tables."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("cases/s", "Holdgate", "bare engine", "ratio (low to high)", "goal", title=found["machine"])
    for name, row in found["throughput"].items():
        spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        goal = f">= {GOALS[name]}" if GOALS[name] else ""
        table.add_row(name.replace("_", " "), str(row["ours_per_s"]), str(row["bare_per_s"]), spread, goal)
    console.print(table)
    table = Table("one at a time", "median ms", "p95 ms")
    for name, row in found["single"].items():
        table.add_row(name.replace("_", " "), str(row["median_ms"]), str(row["p95_ms"]))
    table.add_row("the gateway adds to a decision", str(found["gateway_adds_ms"]), f"goal <= {GATEWAY_ADDS_MS:g}")
    console.print(table)
    table = Table("lists", "open tasks", "database", "median ms", "p95 ms")
    for database, by_size in found["lists"].items():
        for size, by_name in by_size.items():
            for name, row in by_name.items():
                table.add_row(name, f"{int(size):,}", database, str(row["median_ms"]), str(row["p95_ms"]))
    console.print(table)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))

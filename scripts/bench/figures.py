"""Figures of all benchmarks: medians, the machine, and where they are written."""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

Figures = dict[str, Any]

NOT_ON_A_DISK = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""File systems on which a durable commit costs nothing."""


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return median and 95th percentile, in milliseconds, of times in seconds."""
    ordered = sorted(each * 1000 for each in seconds)
    return {
        "median_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
    }


def about() -> Figures:
    """Return when and where the figures are measured."""
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }


def disk(folder: Path) -> Figures:
    """Return the file system of a folder, and the milliseconds that it takes to sync 4 KB there, as the median of 20.

    Raises SystemExit for a file system in memory: there a durable transaction costs nothing.
    """
    kind = _file_system(folder)
    if kind in NOT_ON_A_DISK:
        raise SystemExit(f"{folder} is on {kind}, in memory: name a folder on a disk with --folder")
    probe, took = folder / "probe", []
    with probe.open("wb", buffering=0) as file:
        for _ in range(20):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    probe.unlink()
    return {"file_system": kind, "sync_ms": round(1000 * statistics.median(took), 2)}


def _file_system(folder: Path) -> str:
    path = folder.resolve()
    above = [each for each in psutil.disk_partitions(all=True) if path.is_relative_to(each.mountpoint)]
    return max(above, key=lambda each: len(each.mountpoint)).fstype if above else "unknown"


def console() -> Console:
    """Return the console for tables: as wide as the terminal, and 150 characters wide in a file or a pipe."""
    return Console(width=None if sys.stdout.isatty() else 150)


def say(line: object) -> None:
    """Print a line as it is."""
    sys.stdout.write(f"{line}\n")


def write_json(path: Path | None, found: Figures) -> None:
    """Write the figures as JSON to a file and print its path; do nothing if `path` is None."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")
        say(path)

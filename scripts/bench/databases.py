"""Measure the same on SQLite and on PostgreSQL, and show both beside each other."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.table import Table

from scripts.bench.figures import Figures, about, console
from tests.support import postgres

DATABASES = ("sqlite", "postgresql")


def on_both(measure: Callable[[str, Path], Figures]) -> Figures:
    """Return what `measure` finds on SQLite and on PostgreSQL, by the name of the database, beside `figures.about`.

    `measure` gets the URL of an empty database and a folder. PostgreSQL is left out if its programs are not installed.
    """
    found: Figures = about()
    with tempfile.TemporaryDirectory(prefix="holdgate-bench-") as name:
        folder = Path(name)
        found["sqlite"] = measure(f"sqlite:///{folder / 'holdgate.db'}", folder)
        if postgres.programs():
            with postgres.server() as server:
                found["postgresql"] = measure(server.url(server.create()), folder)
    return found


def show(found: Figures, title: str) -> None:
    """Print latencies by name and database."""
    databases = [name for name in DATABASES if name in found]
    table = Table("", *databases, title=f"{title}; {found['machine']}, load {found['load']}")
    for name in found["sqlite"]:
        figures = (found[each][name] for each in databases)
        table.add_row(name, *(f"{each['median_ms']} / {each['p95_ms']}" for each in figures))
    console().print(table)

"""Show the progress of a batch in a terminal or a log until its end. Wait and connect again if the gateway restarts."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.client import Away, Remote, part
from cli.output import clean, state

PATIENCE_S = 300.0
"""Seconds without an answer of the gateway after which the command stops following. The batch itself continues."""
PAUSE_S = 1.0
"""Seconds between two attempts to reach a gateway that does not answer."""
LINE_S = 5.0
"""The least seconds between two lines of progress, if stderr is not a terminal."""
ENDED = ("completed", "cancelled", "failed")
"""The statuses of a batch that will start no more rows."""

Counts = Mapping[str, Any]


class ProgressDisplay(Protocol):
    """The interface of the displays that show the progress of a batch."""

    def counts(self, counts: Counts) -> None: ...

    def away(self) -> None:
        """Show that the gateway does not answer at the moment."""


def follow(remote: Remote, batch_id: str, *, wait: bool, quiet: bool = False) -> dict[str, Any]:
    """Show the progress of a batch on stderr until all rows are started, and return its report.

    With `wait`, continue until all cases of the batch are closed. With `quiet`, show bars in a terminal, but no lines
    in a log. Raises Denied and Unusable, and Away if the gateway does not answer for `PATIENCE_S` seconds.
    """
    with progress_display(wait, quiet) as shown:
        for counts in live(remote, batch_id, shown.away):
            shown.counts(counts)
            if not wait and counts["status"] in ENDED:
                break
        return report(remote, batch_id, shown.away)


def live(remote: Remote, batch_id: str, away: Callable[[], None]) -> Iterator[Counts]:
    """Yield the counters of a batch when they change and at least every 15 s, until the batch and its cases are closed.

    Call `away` each time the gateway does not answer. Raises the same exceptions as `follow`.
    """
    patience, latest = Patience(away), None
    while True:
        try:
            for name, data in remote.events(f"batches/{part(batch_id)}/events"):
                patience.renew()
                latest = data or latest
                if latest:
                    yield latest
                if name == "end":
                    return
            time.sleep(PAUSE_S)  # the gateway ends each connection after some time
        except Away as gone:
            patience.wait(gone)


def report(remote: Remote, batch_id: str, away: Callable[[], None]) -> dict[str, Any]:
    """Return the report of a batch; wait if the gateway does not answer. Raises the same exceptions as `follow`."""
    patience = Patience(away)
    while True:
        try:
            found: dict[str, Any] = remote.get(f"batches/{part(batch_id)}")
            return found
        except Away as gone:
            patience.wait(gone)


class Patience:
    """Waits for a gateway that does not answer, for `PATIENCE_S` seconds in all."""

    def __init__(self, away: Callable[[], None]) -> None:
        self._away = away
        self._ends: float | None = None

    def renew(self) -> None:
        """Start the `PATIENCE_S` seconds again at the next wait. Call this method after the gateway has answered."""
        self._ends = None

    def wait(self, gone: Away) -> None:
        """Call `away` and sleep for `PAUSE_S`. After `PATIENCE_S` seconds without an answer, raise `gone` instead."""
        self._ends = self._ends or time.monotonic() + PATIENCE_S
        if time.monotonic() > self._ends:
            raise gone
        self._away()
        time.sleep(PAUSE_S)


@contextmanager
def progress_display(wait: bool, quiet: bool) -> Iterator[ProgressDisplay]:
    """Yield a display of progress: bars in a terminal, else lines of text, or no display with `quiet`."""
    console = Console(stderr=True)
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            yield BarDisplay(progress, wait)
    elif quiet:
        yield NoDisplay()
    else:
        yield (lines := LineDisplay())
        lines.say()


class BarDisplay:
    """Shows a bar for the started rows and, with `wait`, a bar for each status of their cases."""

    def __init__(self, progress: Progress, wait: bool) -> None:
        self._progress = progress
        self._wait = wait
        self._rows = progress.add_task("looking", total=None)
        self._cases: dict[str, TaskID] = {}

    def counts(self, counts: Counts) -> None:
        rows, statuses = counts["rows"], counts["cases"]
        said = "rows started" if counts["status"] == "running" else f"rows started ({state(counts['status'])})"
        self._progress.update(self._rows, description=said, total=rows["valid"], completed=_handled(rows))
        if not self._wait:
            return
        for status in statuses.keys() - self._cases.keys():
            self._cases[status] = self._progress.add_task(clean(state(status)))
        for status, bar in self._cases.items():
            self._progress.update(bar, total=sum(statuses.values()), completed=statuses.get(status, 0))

    def away(self) -> None:
        self._progress.update(self._rows, description="the gateway does not answer; trying again")


class LineDisplay:
    """Prints a line without control codes, for logs, when the progress has changed, at most every `LINE_S` seconds."""

    def __init__(self) -> None:
        self._known = ""
        self._said = ""
        self._next = 0.0

    def counts(self, counts: Counts) -> None:
        rows = counts["rows"]
        statuses = ", ".join(f"{number:,} {state(status)}" for status, number in sorted(counts["cases"].items()))
        started = f"{rows['started']:,} of {rows['valid']:,} rows started, {rows['failed']:,} failed"
        self._known = f"{state(counts['status'])}: {started}{'; cases: ' + statuses if statuses else ''}"
        if time.monotonic() >= self._next:
            self.say()

    def away(self) -> None:
        self._known, self._next = "the gateway does not answer; trying again", 0.0
        self.say()

    def say(self) -> None:
        """Print the line of the latest progress, unless this line is already printed."""
        if self._known != self._said:
            sys.stderr.write(clean(self._known) + "\n")
            sys.stderr.flush()
            self._said, self._next = self._known, time.monotonic() + LINE_S


class NoDisplay:
    """Shows nothing, for commands whose output programs read."""

    def counts(self, counts: Counts) -> None: ...

    def away(self) -> None: ...


def _handled(rows: Mapping[str, int]) -> int:
    return rows["started"] + rows["failed"]

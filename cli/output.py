"""Answers of the gateway as text in a terminal."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain.moments import moment_of, moment_text

if TYPE_CHECKING:
    from ops.replay.explain import Report


def say(text: str) -> None:
    """Print one or more lines on stdout."""
    sys.stdout.write(clean(text) + "\n")


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], more: str | None = None) -> None:
    """Print a table; `more` is the cursor of the next page. Outside a terminal a row is one line."""
    if not rows:
        say("nothing here")
        return
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # an id that is cut off cannot be copied
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    if more:
        say("there are more; narrow the search or raise --limit")


def clean(text: str) -> str:
    """Return text of other people without control characters, except line breaks."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def when(instant: str | None, *, seconds: bool = False) -> str:
    """Return an RFC 3339 time in the time zone of this machine; empty for None."""
    if not instant:
        return ""
    return moment_text(moment_of(instant), None, seconds=seconds)


def batch(report: dict[str, Any]) -> None:
    """Print the report of an upload, or of a dry run."""
    rows = report["rows"]
    name = f"batch {report['batch_id']}, {report['status']}" if report["batch_id"] else "dry run, nothing was started"
    say(f"{report['filename']}: {name}")
    say(", ".join(f"{rows[key]} {key}" for key in ("total", "valid", "started", "duplicate", "invalid", "failed")))
    if report["same_file_as"]:
        say(f"the same file was batch {report['same_file_as']}")
    for note in report["notes"]:
        say(note)
    if report["skipped"]:
        say(f"left out as no rows: {report['skipped']:,}")
    if report["ignored_columns"]:
        say(f"ignored columns: {', '.join(report['ignored_columns'])}")
    mistakes = [
        (str(row["line"]), row["reference"], mistake["column"], mistake["message"])
        for row in report["errors"]
        for mistake in row["errors"]
    ]
    if mistakes:
        table_of(("Line", "Reference", "Column", "Mistake"), mistakes)
    known = [(str(row["line"]), row["case_id"], row["says"]) for row in report["duplicates"]]
    if known:
        table_of(("Line", "Exists as", "What it is"), known)
    if report["resubmittable"]:
        say(f"rows that can be submitted again as the next round, with --resubmit: {report['resubmittable']:,}")
    if report["forecast"]:
        for sentence in report["forecast"]["summary"]:
            say(sentence)
    if report["batch_id"]:
        _sums(report)


def _sums(report: dict[str, Any]) -> None:
    """Print rows by outcome, cases by status, and how to get the invalid rows."""
    counted = [
        *(("rows", outcome, f"{number:,}") for outcome, number in report["rows"].items() if number),
        *(("cases", status, f"{number:,}") for status, number in sorted(report["cases"].items())),
    ]
    table_of(("Of", "What became of them", "How many"), counted)
    if report["rows"]["invalid"] or report["rows"]["failed"]:
        say(f"the invalid rows, to correct and submit again: ./holdgate batch {report['batch_id']} --bad-rows FILE")


def case(found: dict[str, Any], page: str) -> None:
    """Print one case with its tasks, its timeline, and the addresses of its page and its Workflow."""
    say(f"{found['case_id']}: {found['title']}")
    stale = " (as last recorded: its Workflow does not answer)" if found["stale"] else ""
    say(f"{found['status']}{stale}, asked by {found['requester']} at {when(found['created_at'])}")
    if found["result"]:
        say(found["result"]["reason"])
    say(page)
    say(found["temporal_url"])
    if found["tasks"]:
        tasks(found["tasks"])
    table_of(("At", "Who", "What happened"), [_event(found, event) for event in found["timeline"]])
    if left_out := found.get("timeline_left_out"):
        say(f"{left_out} older refusals, comments and claims are not shown: see {page}/history")
    if found["rollback_plan"]:
        table_of(("A rejection would undo", "by"), [(undo["step"], undo["summary"]) for undo in found["rollback_plan"]])
    if found["if_rolled_back"]:
        rows = [(undo["step"], undo["summary"]) for undo in found["if_rolled_back"]]
        table_of(("Rolling it back would undo", "by"), rows)


def _event(case: dict[str, Any], event: dict[str, Any]) -> tuple[str, str, str]:
    """A line of the timeline of a case."""
    from api.pages.event_words import sentence  # heavy: only this command needs it

    told = sentence(
        event["kind"],
        event["actor"],
        event["data"],
        process=case["process"],
        input=case["input"],
        summary=event["summary"],
    )
    return when(event["at"], seconds=True), event["actor"], told


def tasks(items: Sequence[dict[str, Any]], more: str | None = None) -> None:
    """Print a list of tasks."""
    table_of(
        ("Task", "What", "Gate", "Who may decide", "Approvals", "Due", "State"),
        [
            (
                task["task_id"],
                task["title"],
                task["gate"],
                ", ".join([*task["candidate_groups"], *task["candidate_users"]]),
                f"{task['quorum']['given']} of {task['quorum']['needed']}",
                when(task["due_at"]),
                task["outcome"] or task["status"],
            )
            for task in items
        ],
        more,
    )


def task(found: dict[str, Any]) -> None:
    """Print one task: the question, whether the reader can decide, and what an approval and a rejection do."""
    tasks([found])
    say(found["summary"])
    can = found["can_decide"]
    say(f"you can decide it: {can['why']}" if can["allowed"] else f"you cannot decide it: {can['why']}")
    if_approved(found)
    if found["rollback_plan"] and found["gate"] != "rollback":
        table_of(("A rejection would undo", "by"), [(undo["step"], undo["summary"]) for undo in found["rollback_plan"]])


def if_approved(task: dict[str, Any]) -> None:
    """Print what happens when a task is approved, in order."""
    told = [f"{each['text']}{'' if each['certain'] else ' (perhaps)'}" for each in task["if_approved"]]
    if told:
        table_of(("", f"If {task['gate']} is approved"), [(str(place), text) for place, text in enumerate(told, 1)])


def replayed(found: "Report", what: str) -> None:
    """Print the cases that cannot go on with this code and why; differences that are alike come last, counted."""
    for each in found.differences:
        say(f"{each.case_id}: {each.words}")
    for way, count in found.alike:
        say(f"{count:,} cases differ in the same way: {way}")
    closed = f"; {found.closed_meanwhile:,} closed in the meantime" if found.closed_meanwhile else ""
    one = what.removesuffix("s")
    if found.differences:
        say(f"{len(found.differences):,} of {found.checked:,} {what} cannot go on with this code{closed}")
    elif found.checked == 1:
        say(f"1 {one} goes on with this code{closed}")
    else:
        say(f"{found.checked:,} {what} go on with this code{closed}" if found.checked else f"no {what}{closed}")


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show a line on stderr with the number done and the total, until the block ends."""
    with Console(stderr=True).status(doing) as status:
        yield lambda done, total: status.update(f"{doing}: {done:,} of {max(done, total):,}")


def incidents(groups: Sequence[dict[str, Any]]) -> None:
    """Print incidents in groups."""
    table_of(
        ("Group", "How many", "Process", "Step", "Why", "Since"),
        [
            (
                group["group"],
                str(group["count"]),
                group["process"],
                group["step"],
                group["cause"],
                when(group["oldest_at"]),
            )
            for group in groups
        ],
    )


def shifts(answer: dict[str, Any]) -> None:
    """Print what another policy changes on open gates."""
    say(f"{len(answer['items'])} of {answer['looked_at']} open gates would change")
    if answer["items"]:
        rows = [(item["case_id"], item["gate"], item["difference"]) for item in answer["items"]]
        table_of(("Case", "Gate", "What would change"), rows)


def decision(answer: dict[str, Any]) -> None:
    """Print the result of a decision."""
    if answer["status"] == "pending":
        say(f"stored as {answer['decision_id']}: the case does not answer now; it is applied or refused when it does")
        return
    task = answer["task"]
    votes = f"{task['quorum']['given']} of {task['quorum']['needed']} approvals"
    say(f"accepted: {task['gate']} is {task['outcome'] or f'open with {votes}'}; the case is {answer['case_status']}")

"""Print answers of the gateway as text in a terminal."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from domain import state_words
from domain.moments import moment_of, moment_text

if TYPE_CHECKING:
    from ops.replay.explain import Report


def say(text: str) -> None:
    """Print one or more lines on stdout."""
    sys.stdout.write(clean(text) + "\n")


def state(value: str) -> str:
    """Return the words for a status of a case or batch, in small letters: `waiting for approval`."""
    return state_words.state(value).lower()


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], more: str | None = None) -> None:
    """Print a table. If stdout is not a terminal, the table is up to 180 characters wide.

    `more` is the cursor of the next page of the list; unless it is None, a line says that there are more rows.
    """
    if not rows:
        say("no entries")
        return
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"  # an id that is cut off cannot be copied
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    if more:
        say("there are more rows; narrow the search or raise --limit")


def clean(text: str) -> str:
    """Return text from other people with U+FFFD in place of each control character except line breaks."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def when(instant: str | None, *, seconds: bool = False) -> str:
    """Return an RFC 3339 time as text in the time zone of this machine; empty for None."""
    if not instant:
        return ""
    return moment_text(moment_of(instant), None, seconds=seconds)


def batch(report: dict[str, Any]) -> None:
    """Print the report of an upload, or of a dry run."""
    rows = report["rows"]
    name = (
        f"batch {report['batch_id']}, {state(report['status'])}"
        if report["batch_id"]
        else "dry run, no case was started"
    )
    say(f"{report['filename']}: {name}")
    say(", ".join(f"{rows[key]} {key}" for key in ("total", "valid", "started", "duplicate", "invalid", "failed")))
    if report["same_file_as"]:
        say(f"same file as batch {report['same_file_as']}")
    for note in report["notes"]:
        say(note)
    if report["skipped"]:
        say(f"skipped lines: {report['skipped']:,}")
    if report["ignored_columns"]:
        say(f"ignored columns: {', '.join(report['ignored_columns'])}")
    mistakes = [
        (str(row["line"]), row["reference"], mistake["column"], mistake["message"])
        for row in report["errors"]
        for mistake in row["errors"]
    ]
    if mistakes:
        table_of(("Line", "Reference", "Column", "Error"), mistakes)
    known = [(str(row["line"]), row["case_id"], row["says"]) for row in report["duplicates"]]
    if known:
        table_of(("Line", "Existing case", "Comparison"), known)
    if report["resubmittable"]:
        say(f"rows to submit again as the next round with --resubmit: {report['resubmittable']:,}")
    if report["forecast"]:
        for sentence in report["forecast"]["summary"]:
            say(sentence)
    if report["batch_id"]:
        _sums(report)


def _sums(report: dict[str, Any]) -> None:
    """Print the number of rows by outcome and of cases by status, and the command that downloads the invalid rows."""
    counted = [
        *(("rows", outcome, f"{number:,}") for outcome, number in report["rows"].items() if number),
        *(("cases", state(status), f"{number:,}") for status, number in sorted(report["cases"].items())),
    ]
    table_of(("Of", "Result", "Number"), counted)
    if report["rows"]["invalid"] or report["rows"]["failed"]:
        say(f"the invalid rows, to correct and submit again: ./holdgate batch {report['batch_id']} --bad-rows FILE")


def case(found: dict[str, Any], page: str) -> None:
    """Print one case with its tasks, its timeline, and the addresses of its page and its Workflow."""
    say(f"{found['case_id']}: {found['title']}")
    stale = " (last stored state: the Workflow does not respond)" if found["stale"] else ""
    say(f"{state(found['status'])}{stale}, requested by {found['requester']} at {when(found['created_at'])}")
    if found["result"]:
        say(found["result"]["reason"])
    say(page)
    say(found["temporal_url"])
    if found["tasks"]:
        tasks(found["tasks"])
    table_of(("Time", "Actor", "Event"), [_event(found, event) for event in found["timeline"]])
    if left_out := found.get("timeline_left_out"):
        say(f"{left_out} older entries (refusals, comments and claims) are not shown: see {page}/history")
    if found["rollback_plan"]:
        table_of(
            ("Step", "If rejected, rolled back by"),
            [(undo["step"], undo["summary"]) for undo in found["rollback_plan"]],
        )
    if found["if_rolled_back"]:
        rows = [(undo["step"], undo["summary"]) for undo in found["if_rolled_back"]]
        table_of(("Step", "If rolled back, undone by"), rows)


def _event(case: dict[str, Any], event: dict[str, Any]) -> tuple[str, str, str]:
    """Return one event of a case as a line of its timeline: three cells of the table."""
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
        ("Task", "Request", "Gate", "Can decide", "Approvals", "Due", "State"),
        [
            (
                task["task_id"],
                task["title"],
                task["gate"],
                ", ".join([*task["candidate_groups"], *task["candidate_users"]]),
                f"{task['quorum']['given']} of {task['quorum']['needed']}",
                when(task["due_at"]),
                state(task["outcome"] or task["status"]),
            )
            for task in items
        ],
        more,
    )


def task(found: dict[str, Any]) -> None:
    """Print one task: its question, whether the caller can decide it, and what an approval and a rejection would do."""
    tasks([found])
    say(found["summary"])
    can = found["can_decide"]
    say(f"you can decide this task: {can['why']}" if can["allowed"] else f"you cannot decide this task: {can['why']}")
    if_approved(found)
    if found["rollback_plan"] and found["gate"] != "rollback":
        table_of(
            ("Step", "If rejected, rolled back by"),
            [(undo["step"], undo["summary"]) for undo in found["rollback_plan"]],
        )


def if_approved(task: dict[str, Any]) -> None:
    """Print what happens when a task is approved, in order."""
    told = [f"{each['text']}{'' if each['certain'] else ' (may be skipped)'}" for each in task["if_approved"]]
    if told:
        table_of(("", f"If {task['gate']} is approved"), [(str(place), text) for place, text in enumerate(told, 1)])


def replayed(found: "Report", what: str) -> None:
    """Print the cases that cannot continue with this code, and why; then how many cases differ in the same way."""
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
    """Yield a function that shows the number done and the total in a line on stderr. The line ends with the block."""
    with Console(stderr=True).status(doing) as status:
        yield lambda done, total: status.update(f"{doing}: {done:,} of {max(done, total):,}")


def incidents(groups: Sequence[dict[str, Any]]) -> None:
    """Print the groups of incidents, with the number of incidents in each."""
    table_of(
        ("Group", "Number", "Process", "Step", "Cause", "Since"),
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
    """Print what applying the policy in force changes on each open gate."""
    say(f"{len(answer['items'])} of {answer['looked_at']} open gates would change")
    if answer["items"]:
        rows = [(item["case_id"], item["gate"], item["difference"]) for item in answer["items"]]
        table_of(("Case", "Gate", "Change"), rows)


def decision(answer: dict[str, Any]) -> None:
    """Print whether a decision was accepted, and the state of its task and case."""
    if answer["status"] == "pending":
        say(f"stored as {answer['decision_id']}: no answer yet; Holdgate applies or refuses the decision later")
        return
    task = answer["task"]
    votes = f"{task['quorum']['given']} of {task['quorum']['needed']} approvals"
    now = state(task["outcome"]) if task["outcome"] else f"open with {votes}"
    say(f"accepted: {task['gate']} is {now}; the case is {state(answer['case_status'])}")


def revealed(answer: dict[str, Any]) -> None:
    """Print the whole value of a masked field, and nothing else, so that a program can read it."""
    value = answer["value"]
    if value in (None, "", [], {}):
        say(f"{answer['field']} is empty")
    else:
        say(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))

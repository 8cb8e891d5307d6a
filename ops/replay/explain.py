"""The report of a replay: which cases cannot continue with this code, at which event, and why.

The SDK says in one message what it found in the history and what the code did. The message often names an activity and
no event, and calls a gate by the id of its local activity (`workflows/engine/journal.py`); this module finds the event.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.workflow import NondeterminismError

from domain.moments import moment_text

UNDECODED = "Failed decoding arguments"
"""The message of the SDK for an input that does not fit its model. The cause of this error says why."""
RESULT = re.compile(r"validation errors? for (?!\w+Input\b)")
"""A message about a model that is not the input of a Workflow. The SDK reads the results of local steps before it
compares the order of the steps."""

Kind = Literal["order", "does_not_fit", "fails", "unknown_process", "unreadable"]


@dataclass(frozen=True)
class ReplayDifference:
    """The reason why one case cannot continue with this code."""

    case_id: str
    process: str
    kind: Kind
    words: str
    alike: str
    """The reason without details of this case, so that equal differences of several cases can be counted."""
    event: int | None = None
    at: datetime | None = None
    message: str | None = None
    """The unchanged message of the SDK."""


@dataclass
class Report:
    """The result of a replay of many cases."""

    checked: int = 0
    closed_meanwhile: int = 0
    differences: list[ReplayDifference] = field(default_factory=list)

    @property
    def alike(self) -> list[tuple[str, int]]:
        """Return the differences that several cases have, each with the number of cases, the most frequent first."""
        ways = Counter(f"{each.process}: {each.alike}" for each in self.differences)
        return [(way, count) for way, count in ways.most_common() if count > 1]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "alike": [{"cases": count, "differ": way} for way, count in self.alike]}


def unknown_process(case_id: str, process: str) -> ReplayDifference:
    """Return the difference of a case whose process this code does not have."""
    words = f"its process '{process}' does not exist in this code"
    return ReplayDifference(case_id, process, "unknown_process", words, "does not exist in this code")


def unreadable(case_id: str, process: str, why: str) -> ReplayDifference:
    """Return the difference of a case whose history cannot be decrypted."""
    return ReplayDifference(case_id, process, "unreadable", f"its history cannot be read: {why}", "cannot be read")


def dropped_signal(history: WorkflowHistory, name: str, reason: str) -> ReplayDifference:
    """Return the difference of a case that has a signal that this code cannot read."""
    events = [each for each in history.events if each.workflow_execution_signaled_event_attributes.signal_name == name]
    words = f"signal {name} {_misfit(reason)}"
    return _difference(history, "does_not_fit", words, words, events[-1] if events else None)


async def difference_of(history: WorkflowHistory, failure: Exception, converter: DataConverter) -> ReplayDifference:
    """Return why the Replayer could not replay a history."""
    messages = [
        re.sub(r"\\(.)", _unescaped, each) for each in re.findall(r'message: "((?:[^"\\]|\\.)*)"', str(failure))
    ]
    message = messages[0] if messages else str(failure)
    if not isinstance(failure, NondeterminismError):
        if message == UNDECODED and len(messages) > 1:
            if RESULT.search(messages[1]):
                words = f"the result of a local step {_misfit(messages[1])}. This code runs other local steps"
                return _difference(history, "order", words, words, None, message)
            words = f"its input {_misfit(messages[1])}"
            return _difference(history, "does_not_fit", words, words, history.events[0], message)
        kinds = re.findall(r'r#type: "(\w+)"', str(failure))
        words = f"this code fails: {kinds[-1]}: {message}" if kinds else f"this code fails: {message}"
        return _difference(history, "fails", words + _line_of(failure), words, None, message)
    event, held, code = _sides(history, message)
    if held is None:
        return _difference(history, "order", f"this code does something else: {message}", message, event, message)
    told = held if event is None else held + await _summary(event, converter)
    words = f"the history goes on with {told}, and this code with {code}"
    return _difference(history, "order", words, f"{held} in the history, {code} in this code", event, message)


def _difference(
    history: WorkflowHistory,
    kind: Kind,
    words: str,
    alike: str,
    event: HistoryEvent | None,
    message: str | None = None,
) -> ReplayDifference:
    at = event.event_time.ToDatetime(UTC) if event else None
    return ReplayDifference(
        case_id=history.workflow_id,
        process=history.events[0].workflow_execution_started_event_attributes.workflow_type.name,
        kind=kind,
        words=f"at event {event.event_id} ({moment_text(at)}) {words}" if event and at else words,
        alike=alike,
        event=event.event_id if event else None,
        at=at,
        message=message,
    )


def _sides(history: WorkflowHistory, message: str) -> tuple[HistoryEvent | None, str | None, str]:
    """Return the event that a message of the SDK is about, its words, and the words for what the code did instead."""
    if match := re.search(r"HistoryEvent\(id: (\d+)", message):
        machine = re.search(r"(\w+?)(?: |Machine)?machine does not handle", message, re.IGNORECASE)
        event = next((each for each in history.events if each.event_id == int(match[1])), None)
        code = f"something else ({machine[1].lower()})" if machine else "something else"
        return event, _words(event) if event else None, code
    if match := re.search(r"Missing associated machine for LocalActivity\((\d+)\)", message):
        event = next((each for each in history.events if _local(each).get("seq") == int(match[1])), None)
        return event, _words(event) if event else None, "something else"
    if match := re.search(r"'(.+?)' does not match .*'(.+?)'", message):
        step = "step " if "scheduled event" in message else ""
        held, code = (step + each for each in match.groups())
        events = [each for each in history.events if _words(each) == held]
        return events[0] if len(events) == 1 else None, held, code
    return None, None, "something else"


def _words(event: HistoryEvent) -> str:
    """Return in words what a Workflow did at an event, such as `step reserve_funds`."""
    if event.HasField("activity_task_scheduled_event_attributes"):
        return f"step {event.activity_task_scheduled_event_attributes.activity_type.name}"
    if name := _local(event).get("activity_id"):
        return str(name)
    return EventType.Name(event.event_type).removeprefix("EVENT_TYPE_").replace("_", " ").lower()


def _local(event: HistoryEvent) -> dict[str, Any]:
    """Return the data of a local activity from its marker event; an empty dict for any other event."""
    marker = event.marker_recorded_event_attributes
    if marker.marker_name != "core_local_activity":
        return {}
    found: dict[str, Any] = json.loads(marker.details["data"].payloads[0].data)
    return found


async def _summary(event: HistoryEvent, converter: DataConverter) -> str:
    """Return, in brackets, the summary of an event, which the Temporal Web UI shows; empty without a summary."""
    if not event.user_metadata.HasField("summary") or not event.HasField("activity_task_scheduled_event_attributes"):
        return ""
    try:
        (summary,) = await converter.decode([event.user_metadata.summary])
    except (RuntimeError, ValueError):
        return ""
    return f' ("{summary}")'


def _line_of(failure: Exception) -> str:
    """Return, in brackets, the file and line at which the code raised an error; empty if they are not known."""
    lines = re.findall(r'File \\"(.+?)\\", line (\d+)', str(failure))
    return f" ({Path(lines[-1][0]).name}, line {lines[-1][1]})" if lines else ""


def _misfit(text: str) -> str:
    """Return the errors of Pydantic without the wrong values, because these may be personal data."""
    model = re.search(r"validation errors? for (.+)", text)
    wrong = list(_errors(text))
    if not model or not wrong:
        return f"does not fit: {text.splitlines()[0] if text else 'no reason was given'}"
    return f"does not fit {model[1]}: " + "; ".join(wrong)


def _errors(text: str) -> Iterator[str]:
    for place, what in re.findall(r"^(\S.*)\n  (.+?) \[type=", text, re.MULTILINE):
        yield f"{place}: {what}"


def _unescaped(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match[1], match[1])

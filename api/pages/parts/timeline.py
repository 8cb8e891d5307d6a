"""Make the history of a case for people: each event as a sentence, with its person and the person's client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.http.schemas import TimelineItem
from api.pages.event_words import sentence
from api.pages.parts.formatting import step_words
from api.pages.parts.translation import _, ngettext
from domain.event_kinds import EventKind
from domain.task import TaskView

_REPEATED = frozenset({EventKind.INTERVENTION_BY_DEFAULT})
"""The kinds of event that the history leaves out, because the next event says the same."""


@dataclass(frozen=True)
class TimelineLine:
    """One line of a timeline."""

    seq: int
    at: datetime
    kind: str
    sentence: str
    who: str
    """The actor of the event, if the sentence does not name the actor; empty for Holdgate itself."""
    via: str
    """The client with which the person acted, such as the command line, in words; empty if it is not worth showing."""
    technical: Mapping[str, Any]
    """The data of the event, for people who may read the whole audit log."""


def timeline(process: str, input: Mapping[str, Any], events: Sequence[TimelineItem]) -> list[TimelineLine]:
    """Return the events of a case of this process as lines, oldest first.

    `input` is the input of the case, with secret values masked.
    """
    questions = {
        each.data.get("question"): each.data.get("text")
        for each in events
        if each.kind == EventKind.QUESTION_ASKED and each.data
    }
    return [_line(process, input, _with_question(each, questions)) for each in events if each.kind not in _REPEATED]


def step_named(task: TaskView) -> str:
    """Return the name of the step of a task for people, such as of an approval step."""
    return _("Changes") if task.kind == "changes" else step_words(task.gate)


def size(bytes: int) -> str:
    """Return the size of a file in words: `340 bytes`, `12 KB`, `3.4 MB`."""
    if bytes < 1000:
        return ngettext("%(num)s byte", "%(num)s bytes", bytes)
    return f"{bytes / 1000:,.0f} KB" if bytes < 1_000_000 else f"{bytes / 1_000_000:,.1f} MB"


def _with_question(event: TimelineItem, questions: Mapping[Any, Any]) -> TimelineItem:
    """Return an event about a withdrawn question with the text of the question, which only an earlier event has."""
    if event.kind != EventKind.QUESTION_WITHDRAWN or not event.data:
        return event
    text = questions.get(event.data.get("question"))
    return event.model_copy(update={"data": {**event.data, "text": text}}) if text else event


def _line(process: str, input: Mapping[str, Any], event: TimelineItem) -> TimelineLine:
    data = event.data or {}
    told = sentence(event.kind, event.actor, event.data, process=process, input=input, summary=event.summary)
    named = event.actor == "holdgate" or told.startswith(event.actor)
    return TimelineLine(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        sentence=told,
        who="" if named else _("somebody in Temporal") if event.actor == "temporal" else event.actor,
        via=_via(str(data.get("via", ""))),
        technical={"event": event.kind, "number": event.seq, "actor": event.actor, **data},
    )


def _via(way: str) -> str:
    return {
        "page": _("on these pages"),
        "api": _("by a program"),
        "bulk": _("with several at once"),
        "temporal": _("in Temporal"),
    }.get(way, way)

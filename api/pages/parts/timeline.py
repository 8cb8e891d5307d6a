"""The timeline in sentences for people: what happened, who did it and by which way.

The record keeps the sentences it was written with, and what an event is identified by hangs on them; so they stay as
they are, and those with words of engineers are said anew here. What is not known here is shown as it was recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.http.schemas import TimelineItem
from api.pages.parts.formatting import capital, readable, state_words, step_words
from api.pages.parts.reasons import reason
from api.pages.parts.translation import _, ngettext
from domain.task import TaskView
from domain.wording import Words
from workflows.registry import PROCESSES


@dataclass(frozen=True)
class Said:
    """One line of a timeline."""

    seq: int
    at: datetime
    kind: str
    sentence: str
    who: str
    """Who did it, where the sentence does not say so; empty for Holdgate itself."""
    via: str
    """The way it came, in words; empty where that says nothing."""
    technical: Mapping[str, Any]
    """For those who work with the record itself."""


@dataclass(frozen=True)
class _Told:
    """One event with what its sentence may need."""

    event: TimelineItem
    data: Mapping[str, Any]
    words: Words | None
    input: Mapping[str, Any]


def timeline(process: str, input: Mapping[str, Any], events: Sequence[TimelineItem]) -> list[Said]:
    """What happened to a case of this process and input, as it may be shown, oldest first."""
    known = PROCESSES.get(process)
    words = known.words if known else None
    told = (_Told(event, event.data or {}, words, input) for event in events)
    return [_said(each) for each in told if each.event.kind not in _SAID_ALREADY]


def verdict_words(verdict: str) -> str:
    """An answer that was given, in a word or two."""
    return {
        "approve": _("approved"),
        "reject": _("rejected"),
        "request_changes": _("asked for changes"),
        "abstain": _("abstained"),
        "resubmit": _("sent in again"),
        "retry": _("try again"),
        "skip": _("leave the step out"),
        "done_by_hand": _("done by hand"),
        "roll_back": _("undo all of it"),
    }.get(str(verdict), readable(verdict))


def step_named(task: TaskView) -> str:
    """What an approval step is called."""
    return _("Changes") if task.kind == "changes" else step_words(task.gate)


def size(bytes: int) -> str:
    """Of a file: `340 bytes`, `12 KB`, `3.4 MB`."""
    if bytes < 1000:
        return ngettext("%(num)s byte", "%(num)s bytes", bytes)
    return f"{bytes / 1000:,.0f} KB" if bytes < 1_000_000 else f"{bytes / 1_000_000:,.1f} MB"


def why_ended(reason: str) -> str:
    """Why a case ended, without the condition of a rule, which says nothing to people."""
    return f"{reason.partition(': ')[0]}." if reason.startswith("Rejected by rule") else reason


def _said(it: _Told) -> Said:
    event = it.event
    if event.data is None:
        sentence = _("What stood here was erased at a person's request.")
    else:
        say = _SENTENCES.get(event.kind)
        sentence = (say(it) if say else None) or event.summary.strip()
    named = event.actor == "holdgate" or sentence.startswith(event.actor)
    return Said(
        seq=event.seq,
        at=event.at,
        kind=event.kind,
        sentence=sentence,
        who="" if named else _("somebody in Temporal") if event.actor == "temporal" else event.actor,
        via=_via(str(it.data.get("via", ""))),
        technical={"event": event.kind, "number": event.seq, "actor": event.actor, **it.data},
    )


def _via(way: str) -> str:
    return {
        "page": _("on these pages"),
        "api": _("by a program"),
        "bulk": _("with several at once"),
        "temporal": _("in Temporal"),
    }.get(way, way)


_SAID_ALREADY = frozenset({"intervention_by_default"})
"""What the event behind it says for people, too."""

_RULES = {
    "candidate groups": "groups that are asked",
    "candidate users": "people who are asked",
    "excluded users": "people who must not decide",
    "due at": "due",
    "expires at": "ends",
    "veto": 'one "no" ends it',
    "rule": "why it is asked",
    "approvals needed": "approvals needed",
}
"""What may change of the rules of an approval step, as the record calls it, and for people."""


def _step(it: _Told) -> str:
    return capital(readable(str(it.data.get("gate", ""))))


def _decided(it: _Told) -> str:
    who = it.event.actor
    if behalf := it.data.get("on_behalf_of"):
        who = _("%(who)s, for %(other)s,", who=it.event.actor, other=behalf)
    told = {
        "approve": _("%(who)s approved", who=who),
        "reject": _("%(who)s rejected it", who=who),
        "request_changes": _("%(who)s asked for changes", who=who),
        "abstain": _("%(who)s abstained", who=who),
        "resubmit": _("%(who)s sent it in again", who=who),
        "retry": _("%(who)s chose to try again", who=who),
        "skip": _("%(who)s chose to leave the step out", who=who),
        "done_by_hand": _("%(who)s did the step by hand", who=who),
        "roll_back": _("%(who)s chose to undo all of it", who=who),
    }.get(str(it.data.get("verdict")), it.event.summary)
    changes = it.data.get("changes") or []
    if fields := [_field(str(each.get("field")), it) for each in changes if isinstance(each, dict)]:
        told = _("%(told)s, with changes in: %(fields)s", told=told, fields=", ".join(fields))
    return _with_comment(told, str(it.data.get("comment") or ""))


def _with_comment(told: str, comment: str) -> str:
    return _("%(told)s: “%(comment)s”", told=told, comment=comment) if comment.strip() else told


def _field(name: str, it: _Told) -> str:
    return it.words.labels.get(name, readable(name)) if it.words else readable(name)


def _not_needed(it: _Told) -> str:
    why = reason(str(it.data.get("rule", "")), it.data.get("names") or {}, False, it.words, it.input)
    if why:
        return _("%(step)s: no approval needed (%(why)s)", step=_step(it), why=why)
    return _("%(step)s: no approval needed", step=_step(it))


def _by_rule(it: _Told) -> str:
    why = reason(str(it.data.get("rule", "")), it.data.get("names") or {}, True, it.words, it.input)
    said = _("rejected by rule") if ": rejected by rule" in it.event.summary else _("approved by rule")
    told = _("%(step)s: %(said)s", step=_step(it), said=said)
    return f"{told} ({why})" if why else told


def _opened(it: _Told) -> str | None:
    if it.data.get("problem"):
        who = it.event.summary.partition(" waits for ")[2].partition(", because ")[0]
        return _(
            "%(step)s waits for %(who)s: a rule of the policy could not be worked out, so people are asked",
            step=_step(it),
            who=who,
        )
    return None


def _stuck(it: _Told) -> str:
    if it.data.get("why"):  # a case that stopped as a whole, not a step of it: all of the sentence is for people
        return it.event.summary
    answers = it.event.summary.partition(": ")[2]
    return (
        _("Stuck, an operator is asked: %(answers)s", answers=answers) if answers else _("Stuck, an operator is asked")
    )


def _closed(it: _Told) -> str:
    outcome = str(it.data.get("outcome", ""))
    step = _("What to do about the failure") if it.data.get("gate") == "intervention" else _step(it)
    told = {
        "retry": _("try again"),
        "skip": _("leave the step out"),
        "done_by_hand": _("done by hand"),
        "roll_back": _("undo all of it"),
        "resubmitted": _("sent in again"),
        "cancelled": _("nobody needs to decide it any more"),
    }.get(outcome) or _lower(state_words(outcome))
    return _("%(step)s: %(said)s", step=step, said=told)


def _refused(it: _Told) -> str:
    told = it.event.summary.partition(": ")[2]
    if it.event.actor == "temporal":
        if who := it.data.get("claimed"):
            return _("A message in the name of %(who)s was refused. %(told)s", who=who, told=told)
        return _("A message was refused. %(told)s", told=told)
    return _("%(who)s could not do this. %(told)s", who=it.event.actor, told=told)


def _rules(it: _Told) -> str:
    changed = []
    for each in it.data.get("changed") or []:
        name, colon, told = str(each).partition(": ")
        if name == "rule":
            changed.append(_RULES[name])  # an expression, which says nothing to people
        else:
            changed.append(f"{_RULES.get(name, name)}{colon}{told}")
    if not changed:
        return _("It follows other rules from now on; nothing changed for it")
    return _("It follows other rules from now on. Changed: %(what)s", what="; ".join(changed))


def _undoing(it: _Told) -> str:
    return it.event.summary.replace("Rolling back. ", _("What was done is undone now. "), 1)


def _end(it: _Told) -> str:
    if why := why_ended(str(it.data.get("reason") or "")):
        return _("It ended. %(why)s", why=why)
    return _("It ended: %(state)s.", state=_lower(state_words(str(it.data.get("status", "")))))


def _round(it: _Told) -> str | None:
    fields = [_field(str(each.get("field")), it) for each in it.data.get("changes") or [] if isinstance(each, dict)]
    changed = ", ".join(fields) or _("nothing")
    return _("Round %(round)s begins. Changed: %(fields)s", round=it.data.get("round"), fields=changed)


def _child(it: _Told) -> str:
    what, _colon, told = it.event.summary.partition(": ")
    why = why_ended(told.partition(". ")[2])
    state = _lower(state_words(str(it.data.get("status", ""))))
    return f"{what}: {state}. {why}" if why else f"{what}: {state}"


def _short(it: _Told) -> str:
    return it.event.summary.replace("candidates", _("people who are asked"))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


_Sentence = Callable[[_Told], str | None]
_SENTENCES: dict[str, _Sentence] = {
    "decided": _decided,
    "gate_skipped": _not_needed,
    "gate_decided_by_rule": _by_rule,
    "gate_opened": _opened,
    "gate_closed": _closed,
    "gate_short": _short,
    "intervention_opened": _stuck,
    "decision_refused": _refused,
    "action_refused": _refused,
    "message_refused": _refused,
    "rules_changed": _rules,
    "rollback_started": _undoing,
    "case_closed": _end,
    "round_started": _round,
    "gate_escalated": _short,
    "child_ended": _child,
}

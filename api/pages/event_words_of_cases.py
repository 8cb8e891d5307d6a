"""The wording of the events of a case and of an upload: one function for each kind makes a sentence from the data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.pages.parts.formatting import capital, readable, signature_words, span, state_words, time_text, verdict_words
from api.pages.parts.reasons import reason
from api.pages.parts.translation import _, ngettext
from domain.blocked import CAUSES, WHAT_TO_DO
from domain.event_kinds import EventKind
from domain.moments import moment_of
from domain.state_words import BUTTONS
from domain.status import Outcome, Verdict
from domain.wording import Words


@dataclass(frozen=True)
class Told:
    """One event, with the data that the function of its wording may need."""

    actor: str
    data: Mapping[str, Any]
    words: Words | None = None
    """The wording of the process of the case; None if the process is not known."""
    input: Mapping[str, Any] | None = None
    """The input of the case with secret values masked; None if it is not known."""

    def text(self, name: str) -> str:
        """Return the field `name` of the event's data as text; empty if the field is missing."""
        value = self.data.get(name)
        return "" if value is None else str(value).strip()

    def names(self, *fields: str) -> str:
        """Return the names in these list fields of the event's data, separated by commas."""
        return ", ".join(str(name) for field in fields for name in self.data.get(field) or ())

    @property
    def step(self) -> str:
        """Return the name of the approval step of the event, with a capital first letter."""
        return capital(readable(self.text("gate")))


Wording = Callable[[Told], str]


def why_ended(reason: str, rule_at: str = "") -> str:
    """Return why a case ended, as text for people.

    If a rule rejected the case, the condition of the rule is left out.
    """
    return _("Rejected by a rule of the policy at %(step)s.", step=readable(rule_at)) if rule_at else reason


def moment(stored: str) -> str:
    """Return a stored moment as text in the reader's time zone. Return any other text unchanged."""
    try:
        return time_text(moment_of(stored))
    except ValueError:
        return stored


def _with(told: str, comment: str) -> str:
    return _("%(told)s: “%(comment)s”", told=told, comment=comment) if comment else told


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _fields(it: Told) -> str:
    names = [str(each.get("field")) for each in it.data.get("changes") or [] if isinstance(each, dict)]
    labels = it.words.labels if it.words else {}
    return ", ".join(labels.get(name, readable(name)) for name in names)


def _field(it: Told) -> str:
    """Return the label of the field that the event names."""
    name = it.text("field")
    return it.words.label_of(name) if it.words else readable(name)


def _who(it: Told) -> str:
    """Return the actor of the event and, if there is one, the person for whom the actor acts."""
    behalf = it.text("on_behalf_of")
    return _("%(who)s, for %(other)s,", who=it.actor, other=behalf) if behalf else it.actor


def _started(it: Told) -> str:
    if it.data.get("early"):
        return _("%(who)s started the request before its time, %(planned)s", who=it.actor, planned=it.text("planned"))
    return _("Started at the scheduled time")


def _failed(it: Told) -> str:
    told = _("%(step)s: failed. %(cause)s", step=it.text("what"), cause=it.text("cause"))
    attempts = it.data.get("attempts")
    if not isinstance(attempts, int):
        return told
    return told + " " + ngettext("It was tried once.", "It was tried %(num)s times.", attempts)


def _child(it: Told) -> str:
    state = _lower(state_words(it.text("status")))
    why = why_ended(it.text("reason"), it.text("rule_at"))
    told = _("%(what)s: %(state)s.", what=capital(it.text("kind")), state=state)
    return f"{told} {why}" if why else told


def _round(it: Told) -> str:
    fields = _fields(it) or _("nothing")
    return _("Round %(round)s begins. Changed: %(fields)s", round=it.text("round"), fields=fields)


def _closed(it: Told) -> str:
    told = _("The request ended: %(state)s.", state=_lower(state_words(it.text("status"))))
    why = why_ended(it.text("reason"), it.text("rule_at"))
    return f"{told} {why}" if why else told


def _asked(it: Told) -> str:
    """Return the people and groups in the event who can decide a task, as text."""
    who = it.names("groups", "users")
    if it.data.get("problem"):
        return _("%(who)s, because a rule of the policy could not be evaluated", who=who)
    needed = it.data.get("needed")
    if isinstance(needed, int) and needed > 1:
        return _("%(who)s (%(needed)s people)", who=who, needed=needed)
    return who


def _opened(it: Told) -> str:
    told = _("%(step)s waits for %(who)s", step=it.step, who=_asked(it))
    if it.data.get("escalated"):
        return told + ". " + _("The step was escalated at once, because too few people can decide.")
    return told


def _by_rule(it: Told) -> str:
    why = reason(it.text("rule"), it.data.get("names") or {}, True, it.words, it.input or {})
    said = _("rejected by rule") if it.data.get("decided") == "reject" else _("approved by rule")
    told = _("%(step)s: %(said)s", step=it.step, said=said)
    return f"{told} ({why})" if why else told


def _skipped(it: Told) -> str:
    why = reason(it.text("rule"), it.data.get("names") or {}, False, it.words, it.input or {})
    if why:
        return _("%(step)s: no approval needed (%(why)s)", step=it.step, why=why)
    return _("%(step)s: no approval needed", step=it.step)


def _escalated(it: Told) -> str:
    added = it.names("added")
    told = _("%(step)s: escalated to %(who)s", step=it.step, who=added or _("nobody new"))
    return f"{told}. {_too_few(it)}" if "left" in it.data else told


def _too_few(it: Told) -> str:
    counted = {name: it.text(name) for name in ("needed", "given", "left")}
    return _("Needed: %(needed)s; given: %(given)s; people who can still decide: %(left)s.", **counted)


def _expired(it: Told) -> str:
    told = _("%(step)s: nobody decided in time", step=it.step)
    if it.text("on_expiry") == "approve":
        return told + "; " + _("approved, as the policy says")
    if "added" in it.data:
        return told + "; " + _("escalated to %(who)s", who=it.names("added") or _("nobody new"))
    return told


def _outcome(it: Told) -> str:
    outcome, step = it.text("outcome"), it.step
    if it.text("gate") == "intervention":
        step = _("Incident")
    told = _("no decision is needed any more") if outcome == Outcome.CANCELLED else _lower(state_words(outcome))
    return _("%(step)s: %(said)s", step=step, said=told)


def _decided(it: Told) -> str:
    told = f"{_who(it)} {verdict_words(it.text('verdict'))}"
    if fields := _fields(it):
        told = _("%(told)s, with changes in: %(fields)s", told=told, fields=fields)
    told = _with(told, it.text("comment"))
    return _("%(told)s. %(signature)s", told=told, signature=signature) if (signature := _signature(it)) else told


def _signature(it: Told) -> str:
    """Return the signature of a decision in words; empty if nobody confirmed the decision."""
    confirmed = it.data.get("confirmed")
    if not isinstance(confirmed, dict):
        return ""
    try:
        at = moment_of(confirmed.get("at"))
    except ValueError:
        return ""
    return signature_words(str(confirmed.get("method")), str(confirmed.get("name")), at, it.text("verdict"))


def _released(it: Told) -> str:
    if it.actor != "holdgate":
        to = it.text("to")
        return _("%(who)s released the task to %(to)s", who=it.actor, to=to) if to else _released_by(it)
    return _("%(who)s cannot decide the task any more, so the task is free again", who=it.text("from"))


def _released_by(it: Told) -> str:
    return _("%(who)s released the task", who=it.actor)


def _replaced(it: Told) -> str:
    told = _("%(old)s was replaced by %(new)s", old=it.text("from"), new=it.text("to") or _("nobody"))
    if asked := it.text("asked"):
        told += "; " + _("%(who)s now has to answer the questions", who=asked)
    if askers := it.names("askers"):
        told += "; " + _("nobody can answer the questions of %(who)s", who=askers)
    return told


def _clock_set(it: Told) -> str:
    times = {_("due"): it.text("due_at"), _("expires"): it.text("expires_at")}
    told = ", ".join(f"{name} {moment(at)}" for name, at in times.items() if at)
    return _with(_("%(who)s changed the deadlines: %(times)s", who=it.actor, times=told), it.text("text"))


def _rules_changed(it: Told) -> str:
    names = {
        "candidate groups": _("groups that are asked"),
        "candidate users": _("people who are asked"),
        "excluded users": _("people who must not decide"),
        "due at": _("due"),
        "expires at": _("expires"),
        "veto": _('one "no" ends the step'),
        "rule": _("why people are asked"),
        "approvals needed": _("approvals needed"),
    }
    changed = []
    for each in it.data.get("changed") or []:
        name, colon, told = str(each).partition(": ")
        # The rule is an expression, which is no text for people.
        changed.append(names[name] if name == "rule" else f"{names.get(name, name)}{colon}{told}")
    if not changed:
        return _("%(step)s: new rules of the policy apply; nothing changed", step=it.step)
    return _("%(step)s: new rules of the policy apply. Changed: %(what)s", step=it.step, what="; ".join(changed))


def _blocked(it: Told) -> str:
    if why := it.text("why"):  # the case as a whole is blocked, not a step of it
        told = (CAUSES[kind] + " " + WHAT_TO_DO[kind] for kind in CAUSES if kind == why)
        return _("Blocked. %(why)s", why=next(told, readable(why)))
    if choices := ", ".join(_choice(str(each)) for each in it.data.get("verdicts") or ()):
        return _("Blocked: an operator is asked (%(answers)s)", answers=choices)
    return _("Blocked: %(who)s are asked", who=_asked(it) or _("operators"))


def _choice(verdict: str) -> str:
    """Return the text of the button for a verdict that operators can choose, for use within a sentence."""
    return _lower(_(BUTTONS[Verdict(verdict)])) if verdict in BUTTONS else readable(verdict)


def _refused(it: Told) -> str:
    claimed, why = it.text("claimed"), it.text("reason")
    if it.actor != "temporal":
        return _("%(who)s could not do this. %(why)s", who=claimed or it.actor, why=why)
    if claimed:
        return _("A message in the name of %(who)s was refused. %(why)s", who=claimed, why=why)
    return _("A message was refused. %(why)s", why=why)


def _counted(it: Told) -> str:
    number = int(it.text("count") or 0)
    return ngettext("%(num)s more message was refused", "%(num)s more messages were refused", number)


def _refusals(it: Told) -> str:
    return _(
        "%(who)s was refused %(count)s more times between %(first)s and %(last)s",
        who=it.text("person"),
        count=it.text("count"),
        first=moment(it.text("first_at")),
        last=moment(it.text("last_at")),
    )


def _undo_attempt(it: Told) -> str:
    return _(
        "%(step)s: attempt %(number)s failed. %(cause)s",
        step=it.text("what"),
        number=it.text("attempt"),
        cause=it.text("cause"),
    )


def _undone(it: Told) -> str:
    if it.data.get("undone") is False:
        return _("%(step)s: nothing to undo", step=it.text("what"))
    return _("%(step)s: done", step=it.text("what"))


def _settled(it: Told) -> str:
    if it.data.get("by_hand"):
        return _("%(step)s: done by hand", step=it.text("what"))
    return _("%(step)s: skipped", step=it.text("what"))


def _upload(it: Told) -> str:
    return it.text("filename") or it.text("batch_id")


def _submitted(it: Told) -> str:
    known = {"title": it.text("title"), "reference": it.text("reference")}
    if person := it.text("on_behalf_of"):
        known |= {"service": it.actor, "person": person}
        return _("Requested by %(service)s on behalf of %(person)s: %(title)s (%(reference)s)", **known)
    return _("Submitted: %(title)s (%(reference)s)", **known)


def _erased(it: Told) -> str:
    told = _("%(what)s was erased", what=it.text("subject")) if it.text("subject") else _("Entries were erased")
    return told + _(", by request %(id)s", id=it.text("request")) if it.text("request") else told


def _hold(it: Told) -> dict[str, str]:
    return {"who": it.actor, "what": it.text("subject")}


CASE_WORDINGS: dict[EventKind, Wording] = {
    EventKind.CASE_SUBMITTED: _submitted,
    EventKind.CASE_NOT_STARTED: lambda it: _("Not started: %(why)s", why=it.text("reason")),
    EventKind.CASE_STARTED: _started,
    EventKind.STEP_DONE: lambda it: _("%(step)s: done", step=it.text("what")),
    EventKind.STEP_FAILED: _failed,
    EventKind.STEP_REFUSED: lambda it: _("%(step)s: refused. %(cause)s", step=it.text("what"), cause=it.text("cause")),
    EventKind.CHILD_ENDED: _child,
    EventKind.ROUND_STARTED: _round,
    EventKind.CANCEL_REQUESTED: lambda it: _with(_("%(who)s cancelled the request", who=it.actor), it.text("reason")),
    EventKind.CANCEL_TOO_LATE: lambda _it: _("A request to cancel came too late"),
    EventKind.CASE_CLOSED: _closed,
    EventKind.CASE_RESUBMITTED: lambda it: _("Submitted again as round %(round)s", round=it.text("round")),
    EventKind.NOT_RESUBMITTED: lambda it: _("Not submitted again: %(why)s", why=it.text("reason")),
    EventKind.CASE_RESET: lambda _it: _("Reset in Temporal: the request goes on from an earlier point"),
    EventKind.CASE_LOST: lambda it: it.text("reason") or _("The request was ended in Temporal"),
    EventKind.CASE_GOES_ON: lambda _it: _("The request goes on"),
    EventKind.GATE_OPENED: _opened,
    EventKind.GATE_SKIPPED: _skipped,
    EventKind.GATE_DECIDED_BY_RULE: _by_rule,
    EventKind.GATE_REMINDED: lambda it: _("Reminder sent to %(who)s", who=it.names("to")),
    EventKind.GATE_ESCALATED: _escalated,
    EventKind.GATE_EXPIRED: _expired,
    EventKind.GATE_SHORT: lambda it: _("%(step)s: too few people can decide.", step=it.step) + " " + _too_few(it),
    EventKind.GATE_CLOSED: _outcome,
    EventKind.DECIDED: _decided,
    EventKind.DECISION_WITHDRAWN: lambda it: _("%(who)s took back the decision", who=it.actor),
    EventKind.CHANGES_REQUESTED: lambda it: _with(
        _("%(by)s requested changes from %(who)s", by=it.text("requested_by"), who=it.text("whom")), it.text("comment")
    ),
    EventKind.TASK_CLAIMED: lambda it: _("%(who)s claimed the task", who=it.actor),
    EventKind.TASK_RELEASED: _released,
    EventKind.TASK_REASSIGNED: lambda it: _("%(who)s gave the task to %(to)s", who=it.actor, to=it.text("to")),
    EventKind.TASK_DELEGATED: lambda it: _("%(who)s delegated the task to %(to)s", who=it.actor, to=it.text("to")),
    EventKind.CANDIDATE_REPLACED: _replaced,
    EventKind.QUESTION_ASKED: lambda it: _with(
        _("%(who)s asked %(to)s", who=it.actor, to=it.text("to")), it.text("text")
    ),
    EventKind.QUESTION_ANSWERED: lambda it: _with(
        _("%(who)s answered %(to)s", who=it.actor, to=it.text("asked_by")), it.text("text")
    ),
    EventKind.QUESTION_WITHDRAWN: lambda it: _with(
        _("%(who)s withdrew the question to %(to)s", who=it.actor, to=it.text("from")), it.text("text")
    ),
    EventKind.QUESTION_LAPSED: lambda it: _(
        "A question of %(who)s cannot be answered now, so the deadlines do not wait for the answer",
        who=it.text("asked_by"),
    ),
    EventKind.CLOCK_SET: _clock_set,
    EventKind.CLOCK_MOVED: lambda it: _(
        "The task was stored late; its deadlines moved by %(span)s",
        span=span(timedelta(seconds=it.data.get("seconds") or 0)),
    ),
    EventKind.RULES_CHANGED: _rules_changed,
    EventKind.NUDGED: lambda it: _("%(who)s sent a reminder: %(step)s", who=it.actor, step=readable(it.text("gate"))),
    EventKind.INTERVENTION_OPENED: _blocked,
    EventKind.INTERVENTION_BY_DEFAULT: lambda it: _(
        "The policy does not say who deals with this failure, so operators are asked. %(why)s", why=it.text("reason")
    ),
    EventKind.DECISION_REFUSED: _refused,
    EventKind.ACTION_REFUSED: _refused,
    EventKind.REVEAL_REFUSED: lambda it: _(
        "%(who)s may not reveal “%(field)s” and was refused", who=it.actor, field=_field(it)
    ),
    EventKind.MESSAGE_REFUSED: _refused,
    EventKind.MESSAGES_COUNTED: _counted,
    EventKind.REFUSALS_COUNTED: _refusals,
    EventKind.ROLLBACK_REQUESTED: lambda it: _with(_("%(who)s asked to roll back", who=it.actor), it.text("reason")),
    EventKind.ROLLBACK_STARTED: lambda it: _("Rolling back. %(why)s", why=it.text("reason")),
    EventKind.ROLLBACK_CALLED_OFF: lambda it: _("Not rolled back: %(why)s", why=it.text("reason")),
    EventKind.UNDO_DONE: _undone,
    EventKind.UNDO_ATTEMPT_FAILED: _undo_attempt,
    EventKind.UNDO_FAILED: _failed,
    EventKind.UNDO_SETTLED: _settled,
    EventKind.COMMENT_ADDED: lambda it: _with(_("%(who)s commented", who=it.actor), it.text("text")),
    EventKind.ATTACHMENT_ADDED: lambda it: _with(
        _("%(who)s attached %(file)s", who=it.actor, file=it.text("filename")), it.text("note")
    ),
    EventKind.FIELD_REVEALED: lambda it: _with(
        _("%(who)s revealed “%(field)s”", who=it.actor, field=_field(it)), it.text("reason")
    ),
    EventKind.ERASED: lambda it: _with(_erased(it), it.text("reason")),
    EventKind.HOLD_PLACED: lambda it: _with(
        _("%(who)s placed a legal hold on %(what)s", **_hold(it)), it.text("reason")
    ),
    EventKind.HOLD_LIFTED: lambda it: _with(
        _("%(who)s lifted the legal hold on %(what)s", **_hold(it)), it.text("reason")
    ),
    EventKind.BATCH_PAUSED: lambda it: _with(_("Upload %(id)s: paused", id=_upload(it)), it.text("reason")),
    EventKind.BATCH_RUNNING: lambda it: _with(_("Upload %(id)s: resumed", id=_upload(it)), it.text("reason")),
    EventKind.BATCH_CANCELLING: lambda it: _with(
        _("Upload %(id)s: being cancelled", id=_upload(it)), it.text("reason")
    ),
    EventKind.BATCH_CANCELLED: lambda it: _with(_("Upload %(id)s: cancelled", id=_upload(it)), it.text("reason")),
    EventKind.BATCH_LOST: lambda it: (
        _("Upload %(id)s: Temporal lost the import, so it starts again", id=_upload(it))
        if it.data.get("again")
        else _("Upload %(id)s: the import was ended in Temporal", id=_upload(it))
    ),
}
"""The wording of each kind of event of a case, of its comments and files, and of an upload."""

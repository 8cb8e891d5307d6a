"""Say the status of a request in a sentence for its requester."""

from collections.abc import Sequence

from markupsafe import Markup
from pydantic import ValidationError

from api.pages.parts.formatting import ago, isolated, listed, person, readable, state_words, time
from api.pages.parts.translation import _
from domain.status import Status
from domain.task import TaskView
from store.cases.cases import CaseRow
from workflows.registry import PROCESSES


def standing(case: CaseRow, waiting: Sequence[TaskView], reader: str) -> Markup:
    """Return a sentence such as `Waiting for 1 more of 2 managers for 3 h`.

    `waiting` are the open tasks of the case, `reader` is a person's id.
    """
    match case.status:
        case Status.AWAITING_APPROVAL | Status.AWAITING_CHANGES if waiting:
            said = dict.fromkeys(_waits(task, reader) for task in waiting)
            return Markup("; ").join(said)
        case Status.SCHEDULED:
            return _say(_("Scheduled for %(at)s"), at=time(case.start_at))
        case Status.COMPLETED:
            return _say(_("%(done)s on %(at)s"), done=isolated(_done(case)), at=time(case.closed_at))
        case Status.ROLLED_BACK:
            return _say(_("Rolled back on %(at)s"), at=time(case.closed_at))
        case Status.REJECTED | Status.EXPIRED | Status.CANCELLED | Status.FAILED:
            return _say(_("%(ended)s on %(at)s"), ended=state_words(case.status), at=time(case.closed_at))
    return Markup("{}").format(state_words(case.status))


def why(case: CaseRow) -> str:
    """Return the reason why a case was rejected, expired, cancelled, failed or rolled back; empty for other cases."""
    undone = case.status.closed and case.status is not Status.COMPLETED
    return case.result.reason if undone and case.result else ""


def _waits(task: TaskView, reader: str) -> Markup:
    question = next((each for each in task.questions if each.open), None)
    since = ago(task.opened_at)
    if task.kind == "changes":
        return _say(_("Waiting for your changes, requested %(since)s ago"), since=since)
    if question is not None and question.to == reader:
        return _say(_("%(by)s asked you a question %(since)s ago"), by=person(question.by), since=ago(question.at))
    if question is not None:
        return _say(
            _("Waiting for an answer from %(to)s, asked %(since)s ago"), to=person(question.to), since=ago(question.at)
        )
    if task.kind == "intervention":
        return Markup("{}").format(state_words(Status.NEEDS_INTERVENTION))
    if task.assignee:
        return _say(_("Waiting for %(name)s for %(since)s"), name=person(task.assignee), since=since)
    needed, left = task.quorum.needed, max(task.quorum.needed - task.quorum.given, 1)
    if task.quorum.given:
        told = _("Waiting for %(left)s more of %(needed)s %(whom)s for %(since)s")
    elif needed > 1:
        told = _("Waiting for %(needed)s %(whom)s for %(since)s")
    elif not task.candidate_groups and len(task.candidate_users) == 1:
        told = _("Waiting for %(whom)s for %(since)s")
    else:
        told = _("Waiting for one of the %(whom)s for %(since)s")
    return _say(told, left=left, needed=needed, whom=_whom(task), since=since)


def _whom(task: TaskView) -> Markup:
    names = [*(readable(name) for name in task.candidate_groups), *task.candidate_users]
    if len(names) == 1:
        return person(names[0])
    return (
        _say(_("people who can decide (%(names)s)"), names=listed(names))
        if names
        else Markup("{}").format(_("people who can decide"))
    )


def _done(case: CaseRow) -> str:
    process = PROCESSES.get(case.process)
    try:
        said = process.words.done_of(process.input.model_validate(case.input)) if process else ""
    except ValidationError:  # the input comes from an older model
        said = ""
    return said or state_words(case.status)


def _say(text: str, **values: object) -> Markup:
    """Return the translated text with the values filled in. Values that are not HTML markup are escaped."""
    return Markup(text) % values

"""Say in words who can decide a task, why the reader can or cannot, and what happens if nobody decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup

from api.http.security import CanDecide
from api.pages.parts.formatting import listed
from api.pages.parts.translation import _, ngettext
from domain.confirmation import Confirm
from domain.gate import REASONS
from domain.permissions import among, requesters, same, voters
from domain.status import Verdict
from domain.task import TaskView
from store.db.connection import AsyncConnection
from store.people import people

SHOWN = 12
"""The most members of a group whom a page names."""


@dataclass(frozen=True)
class Deciders:
    """A group or a person who can decide."""

    name: str
    group: bool
    people: Sequence[str] = ()
    more: int = 0
    """The number of members whom the page does not name."""


@dataclass(frozen=True)
class TimerEvent:
    """One event that happens if nobody decides: a reminder, an escalation or the expiry."""

    at: datetime
    text: str
    fixed: bool = False
    """True if an admin set the time while the timers were stopped.

    A time that an admin set does not move when the timers start again.
    """


async def asked(conn: AsyncConnection, task: TaskView, now: datetime) -> list[Deciders]:
    """Return who can decide the task: first groups, with their members who can, then people whom the task names."""
    found = await people.candidates_of(conn, task.candidate_groups, task.candidate_users, now)

    def members(group: str) -> list[str]:
        ids = task.members[group] if group in task.members else [each.id for each in found if group in each.groups]
        barred = [*task.excluded_users, *([] if task.kind == "changes" else requesters(task))]
        return [each for each in ids if not among(each, barred)]

    groups = [(group, members(group)) for group in task.candidate_groups]
    return [
        *(Deciders(group, True, names[:SHOWN], max(len(names) - SHOWN, 0)) for group, names in groups),
        *(Deciders(user, False) for user in task.candidate_users),
    ]


def why(task: TaskView, can: CanDecide) -> str:
    """Return a sentence that says why the reader can or cannot decide the task."""
    if not can.allowed:
        return _("You cannot decide this task. %(why)s", why=can.why)
    if task.kind == "changes":
        return _("You are the requester. Change the request or submit the request unchanged.")
    rule = can.why
    for start, told in (
        ("on behalf of ", _("You can decide this task for %(who)s.", who=_first(rule, "on behalf of "))),
        (
            "stands in for ",
            _(
                "You can decide this task as the substitute of %(who)s, who is out of office.",
                who=_first(rule, "stands in for "),
            ),
        ),
        ("candidate user ", _("You can decide this task: the task names you.")),
    ):
        if rule.startswith(start):
            return told
    group = rule.removeprefix("member of ").removesuffix(" when the task opened")
    return _("You can decide this task as a member of %(group)s.", group=group)


def why_alone(task: TaskView) -> str:
    """Return why a task cannot be decided together with others; empty if it can. A passkey signs one decision."""
    if task.confirm is not Confirm.PASSKEY:
        return ""
    return _("The decision needs your passkey. Open the task to decide.")


def _first(rule: str, start: str) -> str:
    return rule.removeprefix(start).partition(",")[0]


def approvals(task: TaskView) -> str:
    """Return the number of approvals as text, such as `1 of 2 approvals`, and whether one rejection ends the step."""
    told = ngettext(
        "%(given)s of %(num)s approval", "%(given)s of %(num)s approvals", task.quorum.needed, given=task.quorum.given
    )
    if task.kind == "intervention":
        return ngettext("one decision is enough", "%(num)s matching decisions are needed", task.quorum.needed)
    if Verdict.REJECT in task.verdicts and task.veto:
        return _("%(approvals)s; one rejection is enough to reject", approvals=told)
    return told


def if_nobody_decides(task: TaskView) -> list[TimerEvent]:
    """Return the events that happen if nobody decides the task, in the order of their times."""
    if not task.clock and task.expires_at:  # without a worker the steps of the timers are unknown
        return [TimerEvent(task.expires_at, _ends(task))]
    told = []
    for step in task.clock:
        match step.does:
            case "remind":
                who = task.assignee or ", ".join([*task.candidate_groups, *task.candidate_users])
                told.append(TimerEvent(step.at, _("reminder to %(who)s", who=who)))
            case "escalate" if not step.to:
                continue
            case "escalate":
                to = ", ".join(step.to)
                text = (
                    _("escalation: %(who)s decide instead", who=to)
                    if step.replace
                    else _("escalation: %(who)s can also decide", who=to)
                )
                told.append(TimerEvent(step.at, text, fixed=step.fixed))
            case "approve":
                told.append(TimerEvent(step.at, _("expires: the policy approves automatically"), fixed=step.fixed))
            case "reject":
                told.append(TimerEvent(step.at, _ends(task), fixed=step.fixed))
    return told


def _ends(task: TaskView) -> str:
    if task.kind == "changes":
        return _("expires: completed steps are rolled back, and the request ends as “Expired”")
    if task.kind == "intervention":
        return _("expires: all completed steps are rolled back, and the request ends as “Failed”")
    if task.gate == "rollback":
        return _("expires: the rollback ends, and completed steps stay")
    return _("expires: completed steps are rolled back, and the request ends as “Expired”")


def needs_comment(task: TaskView) -> list[Verdict]:
    """Return the verdicts that need a comment.

    On a page, a rejection and a request for changes always need a comment, because the requester must know the reason.
    """
    return [
        verdict
        for verdict in task.verdicts
        if verdict in task.comment_needed or verdict in REASONS or verdict in (Verdict.REJECT, Verdict.REQUEST_CHANGES)
    ]


def decided_by(task: TaskView, person: str) -> bool:
    """Return True if the person has decided this task and the decision still counts."""
    return among(person, voters(task))


def mine(task: TaskView, person: str) -> bool:
    """Return True if the person has claimed or delegated the task, or if the task was given to the person."""
    return same(person, task.assignee) or same(person, task.owner)


def claimed(task: TaskView) -> Markup | None:
    """Return a sentence that says who has the task, and who delegated it; None if the task has no assignee."""
    if task.assignee is None:
        return None
    if task.owner:
        return Markup(_("Delegated by %(owner)s to %(who)s.")) % {
            "owner": listed([task.owner]),
            "who": listed([task.assignee]),
        }
    return Markup(_("Claimed by %(who)s.")) % {"who": listed([task.assignee])}


def stale_words(changed: Sequence[Any]) -> str:
    """Return in words what has changed in a task since the reader opened its page."""
    names = {
        "candidates": _("the people who can decide"),
        "questions": _("a question was answered"),
        "input": _("the details of the request"),
    }
    return ", ".join(names.get(str(each), str(each)) for each in changed)

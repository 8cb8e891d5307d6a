"""Notifications to people, before a channel words them."""

from enum import StrEnum

from domain.base import Message
from domain.moments import BoundedMoment
from domain.status import Outcome, Status, TaskKind
from domain.task import DecisionView


class NoticeKind(StrEnum):
    """What people are told of."""

    TASK_OPENED = "task_opened"
    """A task waits for them."""
    TASK_REMINDED = "task_reminded"
    TASK_NUDGED = "task_nudged"
    """Whoever asked for it reminds them."""
    TASK_ESCALATED = "task_escalated"
    """An open task waits for them from now on too."""
    TASK_DECIDED = "task_decided"
    """A gate of a case they asked for was approved or rejected."""
    TASK_EXPIRED = "task_expired"
    TASK_LOST = "task_lost"
    """A task they were told of no longer waits for them: others decided it, or its case was cancelled."""
    TASK_ASKED = "task_asked"
    """A question was put to them, or theirs was answered."""
    CASE_ENDED = "case_ended"
    """A case they asked for has ended."""


class NoticeChoice(StrEnum):
    """When a person wants to be told."""

    AT_ONCE = "at_once"
    DIGEST = "digest"
    """With the next message that goes anyway, at the latest once a day."""
    OFF = "off"


class NoticeTask(Message):
    """The task that a notice is about, as it is when the message is written."""

    task_id: str
    gate: str
    kind: TaskKind
    question: str
    """What people are asked; for an intervention, what failed."""
    waiting: bool
    """Whether the reader may decide it now."""
    outcome: Outcome | None
    due_at: BoundedMoment | None
    expires_at: BoundedMoment | None
    decisions: list[DecisionView] = []
    """Those that were accepted, `by` with the names of people."""


class Notice(Message):
    """One thing to tell one person, with what is known of it when the message is written."""

    kind: NoticeKind
    case_id: str
    process: str
    title: str
    status: Status
    requester: str
    requester_name: str
    reason: str = ""
    """Of an ended case: why it ended so."""
    rule_at: str = ""
    """Of a case that a rule rejected: the gate of the rule."""
    undone: list[str] = []
    """Of an ended case: what was undone, newest first."""
    amount: str | None = None
    currency: str | None = None
    task: NoticeTask | None = None


class AccountNewsKind(StrEnum):
    """What people are told of their own accounts."""

    LINK_ASKED = "link_asked"
    """An administrator asked for a one-time link for them; another one has to confirm it."""
    LINK_READY = "link_ready"
    """A one-time link of theirs can be used now."""
    PASSWORD_SET = "password_set"
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"
    ADDRESS_SET = "address_set"
    SUBSTITUTE_NAMED = "substitute_named"
    """Somebody decides in their place while they are away."""
    ADMIN_ADDED = "admin_added"
    """Somebody is an administrator beside them."""
    MEMBER_ADDED = "member_added"
    """An administrator put somebody into a group: one of theirs, or any group if they are an administrator."""


class AccountNotice(Message):
    """One change of a person's account."""

    kind: AccountNewsKind
    at: BoundedMoment
    by: str
    about: str
    code: str | None = None
    """The secret of a one-time link, made for this one attempt to send it."""


class Letter(Message):
    """One message to one person: the same notices at each attempt to send it."""

    message_id: str
    person: str
    name: str
    address: str | None
    notices: list[Notice]
    account: AccountNotice | None = None
    """Then there are no notices."""

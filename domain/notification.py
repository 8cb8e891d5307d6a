"""Models of notifications to people. A channel, such as mail, makes texts from these models."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.base import Message
from domain.moments import BoundedMoment
from domain.status import Outcome, Status, TaskKind
from domain.task import DecisionView

MAIL = "smtp"
"""The name of the mail channel. Only this channel sends one-time links: they must not appear in a log."""


class NoticeKind(StrEnum):
    """The kind of a notification."""

    TASK_OPENED = "task_opened"
    """A task is open for the reader to decide."""
    TASK_REMINDED = "task_reminded"
    TASK_NUDGED = "task_nudged"
    """The requester, or the successor of the requester, sent a reminder."""
    TASK_ESCALATED = "task_escalated"
    """An open task was escalated to the reader."""
    TASK_DECIDED = "task_decided"
    """A gate of a case that the reader requested, or has taken over, was approved or rejected."""
    TASK_EXPIRED = "task_expired"
    TASK_LOST = "task_lost"
    """The reader need not decide a task any more: for example, the task was decided, cancelled or given to another
    person.
    """
    TASK_ASKED = "task_asked"
    """The reader was asked a question or got an answer, or a person who was asked a question has left."""
    CASE_ENDED = "case_ended"
    """A case that the reader requested, or has taken over, has ended."""


class NoticeChoice(StrEnum):
    """The choice of a person when to get notifications of one kind."""

    AT_ONCE = "at_once"
    DIGEST = "digest"
    """Together with the next message that is sent to the person, at least once a day."""
    OFF = "off"


# Data classes and not models: after an import one message has thousands of notifications, read from our own database.


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeTask:
    """The task that a notification is about, in its state when the message is written."""

    task_id: str
    gate: str
    kind: TaskKind
    question: str
    """The question for reviewers; for an intervention, the failure."""
    waiting: bool
    """True if the reader of the notification may decide the task now."""
    outcome: Outcome | None
    due_at: datetime | None
    expires_at: datetime | None
    decisions: Sequence[DecisionView] = ()
    """The accepted decisions on the task. `by` holds the name of the person, not the id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notification to one person, with the data of the case and task when the message is written."""

    kind: NoticeKind
    case_id: str
    process: str
    title: str
    status: Status
    requester: str
    requester_name: str
    asked_for: Sequence[str] = ()
    """The people who count as requester beside `requester`, if the requester is a service account."""
    behalf_name: str = ""
    """The name of the person for whom a service account requested the case; empty without one."""
    reason: str = ""
    """For an ended case: the reason of its end."""
    rule_at: str = ""
    """For a case that a rule of the policy rejected: the name of the gate that has this rule."""
    undone: Sequence[str] = ()
    """For an ended case: one sentence for each undo that ran, the last one first."""
    amount: str | None = None
    currency: str | None = None
    task: NoticeTask | None = None


class AccountNewsKind(StrEnum):
    """The kind of a notification about a person's own account."""

    LINK_ASKED = "link_asked"
    """An administrator created a one-time link for the reader, and another administrator has to confirm it."""
    LINK_READY = "link_ready"
    """A one-time link of the reader can be used now."""
    PASSWORD_SET = "password_set"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    PASSKEY_COPIED = "passkey_copied"
    """A passkey was refused because its counter went back, so that there may be a copy of it."""
    IDENTITY_CONNECTED = "identity_connected"
    """An account of an identity provider was connected to the account of the reader."""
    IDENTITY_DISCONNECTED = "identity_disconnected"
    LINK_PRINTED = "link_printed"
    """A link that signs in as the reader was made at the command line."""
    TOKEN_MADE = "token_made"
    TOKEN_REVOKED = "token_revoked"
    ADDRESS_SET = "address_set"
    SUBSTITUTE_NAMED = "substitute_named"
    """A person was named to decide for the reader during an absence."""
    ADMIN_ADDED = "admin_added"
    """Another person became an administrator."""
    OWNER_NAMED = "owner_named"
    """The reader became an owner of a service account."""
    ACCOUNT_SUSPENDED = "account_suspended"
    """A service account has no active owner any more. Administrators get this notification."""
    MEMBER_ADDED = "member_added"
    """An administrator added a person to a group of the reader, or to any group if the reader is an administrator."""


class AccountNotice(Message):
    """One change of a person's account."""

    kind: AccountNewsKind
    at: BoundedMoment
    by: str
    about: str
    code: str | None = None
    """The secret of a one-time link. Each attempt to send the message creates a new secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message to one person. Each attempt to send the message contains the same notifications."""

    message_id: str
    person: str
    name: str
    address: str | None
    notices: Sequence[Notice]
    account: AccountNotice | None = None
    """The change of an account, if the message is about this change.

    A message about a change of an account has no other notifications.
    """

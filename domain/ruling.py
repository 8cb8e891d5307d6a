"""The ruling of a policy on a gate: whether people must decide, who they are, and by when."""

from datetime import timedelta
from typing import Any, Literal

from domain.base import Message
from domain.confirmation import Confirm
from domain.moments import BoundedMoment, Length, after
from domain.status import OnExpiry, Substitutes, Verdict


class Escalation(Message):
    """One level of escalation: at the time `at` its candidates are added to the candidates so far, or replace them."""

    at: BoundedMoment
    groups: list[str] = []
    users: list[str] = []
    replace: bool = False
    priority: int | None = None
    """The priority of the task from this escalation on, if it is higher than before; None if the priority stays."""


class GateRuling(Message):
    """The ruling of the pinned policy on one gate of one case: whether people must decide, who, and by when.

    All times are absolute, so that the Workflow needs no policy and no expression library.
    """

    needed: bool
    rule: str
    """The condition, as written in the policy, that opened, skipped or decided the gate."""
    names: dict[str, Any] = {}
    """The values of the names that the condition read, by name, for the audit log."""
    problem: str | None = None
    """Why a condition could not be evaluated; empty without such an error.

    If a condition could not be evaluated, the gate opens and shows this text, because an error must never skip a gate.
    """
    groups: list[str] = []
    users: list[str] = []
    named: list[str] = []
    """Names of groups or people that an expression gave, before they are looked up."""
    decided: Literal["approve", "reject"] | None = None
    """The decision of a rule of the policy that decides instead of people; None if no rule decides.

    If `decided` is set, `needed` is False.
    """
    quorum: int = 1
    everyone: bool = False
    """True if everybody who can decide must approve. Holdgate fills in the number of these people as `quorum`."""
    veto: bool = True
    separation_of_duties: bool = True
    excluded: list[str] = []
    """People who must never decide this gate, even if they are in its groups."""
    snapshot: bool = False
    """True if the members of the groups at the opening of the gate can decide; False if the members at the decision
    can.
    """
    members: dict[str, list[str]] = {}
    """If `snapshot` is True: the members of each group when the gate opened."""
    comment_needed: list[Verdict] = [Verdict.REQUEST_CHANGES]
    revision_required: bool = True
    confirm: Confirm = Confirm.NONE
    """How people confirm each decision on this gate."""
    editable: list[str] = []
    pause_for_questions: bool = False
    substitutes: Substitutes = "same-group"
    choose_from: list[str] | None = None
    """Of the names in `named`, only these groups and their members can decide; None for no restriction."""
    max_rounds: int = 5
    changes_for: Length = timedelta(days=7)
    """How long the requester has to make changes after a reviewer has requested changes."""
    due_at: BoundedMoment | None = None
    reminders: list[BoundedMoment] = []
    escalations: list[Escalation] = []
    expires_at: BoundedMoment | None = None
    on_expiry: OnExpiry = "reject"

    @property
    def reason(self) -> str:
        """Return the condition that decided whether the gate opens, with its result, as text."""
        if self.needed or self.decided:
            return self.problem or self.rule
        return f"{self.rule} does not hold"

    @property
    def said(self) -> str:
        """Return the ruling and its reason as text, such as `approved by rule: ... holds`."""
        match self.decided:
            case "approve":
                return f"approved by rule: {self.rule} holds"
            case "reject":
                return f"rejected by rule: {self.rule} holds"
        return f"needed: {self.reason}" if self.needed else f"no approval needed: {self.reason}"

    def later(self, by: timedelta) -> "GateRuling":
        """Return the same ruling with all its times moved later by `by`."""
        return self.model_copy(
            update={
                "due_at": self.due_at and after(self.due_at, by),
                "reminders": [after(at, by) for at in self.reminders],
                "escalations": [level.model_copy(update={"at": after(level.at, by)}) for level in self.escalations],
                "expires_at": self.expires_at and after(self.expires_at, by),
            }
        )

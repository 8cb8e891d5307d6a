"""What a policy says about a gate."""

from datetime import timedelta
from typing import Any, Literal

from domain.base import Message
from domain.moments import BoundedMoment, Length, after
from domain.status import OnExpiry, Substitutes, Verdict


class Escalation(Message):
    """One level of a gate's clock: at this time these candidates are added, or take the place of those before."""

    at: BoundedMoment
    groups: list[str] = []
    users: list[str] = []
    replace: bool = False
    priority: int | None = None
    """The task's from then on, if it is more urgent."""


class GateRuling(Message):
    """What the pinned policy says about one gate of one case: whether people must decide, who, and by when.

    All instants are absolute, so that the Workflow needs no policy and no expression library.
    """

    needed: bool
    rule: str
    """The condition, as it stands in the policy, that opened or skipped the gate."""
    names: dict[str, Any] = {}
    """The values the condition read, for the record."""
    problem: str | None = None
    """Set when a condition could not be evaluated: the gate opens and shows it, it never skips on an error."""
    groups: list[str] = []
    users: list[str] = []
    named: list[str] = []
    """Names that an expression gave, of groups or people; nobody has looked yet which."""
    decided: Literal["approve", "reject"] | None = None
    """Set when a rule decides in people's place; `needed` is then false."""
    quorum: int = 1
    everyone: bool = False
    """All who can decide must approve; `quorum` is then made from their number."""
    veto: bool = True
    separation_of_duties: bool = True
    excluded: list[str] = []
    """People who never decide this gate, whatever groups they are in."""
    snapshot: bool = False
    """The members that groups have at the opening count, not those at the decision."""
    members: dict[str, list[str]] = {}
    """With `snapshot`: who they are, by group."""
    comment_needed: list[Verdict] = [Verdict.REQUEST_CHANGES]
    revision_required: bool = True
    editable: list[str] = []
    pause_for_questions: bool = False
    substitutes: Substitutes = "same-group"
    choose_from: list[str] | None = None
    """Of `named` only members of these groups count, or these groups; None: everybody."""
    max_rounds: int = 5
    changes_for: Length = timedelta(days=7)
    """How long the requester has to make changes."""
    due_at: BoundedMoment | None = None
    reminders: list[BoundedMoment] = []
    escalations: list[Escalation] = []
    expires_at: BoundedMoment | None = None
    on_expiry: OnExpiry = "reject"

    @property
    def reason(self) -> str:
        """The condition behind the ruling, as it came out."""
        if self.needed or self.decided:
            return self.problem or self.rule
        return f"{self.rule} does not hold"

    @property
    def said(self) -> str:
        """The ruling in words."""
        match self.decided:
            case "approve":
                return f"approved by rule: {self.rule} holds"
            case "reject":
                return f"rejected by rule: {self.rule} holds"
        return f"needed: {self.reason}" if self.needed else f"no approval needed: {self.reason}"

    def later(self, by: timedelta) -> "GateRuling":
        """The same ruling with its whole clock moved."""
        return self.model_copy(
            update={
                "due_at": self.due_at and after(self.due_at, by),
                "reminders": [after(at, by) for at in self.reminders],
                "escalations": [level.model_copy(update={"at": after(level.at, by)}) for level in self.escalations],
                "expires_at": self.expires_at and after(self.expires_at, by),
            }
        )

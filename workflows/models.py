"""The contracts that all rooms share: names, ids, messages and views.

Nothing here does anything; everything that crosses a process boundary (workflow arguments, activity arguments, updates,
queries, rows for SQL, bodies for HTTP) is one of these types, so that a change of a contract is a change of this file.
"""

import hashlib
import json
import unicodedata
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from workflows.bounds import BoundedMoment, Length, ZonedMoment, after
from workflows.folding import check_visible, fold

# ---------------------------------------------------------------------------------------------------------------- names

TASK_QUEUE = "holdgate"
"""Workflows and steps."""
BULK_TASK_QUEUE = "holdgate-bulk"
"""Imports: slots of their own, so that an upload never starves single cases."""

PROCESS_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateProcess")
STATUS_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateStatus")
GATE_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateGate")
DUE_ATTRIBUTE = SearchAttributeKey.for_datetime("HoldgateDue")
REQUESTER_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateRequester")
BATCH_ATTRIBUTE = SearchAttributeKey.for_keyword("HoldgateBatch")
SEARCH_ATTRIBUTES = (
    PROCESS_ATTRIBUTE,
    STATUS_ATTRIBUTE,
    GATE_ATTRIBUTE,
    DUE_ATTRIBUTE,
    REQUESTER_ATTRIBUTE,
    BATCH_ATTRIBUTE,
)
"""Visible to everybody who can see the namespace and never encrypted: ids and codes only."""

OPERATORS = "operators"
AUDITORS = "auditors"
ADMINS = "admins"
REQUESTERS = "requesters"
DATA_STEWARDS = "data-stewards"
SECURITY = "security"

MAX_REFERENCE = 120
"""Characters of a reference after normalisation."""
MAX_REFERENCE_KEY = 240
"""Characters of a reference as it is compared: some stand for several."""
MAX_REFERENCE_ENCODED = 800
"""Characters of a reference inside a case id, where everything outside `[a-z0-9._-]` takes three for each byte. A case
id has at most 900 in SQL, and 1,000 in Temporal."""
MAX_FACTS_BYTES = 64 * 1024
MAX_MESSAGES = 500
"""Claims, questions and the like that one case takes; decisions are few by the rules."""
MAX_IDLE_MESSAGES = 100
"""Signals that come to nothing which one case lists in the record. The rest are counted in one event, at its end."""


class Status(StrEnum):
    """Where a case is."""

    SCHEDULED = "scheduled"
    STARTING = "starting"
    """Stored, and its Workflow not yet known to run; only SQL knows this state."""
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_CHANGES = "awaiting_changes"
    NEEDS_INTERVENTION = "needs_intervention"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"

    @property
    def closed(self) -> bool:
        """Whether the case has ended: nothing it did is still to be undone."""
        return self in _CLOSED


_CLOSED = frozenset(
    {Status.COMPLETED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED, Status.ROLLED_BACK}
)
ENDED_UNDONE = frozenset({Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED})
"""Ends after which the same reference may be submitted again, explicitly, as the next round."""


class Verdict(StrEnum):
    """A person's answer to a task. RESUBMIT answers a changes task, those after it an intervention task."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    """Back to the requester, who resubmits."""
    ABSTAIN = "abstain"
    """Counts as neither; whoever abstained is no longer waited for."""
    RESUBMIT = "resubmit"
    RETRY = "retry"
    """Try again: the same, or with `edits` a mended input, with which the case begins anew."""
    SKIP = "skip"
    DONE_BY_HAND = "done_by_hand"
    """Somebody has done it outside; should it be undone later, people must do that, too."""
    ROLL_BACK = "roll_back"


class Outcome(StrEnum):
    """How a gate ended."""

    APPROVED = "approved"
    APPROVED_BY_RULE = "approved_by_rule"
    REJECTED = "rejected"
    REJECTED_BY_RULE = "rejected_by_rule"
    CHANGES_REQUESTED = "changes_requested"
    RESUBMITTED = "resubmitted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RETRY = "retry"
    SKIP = "skip"
    DONE_BY_HAND = "done_by_hand"
    ROLL_BACK = "roll_back"


Substitutes = Literal["same-group", "anyone"]
"""Who may stand in for who decides a task: somebody of the group by which they decide it, or anybody they named."""
OnExpiry = Literal["reject", "approve", "escalate"]
TaskKind = Literal["gate", "changes", "intervention"]
"""`changes`: the requester is asked to change the input and resubmit."""
Then = Literal["intervene", "roll_back", "resubmit"]
"""What follows when the attempts of a step have ended: operators are asked; the case is undone and ends `failed`; the
same, and its next round starts by itself."""

INTERVENTION = "intervention"
"""The gate at which operators decide about what has failed. The policy may have rules for it."""
ROLLBACK = "rollback"
"""The gate before a completed case is rolled back, if the policy has it."""
ENGINE_GATES = (INTERVENTION, ROLLBACK)
"""Gates that each process has, whatever it is."""

# ------------------------------------------------------------------------------------------------------------------ ids


def normalise_reference(reference: str) -> str:
    """The reference as it is displayed: Unicode NFC, trimmed, inner blanks collapsed.

    Raises ValueError when it is empty, longer than 120 characters (or than an id can hold) or has a character that
    nobody can see.
    """
    text = " ".join(unicodedata.normalize("NFC", check_visible(reference)).split())
    if not text:
        raise ValueError("a reference is needed: 1 to 120 characters, for example an invoice number")
    if len(text) > MAX_REFERENCE:
        raise ValueError(f"a reference has at most {MAX_REFERENCE} characters, this one has {len(text)}")
    key = fold(text)
    if len(key) > MAX_REFERENCE_KEY or len(quote(key, safe="")) > MAX_REFERENCE_ENCODED:
        raise ValueError("this reference makes too long an id: use fewer characters other than a-z and 0-9")
    return text


def reference_key(reference: str) -> str:
    """The reference as it is compared: see `workflows.folding`. The key of a key is itself."""
    return fold(normalise_reference(reference))


def case_id_for(process: str, reference: str, round_: int = 1) -> str:
    """The id of a case, which is its Workflow id; the one place where it is made.

    `:` and `~` are reserved: the reference part holds only `[a-z0-9._-]` and percent escapes.
    """
    quoted = quote(reference_key(reference), safe="").replace("~", "%7E")
    return f"{process}:{quoted}" if round_ == 1 else f"{process}:{quoted}~{round_}"


def child_reference(process: str, reference: str, number: int, round_: int = 1) -> str:
    """The reference of the `number`-th case that a round of a case asks for; of no two rounds are they alike.

    A long one is cut, with a digest of the whole.
    """
    which = f"{round_}.{number}" if round_ > 1 else f"{number}" if number > 1 else ""
    made = f"{process} {reference}" + (f" ({which})" if which else "")
    try:
        return normalise_reference(made)
    except ValueError:
        return f"{process} {hashlib.sha256(made.encode()).hexdigest()[:32]}"


def task_id_for(case_id: str, gate: str, number: int) -> str:
    """An opaque id for the `number`-th task that a case opens; the same for each replay and attempt."""
    return "t" + hashlib.sha256(f"{case_id}\n{gate}\n{number}".encode()).hexdigest()[:24]


def rollback_id_for(case_id: str, number: int = 1) -> str:
    """The id of the Workflow that rolls a case back after its own has ended; `number` counts such Workflows."""
    return f"{case_id}~rollback" if number == 1 else f"{case_id}~rollback~{number}"


def decision_id_for(person: str, task_id: str, client_id: str) -> str:
    """Scope a client's decision id to person and task.

    An unscoped Update id would let a second caller receive the first caller's answer without the validator running.
    """
    return "d" + hashlib.sha256(f"{person}\n{task_id}\n{client_id}".encode()).hexdigest()[:32]


# --------------------------------------------------------------------------------------------------------------- errors


SPOKEN = "spoken"
"""Among the details of a failure: its message is a sentence for people."""
ATTEMPT = "attempt"
"""Key in the details of a failure: the attempt that it was, as the worker counts them."""


class Trouble(ApplicationError):
    """A technical failure said in words: tried again, and in the end a matter for operators.

    The message is a sentence for people. An exception of any other kind is told in general words, and its own message
    is kept for engineers. The names of subclasses are what `permanent` in the policy means.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message, SPOKEN, type=type(self).__name__, non_retryable=permanent)


class Refused(ApplicationError):
    """A business no from a step: not enough money, a closed account. Never retried; the case is rolled back."""

    def __init__(self, message: str) -> None:
        # Benign: a no is an answer, and workers need not log it as a failure.
        super().__init__(message, type="Refused", non_retryable=True, category=ApplicationErrorCategory.BENIGN)


UNDONE_FIRST = "This step was undone before it was done."
"""How receivers refuse a late attempt, which comes behind its undo."""


# -------------------------------------------------------------------------------------------------------------- process

InputT = TypeVar("InputT")


class Message(BaseModel):
    """Base of everything that travels. A field of newer code is ignored, so that a deploy can be taken back."""

    model_config = ConfigDict(frozen=True)


class StepOptions(Message):
    """How often and how long a step or an undo is tried, and what follows when that has ended."""

    attempts: int = 10
    """0: as many as `retry_for` allows."""
    first_pause: Length = timedelta(milliseconds=500)
    factor: float = 2.0
    """By which each pause is longer than the one before."""
    longest_pause: Length = timedelta(seconds=10)
    retry_for: Length | None = None
    """No attempt begins after so long."""
    time_limit: Length | None = None
    """Of one attempt; None: that of the process."""
    permanent: list[str] = []
    """Names of failures that no further attempt would mend."""
    then: Then = "intervene"
    resubmit_after: Length = timedelta(minutes=10)


class StepNames(Message):
    """The activities of one process."""

    steps: list[str]
    undos: list[str]


class CaseInput(Message, Generic[InputT]):
    """What a case starts with. The policy is pinned by its hash: running cases never shift."""

    case_id: str
    process: str
    reference: str
    round: int = 1
    resubmits: str | None = None
    parent: str | None = None
    """The case that asked for this one, and waits for its end."""
    requester: str
    priority: int = 3
    batch_id: str | None = None
    policy_hash: str
    submitted_at: BoundedMoment
    start_at: BoundedMoment | None = None
    steps: dict[str, StepOptions] = {}
    """By step or undo, where the policy has options for it."""
    own_gates: list[str] = []
    """Those of ENGINE_GATES for which the policy has rules."""
    input: InputT


class StepCall(Message, Generic[InputT]):
    """What a step and its undo receive. `key` is the idempotency key which the receiver of the effect must honour.

    The undo gets the key of the step it undoes in `undoes` and one of its own (`<key>/undo`) in `key`.
    """

    case_id: str
    reference: str
    requester: str
    policy_hash: str
    key: str
    undoes: str | None = None
    undo: str | None = None
    """Of a step: the name of its undo. So Temporal's history alone tells how to undo what a case did."""
    uses: str | None = None
    """Key of the undo that this step makes needless, once it is done."""
    input: InputT

    @property
    def undone(self) -> str:
        """The key of what an undo undoes. Raises ValueError for the call of a step."""
        if self.undoes is None:
            raise ValueError(f"an undo needs the key of what it undoes; '{self.key}' came without")
        return self.undoes


class ChildRequest(Message):
    """Another case, as the case that needs it asks for it."""

    kind: str
    """What it is, as people say it: `security review`."""
    process: str
    reference: str
    input: dict[str, Any]


class FieldChange(Message):
    """One field that is not what it was."""

    field: str
    before: Any
    after: Any


class DecisionView(Message):
    """One decision as it is shown with its task. Withdrawn ones are not shown; the record has them."""

    decision_id: str
    verdict: Verdict
    by: str
    at: BoundedMoment
    comment: str = ""
    on_behalf_of: str | None = None
    """Whose place was taken: of whoever delegated the task, or is away. Both count as one person."""
    edits: list[FieldChange] = []


class ChainHead(Message):
    """The head of a case's chain of audit events: how many there are, and the hash of the last."""

    count: int = 0
    hash: str = ""


class CaseResult(Message):
    """How a case ended. Only defects fail a Workflow, so a rejected case is a completed Workflow with this."""

    case_id: str
    status: Status
    reason: str
    output: dict[str, Any] | None = None
    undone: list[str] = []
    """The undo steps that were carried out, newest first, in words."""
    decision: DecisionView | None = None
    """What people said last at a gate that they passed or rejected, of a case that ended by it."""
    resubmit_after: Length | None = None
    """Of a failed case whose next round starts by itself: how long after its end."""
    audit: ChainHead = ChainHead()


# ---------------------------------------------------------------------------------------------------- people's messages


class Absent(Message):
    """Somebody who is away, as the gateway asserts it of the substitute's message."""

    id: str
    groups: list[str] = []


class Actor(Message):
    """A person as the gateway asserts it at the time of the message."""

    id: str
    groups: list[str] = []
    stands_in_for: list[Absent] = []
    """Those who are away now and named this person as their substitute."""


class Decision(Message):
    """The decision envelope. The gateway asserts who and which groups; the Workflow checks the people rules."""

    id: str
    task_id: str
    verdict: Verdict
    by: Actor
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    """Fields of the input with their new values: with an approval those that the policy lets reviewers change, with
    resubmit any."""
    via: str = "api"
    at: ZonedMoment
    proof: str | None = None
    """Reserved for the gateway's signature. Until then write access to the namespace is authority to decide."""

    @property
    def content(self) -> str:
        """Digest of what was decided, to tell a repeat from the same id reused with other content."""
        said = f"{self.task_id}\n{self.verdict}\n{self.comment}\n{self.revision}"
        if self.edits:
            said += "\n" + json.dumps(self.edits, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


class Cancellation(Message):
    """Ask a case to stop, undo what it did and end `cancelled`."""

    id: str
    by: Actor
    reason: str
    via: str = "api"
    at: ZonedMoment


class StartNow(Message):
    """Do not wait any longer for the moment that a case is scheduled for."""

    id: str
    by: Actor
    via: str = "api"
    at: ZonedMoment


# ---------------------------------------------------------------------------------------------------------------- views


class Quorum(Message):
    needed: int
    given: int = 0


class Question(Message):
    """Something a reviewer wants to know before deciding. The gate stays open."""

    id: str
    by: str
    to: str
    text: str
    at: BoundedMoment
    answer: str | None = None
    answered_at: BoundedMoment | None = None
    withdrawn_at: BoundedMoment | None = None
    """When the question was taken back, by whoever asked it or by operators."""
    lapsed: bool = False
    """Whoever was asked could not answer: has left, or is away and nobody stands in. The clock does not wait for it."""

    @property
    def open(self) -> bool:
        """Whether the question has neither an answer nor was taken back."""
        return self.answer is None and self.withdrawn_at is None

    @property
    def pending(self) -> bool:
        """Whether the clock waits for the answer."""
        return self.open and not self.lapsed


class ClockStep(Message):
    """One thing that the clock of a task will do if nobody decides."""

    at: BoundedMoment
    does: Literal["remind", "escalate", "reject", "approve"]
    to: list[str] = []
    """Of an escalation: the groups and people whom it adds, or who take the place of those before."""
    replace: bool = False
    fixed: bool = False
    """Set by an admin while the clock stands still: it comes then all the same."""


class TaskView(Message):
    """One open or closed gate of one case, as it lies in an inbox."""

    task_id: str
    case_id: str
    workflow_id: str | None = None
    """The Workflow that asks, where it is not the case's own."""
    process: str
    gate: str
    kind: TaskKind = "gate"
    title: str
    summary: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    """`amount` and `currency`, where it is about money."""
    requester: str
    candidate_groups: list[str] = []
    candidate_users: list[str] = []
    excluded_users: list[str] = []
    """People whom the rules refuse though they are candidates: the requester, who decided an earlier gate."""
    members: dict[str, list[str]] = {}
    """Groups with the people they had when the task opened, where the policy says that these count. Of a group that is
    not here, whoever is a member when deciding."""
    assignee: str | None = None
    """Who has claimed it or was given it; nobody else decides it then."""
    owner: str | None = None
    """Who delegated it to the assignee."""
    quorum: Quorum
    veto: bool = True
    """Whether one rejection ends the gate."""
    status: Literal["open", "closed"] = "open"
    outcome: Outcome | None = None
    opened_at: BoundedMoment
    closed_at: BoundedMoment | None = None
    due_at: BoundedMoment | None = None
    expires_at: BoundedMoment | None = None
    priority: int = 3
    revision: int = 1
    verdicts: list[Verdict] = [Verdict.APPROVE, Verdict.REJECT]
    """The verdicts this task takes."""
    comment_needed: list[Verdict] = []
    """The verdicts that need a comment."""
    revision_required: bool = True
    """Whether a decision must name the revision that its person looked at."""
    editable: list[str] = []
    """The fields of the input that may be changed with an approval; all of a changes task with a resubmission."""
    clock: list[ClockStep] = []
    """What happens if nobody decides, in order. While `paused_at` is set it stands still: not what is `fixed`."""
    rule: str = ""
    """Why the gate opened: the condition of the policy that held, or what failed."""
    round: int = 1
    """How often the requester has submitted: 2 after changes were requested once."""
    changes: list[FieldChange] = []
    """What is other than in the round before."""
    set_by_hand: list[Literal["due_at", "expires_at"]] = []
    """The times that an admin has set: another policy leaves them alone unless told otherwise."""
    given_by_hand: list[str] = []
    """People whom an admin has given the task: another policy leaves it to them."""
    arranged_by: list[str] = []
    """Who changed who decides it. They are among `excluded_users`."""
    substitutes: Substitutes = "anyone"
    """Who may decide in the place of somebody who is away and named them."""
    shifted: timedelta = timedelta(0)
    """By how much the clock is behind the policy's: the task was stored late, or waited for answers."""
    questions: list[Question] = []
    paused_at: BoundedMoment | None = None
    """Since when the clock stands still, waiting for an answer."""
    input: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    decisions: list[DecisionView] = []

    @property
    def names(self) -> list[str]:
        """All who have something to do with the open task by name, now or at a later level of escalation."""
        asked = [question.to for question in self.questions if question.pending]
        later = [name for step in self.clock for name in step.to]
        holders = [name for name in (self.assignee, self.owner) if name]
        return list(dict.fromkeys([*self.candidate_users, *holders, *asked, *later]))

    @property
    def digest(self) -> str:
        """Of what a reviewer was shown, for the record of a decision."""
        shown = self.model_dump_json(include={"task_id", "revision", "title", "summary", "rule", "input", "facts"})
        return hashlib.sha256(shown.encode()).hexdigest()


class UndoView(Message):
    """One line of the rollback plan."""

    step: str
    undo: str
    summary: str


class PlannedUndo(UndoView):
    """How to undo one step: all that another Workflow needs to do it.

    `call` holds the step's own input, for its result may not exist.
    """

    call: StepCall[Any]
    uses: str | None = None
    """Key of the undo that is a no-op once this step is done, for the step has used up what is to be undone there."""
    done: bool = False
    by_hand: str = ""
    """Who did the step by hand, and why. Then people must undo it, too."""

    @property
    def view(self) -> UndoView:
        """As it is shown."""
        by_hand = f" (by hand: {self.by_hand})" if self.by_hand else ""
        return UndoView(step=self.step, undo=self.undo, summary=self.summary + by_hand)


class RollbackAsked(Message):
    """Why a case is rolled back after its own Workflow has ended."""

    number: int = 1
    """The how-manieth such Workflow of the case."""
    by: str
    reason: str
    policy_hash: str
    at: BoundedMoment
    lost: bool = False
    """The Workflow of the case ended without its doing, in Temporal: operators decide what becomes of it."""
    ended: CaseResult | None = None
    """How a completed case had ended. That stands if nothing is undone."""
    planned: int = 0
    """How many undos there were."""
    begun: bool = False
    """A rollback before this one was ended in Temporal when some of it was done: it was approved, and must go on."""
    decided: DecisionView | None = None
    """Of a case that is lost: what an operator has said already that becomes of it."""


class RollbackInput(CaseInput[dict[str, Any]]):
    """What the Workflow starts with that rolls a case back: the case, and what the record says it did."""

    workflow_id: str
    title: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    shown: dict[str, Any] = {}
    """The input as it may be shown."""
    plan: list[PlannedUndo]
    """Oldest first."""
    asked: RollbackAsked


class CaseEvent(Message):
    """One thing that happened to a case. `event_id` is the idempotency key of the record: `<case_id>/<digest>`.

    The digest is of what happened, not a number: a worker that dies between a record and its history is followed by one
    that may hear messages in another order, and must not take the number of something else.
    """

    event_id: str
    case_id: str
    at: BoundedMoment
    kind: str
    actor: str
    """A person's id, `holdgate` for the engine, `temporal` for a raw cancel."""
    summary: str
    data: dict[str, Any] = {}


class CaseState(Message):
    """The status query: one running case as its Workflow knows it."""

    case_id: str
    status: Status
    title: str
    step: str | None = None
    """The step under way, in words."""
    tasks: list[TaskView] = []
    """All tasks the case has opened, oldest first."""
    rollback_plan: list[UndoView] = []
    timeline: list[CaseEvent] = []
    """Every event the Workflow has made, also those SQL has not stored yet."""


class Receipt(Message):
    """The answer to an accepted decision. `content` lets the gateway tell a repeat from a reused id."""

    decision_id: str
    content: str
    task: TaskView
    case_status: Status


# --------------------------------------------------------------------------------------------------------------- record


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


class Act(StrEnum):
    """What people do with a task other than decide it."""

    CLAIM = "claim"
    RELEASE = "release"
    """Give a claim back; a delegate gives the task back to whom it came from."""
    REASSIGN = "reassign"
    """Hand over for good."""
    DELEGATE = "delegate"
    """Hand over, and get it back by release."""
    WITHDRAW = "withdraw"
    """Take back one's own decision while the gate is open."""
    ASK = "ask"
    ANSWER = "answer"
    WITHDRAW_QUESTION = "withdraw_question"
    """Take back a question that has no answer: nobody waits for it any more."""
    SET_CLOCK = "set_clock"
    REPLACE = "replace"
    """Somebody has left: whoever comes after takes the place of `replaces` on the task."""
    NEW_RULES = "new_rules"
    """The gate follows other rules from now on: those of `ruling`."""
    RECOUNT = "recount"
    """People or groups have changed: look whether enough are left who can decide."""


class Action(Message):
    """The envelope of everything but a decision. Like it: the gateway asserts who, the Workflow checks the rules."""

    id: str
    task_id: str
    act: Act
    by: Actor
    to: Actor | None = None
    """Whom a task is handed or a question is put to."""
    text: str = ""
    """Question, answer, or the reason."""
    question: str | None = None
    """The id of the question that is answered or taken back."""
    replaces: str | None = None
    due_at: ZonedMoment | None = None
    expires_at: ZonedMoment | None = None
    ruling: GateRuling | None = None
    policy_hash: str | None = None
    """Of `ruling`."""
    times: bool = False
    """The ruling's times count also where an admin has set others by hand."""
    revision: int | None = None
    via: str = "api"
    at: ZonedMoment

    @property
    def content(self) -> str:
        """Digest of what was wanted, to tell a repeat from the same id reused with other content."""
        return hashlib.sha256(self.model_dump_json(exclude={"id", "by", "at", "via"}).encode()).hexdigest()


class TaskPatch(Message):
    """What changed on a stored task."""

    task_id: str
    status: Literal["open", "closed"]
    outcome: Outcome | None
    given: int
    candidate_groups: list[str]
    candidate_users: list[str]
    members: dict[str, list[str]] = {}
    """Groups whose members at the opening count, with those."""
    due_at: BoundedMoment | None
    expires_at: BoundedMoment | None
    revision: int
    closed_at: BoundedMoment | None
    priority: int | None = None
    state: dict[str, Any] = {}
    """Whatever else may change on a task: fields of TaskView as JSON."""
    counting: list[str] | None = None
    """Ids of the decisions that count; None: those of which it is known already."""


class DecisionRecord(Message):
    """One decision as the Workflow judged it. `refusal` is empty when it was accepted."""

    decision: Decision
    on_behalf_of: str | None = None
    changes: list[FieldChange] = []
    """What it changed in the input."""
    refusal: str = ""
    code: str = ""
    """The kind of refusal: `NotAllowed`, `AlreadyClosed`, `Stale`, ..."""


class ActionRecord(Message):
    """One action that came by signal, as the Workflow judged it. `refusal` is empty when it was done."""

    action_id: str
    task_id: str
    act: Act
    person: str
    content: str
    at: BoundedMoment
    refusal: str = ""
    code: str = ""

    @classmethod
    def of(cls, action: Action, refusal: str = "", code: str = "") -> "ActionRecord":
        """What became of an action."""
        return cls(
            action_id=action.id,
            task_id=action.task_id,
            act=action.act,
            person=action.by.id,
            content=action.content,
            at=action.at,
            refusal=refusal,
            code=code,
        )


class CaseRecord(Message):
    """What one record activity writes, in one transaction: events, and the projection they lead to."""

    case_id: str
    status: Status
    events: list[CaseEvent] = []
    opened: list[TaskView] = []
    patched: list[TaskPatch] = []
    decisions: list[DecisionRecord] = []
    withdrawn: list[str] = []
    """Ids of accepted decisions that no longer count."""
    actions: list[ActionRecord] = []
    input: dict[str, Any] | None = None
    """The input as it is from now on, where people changed it; with `title`."""
    title: str | None = None
    plan: list[PlannedUndo] | None = None
    """What a rollback would undo, oldest first; None where that has not changed."""
    workflow_id: str | None = None
    """The Workflow that writes this, where it is not the case's own."""
    result: CaseResult | None = None


class Written(ChainHead):
    """The head of the chain; and if the end of the case was recorded before, that end: it stands."""

    ended: CaseResult | None = None


class GateRequest(Message):
    """What the local activity that opens a gate receives.

    `record` holds the events that wait to be written; `task` is the task as it will be if the gate is needed, its
    people and clock still empty; `event_id` is for the event which the activity writes for the gate itself.
    """

    record: CaseRecord
    task: TaskView
    case: dict[str, Any]
    """`reference`, `requester`, `priority`, `batch_id`: what conditions see as `case`."""
    policy_hash: str
    input: dict[str, Any]
    """The whole input; `task.input` is the one that is shown, with bank accounts masked."""
    event_id: str


class Present(Message):
    """The people whom a task concerns and who can act now: what "can this still be decided?" goes by."""

    there: list[Actor] = []
    """Active and not away, each with those who are away and named them as substitute. No more of them than matter."""
    giver: Absent | None = None
    """Who delegated the task, as long as they are active."""
    silent: list[str] = []
    """Of those who were asked a question: who can answer none now, and has no substitute who can."""
    left: dict[str, str | None] = {}
    """Those it names who have left, each with who came after. Then nobody has looked who is there."""


class GateOpening(Message):
    """What opening a gate came to: the ruling, the task if people must decide, and the event that was written."""

    ruling: GateRuling
    task: TaskView | None
    event: CaseEvent
    ended: CaseResult | None = None
    """If the record holds an end of the case already: that stands, and nobody is asked."""


# ---------------------------------------------------------------------------------------------------------------- batch


class Problem(Message):
    """One thing wrong with one input. `column` is None when it concerns the whole row or several fields together.

    `message` is a sentence that names the value and what was expected; of a cell of a file these also stand apart.
    """

    column: str | None
    message: str
    value: str | None = None
    """As it stood there and may be repeated."""
    expected: str | None = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}" if self.column else self.message


class BatchAct(StrEnum):
    """What people ask of a batch."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class BatchOrder(Message):
    """Somebody asks a batch to stop, or to go on. The gateway asserts who, and that they may."""

    id: str
    act: BatchAct
    by: Actor
    reason: str
    at: ZonedMoment
    rollback_started: bool = False
    """Of a cancel: whether its cases are asked to undo what they did."""
    completed_too: bool = False
    """Whether those that were completed are rolled back as well, which takes an operator."""


class BatchNote(Message):
    """What became of an order, for the record."""

    batch_id: str
    status: Literal["running", "paused", "cancelling", "cancelled"]
    order: BatchOrder


class BatchInput(Message):
    """One uploaded file to import. Its rows lie in SQL; 100,000 rows never travel in a payload."""

    batch_id: str
    process: str
    path: str
    """The file, relative to `HOLDGATE_VAR/uploads`."""
    sha256: str
    filename: str
    requester: str
    policy_hash: str
    total: int = 0
    orders: list[BatchOrder] = []
    """What was asked of it before this run of its Workflow, oldest first."""


class BatchCounts(Message):
    """`total` = `valid` + `invalid` + `duplicate`; `valid` ends as `started` or `failed`."""

    total: int = 0
    valid: int = 0
    invalid: int = 0
    started: int = 0
    duplicate: int = 0
    failed: int = 0


class BatchResult(Message):
    batch_id: str
    rows: BatchCounts
    left: bool = False
    """Whether rows may be left to be started."""


# -------------------------------------------------------------------------------------------------------------- notices


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

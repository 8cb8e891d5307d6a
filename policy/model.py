"""The policy as plain data. `parse` reads it, `rules` evaluates it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from domain.confirmation import Confirm
from domain.names import AUDITORS, OPERATORS, REQUESTERS
from domain.normalization import identity_key
from domain.status import OnExpiry, Substitutes, Then
from policy.calendars import Calendar

MANAGER_OF_REQUESTER = "manager_of(requester)"
"""A value in `users`. It stands for the manager of the requester, who is known only when a case exists."""
ANYONE = "anyone"
"""A value in `choose_from`. It allows every person and group."""
EVERYONE = "everyone"
"""A value of `quorum`. It means that everybody who can decide must approve."""


class UnknownGate(LookupError):
    """Raised if the policy of a case has no rules for a gate."""


@dataclass(frozen=True)
class PolicyProblem:
    """One mistake in a policy text: its file and line, its key, and a message that says what to change."""

    source: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.key + ': ' if self.key else ''}{self.message}"


class PolicyError(ValueError):
    """Raised if a policy is invalid. `str()` of the error has one line for each mistake, with file, line and key."""

    safe_to_log = True

    def __init__(self, problems: list[PolicyProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def _count_or_expression(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a whole number, a CEL expression in quotes that gives one, or 'everyone'")
    if isinstance(value, int) and value < 1:
        raise ValueError("must be at least 1")
    return value


def _limit(value: Any) -> Any:
    """Return a limit as an exact number. In TOML it is `500`, `499.99` or `"499.99"`."""
    try:
        number = Decimal(value) if isinstance(value, int | str | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite():
        raise ValueError("must be a number")
    return number


def _person(value: str) -> str:
    if "(" in value and value != MANAGER_OF_REQUESTER:
        raise ValueError(f"'{value}' is not the id of a person: write an id, or exactly {MANAGER_OF_REQUESTER}")
    return value


Name = Annotated[str, Field(min_length=1)]
Group = Annotated[Name, AfterValidator(identity_key)]
User = Annotated[Name, AfterValidator(_person)]


def _choice(value: str) -> str:
    return value if value == MANAGER_OF_REQUESTER else identity_key(_person(value))


Choice = Annotated[Name, AfterValidator(_choice)]
Answer = Literal["approve", "reject", "request_changes", "abstain"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Level(_Section):
    """One level of escalation of a gate.

    After the time `after` its groups and people are added to the candidates so far, or replace them.
    """

    after: str
    to: list[Group] = []
    users: list[User] = []
    replace: bool = False
    priority: Annotated[int, Field(ge=1, le=5)] | None = None


class GateRules(_Section):
    """The rules of one gate in a policy: who decides, and by when. All clocks start when the gate opens.

    `candidates` is a CEL expression that gives names of groups or people, such as `candidates` (a field of the input)
    or `facts.owners`. They can decide in addition to `groups` and `users`. `choose_from` limits these names to its
    groups and their members, so that a requester cannot choose anybody. It may also contain "manager_of(requester)", or
    "anyone" for no limit.

    With `substitutes = "same-group"`, a substitute must be a candidate too, such as a member of a group that can
    decide. The substitute of a candidate by name may instead share a group with the candidate.

    `when`, `auto_reject`, `auto_approve` and `quorum` may be CEL expressions. Clocks are a duration (`30s`, `15m`,
    `8h`, `3d`) or CEL that gives one. Durations count in the working time of `calendar`, if it is set.

    At `expires` the gate is rejected or approved. With `on_expiry = "escalate"` it is opened to the people of all
    levels, runs for the same time once more, and is then rejected.

    With `revision = "required"` a decision names the revision of the task that its person saw.

    `confirm` is `none`, `password`, `passkey`, or CEL that gives one of these.
    """

    when: str | None = None
    auto_reject: str | None = None
    auto_approve: str | None = None
    groups: list[Group] = []
    users: list[User] = []
    candidates: str | None = None
    choose_from: list[Choice] | None = None
    substitutes: Substitutes = "same-group"
    quorum: Annotated[int | str, BeforeValidator(_count_or_expression)] = 1
    veto: bool = True
    separation_of_duties: bool = True
    exclude: list[Name] = []
    membership: Literal["live", "snapshot"] = "live"
    comment: list[Answer] = ["request_changes"]
    revision: Literal["required", "optional"] = "required"
    confirm: Name = Confirm.NONE.value
    edit: list[Name] = []
    rounds: Annotated[int, Field(ge=1, le=20)] = 5
    changes: str = "7d"
    calendar: Name | None = None
    due: str | None = None
    remind: list[str] = []
    escalate: list[Level] = []
    expires: str | None = None
    on_expiry: OnExpiry = "reject"
    pause_for_questions: bool = False

    @property
    def chosen_from(self) -> list[str] | None:
        """Return the groups and people that the `candidates` expression may name; None if it may name everybody."""
        return None if self.choose_from is None or ANYONE in self.choose_from else self.choose_from

    def clocks(self) -> list[tuple[str, str]]:
        """Return every clock of the gate that starts at its opening, as (key, text)."""
        single = [(key, text) for key, text in (("due", self.due), ("expires", self.expires)) if text is not None]
        reminders = [(f"remind[{n}]", text) for n, text in enumerate(self.remind)]
        levels = [(f"escalate[{n}].after", level.after) for n, level in enumerate(self.escalate)]
        return single + reminders + levels

    def conditions(self) -> list[tuple[str, str]]:
        """Return every CEL expression that is not a clock, as (key, text)."""
        asked = (
            ("when", self.when),
            ("auto_reject", self.auto_reject),
            ("auto_approve", self.auto_approve),
            ("candidates", self.candidates),
        )
        conditions = [(key, text) for key, text in asked if text is not None]
        if isinstance(self.quorum, str) and self.quorum != EVERYONE:
            conditions.append(("quorum", self.quorum))
        if self.confirm not in {*Confirm}:
            conditions.append(("confirm", self.confirm))
        return conditions


class Retries(_Section):
    """How often a step is tried: at most `attempts` times, and only as long as attempts begin within `retry_for`.

    Durations are written as in gates, such as `8h`.

    Pauses begin with `first` and grow by `factor` up to `longest`. `permanent` has the class names of failures after
    which the step is not retried. `time_limit` is the timeout of one attempt.
    """

    attempts: Annotated[int, Field(ge=1, le=10_000)] | None = None
    first: str | None = None
    factor: Annotated[Decimal, BeforeValidator(_limit), Field(ge=1, le=100)] | None = None
    longest: str | None = None
    retry_for: str | None = None
    time_limit: str | None = None
    permanent: list[Name] = []


class Step(Retries):
    """The retry options of one step or undo. Options here override those of the option set that `retries` names.

    `then` says what follows when all attempts have failed. `intervene`: operators decide, or the people whom the policy
    names. `roll_back`: the case is rolled back and ends `failed`. `resubmit`: the same, and the next round starts by
    itself after `resubmit_after`.
    """

    retries: Name | None = None
    then: Then = "intervene"
    resubmit_after: str | None = None


class ProcessPolicy(_Section):
    """The section of one process: its roles, its limits by currency, lists of names, gates and steps.

    The roles are groups. `requesters` start cases, `viewers` see all cases of the process, `operators` also resolve
    incidents, cancel, roll back and reassign, and `auditors` also read the audit events and the evidence.

    `rounds` is the maximum number of cases with one reference: the first case, and its resubmissions.

    `reveal` has, by masked field of the input, the groups whose members may see its whole value on request.
    """

    requesters: list[Group] = [REQUESTERS]
    viewers: list[Group] = []
    operators: Annotated[list[Group], Field(min_length=1)] = [OPERATORS]
    auditors: list[Group] = [AUDITORS]
    limits: dict[str, dict[str, Annotated[Decimal, BeforeValidator(_limit)]]] = {}
    lists: dict[str, list[Name]] = {}
    gates: dict[str, GateRules] = {}
    steps: dict[str, Step] = {}
    rounds: Annotated[int, Field(ge=1, le=100)] = 10
    reveal: dict[str, Annotated[list[Group], Field(min_length=1)]] = {}


@dataclass(frozen=True)
class Policy:
    """A valid policy. `hash` is the SHA-256 of `text`; a case keeps the policy that it had at its start."""

    source: str
    text: str
    hash: str
    processes: Mapping[str, ProcessPolicy]
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    retries: Mapping[str, Retries] = field(default_factory=dict)
    parts: tuple[tuple[int, str], ...] = ()
    """The files after the first of which `text` consists: for each, the line of `text` on which it begins, and its
    path.
    """

    def has(self, process: str) -> bool:
        """Return True if the policy has a section for this process, so that its cases may start."""
        return process in self.processes

    def operators(self, process: str) -> list[str]:
        """Return the groups that operate the cases of a process. Without a section for it, the usual group does."""
        return list(self.processes.get(process, ProcessPolicy()).operators)

    def lists(self, process: str) -> dict[str, list[str]]:
        """Return the lists of names of a process, such as `denied_payees`; empty without lists."""
        return dict(self.processes[process].lists) if self.has(process) else {}

    def reveal(self, process: str) -> dict[str, list[str]]:
        """Return, by masked field, the groups whose members may reveal it. Nobody may reveal a field without groups."""
        return dict(self.processes[process].reveal) if self.has(process) else {}

    def rounds(self, process: str) -> int:
        """Return the maximum number of cases with one reference."""
        return self.processes[process].rounds

    def gate(self, process: str, gate: str) -> GateRules:
        """Return the rules of one gate. Raises UnknownGate."""
        section = self.processes.get(process)
        if section is None or gate not in section.gates:
            raise UnknownGate(f"{self.source} has no section [{process}.gates.{gate}]")
        return section.gates[gate]

    def calendar_of(self, gate: GateRules) -> Calendar | None:
        """Return the calendar for the clocks of a gate; None if the clocks count all time, not only working time."""
        return self.calendars[gate.calendar] if gate.calendar else None


def describe(policy: Policy, process: str) -> list[dict[str, Any]]:
    """Return the gates of a process as the policy writes them, for pages and for `GET /processes`."""
    if not policy.has(process):
        return []
    return [{"gate": name, **gate.model_dump()} for name, gate in policy.processes[process].gates.items()]

"""What a policy says, as plain data. Reading it is `parse`, applying it is `rules`."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from workflows.models import OnExpiry


class UnknownGate(LookupError):
    """A case came to a gate that its policy does not name."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a policy text: where it stands, under which key, and what to change."""

    source: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.key + ': ' if self.key else ''}{self.message}"


class PolicyError(ValueError):
    """A policy that cannot be used. `str()` is one line per problem, each with file, line and key."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def _count_or_expression(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("must be a whole number, or a CEL expression in quotes that gives one")
    if isinstance(value, int) and value < 1:
        raise ValueError("must be at least 1")
    return value


def _limit(value: Any) -> Any:
    """Limits are exact numbers: `500`, `499.99` (read from TOML as a decimal) or `"499.99"`."""
    try:
        number = Decimal(value) if isinstance(value, int | str | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        number = None
    if number is None or not number.is_finite():
        raise ValueError("must be a number")
    return number


Name = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Level(_Section):
    """One escalation: after this long these groups and people may decide too."""

    after: str
    to: list[Name] = []
    users: list[Name] = []


class Gate(_Section):
    """Who decides one gate, and when. Clocks count from the opening of the gate.

    `when` and `quorum` may be CEL expressions, clocks a duration (`30s`, `15m`, `8h`, `3d`) or CEL that gives one.
    At its end (`expires`) the gate is rejected or approved, or, with `on_expiry = "escalate"`, opened to the people of
    all its levels; then the same time runs once more, and after that the gate is rejected.
    """

    when: str | None = None
    groups: list[Name] = []
    users: list[Name] = []
    quorum: Annotated[int | str, BeforeValidator(_count_or_expression)] = 1
    separation_of_duties: bool = True
    due: str | None = None
    remind: list[str] = []
    escalate: list[Level] = []
    expires: str | None = None
    on_expiry: OnExpiry = "reject"

    def clocks(self) -> list[tuple[str, str]]:
        """Every clock of the gate as (key, text)."""
        single = [(key, text) for key, text in (("due", self.due), ("expires", self.expires)) if text is not None]
        reminders = [(f"remind[{n}]", text) for n, text in enumerate(self.remind)]
        levels = [(f"escalate[{n}].after", level.after) for n, level in enumerate(self.escalate)]
        return single + reminders + levels

    def expressions(self) -> list[tuple[str, str]]:
        """The conditions of the gate, without its clocks, as (key, text)."""
        when = [] if self.when is None else [("when", self.when)]
        return when + ([("quorum", self.quorum)] if isinstance(self.quorum, str) else [])


class ProcessPolicy(_Section):
    """The section of one process: a row of limits for each currency, lists of names, and the gates."""

    limits: dict[str, dict[str, Annotated[Decimal, BeforeValidator(_limit)]]] = {}
    lists: dict[str, list[Name]] = {}
    gates: dict[str, Gate] = {}


@dataclass(frozen=True)
class Policy:
    """A valid policy. `hash` is the SHA-256 of `text`; cases are pinned to it at their start."""

    source: str
    text: str
    hash: str
    processes: Mapping[str, ProcessPolicy]

    def has(self, process: str) -> bool:
        """Whether cases of this process may start."""
        return process in self.processes

    def lists(self, process: str) -> dict[str, list[str]]:
        """The lists of names of a process, such as `denied_payees`; empty when it has none."""
        return dict(self.processes[process].lists) if self.has(process) else {}

    def gate(self, process: str, gate: str) -> Gate:
        """The rules of one gate. Raises UnknownGate."""
        section = self.processes.get(process)
        if section is None or gate not in section.gates:
            raise UnknownGate(f"{self.source} has no section [{process}.gates.{gate}]")
        return section.gates[gate]


def describe(policy: Policy, process: str) -> list[dict[str, Any]]:
    """The gates of a process as the policy states them, for people and for `GET /processes`."""
    if not policy.has(process):
        return []
    return [{"gate": name, **gate.model_dump()} for name, gate in policy.processes[process].gates.items()]

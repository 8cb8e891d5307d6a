"""Run table tests of a policy. One row is a case with the expected answer of each gate.

[[payment]]
    name = "A manager looks at 500"
    input = { payee = "Acme", amount = "500.00", currency = "GBP", account = "operating" }
    facts = { score = 10 }
    gates = { fraud-review = "no", manager-approval = "1 of managers" }

The answer of a gate is `no` (not needed), `approved by rule`, `rejected by rule`, `2 of managers, directors`, `everyone
of managers`, or, in a row without `facts`, `depends on facts.score`. Gates without an expected answer are not checked.
`due` and `expires` may give the expected moments by gate. A moment without an offset is in the time zone of the gate's
calendar, or UTC without a calendar.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from domain.moments import moment_of
from policy.calendars import Calendar
from policy.model import Policy, PolicyProblem
from policy.preview import FutureCase, Preview
from policy.wording import local


class TableError(ValueError):
    """Raised if a table is invalid. `str()` of the error has one line for each mistake, with file, line and row."""


def _written(value: Any) -> datetime:
    """Return a moment with an offset in UTC. Return a time without an offset unchanged."""
    local = value if isinstance(value, datetime) else None
    return local if local and local.tzinfo is None and moment_of(local.replace(tzinfo=UTC)) else moment_of(value)


_Written = Annotated[datetime, BeforeValidator(_written)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    input: dict[str, Any]
    facts: dict[str, Any] | None = None
    requester: str | None = None
    at: _Written = datetime(2026, 1, 5, 12, tzinfo=UTC)
    """The moment at which the gates open. A moment without an offset is taken as UTC."""
    gates: dict[str, str] = {}
    due: dict[str, _Written] = {}
    expires: dict[str, _Written] = {}


@dataclass(frozen=True)
class TableTest:
    """One row of a table of tests, with its place in the file."""

    source: str
    line: int
    process: str
    row: _Row
    input: BaseModel


def table(text: str, *, source: str, policy: Policy, inputs: Mapping[str, type[BaseModel]]) -> list[TableTest]:
    """Return the tests in `text`, the content of the file `source`. Raises TableError with all mistakes."""
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as wrong:
        raise TableError(f"{source}: not valid TOML: {wrong}") from wrong
    tests: list[TableTest] = []
    mistakes: list[str] = []
    for process, rows in raw.items():
        if process not in inputs or not policy.has(process):
            known = ", ".join(name for name in inputs if policy.has(name))
            mistakes.append(f"{source}: {process}: unknown process; the policy knows {known}")
            continue
        if not isinstance(rows, list):
            mistakes.append(f"{source}: {process}: must be rows, each beginning with [[{process}]]")
            continue
        heads = [n for n, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[\[\s*{process}\s*\]\]", line)]
        # An array on one line has no headers.
        lines = heads if len(heads) == len(rows) else [1] * len(rows)
        for line, entry in zip(lines, rows, strict=True):
            found = _test(source, line, process, entry, policy, inputs[process])
            if isinstance(found, TableTest):
                tests.append(found)
            else:
                name = str(entry.get("name", process)) if isinstance(entry, dict) else process
                mistakes += [str(PolicyProblem(source, line, name, message)) for message in found]
    if not tests and not mistakes:
        mistakes.append(f"{source}: has no rows: begin each row with [[{next(iter(policy.processes), 'payment')}]]")
    if mistakes:
        raise TableError("\n".join(mistakes))
    return tests


def _test(
    source: str, line: int, process: str, entry: Any, policy: Policy, model: type[BaseModel]
) -> TableTest | list[str]:
    """Return the test that a row describes, or the mistakes of the row as a list of sentences."""
    try:
        row = _Row.model_validate(entry)
    except ValidationError as wrong:
        return [f"{_path(error['loc'])}: {_message(error['type'], error['msg'])}" for error in wrong.errors()]
    section = policy.processes[process]
    named = {*row.gates, *row.due, *row.expires}
    mistakes = [
        f"the process has no gate '{gate}'; it has {', '.join(section.gates)}"
        for gate in sorted(named - set(section.gates))
    ]
    if not named:
        mistakes.append("names no gate: say in 'gates' what is expected of each")
    try:
        parsed = model.model_validate(row.input)
    except ValidationError as wrong:
        mistakes += [
            f"input.{_path(error['loc'])}: {_message(error['type'], error['msg'])}" for error in wrong.errors()
        ]
        return mistakes
    return mistakes or TableTest(source, line, process, row, parsed)


def failure(test: TableTest, policy: Policy) -> str | None:
    """Return in one line how the answers of the policy differ from the answers that the row expects.

    Return None if all answers are as expected.
    """
    row = test.row
    at = row.at if row.at.tzinfo else row.at.replace(tzinfo=UTC)
    supposed = FutureCase(test.input, row.facts, row.requester)
    wrong = []
    for gate in policy.processes[test.process].gates:
        preview = Preview(policy, test.process, gate, supposed, at)
        wanted = row.gates.get(gate)
        if wanted is not None and _plain(wanted) != _plain(preview.answer):
            why = f" ({preview.ruling.problem})" if preview.ruling.problem else ""
            wrong.append(f"{gate}: expected {wanted}, found {preview.answer}{why}")
        for what, moments, found in (
            ("due", row.due, preview.ruling.due_at),
            ("expires", row.expires, preview.ruling.expires_at),
        ):
            if gate in moments and found != (moment := _moment(moments[gate], preview.calendar)):
                never = "no time" if found is None else local(found, preview.calendar)
                wrong.append(f"{gate}: expected {what} {local(moment, preview.calendar)}, found {never}")
    return f"{test.source}:{test.line}: {row.name}: {'; '.join(wrong)}" if wrong else None


def _plain(answer: str) -> tuple[str, list[str]]:
    """Return an answer in a form in which answers are equal if they differ only in order of names, case or blanks."""
    many, _, names = " ".join(answer.lower().split()).partition(" of ")
    return many, sorted(name.strip() for name in names.split(","))


def _moment(written: datetime, calendar: Calendar | None) -> datetime:
    return written if written.tzinfo else written.replace(tzinfo=calendar.zone if calendar else UTC)


def _path(loc: tuple[str | int, ...]) -> str:
    return ".".join(map(str, loc))


def _message(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "is an unknown key"
    return "is missing" if kind == "missing" else message.removeprefix("Value error, ")

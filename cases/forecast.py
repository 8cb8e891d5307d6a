"""Forecast what the rows of a file would cause: decisions by rules, tasks for each group, and sums of money.

The forecast uses the policy and the rows only. Facts are found by steps, so a gate whose condition depends on facts
gets a range. Each gate is counted as if people approve all gates before it; a row that a rule rejects reaches no
further gate. The forecast reads no database, and takes the rows one by one, so that memory does not grow with the file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from pydantic import BaseModel

from cases.workflow_starter import BATCH_PRIORITY
from domain.money import exact
from policy.comparisons import comparison
from policy.model import EVERYONE, Policy
from policy.preview import Previews
from policy.wording import compared, on_one_line, person_or_group
from workflows.registry import Process

_THIS_BATCH = "this batch"
"""The value of `batch_id` in conditions of the policy.

The batch has no id yet, but conditions can ask if a case belongs to a batch.
"""
_TOLD = 3
"""The most rules or groups that one sentence of the forecast names.

Without this maximum, a limit in ten currencies would fill a page.
"""
Verdict = Literal["approve", "reject"]


class GateForecast(BaseModel):
    """The forecast for one gate: what the valid rows of a file would cause there."""

    process: str
    gate: str
    title: str
    cases: int
    """The number of rows that reach the gate, if people approve all tasks of the gates before it."""
    by_rule: int
    """The number of rows in `cases` that need no person at this gate, because the gate does not open or a rule
    approves."""
    by_rule_because: list[str]
    rejected_by_rule: int
    rejected_because: list[str]
    tasks: dict[str, int]
    """The number of tasks that certainly open, by group. A task for two groups counts once for each of them."""
    approvals: int
    """The number of approvals that the tasks of this gate need together.

    A minimum, if the number depends on facts or people.
    """
    maybe_asked: list[str]
    """People and groups who may also be asked, if facts that are not known yet require it."""
    tasks_by_approvals: dict[int, int]
    """The number of tasks that certainly open, by the number of approvals that each task needs."""
    depends_on: list[str]
    """The names of values that are not known yet and decide whether people are asked, such as `facts.score`."""
    known_after: str | None
    between: tuple[int, int | None]
    """The least and the greatest number of tasks.

    The greatest number is null if the gate opens once for each item that a step finds.
    """


class Total(BaseModel):
    """The sum of the amounts of some rows in one currency."""

    currency: str
    count: int
    sum: Decimal
    smallest: Decimal
    largest: Decimal


class ForecastReport(BaseModel):
    """The forecast for the valid rows of a file."""

    summary: list[str]
    gates: list[GateForecast]
    totals: list[Total]
    """Sums of the amounts of the valid rows, by currency."""
    duplicate_totals: list[Total]
    """Sums of the amounts of the duplicate rows, by currency.

    Duplicate rows start no case, so they are not paid again.
    """


class Forecast:
    """Counts rows one by one, and makes the forecast from the counts."""

    def __init__(self, policy: Policy, processes: Mapping[str, Process], by: str) -> None:
        self._policy, self._processes, self._by = policy, processes, by
        self._gates: dict[str, list[_Gate]] = {}
        self._cases: Counter[str] = Counter()
        self._valid, self._duplicates = _Totals(), _Totals()

    def valid(self, process: str, reference: str, priority: int | None, input: BaseModel) -> None:
        """Add a valid row, which would start a case.

        `priority` is 1 to 5; None stands for 4, the default of rows.
        """
        self._cases[process] += 1
        self._valid.add(self._processes[process], input)
        case = {
            "reference": reference,
            "requester": self._by,
            "priority": priority or BATCH_PRIORITY,
            "batch_id": _THIS_BATCH,
        }
        for gate in self._gates_of(process):
            if not gate.add(input, case):
                return

    def duplicate(self, process: str, input: BaseModel) -> None:
        """Add a duplicate row, which would start no case. Only its amount is counted."""
        self._duplicates.add(self._processes[process], input)

    def report(self) -> ForecastReport:
        """Return the forecast for all rows that were added so far."""
        gates = [gate for process in self._gates.values() for gate in process]
        totals = self._valid.report()
        return ForecastReport(
            summary=[*self._of_money(totals), *(gate.sentence() for gate in gates)],
            gates=[gate.report() for gate in gates],
            totals=totals,
            duplicate_totals=self._duplicates.report(),
        )

    def _gates_of(self, process: str) -> "list[_Gate]":
        if process not in self._gates:
            # In the order of the process's wording, which follows the procedure. Gates of the engine are not included.
            kind, ruled = self._processes[process], self._policy.processes[process].gates
            self._gates[process] = [_Gate(self._policy, kind, name) for name in kind.words.gates if name in ruled]
        return self._gates[process]

    def _of_money(self, totals: Iterable[Total]) -> Iterator[str]:
        for process, count in self._cases.items():
            if self._processes[process].words.money is None:
                yield f"{_counted(count, self._processes[process])} would start."
        for total in totals:
            of_each = f"from {_amount(total.smallest)} to {_amount(total.largest)}"
            if total.smallest == total.largest:
                of_each = f"{_amount(total.smallest)} each"
            kinds = [p for p in self._cases if self._processes[p].words.money]
            what = _counted(total.count, self._processes[kinds[0]]) if len(kinds) == 1 else f"{total.count:,} cases"
            yield f"{what} would start in {total.currency}: {_amount(total.sum)} in all, {of_each}."


class _Gate:
    """Counts for one gate what the rows of the file would cause there."""

    def __init__(self, policy: Policy, process: Process, name: str) -> None:
        self.process, self.name, self.limits = process, name, policy.processes[process.name].limits
        self.previews = Previews(policy, process.name, name)
        self.title = name.replace("-", " ").replace("_", " ").capitalize()
        self.repeated = name in process.words.repeated
        self.cases = self.perhaps = self.approvals_not_known = 0
        self.decided: dict[Verdict, Counter[_Why]] = {"approve": Counter(), "reject": Counter()}
        self.tasks: Counter[tuple[str, ...]] = Counter()
        self.tasks_by_approvals: Counter[int] = Counter()
        self.maybe_asked: dict[str, None] = {}
        self.depends_on: set[str] = {"facts"} if self.repeated else set()

    def add(self, input: BaseModel, case: Mapping[str, object]) -> bool:
        """Count one row at this gate.

        Return True if the row can reach the next gate, False if a rule rejects the row here.
        """
        self.cases += 1
        if self.repeated:
            return True
        decision = self.previews.of(input, case)
        if depends_on := decision.depends_on:
            self.depends_on.update(depends_on)
            if decision.needed:  # else a rule decides, but it is not known which one
                self.perhaps += 1
                self.maybe_asked.update(dict.fromkeys(decision.asked))
            return True
        if decision.needed:
            self.tasks[decision.asked] += 1
            self.tasks_by_approvals[decision.quorum] += 1
            self.approvals_not_known += "quorum" in decision.unknown
            return True
        verdict = decision.decided or "approve"
        why = _Why(decision.rule, decision.decided is not None, str(getattr(input, "currency", "")))
        self.decided[verdict][why] += 1
        return verdict == "approve"

    @property
    def certain(self) -> int:
        return self.tasks.total()

    def report(self) -> GateForecast:
        each: Counter[str] = Counter()
        for asked, count in self.tasks.items():
            each.update(dict.fromkeys(asked, count))
        return GateForecast(
            process=self.process.name,
            gate=self.name,
            title=self.title,
            cases=self.cases,
            by_rule=self.decided["approve"].total(),
            by_rule_because=self.because("approve"),
            rejected_by_rule=self.decided["reject"].total(),
            rejected_because=self.because("reject"),
            tasks={person_or_group(name): count for name, count in each.items()},
            approvals=sum(quorum * count for quorum, count in self.tasks_by_approvals.items()),
            maybe_asked=[person_or_group(name) for name in self.maybe_asked],
            tasks_by_approvals=dict(sorted(self.tasks_by_approvals.items())),
            depends_on=sorted(self.depends_on),
            known_after=self.known_after if self.depends_on or self.approvals_not_known else None,
            between=(self.certain, None if self.repeated else self.certain + self.perhaps),
        )

    # --------------------------------------------------------------------------------------------------------- in words

    @property
    def known_after(self) -> str:
        return self.process.words.facts_after.get(self.name, "its checks have run")

    def sentence(self) -> str:
        return f"{self.title}: {'; '.join(self.parts()) or 'not reached by any case'}."

    def parts(self) -> Iterator[str]:
        if self.repeated:
            yield f"how many tasks there are is known after {self.known_after}"
        elif self.perhaps:
            whom = " or ".join(
                map(
                    person_or_group,
                    dict.fromkeys([*(name for asked in self.tasks for name in asked), *self.maybe_asked]),
                )
            )
            most = self.certain + self.perhaps
            yield f"{self.certain:,} to {most:,} tasks for {whom}, known after {self.known_after}"
        elif self.certain:
            yield self.of_tasks()
        if self.approvals_not_known:
            yield f"how many approvals {self.approvals_not_known:,} of them need is known after {self.known_after}"
        if count := self.decided["approve"].total():
            none = "need none" if count > 1 else "needs none"
            yield f"{_counted(count, self.process)} {none} ({_several(self.because('approve'))})"
        if count := self.decided["reject"].total():
            are = "are" if count > 1 else "is"
            yield f"{_counted(count, self.process)} {are} rejected by rule ({_several(self.because('reject'))})"

    def of_tasks(self) -> str:
        """Return the tasks that certainly open, as text: `40 tasks for managers, 12 of them need 2 approvals`."""
        said = f"{self.certain:,} task{'s' if self.certain > 1 else ''}"
        by_asked = {" or ".join(map(person_or_group, asked)): count for asked, count in self.tasks.most_common()}
        if len(by_asked) == 1:
            said += f" for {next(iter(by_asked))}"
        else:
            said += ": " + _several([f"{count:,} for {asked}" for asked, count in by_asked.items()])
        if self.previews.gate.quorum == EVERYONE:
            return f"{said}, and all of them must approve"
        for quorum, count in sorted(self.tasks_by_approvals.items()):
            if quorum > 1:
                of_them = "each of which needs" if count == self.certain else f"{count:,} of them need"
                said += f", {of_them} {quorum} approvals"
        return said

    def because(self, verdict: Verdict) -> list[str]:
        """Return the rules of the policy that led to this verdict, in words, the most frequent rule first."""
        return list(dict.fromkeys(self.in_words(why) for why, _ in self.decided[verdict].most_common()))

    def in_words(self, why: "_Why") -> str:
        """Return a rule and its result as text: `amount under 500.00 GBP` if `amount >= limits.manager` is false."""
        source, made = on_one_line(why.rule), comparison(why.rule)
        if made is None or (made.limit is None and isinstance(made.other, str)):
            return source if why.holds else f"not: {source}"
        limit = self.limits[why.currency][made.limit] if made.limit else made.other
        return compared(made, limit, why.holds, self.process.words, why.currency)


class _Why(NamedTuple):
    """The rule that decided a gate for a row, whether the rule was true, and the currency of the row."""

    rule: str
    holds: bool
    currency: str


class _Totals:
    """Sums of amounts, by currency."""

    def __init__(self) -> None:
        self._of: dict[str, Total] = {}

    def add(self, process: Process, input: BaseModel) -> None:
        """Add the amount of one row, if inputs of the process have an amount."""
        if process.words.money is None:
            return
        amount, currency = (getattr(input, name) for name in process.words.money)
        if amount is None or not currency:  # a plugin can leave amount or currency out
            return
        amount, currency = Decimal(str(amount)), str(currency)
        total = self._of.get(currency)
        if total is None:
            self._of[currency] = Total(currency=currency, count=1, sum=amount, smallest=amount, largest=amount)
            return
        total.count += 1
        total.sum += amount
        total.smallest, total.largest = min(total.smallest, amount), max(total.largest, amount)

    def report(self) -> list[Total]:
        """Return one total for each currency, the currency of most rows first.

        Amounts have the decimals of their currency.
        """
        totals = sorted(self._of.values(), key=lambda total: (-total.count, total.currency))
        return [
            Total(
                currency=total.currency,
                count=total.count,
                sum=exact(total.sum, total.currency),
                smallest=exact(total.smallest, total.currency),
                largest=exact(total.largest, total.currency),
            )
            for total in totals
        ]


def _amount(amount: Decimal) -> str:
    return f"{amount:,f}"


def _counted(count: int, process: Process) -> str:
    return f"{count:,} {process.words.nouns[count != 1]}"


def _several(said: Sequence[str]) -> str:
    more = len(said) - _TOLD
    return ", ".join([*said[:_TOLD], *([f"and {more} more"] if more > 0 else [])])

"""A policy in sentences: what it would do with one case, gate by gate. For people who are to trust it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.moments import moment_at_length, moment_text
from policy.clock import is_duration
from policy.model import MANAGER_OF_REQUESTER, Policy
from policy.outlook import Outlook, Supposed


@dataclass(frozen=True)
class People:
    """Who there is."""

    names: Mapping[str, str]
    """The name of each person, by id."""
    members: Mapping[str, Sequence[str]]
    """The ids of those in each group."""

    @classmethod
    def of(cls, known: Iterable[tuple[str, str, Sequence[str]]]) -> "People":
        """Of the id, the name and the groups of everybody."""
        names: dict[str, str] = {}
        members: dict[str, list[str]] = {}
        for id, name, groups in known:
            names[id] = name
            for group in groups:
                members.setdefault(group, []).append(id)
        return cls(names, members)


@dataclass(frozen=True)
class Explained:
    """One gate."""

    gate: str
    answer: str
    sentences: list[str]


def explain(
    policy: Policy, process: str, gates: Sequence[str], supposed: Supposed, at: datetime, people: People | None = None
) -> list[Explained]:
    """Each gate in sentences, in the order of `gates`, as if it opened `at`. Raises UnknownGate."""
    found = []
    for number, gate in enumerate(gates):
        outlook = Outlook(policy, process, gate, supposed, at)
        told = _Told(outlook, supposed.requester, people, first=number == 0)
        found.append(Explained(gate, outlook.answer, list(told.sentences())))
    return found


class _Told:
    """The sentences about one gate."""

    def __init__(self, outlook: Outlook, requester: str | None, people: People | None, *, first: bool) -> None:
        self.outlook, self.rules, self.ruling = outlook, outlook.rules, outlook.ruling
        self.requester, self.people, self.first = requester, people, first

    def sentences(self) -> Iterator[str]:
        yield self.opening()
        ruling = self.ruling
        if ruling.decided:
            yield self.by_rule()
        if not ruling.needed:
            return
        yield from self.rules_that_may_decide()
        yield from self.deciders()
        yield from self.answers()
        yield from self.clock()
        if ruling.problem:
            yield f"Those who decide are told: {ruling.problem}."

    def opening(self) -> str:
        when = self.rules.when
        if when is None:
            return "It opens for each case."
        match self.outlook.holds(when):
            case "unknown":
                depends = ", ".join(self.outlook.unknown_in(when))
                return f"Whether it opens depends on {depends}: it does if {self.said(when)}. Suppose it opens:"
            case "no":
                return f"It is not needed, because this does not hold: {self.said(when)}. The case goes on."
            case "failed":
                return f"It opens, because this cannot be told: {self.said(when)}."
            case "yes":
                return f"It opens, because {self.said(when)}."

    def by_rule(self) -> str:
        if self.ruling.decided == "approve":
            return f"A rule approves it, and nobody is asked, because {self.said(self.ruling.rule)}."
        ends = "The case is rolled back and ends rejected."
        return f"A rule rejects it, and nobody is asked, because {self.said(self.ruling.rule)}. {ends}"

    def rules_that_may_decide(self) -> Iterator[str]:
        for rule, does in ((self.rules.auto_reject, "rejects"), (self.rules.auto_approve, "approves")):
            if rule and (unknown := self.outlook.unknown_in(rule)):
                yield (
                    f"Whether a rule {does} it before people are asked depends on {', '.join(unknown)}: "
                    f"it does if {self.said(rule)}."
                )

    def deciders(self) -> Iterator[str]:
        ruling = self.ruling
        whom = self.who(ruling.groups, ruling.users)
        if self.outlook.quorum_unknown:
            count = str(self.rules.quorum)
            yield f"How many must approve depends on {', '.join(self.outlook.unknown_in(count))}: {self.said(count)}."
            yield f"Who can decide: {whom}."
        elif ruling.everyone:
            yield f"Everyone who can decide must approve: {whom}."
        else:
            needed = "1 approval is" if ruling.quorum == 1 else f"{ruling.quorum} approvals are"
            yield f"{needed} needed. Who can decide: {whom}."
        if (chosen_from := self.rules.chosen_from) is not None:
            among = self.who([each for each in chosen_from if each != MANAGER_OF_REQUESTER], [])
            manager = "the requester's manager" if MANAGER_OF_REQUESTER in chosen_from else ""
            yield f"Who is named to decide must be one of {' or '.join(filter(None, (among, manager)))}."
        if ruling.substitutes == "anyone":
            yield "Who is away can be stood in for by anybody they named."
        else:
            yield "Who is away can be stood in for only by somebody from a group that decides it."
        if self.requester and self.requester in self.ids(ruling.groups, ruling.users):
            yield f"{self.name(self.requester)} asks for the case and so cannot decide it."
        if ruling.separation_of_duties and not self.first:
            yield "Whoever decided an earlier gate of the case cannot decide this one."
        if ruling.excluded:
            yield f"Never decided by: {', '.join(self.name(person) for person in ruling.excluded)}."
        if ruling.snapshot:
            yield "The members that the groups have when it opens count, also when they change."

    def answers(self) -> Iterator[str]:
        ruling = self.ruling
        if ruling.veto:
            yield "One rejection ends it: the case is rolled back and ends rejected."
        else:
            yield "Rejections end it when so many approvals can no longer be reached."
        if ruling.comment_needed:
            verdicts = " and ".join(verdict.replace("_", " ") for verdict in ruling.comment_needed)
            yield f"These answers need a comment: {verdicts}."
        if not ruling.revision_required:
            yield "A decision need not name the revision of the task that its person looked at."
        if ruling.editable:
            yield f"Whoever approves may change {', '.join(ruling.editable)}."
        changes = self.rules.changes
        if self.outlook.unknown_in(changes):
            yield self.depends("How long the requester has for changes", changes)
        else:
            calendar = f" by the calendar {self.rules.calendar}" if self.rules.calendar and is_duration(changes) else ""
            length = changes.strip() + calendar if calendar else _length(ruling.changes_for)
            rounds = "1 round" if ruling.max_rounds == 1 else f"{ruling.max_rounds} rounds"
            yield f"When changes are requested, the requester has {length} to make them; at most {rounds}."

    def clock(self) -> Iterator[str]:
        ruling, rules = self.ruling, self.rules
        if ruling.due_at:
            yield f"It is due on {self.at(ruling.due_at)}."
        elif rules.due and self.outlook.unknown_in(rules.due):
            yield self.depends("When it is due", rules.due)
        if ruling.reminders:
            yield f"Who has not decided is reminded on {' and on '.join(map(self.at, ruling.reminders))}."
        for text in rules.remind:
            if self.outlook.unknown_in(text):
                yield self.depends("When a reminder is sent", text)
        for level in ruling.escalations:
            place = "in place of those before" if level.replace else "too"
            urgent = f"; its priority is then {level.priority} if it was less urgent" if level.priority else ""
            yield f"From {self.at(level.at)} others can decide {place}: {self.who(level.groups, level.users)}{urgent}."
        for wanted in rules.escalate:
            if self.outlook.unknown_in(wanted.after):
                whom = self.who(wanted.to, wanted.users)
                yield self.depends(f"When these can decide too, {whom},", wanted.after)
        yield from self.end()
        if ruling.pause_for_questions:
            yield "While a question waits for its answer the clock stands still."

    def end(self) -> Iterator[str]:
        ruling, rules = self.ruling, self.rules
        if rules.expires and self.outlook.unknown_in(rules.expires):
            yield self.depends("When it ends by itself", rules.expires)
        elif ruling.expires_at is None:
            yield "It never ends by itself."
            return
        ends = f"If it is not decided by {self.at(ruling.expires_at)}" if ruling.expires_at else "Then"
        match ruling.on_expiry:
            case "reject":
                yield f"{ends}, it is rejected: the case is rolled back and ends expired."
            case "approve":
                yield f"{ends}, it is approved."
            case "escalate":
                yield f"{ends}, it opens to all of its levels and runs once more as long; after that it is rejected."

    # ---------------------------------------------------------------------------------------------------------- words

    def said(self, condition: str) -> str:
        """A condition with the values that it reads."""
        values = [f"{name} is {_value(value)}" for name, value in self.outlook.values(condition).items()]
        shown = " ".join(condition.split())
        return f"{shown} ({', '.join(values)})" if values else shown

    def depends(self, what: str, text: str) -> str:
        return f"{what} depends on {', '.join(self.outlook.unknown_in(text))}: {self.said(text)}."

    def who(self, groups: Sequence[str], users: Sequence[str]) -> str:
        return ", ".join([*map(self.group, groups), *map(self.user, users)])

    def group(self, group: str) -> str:
        if self.people is None:
            return f"members of {group}"
        members = self.people.members.get(group, ())
        return f"members of {group} ({', '.join(map(self.name, members)) or 'there is nobody'})"

    def user(self, user: str) -> str:
        return "the requester's manager" if user == MANAGER_OF_REQUESTER else self.name(user)

    def ids(self, groups: Sequence[str], users: Sequence[str]) -> set[str]:
        """Those who are known to be candidates."""
        members = self.people.members if self.people else {}
        return {*users, *(person for group in groups for person in members.get(group, ()))}

    def name(self, person: str) -> str:
        if self.people is None:
            return person
        if person not in self.people.names:
            return f"{person} (there is no such person)"
        name = self.people.names[person]
        return person if name == person else f"{name} ({person})"

    def at(self, moment: datetime) -> str:
        return local(moment, self.outlook)


def local(moment: datetime, outlook: Outlook) -> str:
    """A moment as the people of the gate's calendar see it; in UTC where it has none."""
    return moment_at_length(moment, outlook.calendar.zone if outlook.calendar else UTC)


def _length(length: timedelta) -> str:
    days, rest = divmod(int(length.total_seconds()), 86400)
    parts = [(days, "day"), (rest // 3600, "hour"), (rest // 60 % 60, "minute"), (rest % 60, "second")]
    said = [f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in parts if count]
    return " ".join(said) or "no time"


def _value(value: Any) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    return "not given" if value is None else f"'{value}'" if isinstance(value, str) and not value else str(value)

"""Explain in sentences, gate by gate, what a policy decides for one case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.durations import in_words as length_in_words
from domain.moments import moment_text
from domain.texts import ENGLISH, Texts
from policy import wording
from policy.model import MANAGER_OF_REQUESTER, Policy
from policy.preview import FutureCase, Preview


@dataclass(frozen=True)
class People:
    """The people whom an explanation can name, by id and by group."""

    names: Mapping[str, str]
    """The name of each person, by id."""
    members: Mapping[str, Sequence[str]]
    """The ids of the members of each group."""

    @classmethod
    def of(cls, known: Iterable[tuple[str, str, Sequence[str]]]) -> "People":
        """Return an object from the people in `known`: their ids, names and groups."""
        names: dict[str, str] = {}
        members: dict[str, list[str]] = {}
        for id, name, groups in known:
            names[id] = name
            for group in groups:
                members.setdefault(group, []).append(id)
        return cls(names, members)


@dataclass(frozen=True)
class Explained:
    """The explanation of one gate."""

    gate: str
    answer: str
    sentences: list[str]


def explain(
    policy: Policy,
    process: str,
    gates: Sequence[str],
    supposed: FutureCase,
    at: datetime,
    people: People | None = None,
    texts: Texts = ENGLISH,
) -> list[Explained]:
    """Return an explanation of each gate in the order of `gates`, as if the gate opened at the moment `at`.

    Raises UnknownGate if the policy has no rules for a gate in `gates`.
    """
    found = []
    for number, gate in enumerate(gates):
        preview = Preview(policy, process, gate, supposed, at)
        sentences = _Sentences(preview, supposed.requester, people, first=number == 0, texts=texts)
        found.append(Explained(gate, preview.answer, list(sentences.all())))
    return found


class _Sentences:
    """Makes the sentences that explain one gate. In these texts a gate is called an approval step."""

    def __init__(
        self, preview: Preview, requester: str | None, people: People | None, *, first: bool, texts: Texts
    ) -> None:
        self._preview, self._gate, self._ruling, self._unknown = preview, preview.gate, preview.ruling, preview.unknown
        self._requester, self._people, self._first, self._texts = requester, people, first, texts

    def all(self) -> Iterator[str]:
        yield self._opening()
        yield from self._rules_that_may_decide()
        if self._ruling.decided:
            yield self._by_rule()
        if not self._ruling.needed:
            return
        yield from self._deciders()
        yield from self._decisions()
        yield from self._clocks()
        if self._ruling.problem:
            yield self._("The people who decide read: %(problem)s.", problem=self._ruling.problem)

    def _opening(self) -> str:
        when = self._gate.when
        if when is None:
            return self._("The approval step opens for every request.")
        condition = self._condition(when)
        match self._preview.holds(when):
            case "unknown":
                return self._(
                    "Whether the approval step opens depends on %(names)s: it opens if %(condition)s. If it opens:",
                    names=self._names("when"),
                    condition=condition,
                )
            case "no":
                return self._(
                    "The approval step is not needed, because this condition does not hold: %(condition)s.",
                    condition=condition,
                )
            case "failed":
                return self._(
                    "The approval step opens, because this condition cannot be evaluated: %(condition)s.",
                    condition=condition,
                )
            case "yes":
                return self._("The approval step opens, because %(condition)s.", condition=condition)

    def _rules_that_may_decide(self) -> Iterator[str]:
        if "auto_reject" in self._unknown:
            yield self._(
                "Whether a rule rejects it before people decide depends on %(names)s: it does if %(condition)s.",
                names=self._names("auto_reject"),
                condition=self._condition(self._gate.auto_reject or ""),
            )
        if "auto_approve" in self._unknown:
            yield self._(
                "Whether a rule approves it before people decide depends on %(names)s: it does if %(condition)s.",
                names=self._names("auto_approve"),
                condition=self._condition(self._gate.auto_approve or ""),
            )

    def _by_rule(self) -> str:
        condition = self._condition(self._ruling.rule)
        if self._ruling.decided == "approve":
            if "auto_reject" in self._unknown:
                return self._("Otherwise a rule approves it, because %(condition)s.", condition=condition)
            return self._("A rule approves it, and nobody is asked, because %(condition)s.", condition=condition)
        return self._(
            "A rule rejects it, and nobody is asked, because %(condition)s. "
            "The request is rolled back and ends rejected.",
            condition=condition,
        )

    def _deciders(self) -> Iterator[str]:
        ruling = self._ruling
        whom = self._whom(ruling.groups, [*ruling.users, *ruling.named])
        if "candidates" in self._unknown:
            later = self._("people named by %(expression)s", expression=self._gate.candidates)
            whom = ", ".join(filter(None, (whom, later)))
        if "quorum" in self._unknown:
            count = str(self._gate.quorum)
            yield self._depends(self._("How many people must approve"), "quorum", count)
            yield self._("Who can decide: %(whom)s.", whom=whom)
        elif ruling.everyone:
            yield self._("Everyone who can decide must approve: %(whom)s.", whom=whom)
        else:
            needed = self._texts.ngettext(
                "%(num)s approval is needed. Who can decide: %(whom)s.",
                "%(num)s approvals are needed. Who can decide: %(whom)s.",
                ruling.quorum,
            )
            yield needed % {"num": ruling.quorum, "whom": whom}
        if (chosen_from := self._gate.chosen_from) is not None:
            groups = [each for each in chosen_from if each != MANAGER_OF_REQUESTER]
            users = [each for each in chosen_from if each == MANAGER_OF_REQUESTER]
            yield self._(
                "A request can only choose people or groups among these to decide: %(whom)s.",
                whom=self._whom(groups, users),
            )
        if ruling.substitutes == "anyone":
            yield self._("A substitute can be any person whom the absent person names.")
        else:
            yield self._("A substitute must be a member of a group that can decide.")
        if self._requester and self._requester in self._ids(ruling.groups, ruling.users):
            yield self._("%(name)s is the requester and cannot decide.", name=self._name(self._requester))
        if ruling.separation_of_duties and not self._first:
            yield self._("People who decided an earlier approval step of the request cannot decide this one.")
        if ruling.excluded:
            yield self._("These people can never decide: %(names)s.", names=", ".join(map(self._name, ruling.excluded)))
        if ruling.snapshot:
            yield self._("The members that the groups have at the opening count, also when the groups change later.")

    def _decisions(self) -> Iterator[str]:
        ruling = self._ruling
        yield wording.rejection(ruling.veto, self._texts)
        if ruling.comment_needed:
            verdicts = ", ".join(verdict.replace("_", " ") for verdict in ruling.comment_needed)
            yield self._("These decisions need a comment: %(verdicts)s.", verdicts=verdicts)
        if not ruling.revision_required:
            yield self._("A decision need not name the revision of the task that the person read.")
        if "confirm" in self._unknown:
            yield self._depends(self._("How people confirm a decision"), "confirm", self._gate.confirm)
        elif confirm := wording.confirmation(ruling.confirm, self._texts):
            yield f"{confirm}."
        if ruling.editable:
            yield self._("An approval can change these fields: %(fields)s.", fields=", ".join(ruling.editable))
        changes = self._gate.changes
        if "changes" in self._unknown:
            yield self._depends(self._("How long the requester has for changes"), "changes", changes)
        else:
            length = wording.clock_length(changes, self._gate.calendar, self._texts)
            yield self._(
                "When changes are requested, the requester has %(length)s to make them; at most %(rounds)s.",
                length=length or length_in_words(ruling.changes_for, texts=self._texts),
                rounds=wording.rounds(ruling.max_rounds, self._texts),
            )

    def _clocks(self) -> Iterator[str]:
        ruling, gate = self._ruling, self._gate
        if ruling.due_at:
            yield self._("It is due on %(moment)s.", moment=self._at(ruling.due_at))
        elif "due" in self._unknown:
            yield self._depends(self._("When it is due"), "due", gate.due or "")
        if ruling.reminders:
            moments = ", ".join(map(self._at, ruling.reminders))
            yield self._("People who have not decided get a reminder on %(moments)s.", moments=moments)
        for number, text in enumerate(gate.remind):
            if (key := f"remind[{number}]") in self._unknown:
                yield self._depends(self._("When a reminder is sent"), key, text)
        for level in ruling.escalations:
            when = self._("From %(moment)s", moment=self._at(level.at))
            said = wording.escalation(when, self._whom(level.groups, level.users), level.replace, self._texts)
            if level.priority:
                said += self._("; the priority is then at least %(priority)s", priority=level.priority)
            yield f"{said}."
        for number, level_to_come in enumerate(gate.escalate):
            if (key := f"escalate[{number}].after") in self._unknown:
                whom = self._whom(level_to_come.to, level_to_come.users)
                yield self._depends(self._("When %(whom)s can decide", whom=whom), key, level_to_come.after)
        yield from self._expiry()
        if ruling.pause_for_questions:
            yield self._("The deadlines stop while a question has no answer.")

    def _expiry(self) -> Iterator[str]:
        then = wording.expiry(self._ruling.on_expiry, self._texts)
        if self._ruling.expires_at:
            moment = self._at(self._ruling.expires_at)
            yield self._("If nobody decides by %(moment)s, %(then)s.", moment=moment, then=then)
        elif "expires" in self._unknown:
            yield self._depends(self._("When it expires"), "expires", self._gate.expires or "")
            yield self._("When it expires, %(then)s.", then=then)
        else:
            yield self._("It never expires.")

    # ---------------------------------------------------------------------------------------------------------- words

    def _(self, message: str, **values: Any) -> str:
        text = self._texts.gettext(message)
        return text % values if values else text

    def _depends(self, what: str, key: str, text: str) -> str:
        condition = self._condition(text)
        return self._(
            "%(what)s depends on %(names)s: %(condition)s.",
            what=what,
            names=self._names(key),
            condition=condition,
        )

    def _names(self, key: str) -> str:
        return ", ".join(self._unknown[key])

    def _condition(self, condition: str) -> str:
        """Return the text of a condition, followed by the values that it reads."""
        values = [f"{name} is {self._value(value)}" for name, value in self._preview.values(condition).items()]
        shown = wording.on_one_line(condition)
        return f"{shown} ({', '.join(values)})" if values else shown

    def _whom(self, groups: Sequence[str], users: Sequence[str]) -> str:
        return ", ".join([*map(self._group, groups), *map(self._user, users)])

    def _group(self, group: str) -> str:
        said = wording.members(group, self._texts)
        if self._people is None:
            return said
        members = self._people.members.get(group, ())
        return f"{said} ({', '.join(map(self._name, members)) or self._('there is nobody')})"

    def _user(self, user: str) -> str:
        return wording.person_or_group(user, self._texts) if user == MANAGER_OF_REQUESTER else self._name(user)

    def _ids(self, groups: Sequence[str], users: Sequence[str]) -> set[str]:
        """Return the ids of the candidates who are in `people`: members of the groups, and the users."""
        members = self._people.members if self._people else {}
        return {*users, *(person for group in groups for person in members.get(group, ()))}

    def _name(self, person: str) -> str:
        if self._people is None:
            return person
        if person not in self._people.names:
            return self._("%(person)s (there is no such person)", person=person)
        name = self._people.names[person]
        return person if name == person else f"{name} ({person})"

    def _at(self, moment: datetime) -> str:
        return wording.local(moment, self._preview.calendar)

    def _value(self, value: Any) -> str:
        if isinstance(value, datetime):
            return moment_text(value)
        if value is None:
            return self._("not given")
        return f"'{value}'" if isinstance(value, str) and not value else str(value)

"""Preview a case: whom its later approval steps will ask, and what happens after the open step is approved.

The order of a process is read from its source (`plugins/source.py`). The policy that is pinned to the case says whether
people are asked, if the input and the known facts are enough to tell. If not, the preview names the fields and facts
that are not known yet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from api.pages.parts.formatting import capital, readable
from api.pages.parts.translation import _, ngettext, reader
from cases.pinned_policies import PinnedPolicies
from domain.names import ROLLBACK
from domain.task import TaskView
from domain.undo import UndoView
from plugins.source import Stop, outline_of
from policy.model import EVERYONE, Policy, PolicyError, UnknownGate
from policy.preview import FutureCase, Preview
from policy.rules import ALWAYS
from policy.wording import approvals, because, person_or_group
from store.cases.cases import CaseRow
from workflows.registry import PROCESSES, Process


class Consequence(BaseModel):
    """One of the events that follow if a task is approved."""

    kind: Literal["wait", "step", "case", "gate", "not_needed", "undo", "end"] = Field(
        description="`wait`: others must approve, too. `gate`: people decide next. `end`: how the case ends"
    )
    name: str = Field(description="The name in code of the step, the approval step or the undo; else empty")
    text: str = Field(examples=["Pay 662.37 GBP to Acme Paper Ltd"])
    certain: bool = Field(description="False if this depends on a value that is not known yet")


@dataclass(frozen=True)
class CasePreview:
    """The known facts of one case, and the preview of its later steps that follows from these facts."""

    process: Process
    input: BaseModel
    stops: Sequence[Stop]
    previews: Mapping[str, Preview]
    """The preview of each gate, by its name.

    A gate that a process opens once for each of several things has no preview.
    """

    def coming(self, stop: Stop) -> str:
        """Return in words what will happen at a stop that the case has not reached; empty if nothing is known."""
        if (hangs := self._hangs(stop)) is False:
            return _("not needed: %(why)s", why=self._field(stop))
        if stop.kind != "gate" or (preview := self.previews.get(stop.name)) is None:
            return ""
        match preview.outcome:
            case "not needed":
                return _with(_("not needed"), self._why(preview, holds=False))
            case "approved":
                return _with(_("approved by rule"), self._why(preview, holds=True))
            case "rejected":
                return _with(_("rejected by rule"), self._why(preview, holds=True))
            case "depends":
                return _("may be needed: depends on %(what)s", what=self._unknown(preview))
            case _:
                maybe = stop.maybe and hangs is None
                if maybe:
                    return _("upcoming, if needed: %(who)s", who=_who(preview))
                return _("upcoming: %(who)s", who=_who(preview))

    def passes(self, stop: Stop) -> bool:
        """Return True if it is certain that nobody decides at this stop, or that the case does not reach it."""
        if self._hangs(stop) is False:
            return True
        preview = self.previews.get(stop.name) if stop.kind == "gate" else None
        return preview is not None and preview.outcome in ("not needed", "approved")

    def if_approved(self, task: TaskView, beside: Iterable[TaskView]) -> list[Consequence]:
        """Return what happens when the task is approved, up to the next stop at which people decide.

        `beside` has the other tasks of the case.
        """
        others = [each for each in beside if each.status == "open" and each.task_id != task.task_id]
        return [*_waits(task, others), *self._after(task.gate)]

    def _after(self, gate: str) -> Iterator[Consequence]:
        place = next((place for place, stop in enumerate(self.stops) if _is_gate(stop, gate)), None)
        if place is None:
            return
        following = list(self.stops[place + 1 :])
        while following and following[0].beside:  # asked at the same time: the open ones are named before
            following.pop(0)
        certain = True
        for stop in following:
            if self._hangs(stop) is False:
                continue
            sure = certain and (not stop.maybe or self._hangs(stop) is True)
            if stop.kind == "step":
                yield Consequence(kind="step", name=stop.name, text=self.label(stop), certain=sure)
            elif stop.kind == "case":
                text = _("Submit a %(kind)s request and wait until the request ends", kind=readable(stop.name))
                yield Consequence(kind="case", name=stop.name, text=text, certain=sure)
                if sure:
                    return
                certain = False
            else:
                yield self._gate(stop, sure)
                preview = self.previews.get(stop.name)
                if sure and preview and preview.outcome in ("asked", "rejected"):
                    return
                certain = certain and self.passes(stop)
        done = self._done()
        yield Consequence(kind="end", name="", text=done, certain=certain)

    def _gate(self, stop: Stop, sure: bool) -> Consequence:
        name, preview = self.label(stop), self.previews.get(stop.name)
        if preview is None:
            text = _("Approval step, if needed: %(gate)s", gate=name)
            return Consequence(kind="gate", name=stop.name, text=text, certain=False)
        if self.passes(stop) or preview.outcome == "rejected":
            kind: Literal["end", "not_needed"] = "end" if preview.outcome == "rejected" else "not_needed"
            told = _("%(gate)s is %(what)s", gate=name, what=self.coming(stop))
            return Consequence(kind=kind, name=stop.name, text=told, certain=sure)
        if preview.outcome == "depends":
            told = _("Approval step, if needed: %(gate)s (depends on %(what)s)")
            told = told % {"gate": name, "what": self._unknown(preview)}
            return Consequence(kind="gate", name=stop.name, text=told, certain=False)
        told = _("Approval step: %(gate)s, %(who)s", gate=name, who=_who(preview))
        return Consequence(kind="gate", name=stop.name, text=told, certain=sure)

    def label(self, stop: Stop) -> str:
        """Return the text of a stop: a step's sentence with the values of this case; for other stops, their name."""
        if stop.kind != "step":
            return capital(readable(stop.name))
        try:
            return self.process.words.step(stop.name, self.input)
        except (LookupError, ValueError, TypeError, AttributeError):  # of older code, or a fact is not known yet
            return capital(readable(stop.name))

    def _done(self) -> str:
        try:
            return self.process.words.done_of(self.input) or _("The request is completed")
        except (LookupError, ValueError, TypeError, AttributeError):
            return _("The request is completed")

    def _hangs(self, stop: Stop) -> bool | None:
        """Return True if a field of the input shows that the case reaches the stop, False if not, None if unknown."""
        if stop.hangs_on is None:
            return None
        name, truth = stop.hangs_on
        return bool(getattr(self.input, name)) is truth if name in type(self.input).model_fields else None

    def _field(self, stop: Stop) -> str:
        name, truth = stop.hangs_on or ("", True)
        label = self.process.words.labels.get(name) or readable(name)
        said = _("%(field)s is not requested") if truth else _("%(field)s is requested")
        return said % {"field": label[:1].lower() + label[1:]}

    def _unknown(self, preview: Preview) -> str:
        """Return in words which unknown values decide whether people are asked.

        Fields of the input are named; facts have no names for people, so they are called the results of the checks.
        """
        said = []
        for name in preview.decision.depends_on:
            root, _dot, field = name.partition(".")
            if root == "facts":
                said.append(_("the results of the checks"))
            else:
                said.append(self.process.words.labels.get(field) or readable(field or root))
        return ", ".join(dict.fromkeys(said))

    def _why(self, preview: Preview, *, holds: bool) -> str:
        words, rule = self.process.words, preview.decision.rule
        currency = str(getattr(self.input, words.money[1], "")) if words.money else ""
        names = preview.values(rule) if rule != ALWAYS else {}
        return because(rule, names, holds, words, currency, with_value=True, texts=reader.get().texts)


async def if_approved(
    task: TaskView, row: CaseRow | None, tasks: Sequence[TaskView], plan: Sequence[UndoView], pinned: PinnedPolicies
) -> list[Consequence]:
    """Return what happens if an open task is approved, in order; empty for a task that is not about an approval.

    `tasks` are all tasks of the case. `plan` lists the steps of the case that can be undone.
    """
    if task.status != "open" or task.kind != "gate" or row is None:
        return []
    if task.gate == ROLLBACK:
        return [Consequence(kind="undo", name=each.undo, text=each.summary, certain=True) for each in plan]
    found = await preview_case(row, tasks, pinned)
    return found.if_approved(task, tasks) if found else []


async def preview_case(row: CaseRow, tasks: Sequence[TaskView], pinned: PinnedPolicies) -> CasePreview | None:
    """Return the preview of a case with these tasks; None if this code cannot read its process or its policy."""
    process = PROCESSES.get(row.process)
    stops = outline_of(process.workflow) if process else ()
    if process is None or not stops:
        return None
    try:
        policy = await pinned.get(row.policy_hash)
    except (LookupError, PolicyError):
        return None
    input = typed(process, row.input)
    return CasePreview(process, input, stops, dict(_previews(policy, process, row, input, stops, tasks)))


def _previews(
    policy: Policy, process: Process, row: CaseRow, input: BaseModel, stops: Sequence[Stop], tasks: Sequence[TaskView]
) -> Iterator[tuple[str, Preview]]:
    found = _facts(stops, tasks)
    case = {name: getattr(row, name) for name in ("reference", "requester", "priority", "batch_id")}
    for stop in stops:
        if stop.kind != "gate" or stop.name in process.words.repeated:
            continue
        facts = {} if stop.facts == "" else found.get(stop.facts) if stop.facts else None
        try:
            yield (
                stop.name,
                Preview(policy, process.name, stop.name, FutureCase(input, facts, None, case), datetime.now(UTC)),
            )
        except UnknownGate:
            continue


def _facts(stops: Sequence[Stop], tasks: Sequence[TaskView]) -> dict[str, Mapping[str, Any]]:
    """Return the facts that the gates of this round have shown, by their variable in the source of the process."""
    of_gate = {stop.name: stop.facts for stop in stops if stop.kind == "gate" and stop.facts}
    newest = max((task.round for task in tasks), default=1)
    return {
        name: task.facts for task in tasks if task.round == newest and task.facts and (name := of_gate.get(task.gate))
    }


def typed(process: Process, stored: Mapping[str, Any]) -> BaseModel:
    """Return a stored input as an instance of the model of its process.

    An input that older code stored is not validated.
    """
    try:
        return process.input.model_validate(stored)
    except ValidationError:
        return process.input.model_construct(**{name: stored.get(name) for name in process.input.model_fields})


def _waits(task: TaskView, others: Sequence[TaskView]) -> Iterator[Consequence]:
    more = task.quorum.needed - task.quorum.given - 1
    if more > 0:
        text = ngettext("%(num)s more approval is needed first", "%(num)s more approvals are needed first", more)
        yield Consequence(kind="wait", name=task.gate, text=text, certain=True)
    for other in others:
        if other.kind == "gate":
            who = ", ".join([*other.candidate_groups, *other.candidate_users])
            text = _("%(gate)s is open at the same time and must be approved, too: %(who)s", gate=_name(other), who=who)
            yield Consequence(kind="wait", name=other.gate, text=text, certain=True)


def _name(task: TaskView) -> str:
    return capital(readable(task.gate))


def _is_gate(stop: Stop, name: str) -> bool:
    return stop.kind == "gate" and stop.name == name


def _who(preview: Preview) -> str:
    """Return who must decide at a gate, in words: `2 approvals from managers`."""
    texts = reader.get().texts
    who = ", ".join(person_or_group(name, texts) for name in preview.asked) or _("nobody yet")
    if preview.gate.quorum == EVERYONE:
        return _("every member of %(who)s must approve", who=who)
    if "quorum" in preview.decision.unknown:
        return _("%(who)s can decide", who=who)
    return _("%(approvals)s from %(who)s", approvals=approvals(preview.decision.quorum, texts), who=who)


def _with(said: str, why: str) -> str:
    return f"{said}: {why}" if why else said

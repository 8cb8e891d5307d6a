"""Write the events of cases to SQL, and open gates. Both take little time, so they run as local activities.

One write is one transaction: events, tasks, decisions and the row of the case change together. A write may run twice;
the ids of the events make sure that the second run changes nothing.
"""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from temporalio import activity

from domain.case import CaseEvent
from domain.errors import Trouble
from domain.leavers import leavers_to_replace
from domain.records import CaseRecord, GateOpening, GateRequest, Present, Written
from domain.ruling import GateRuling
from domain.status import Status, Verdict
from domain.task import Quorum, TaskView
from policy.candidates import PeopleDirectory, RulingWithPeople, present, with_people
from policy.model import Policy, PolicyError
from policy.rules import rule


class NoRuling(Trouble):
    """Raised if the policy of the case, which was pinned at the start of the case, gives no ruling on a gate.

    This release of Holdgate cannot read the policy, or the policy does not fit the case.
    """


class NoCase(Trouble):
    """Raised if the database has no row for the case.

    Then somebody started a Workflow by hand, or restored an older database.
    """


class NobodyCanDecide(Trouble):
    """Raised if too few people can decide a gate, even with the people of all levels of escalation."""


class RecordStore(Protocol):
    """The interface to the part of the database that `Records` needs."""

    async def record(self, record: CaseRecord) -> Written:
        """Write a record of the case in one transaction, and return the new head of the case's chain.

        A record that was written before is not written again. Raises NoCase.
        """


class PinnedPolicies(Protocol):
    """The stored policies of cases, by hash. A case keeps the hash of the policy with which it started."""

    async def get(self, policy_hash: str) -> Policy:
        """Return the policy with this hash. Raises LookupError if it was never stored."""


class Records:
    """The activities that write to SQL and ask the policy."""

    def __init__(
        self,
        store: RecordStore,
        policies: PinnedPolicies,
        people: PeopleDirectory,
        inputs: Mapping[str, type[BaseModel]],
    ) -> None:
        self._store = store
        self._policies = policies
        self._people = people
        self._inputs = inputs

    @activity.defn
    async def record(self, record: CaseRecord) -> Written:
        """Append events and update the rows of the case and its tasks."""
        return await self._store.record(record)

    @activity.defn
    async def open_gate(self, request: GateRequest) -> GateOpening:
        """Store the ruling of the pinned policy on a gate, and return it.

        If people must decide, also store the task.

        The answer is in the history, so a replay needs neither the text of the policy nor the expression library. If
        too few people can decide even with all levels of escalation, raise a failure that is not retried; operators
        must then help.
        """
        task, found = request.task, await self._ruled(request, escalate=True)
        if found.short:
            name = task.gate.replace("-", " ")
            raise NobodyCanDecide(f"Nobody can decide {name}: {found.short}. Add people, or roll back.", permanent=True)
        ruling = found.ruling
        opened = _with_people(task, found) if ruling.needed else None
        intervenes = task.kind == "intervention"
        kind = "intervention_opened" if intervenes else "gate_opened"
        event = CaseEvent(
            event_id=request.event_id,
            case_id=task.case_id,
            at=task.opened_at,
            kind=kind if opened else "gate_decided_by_rule" if ruling.decided else "gate_skipped",
            actor="holdgate",
            summary=_opening_in_words(task, ruling) + found.said,
            data={
                "gate": task.gate,
                "task_id": opened.task_id if opened else None,
                "groups": ruling.groups,
                "users": ruling.users,
                "needed": ruling.quorum,
                "escalated": bool(found.said),
                "decided": ruling.decided,
                "rule": ruling.rule,
                "names": ruling.names,
                "problem": ruling.problem,
                "policy": request.policy_hash,
            },
        )
        record = request.record
        changes: dict[str, Any] = {"events": [*record.events, event]}
        if opened:
            status = Status.NEEDS_INTERVENTION if intervenes else Status.AWAITING_APPROVAL
            changes |= {"opened": [opened], "status": status}
        written = await self._store.record(record.model_copy(update=changes))
        return GateOpening(ruling=ruling, task=opened, event=event, ended=written.ended)

    @activity.defn
    async def rule_again(self, request: GateRequest) -> GateRuling:
        """Return the ruling on a gate whose input was edited, or on a gate that is not open yet.

        The activity writes nothing.
        """
        return (await self._ruled(request)).ruling

    @activity.defn
    async def count(self, task: TaskView) -> Present:
        """Return the people who can act on a task now.

        If the task names people who have left, return only these people with their successors, because the task must
        replace them first.
        """
        if left := leavers_to_replace(task, await self._people.left([*task.names, task.requester])):
            return Present(left=left)
        return await present(task, self._people)

    async def _ruled(self, request: GateRequest, *, escalate: bool = False) -> RulingWithPeople:
        """Return the ruling with its people and exclusions. `escalate` is passed to `with_people`."""
        return await with_people(request.task, await self._rule(request), self._people, escalate=escalate)

    async def _rule(self, request: GateRequest) -> GateRuling:
        """Return the ruling, before the people who can decide are looked up.

        Raises a failure that is not retried when newer code can no longer read the pinned policy or the input.
        """
        task, name = request.task, request.task.gate.replace("-", " ")
        try:
            policy = await self._policies.get(request.policy_hash)
            input = self._inputs[task.process].model_validate(request.input)
        except (LookupError, PolicyError, ValidationError) as error:
            raise NoRuling(
                f"The policy of this case has no valid rules for {name}: {error}.", permanent=True
            ) from error
        try:
            return rule(
                policy, task.process, task.gate, input=input, facts=task.facts, case=request.case, at=task.opened_at
            )
        except (LookupError, PolicyError) as error:
            raise NoRuling(
                f"The policy of this case has no valid rules for {name}: {error}.", permanent=True
            ) from error
        except Exception as error:  # The same values give the same error, so a retry would never end.
            why = f"{type(error).__name__}: {error}"
            raise NoRuling(
                f"The rules of {name} cannot be worked out with the values of this case ({why}).", permanent=True
            ) from error


def _with_people(task: TaskView, found: RulingWithPeople) -> TaskView:
    ruling = found.ruling
    return task.model_copy(
        update={
            "candidate_groups": ruling.groups,
            "candidate_users": ruling.users,
            "excluded_users": list(found.excluded),
            "members": ruling.members,
            "quorum": Quorum(needed=ruling.quorum),
            "veto": ruling.veto,
            "verdicts": [
                verdict
                for verdict in task.verdicts
                if verdict is not Verdict.REQUEST_CHANGES or task.round < ruling.max_rounds
            ],
            "comment_needed": ruling.comment_needed,
            "revision_required": ruling.revision_required,
            "substitutes": ruling.substitutes,
            # Operators may change every field of the input, unless the policy names some.
            "editable": [name for name in ruling.editable if name in task.editable]
            if ruling.editable or task.kind != "intervention"
            else task.editable,
            "due_at": ruling.due_at,
            "expires_at": ruling.expires_at,
            "rule": ruling.problem or ruling.rule,
        }
    )


def _opening_in_words(task: TaskView, ruling: GateRuling) -> str:
    name = task.gate.replace("-", " ").capitalize()
    if ruling.decided:
        said = "approved" if ruling.decided == "approve" else "rejected"
        return f"{name}: {said} by rule, {ruling.rule} holds ({_values(ruling.names)})"
    if not ruling.needed:
        return f"{name} was not needed: {ruling.rule} does not hold ({_values(ruling.names)})"
    names = ", ".join(ruling.groups + ruling.users)
    if ruling.problem:
        return f"{name} waits for {names}, because a rule could not be evaluated: {ruling.problem}"
    many = f" ({ruling.quorum} people)" if ruling.quorum > 1 else ""
    return f"{name} waits for {names}{many}"


def _values(names: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} = {value if isinstance(value, str) else json.dumps(value)}" for name, value in names.items()
    )

"""Write the events of cases to SQL, and open gates. These activities take little time, so they run as local activities.

One write is one transaction: events, tasks, decisions and the row of the case change together. A write may run twice;
the ids of the events make sure that the second run changes nothing.
"""

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel, ValidationError
from temporalio import activity

from domain.errors import Trouble
from domain.gate.opening import opened_gate
from domain.input_errors import without_values
from domain.leavers import leavers_to_replace
from domain.masking import hidden_values, without
from domain.permissions import requesters
from domain.records import CaseRecord, GateOpening, GateRequest, Present, Written
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import TaskView
from domain.undo import PlannedUndo
from policy.candidates import PeopleDirectory, RulingWithPeople, present, with_people
from policy.model import Policy, PolicyError
from policy.rules import rule, unneeded


class NoRuling(Trouble):
    """Raised if the policy of the case, which was pinned at the start of the case, gives no ruling on a gate.

    This release of Holdgate cannot read the policy, or the policy does not fit the case.
    """


class NoCase(Trouble):
    """Raised if the database has no row for the case.

    The cause is that somebody started a Workflow by hand, or restored an older database.
    """


class TakenOver(Trouble):
    """Raised if another Workflow runs the case now: the rollback of a case that was ended in Temporal.

    The step that follows must not run, because the plan of that rollback may not have the undo of this step.
    """


class NotRecorded(Trouble):
    """Raised if the case record that comes with a local step was not written. The step has not run.

    The Workflow then writes the case record alone, again and again until that succeeds or shows why the case must stop.
    """


class NobodyCanDecide(Trouble):
    """Raised if too few people can decide a gate, even with the people of all levels of escalation."""


class RecordStore(Protocol):
    """The interface to the part of the database that `Records` needs."""

    async def record(self, record: CaseRecord) -> Written:
        """Write a record of the case in one transaction, and return the new head of the case's chain.

        A record that was written before is not written again. Raises NoCase and TakenOver.
        """

    async def plan(self, case_id: str) -> list[PlannedUndo]:
        """Return the stored undos of a case, oldest first; none if there is no such case."""


class PinnedPolicies(Protocol):
    """The stored policies of cases, by hash. A case keeps the hash of the policy with which it started."""

    async def get(self, policy_hash: str) -> Policy:
        """Return the policy with this hash. Raises LookupError if the policy was never stored."""


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
    async def stored_plan(self, case_id: str) -> list[PlannedUndo]:
        """Return the rollback plan of a case as it was last written, oldest first."""
        return await self._store.plan(case_id)

    @activity.defn
    async def open_gate(self, request: GateRequest) -> GateOpening:
        """Get the ruling of the pinned policy on a gate, and return it.

        If people must decide, store the task with all its events. If nobody must decide, write nothing: the case writes
        the event together with its next events.

        The answer is in the history, so a replay needs neither the text of the policy nor the expression library. If
        too few people can decide even with all levels of escalation, raise a failure that is not retried; operators
        must then help.
        """
        task, found = request.task, await self._ruled(request, escalate=True)
        if found.short:
            name = task.gate.replace("-", " ")
            raise NobodyCanDecide(
                f"Too few people can decide {name}: {found.short}. Add people and retry, or roll back.", permanent=True
            )
        opening = GateOpening(
            ruling=found.ruling,
            excluded=list(found.excluded),
            said=found.said,
            unneeded=await self._unneeded(request) if request.look_ahead else {},
        )
        _, opened, event = opened_gate(request, opening)
        if opened is None:
            return opening
        status = Status.NEEDS_INTERVENTION if task.kind == "intervention" else Status.AWAITING_APPROVAL
        record = request.record
        changes = {"events": [*record.events, event], "opened": [opened], "status": status}
        written = await self._store.record(record.model_copy(update=changes))
        return opening.model_copy(update={"ended": written.ended})

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
        if left := leavers_to_replace(task, await self._people.left([*task.names, *requesters(task)])):
            return Present(left=left)
        return await present(task, self._people)

    async def _unneeded(self, request: GateRequest) -> dict[str, GateRuling]:
        """Return the rulings on the other gates of the process at which nobody must decide."""
        task, policy = request.task, await self._policies.get(request.policy_hash)
        input = self._inputs[task.process].model_validate(request.input)
        others = [gate for gate in policy.processes[task.process].gates if gate != task.gate]
        try:
            found = unneeded(
                policy, task.process, others, input=input, facts=task.facts, case=request.case, at=task.opened_at
            )
            return {gate: _without_masked(ruling, request) for gate, ruling in found.items()}
        except Exception:  # Then each gate gets its ruling when the case reaches it, and its problem is shown there.
            return {}

    async def _ruled(self, request: GateRequest, *, escalate: bool = False) -> RulingWithPeople:
        """Return the ruling with its people and exclusions. `escalate` is passed to `with_people`."""
        return await with_people(request.task, await self._rule(request), self._people, escalate=escalate)

    async def _rule(self, request: GateRequest) -> GateRuling:
        """Return the ruling, before the people who can decide are looked up.

        Raises NoRuling, which is not retried, if the policy or the input cannot be read or the rules cannot be
        evaluated.
        """
        task, name = request.task, request.task.gate.replace("-", " ")
        try:
            policy = await self._policies.get(request.policy_hash)
            input = self._inputs[task.process].model_validate(request.input)
        except ValidationError as error:
            # The error itself is not passed on: its text has the values of the input.
            raise NoRuling(
                f"The input of this case does not fit the code any more, so there are no rules for {name}: "
                f"{without_values(error)}. Correct the code and retry, or roll back.",
                permanent=True,
            ) from None
        except (LookupError, PolicyError) as error:
            raise NoRuling(
                f"The policy of this case has no valid rules for {name}: {_one_line(error)}. "
                "Correct the code and retry, or roll back.",
                permanent=True,
            ) from error
        try:
            found = rule(
                policy, task.process, task.gate, input=input, facts=task.facts, case=request.case, at=task.opened_at
            )
            return _without_masked(found, request)
        except (LookupError, PolicyError) as error:
            raise NoRuling(
                f"The policy of this case has no valid rules for {name}: {_one_line(error)}. "
                "Roll back the case, correct the policy, and submit again.",
                permanent=True,
            ) from error
        except Exception as error:  # The same values give the same error, so a retry would never end.
            why = f"{type(error).__name__}: {_one_line(error)}"
            raise NoRuling(
                f"The rules of {name} cannot be evaluated with the values of this case ({why}). "
                "Roll back the case, correct the policy, and submit again.",
                permanent=True,
            ) from error


def _one_line(error: Exception) -> str:
    """Return the text of an error as one line. A LookupError of a dictionary has a key as its text."""
    if isinstance(error, KeyError):
        return f"there is nothing named {error}"
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())


def _without_masked(ruling: GateRuling, request: GateRequest) -> GateRuling:
    """Return a ruling, which people read, without the values of masked fields that its conditions have read."""
    hidden = list(hidden_values(request.input, request.task.input))
    if not hidden:
        return ruling
    return ruling.model_copy(
        update={"names": without(ruling.names, hidden), "problem": without(ruling.problem, hidden)}
    )

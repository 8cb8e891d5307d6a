"""Anything anybody may do with a gate, in any order, with the clock running and people coming and going.

What must hold whatever comes: an open gate that cannot be decided any more has escalated, or asked operators, before
anything else happens.
"""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.gate import Gate
from domain.messages import Absent, Act, Action, Actor, Decision
from domain.permissions import same, voters
from domain.refusals import Refusal
from domain.ruling import Escalation, GateRuling
from domain.status import OnExpiry, Outcome, Substitutes, TaskKind, Verdict
from domain.step import StepCall
from domain.task import Quorum, TaskView
from domain.undo import PlannedUndo
from policy.candidates import present
from tests.domain.test_quorum import Situation
from tests.support.errands import ErrandRequest
from workflows.engine.saga import Saga

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
NAMES = ["rita", "mia", "max", "moe", "dan"]
GROUPS = ["managers", "directors", "operators", "ghosts"]
PERSON = st.sampled_from(NAMES)
SOMEBODY = st.one_of(st.none(), PERSON)
SELDOM = st.sampled_from([False, False, False, False, True])
GROUP = st.sampled_from(GROUPS[:3])
USUAL = {"rita": set[str](), "mia": {"managers"}, "max": {"managers"}, "moe": {"managers"}, "dan": {"directors"}}
VERDICTS: dict[TaskKind, list[Verdict]] = {
    "gate": [Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.ABSTAIN],
    "changes": [Verdict.RESUBMIT],
    "intervention": [Verdict.RETRY, Verdict.SKIP, Verdict.ROLL_BACK],
}
ResultT = TypeVar("ResultT")


def at_once(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: ResultT = done.value
        return result
    raise AssertionError("it waited")


@dataclass(frozen=True)
class Somebody:
    id: str
    groups: list[str]
    away: bool
    substitute: str | None


@dataclass
class World:
    """The people, as `store.people.people.PeopleDirectory` knows them."""

    groups: dict[str, set[str]] = field(default_factory=dict)
    """By person who has not left."""
    away: dict[str, str | None] = field(default_factory=dict)

    async def candidates(self, groups: Sequence[str], users: Sequence[str]) -> Sequence[Somebody]:
        return [
            Somebody(person, sorted(mine), person in self.away, self.substitute(person))
            for person, mine in self.groups.items()
            if mine.intersection(groups) or person in users
        ]

    def substitute(self, person: str) -> str | None:
        found = self.away.get(person)
        return found if found in self.groups and found not in self.away else None

    async def groups_among(self, _: Sequence[str]) -> list[str]:
        return []

    async def manager_of(self, _: str) -> str | None:
        return None

    async def owners_of(self, _: str) -> Sequence[str]:
        return []

    async def left(self, _: Sequence[str]) -> dict[str, str | None]:
        return {}

    def actor(self, person: str, task: TaskView) -> Actor:
        """The person as the gateway asserts them."""

        def absent(each: str) -> Absent:
            return Absent(id=each, groups=sorted(self.groups[each]))

        absents = [absent(each) for each, instead in self.away.items() if instead == person and each in self.groups]
        if task.owner in self.groups and same(task.assignee, person):
            absents.append(absent(task.owner))
        return Actor(id=person, groups=sorted(self.groups[person]), stands_in_for=absents)

    def situation(self, task: TaskView) -> Situation:
        return Situation(
            kind=task.kind,
            groups={person: frozenset(mine) for person, mine in self.groups.items()},
            away={person: self.substitute(person) for person in self.away if person in self.groups},
            requester=task.requester,
            asked_for=frozenset(task.asked_for),
            asked_groups=frozenset(task.candidate_groups),
            asked=frozenset(task.candidate_users),
            snapshot={group: frozenset(people) for group, people in task.members.items()},
            excluded=frozenset(task.excluded_users),
            done=frozenset(name.casefold() for name in voters(task)),
            holder=task.assignee,
            owner=task.owner,
            substitutes=task.substitutes,
        )


class GateMachine(RuleBasedStateMachine):
    @initialize(
        kind=st.sampled_from(["gate", "gate", "gate", "gate", "changes", "intervention"]),
        groups=st.one_of(
            st.just(USUAL), st.just(USUAL), st.fixed_dictionaries({name: st.sets(GROUP) for name in NAMES})
        ),
        members=st.booleans(),
        quorum=st.integers(1, 3),
        veto=st.booleans(),
        pause=st.booleans(),
        on_expiry=st.sampled_from(["reject", "approve", "escalate"]),
        to=st.sampled_from(GROUPS),
        replace=st.booleans(),
        excluded=st.sampled_from([[], [], [], ["moe"], ["mia"]]),
        asked_for=st.sampled_from([[], [], [], ["mia"], ["moe", "max"]]),
        substitutes=st.sampled_from(["anyone", "same-group"]),
    )
    def open(
        self,
        kind: TaskKind,
        groups: dict[str, set[str]],
        members: bool,
        quorum: int,
        veto: bool,
        pause: bool,
        on_expiry: OnExpiry,
        to: str,
        replace: bool,
        excluded: list[str],
        asked_for: list[str],
        substitutes: Substitutes,
    ) -> None:
        self.now, self.number, self.world = NOON, 0, World({name: set(mine) for name, mine in groups.items()})
        self.outcome: Outcome | None = None
        asked = {"gate": ["managers"], "changes": [], "intervention": ["directors"]}[kind]
        ends = NOON + timedelta(hours=20)
        levels = [Escalation(at=NOON + timedelta(hours=10), groups=[to], replace=replace)] if kind != "changes" else []
        then = {group: [name for name, mine in groups.items() if group in mine] for group in asked if members}
        common: dict[str, Any] = {
            "members": then,
            "veto": veto,
            "expires_at": ends,
            "substitutes": substitutes,
        }
        users = ["rita"] if kind == "changes" else []
        ruling = GateRuling(
            needed=True,
            rule="true",
            groups=asked,
            users=users,
            quorum=1 if kind == "changes" else quorum,
            pause_for_questions=pause,
            reminders=[NOON + timedelta(hours=5)],
            escalations=levels,
            on_expiry=on_expiry,
            **common,
        )
        task = TaskView(
            task_id="t1",
            case_id="errand:1",
            process="errand",
            gate="approval",
            kind=kind,
            title="Send",
            summary="May it be sent?",
            requester="rita",
            asked_for=asked_for,
            candidate_groups=asked,
            candidate_users=users,
            excluded_users=excluded,
            quorum=Quorum(needed=ruling.quorum),
            opened_at=NOON,
            verdicts=VERDICTS[kind],
            editable=["value"],
            **common,
        )
        self.gate, self.saga, self.undone = Gate(task, ruling), Saga(), list[str]()
        self.gate.uncertain = True
        for step in ("fetch", "pack"):
            call = StepCall[ErrandRequest](
                case_id="errand:1",
                reference="1",
                requester="rita",
                policy_hash="",
                key=step,
                at=NOON,
                input=ErrandRequest(),
            )
            self.saga.register(PlannedUndo(step=step, undo=f"undo {step}", call=call, summary=f"undo {step}"))
        self.settle()

    def settle(self) -> None:
        """What `human_tasks.py` does after each event: ask, as long as the gate is not sure."""
        for _ in range(9):
            if not self.gate.uncertain or self.gate.edited or not self.gate.open:
                return
            self.gate.uncertain = False
            self.gate.count(at_once(present(self.gate.task, self.world)), self.now)
        raise AssertionError("it never comes to an end")

    def people_changed(self) -> None:
        self.tell(Act.RECOUNT, Actor(id="holdgate"))

    def tell(self, act: Act, by: Actor, **more: Any) -> None:
        self.number += 1
        action = Action(id=f"a{self.number}", task_id="t1", act=act, by=by, at=self.now, **more)
        before = self.gate.task
        try:
            self.gate.check_action(action)
        except Refusal:
            assert self.gate.task == before, "a refusal changes nothing"
            return
        assert before.outcome is None
        self.gate.act(action, self.now)
        self.settle()

    # ---------------------------------------------------------------------------------------------- what people say

    @rule(
        person=PERSON,
        number=st.integers(0, 3),
        edits=SELDOM,
        seen=st.sampled_from([0, 0, 0, 1, 2]),
        other_letters=SELDOM,
    )
    def decide(self, person: str, number: int, edits: bool, seen: int, other_letters: bool) -> None:
        if person not in self.world.groups:
            return
        by = self.world.actor(person, self.gate.task)
        self.number += 1
        verdicts = VERDICTS[self.gate.task.kind]
        decision = Decision(
            id=f"d{self.number}",
            task_id="t1",
            verdict=verdicts[number % len(verdicts)],
            by=by.model_copy(update={"id": person.upper()}) if other_letters else by,
            comment="because",
            revision=seen or None,
            edits={"value": 5} if edits else {},
            at=self.now,
        )
        before = self.gate.task
        try:
            self.gate.check(decision)
        except Refusal:
            assert self.gate.task == before, "a refusal changes nothing"
            return
        assert before.outcome is None, "no decision counts after the end"
        self.gate.decide(decision, self.now)
        assert same(self.gate.task.decisions[-1].by, person)
        self.settle()

    @rule(
        person=PERSON,
        act=st.sampled_from([Act.CLAIM, Act.CLAIM, Act.RELEASE, Act.DELEGATE, Act.DELEGATE, Act.WITHDRAW]),
        to=PERSON,
    )
    def act(self, person: str, act: Act, to: str) -> None:
        if person in self.world.groups and person not in self.world.away and to in self.world.groups:
            by = self.world.actor(person, self.gate.task)
            self.tell(act, by, to=Actor(id=to, groups=sorted(self.world.groups[to])))

    @rule(to=PERSON)
    def an_admin_reassigns(self, to: str) -> None:
        if to in self.world.groups:
            handed = Actor(id=to, groups=sorted(self.world.groups[to]))
            self.tell(Act.REASSIGN, Actor(id="ada", groups=["admins"]), to=handed)

    @rule(person=PERSON, act=st.sampled_from([Act.ASK, Act.ANSWER, Act.WITHDRAW_QUESTION]), to=PERSON)
    def questions(self, person: str, act: Act, to: str) -> None:
        if person in self.world.groups:
            asked = next((each.id for each in self.gate.task.questions if each.open), None)
            by = self.world.actor(person, self.gate.task)
            self.tell(act, by, to=Actor(id=to), text="why", question=asked)

    @rule(due=st.booleans(), hours=st.integers(1, 30))
    def an_admin_moves_the_clock(self, due: bool, hours: int) -> None:
        moment = {"due_at" if due else "expires_at": self.now + timedelta(hours=hours)}
        self.tell(Act.SET_CLOCK, Actor(id="ada", groups=["admins"]), text="why", **moment)

    @rule(groups=st.lists(st.sampled_from(GROUPS), max_size=2, unique=True), users=st.lists(PERSON, max_size=1))
    def other_rules(self, groups: list[str], users: list[str]) -> None:
        ruling = self.gate.ruling.model_copy(update={"groups": groups, "users": users, "members": {}})
        self.tell(Act.NEW_RULES, Actor(id="ada", groups=["admins"]), ruling=ruling)

    @rule(old=PERSON, new=SOMEBODY)
    def somebody_has_left_for_good(self, old: str, new: str | None) -> None:
        self.world.groups.pop(old, None)
        to = Actor(id=new) if new in self.world.groups and new is not None else None
        self.tell(Act.REPLACE, Actor(id="ada", groups=["admins"]), replaces=old, to=to)
        self.people_changed()

    # ---------------------------------------------------------------------------------- what happens around the gate

    @precondition(lambda self: self.gate.edited)
    @rule(needed=st.integers(1, 3))
    def the_rules_for_an_edited_input_are_known(self, needed: int) -> None:
        self.gate.adopt(self.gate.ruling.model_copy(update={"quorum": needed}), self.now)
        self.settle()

    @rule(hours=st.integers(1, 12))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.gate.fire_timers(self.now)
        self.settle()

    @precondition(lambda self: self.gate.open)
    @rule(person=PERSON)
    def somebody_decides_another_gate(self, person: str) -> None:
        self.gate.exclude([person])
        self.settle()

    @precondition(lambda self: self.gate.short)
    @rule()
    def operators_have_it_looked_at(self) -> None:
        self.gate.short, self.gate.uncertain = "", True
        self.settle()

    @rule(person=PERSON, group=GROUP)
    def somebody_joins(self, person: str, group: str) -> None:
        self.world.groups.setdefault(person, set()).add(group)
        self.people_changed()

    @rule(person=PERSON, group=GROUP)
    def somebody_leaves_a_group(self, person: str, group: str) -> None:
        self.world.groups.get(person, set()).discard(group)
        self.people_changed()

    @rule(person=PERSON, substitute=SOMEBODY)
    def somebody_goes_away(self, person: str, substitute: str | None) -> None:
        self.world.away[person] = None if substitute == person else substitute
        self.people_changed()

    @rule(person=PERSON)
    def somebody_comes_back(self, person: str) -> None:
        self.world.away.pop(person, None)
        self.people_changed()

    @rule(person=PERSON)
    def somebody_is_deactivated(self, person: str) -> None:
        self.world.groups.pop(person, None)
        self.people_changed()

    @precondition(lambda self: self.gate.outcome in (Outcome.REJECTED, Outcome.EXPIRED))
    @rule()
    def it_rolls_back(self) -> None:
        while undo := self.saga.newest():
            self.saga.settle(undo)
            self.undone.append(undo.step)
        assert self.undone == ["pack", "fetch"], "all of it, newest first, once"

    # --------------------------------------------------------------------------------------------- what always holds

    @invariant()
    def a_gate_that_cannot_be_decided_asks_for_help(self) -> None:
        if not self.gate.open or self.gate.edited:
            return
        task = self.gate.task
        alike = [sum(view.verdict is each.verdict for view in task.decisions) for each in task.decisions]
        approvals = sum(view.verdict is Verdict.APPROVE for view in task.decisions)
        given = max(alike, default=0) if task.kind == "intervention" else approvals
        can = given + self.world.situation(task).searched() >= task.quorum.needed
        assert can != bool(self.gate.short), "operators are asked if, and only if, nobody can decide"
        if not can:
            assert not any(step.does == "escalate" and step.to for step in task.clock), (
                "no level is left that could help"
            )

    @invariant()
    def a_claim_is_of_somebody_who_can_decide(self) -> None:
        if self.gate.open and not self.gate.edited and self.gate.task.assignee:
            situation = self.world.situation(self.gate.task)
            assert any(situation.there(each) and situation.may_take(each) for each in situation.groups)

    @invariant()
    def the_clock_never_waits_for_who_cannot_answer(self) -> None:
        task = self.gate.task
        if self.gate.open and task.paused_at and not self.gate.edited:
            waited_for = [each.to for each in task.questions if each.pending]
            assert waited_for, "it waits for somebody"
            world = self.world
            for name in waited_for:
                assert name in world.groups and (name not in world.away or world.substitute(name))

    @invariant()
    def one_outcome_and_it_stands(self) -> None:
        assert self.outcome is None or self.gate.outcome is self.outcome
        self.outcome = self.gate.outcome
        assert (self.gate.task.status == "closed") == (self.gate.outcome is not None)

    @invariant()
    def the_quorum_counts_people_and_not_clicks(self) -> None:
        task = self.gate.task
        names = [name.casefold() for name in voters(task)]
        assert len(names) == len(set(names)), "nobody has two votes, nor votes in the place of who has voted"
        if task.outcome is Outcome.APPROVED:
            assert sum(view.verdict is Verdict.APPROVE for view in task.decisions) >= task.quorum.needed
        if task.kind != "changes":
            assert "rita" not in names and not same(task.assignee, "rita")

    @invariant()
    def timers_are_paused_or_running(self) -> None:
        alarm = self.gate.next_timer()
        assert alarm is None or (self.gate.open and (alarm.fixed or self.gate.task.paused_at is None))


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(max_examples=150, stateful_step_count=40)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_thousand_lives_of_a_gate() -> None:
    run_state_machine_as_test(GateMachine, settings=settings(max_examples=2_000, stateful_step_count=50))

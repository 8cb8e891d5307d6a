"""Anything anybody may do with a gate, in any order, with the clock running: what must hold whatever comes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from temporalio.exceptions import ApplicationError

from tests.errand import ErrandRequest
from workflows.gate import Gate
from workflows.models import (
    Absent,
    Act,
    Action,
    Actor,
    Decision,
    Escalation,
    GateRuling,
    Outcome,
    PlannedUndo,
    Quorum,
    StepCall,
    TaskView,
    Verdict,
)
from workflows.people import same, voters
from workflows.saga import Saga

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
GROUPS = {
    "rita": ["managers"],
    "RITA": ["managers"],
    "mia": ["managers"],
    "max": ["managers"],
    "Max": ["managers"],
    "moe": ["managers", "directors"],
    "dan": ["directors"],
    "ada": ["admins"],
    "eve": [],
}
PERSON = st.sampled_from(sorted(GROUPS))
AWAY = st.lists(st.sampled_from(["rita", "mia", "max", "dan"]), max_size=2, unique=True)


class GateMachine(RuleBasedStateMachine):
    @initialize(
        quorum=st.integers(1, 3),
        veto=st.booleans(),
        pause=st.booleans(),
        on_expiry=st.sampled_from(["reject", "approve", "escalate"]),
        replace=st.booleans(),
        excluded=st.sampled_from([[], ["moe"]]),
    )
    def open(self, quorum: int, veto: bool, pause: bool, on_expiry: Any, replace: bool, excluded: list[str]) -> None:
        self.now, self.count = NOON, 0
        self.outcome: Outcome | None = None
        ends = NOON + timedelta(hours=20)
        ruling = GateRuling(
            needed=True,
            rule="true",
            groups=["managers"],
            quorum=quorum,
            veto=veto,
            pause_for_questions=pause,
            reminders=[NOON + timedelta(hours=5)],
            escalations=[Escalation(at=NOON + timedelta(hours=10), groups=["directors"], replace=replace)],
            expires_at=ends,
            on_expiry=on_expiry,
        )
        task = TaskView(
            task_id="t1",
            case_id="errand:1",
            process="errand",
            gate="approval",
            title="Send",
            summary="May it be sent?",
            requester="rita",
            candidate_groups=["managers"],
            excluded_users=excluded,
            quorum=Quorum(needed=quorum),
            veto=veto,
            opened_at=NOON,
            expires_at=ends,
            verdicts=[Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.ABSTAIN],
            editable=["value"],
        )
        self.gate, self.saga, self.undone = Gate(task, ruling), Saga(), list[str]()
        for step in ("fetch", "pack"):
            call = StepCall[ErrandRequest](
                case_id="errand:1", reference="1", requester="rita", policy_hash="", key=step, input=ErrandRequest()
            )
            self.saga.register(PlannedUndo(step=step, undo=f"undo {step}", call=call, summary=f"undo {step}"))

    def by(self, person: str, away: list[str]) -> Actor:
        absent = [Absent(id=each, groups=GROUPS[each]) for each in away if each != person]
        return Actor(id=person, groups=GROUPS[person], stands_in_for=absent)

    @rule(person=PERSON, away=AWAY, verdict=st.sampled_from(Verdict), edits=st.booleans(), seen=st.integers(0, 3))
    def decide(self, person: str, away: list[str], verdict: Verdict, edits: bool, seen: int) -> None:
        self.count += 1
        decision = Decision(
            id=f"d{self.count}",
            task_id="t1",
            verdict=verdict,
            by=self.by(person, away),
            comment="because",
            revision=seen or None,
            edits={"value": 5} if edits else {},
            at=self.now,
        )
        before = self.gate.task
        try:
            self.gate.check(decision)
        except ApplicationError:
            assert self.gate.task == before, "a refusal changes nothing"
            return
        assert before.outcome is None and not same(person, "rita"), "no decision counts after the end"
        self.gate.decide(decision, self.now)
        assert self.gate.task.decisions[-1].by == person

    @rule(
        person=PERSON,
        away=AWAY,
        act=st.sampled_from([Act.CLAIM, Act.RELEASE, Act.REASSIGN, Act.DELEGATE, Act.WITHDRAW, Act.ASK, Act.ANSWER]),
        to=PERSON,
    )
    def act(self, person: str, away: list[str], act: Act, to: str) -> None:
        self.count += 1
        open_questions = [each.id for each in self.gate.task.questions if each.answer is None]
        action = Action(
            id=f"a{self.count}",
            task_id="t1",
            act=act,
            by=self.by(person, away),
            to=Actor(id=to, groups=GROUPS[to]),
            text="why",
            question=open_questions[0] if open_questions else None,
            at=self.now,
        )
        before = self.gate.task
        try:
            self.gate.check_action(action)
        except ApplicationError:
            assert self.gate.task == before
            return
        assert before.outcome is None
        self.gate.act(action, self.now)
        assignee = self.gate.task.assignee
        assert not same(assignee, "rita"), "nobody hands the requester their own case"

    @precondition(lambda self: self.gate.edited)
    @rule(needed=st.integers(1, 3))
    def the_rules_for_an_edited_input_are_known(self, needed: int) -> None:
        self.gate.adopt(self.gate.ruling.model_copy(update={"quorum": needed}), self.now)

    @rule(hours=st.integers(1, 12))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.gate.ring(self.now)

    @rule(able=st.lists(PERSON, unique=True))
    def people_are_counted(self, able: list[str]) -> None:
        self.gate.count(able, self.now)

    @precondition(lambda self: self.gate.outcome in (Outcome.REJECTED, Outcome.EXPIRED))
    @rule()
    def it_rolls_back(self) -> None:
        while undo := self.saga.newest():
            self.saga.settle(undo)
            self.undone.append(undo.step)
        assert self.undone == ["pack", "fetch"], "all of it, newest first, once"

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
        approvals = sum(view.verdict is Verdict.APPROVE for view in task.decisions)
        assert task.quorum.given == approvals
        if task.outcome is Outcome.APPROVED:
            assert approvals >= task.quorum.needed
        assert "rita" not in names and not set(names) & {each.casefold() for each in task.excluded_users}

    @invariant()
    def the_clock_stands_still_or_runs(self) -> None:
        alarm = self.gate.next_alarm()
        assert alarm is None or (self.gate.open and self.gate.task.paused_at is None)


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(max_examples=500, stateful_step_count=30, deadline=None)

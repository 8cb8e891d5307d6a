"""The gate: one task, from its opening to its outcome. What people may do with it, and what the clock does.

Pure: no Workflow, no server, no wall clock. Every instant comes in as an argument, so all of it is plain Python. Who
may do what is in `people.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from domain.base import FieldChange
from domain.messages import Act, Action, Decision
from domain.names import ADMINS, OPERATORS
from domain.records import Present, TaskPatch
from domain.ruling import GateRuling
from domain.status import Outcome, Verdict
from domain.task import ClockStep, DecisionView, Question, Quorum, TaskView
from workflows.alarms import Alarm, alarms_of, clock_of, has_had, steps_said
from workflows.arranging import arranges, check_arranger
from workflows.bounds import LATEST, after
from workflows.decidable import answering, answers_left
from workflows.leavers import asks_now, heir_of, in_place, without
from workflows.moments import moment_text
from workflows.people import (
    among,
    candidacy,
    check_admin,
    check_fit,
    may_answer,
    not_allowed,
    refusal,
    same,
    voters,
)
from workflows.questions import (
    check_asked,
    check_asker,
    check_unanswered,
    lapsed,
    question_of,
    replaced,
)

OUTCOMES = {
    Verdict.REQUEST_CHANGES: Outcome.CHANGES_REQUESTED,
    Verdict.RESUBMIT: Outcome.RESUBMITTED,
    Verdict.RETRY: Outcome.RETRY,
    Verdict.SKIP: Outcome.SKIP,
    Verdict.DONE_BY_HAND: Outcome.DONE_BY_HAND,
    Verdict.ROLL_BACK: Outcome.ROLL_BACK,
}
"""Verdicts of which one is enough; of those on an intervention, as many of one kind as its quorum."""

REASONS = {
    Verdict.SKIP: "Say in the comment why the step may be skipped.",
    Verdict.DONE_BY_HAND: "Say in the comment what was done by hand, and where that can be seen.",
}
"""What must be said for the record with verdicts that go round the receiver of an effect."""

_STATE = {
    *("members", "assignee", "owner", "quorum", "veto", "verdicts", "comment_needed", "editable", "rule", "round"),
    *("changes", "questions", "paused_at", "input", "title", "key_fields", "money", "summary"),
    *("excluded_users", "clock", "set_by_hand", "given_by_hand", "shifted", "revision_required"),
    *("arranged_by", "substitutes"),
}
"""Fields of a task that may change and have no place of their own in TaskPatch."""


@dataclass(frozen=True)
class Happened:
    """What the clock or a person did to a gate, for the record."""

    kind: str
    summary: str
    data: dict[str, Any] = field(default_factory=dict)


class Gate:
    """One task and everything that may happen to it until it has an outcome.

    The outcome is set once and never changes.
    """

    def __init__(self, task: TaskView, ruling: GateRuling) -> None:
        self.ruling = ruling
        self.edited = False
        """Its input was edited, and the rules for the new one are not known yet; until then nobody can decide."""
        self.uncertain = False
        """Something happened after which the task may be one that nobody can decide: that must be asked (`count`)."""
        self.short = ""
        """Why nobody can decide the task, where no escalation is left that could help; empty while somebody can."""
        self.closed_because = ""
        """In words, where a rule ended it that came later than the gate."""
        self._task = task
        self._excluded = task.excluded_users
        self._expired_before = False
        self._due_fixed = False
        """An admin set the due time while the clock stood still."""
        self._moved: list[tuple[int, str]] = []
        self._changed: set[str] = set()
        self._alarms = alarms_of(ruling)
        if not task.clock and self._told:  # one that has a clock was shown it: `adopt` compares with that
            self._change(clock=self._told)

    @property
    def task(self) -> TaskView:
        """The task as it is now."""
        return self._task

    @property
    def outcome(self) -> Outcome | None:
        """How the gate ended; None while it is open."""
        return self._task.outcome

    @property
    def open(self) -> bool:
        return self._task.outcome is None

    # ------------------------------------------------------------------------------------------------------- decisions

    def check(self, decision: Decision) -> str:
        """The rule that allows this decision; raises the refusal when none does. Changes nothing.

        People rules come before the state of the task: who must not decide learns that, whenever they ask. Refusal
        codes: NotAllowed, AlreadyClosed, RevisionNeeded, Stale, NotReady, WrongVerdict, CommentNeeded, InvalidEdits.
        """
        task, verdict = self._task, decision.verdict
        rule, behalf = may_answer(task, decision.by)
        self._check_open(decision.revision, task.revision_required)
        done = voters(task)
        if among(decision.by.id, done):
            raise not_allowed(
                "You have decided this task already; the others still needed must be other people.",
                "quorum: each person counts once",
            )
        if behalf and among(behalf, done):
            raise not_allowed(f"{behalf} has decided this task already.", "quorum: each person counts once")
        if verdict not in task.verdicts:
            allowed = ", ".join(task.verdicts)
            raise refusal(
                "WrongVerdict", f"This task does not take '{verdict}'; it takes {allowed}.", allowed=list(task.verdicts)
            )
        if not decision.comment.strip():
            if verdict in REASONS:
                raise refusal("CommentNeeded", REASONS[verdict])
            if verdict in task.comment_needed:
                raise refusal("CommentNeeded", f"To {verdict.replace('_', ' ')}, say why in the comment.")
        self._check_edits(decision)
        return rule

    def _check_open(self, revision: int | None, required: bool = False) -> None:
        task = self._task
        if task.outcome is not None:
            raise refusal(
                "AlreadyClosed",
                f"This task is closed already: {task.outcome.value.replace('_', ' ')}.",
                outcome=task.outcome.value,
            )
        if revision is None and required:
            raise refusal(
                "RevisionNeeded",
                f"Send the revision of the task that you looked at; it is now {task.revision}.",
                revision=task.revision,
            )
        if revision is not None and revision != task.revision:
            raise refusal(
                "Stale",
                f"The task has changed since you looked at it (revision {task.revision}, you saw {revision}).",
                revision=task.revision,
                changed=list(dict.fromkeys(what for at, what in self._moved if at > revision)),
            )
        if self.edited:
            raise refusal("NotReady", "The task was edited a moment ago; try again.")

    def _check_edits(self, decision: Decision) -> None:
        task = self._task
        if not decision.edits:
            return
        if decision.verdict not in (Verdict.APPROVE, Verdict.RESUBMIT, Verdict.RETRY):
            raise refusal("InvalidEdits", "Edits come with an approval, a resubmission or a retry only.", fields=[])
        wrong = sorted(set(decision.edits) - set(task.editable))
        if wrong:
            may = ", ".join(task.editable) or "none"
            raise refusal("InvalidEdits", f"Fields that may be edited here: {may}.", fields=wrong)

    def decide(
        self, decision: Decision, now: datetime, edits: Sequence[FieldChange] = (), **edited: Any
    ) -> list[DecisionView]:
        """Count a decision that `check` has allowed; answer earlier ones that no longer count.

        `edits` are the fields that it changes, `edited` what the task shows of the new input. An approval with edits
        takes the place of all before it, which were of another input, and the gate stays open until the rules for the
        new one are known (`adopt`).
        """
        assert self.open, "check() lets no decision through to a closed gate"
        verdict = decision.verdict
        _, behalf = may_answer(self._task, decision.by)
        # With the answer of a delegate two people are done with the task: the delegate, and who handed it on.
        self.uncertain |= self._task.owner is not None
        view = DecisionView(
            decision_id=decision.id,
            verdict=verdict,
            by=decision.by.id,
            at=decision.at,
            comment=decision.comment,
            on_behalf_of=behalf,
            edits=list(edits),
        )
        # A claim was for this one decision; others may be needed.
        self._change(decisions=[*self._task.decisions, view], assignee=None, owner=None)
        if self._task.kind == "intervention":
            self._agree(view, now)
        elif verdict in OUTCOMES:
            self.close(OUTCOMES[verdict], now)
        elif verdict is Verdict.REJECT and self._task.veto:
            self.close(Outcome.REJECTED, now)
        elif verdict is Verdict.APPROVE and edits:
            void = self._task.decisions[:-1]
            self.edited = True
            self._change(decisions=[view], changes=_joined_changes(self._task.changes, edits), **edited)
            self._move("input")
            self._tally(now, closing=False)
            return void
        elif verdict is Verdict.APPROVE:
            self._tally(now)
        else:
            self.uncertain = True
        return []

    def _agree(self, view: DecisionView, now: datetime) -> None:
        """Close an intervention when enough people have given this very answer."""
        self._change(quorum=Quorum(needed=self._task.quorum.needed, given=self._given))
        if self._alike(view) >= self._task.quorum.needed:
            self.close(OUTCOMES[view.verdict], now)
        else:
            self.uncertain = True

    def _alike(self, view: DecisionView) -> int:
        return sum((each.verdict, each.edits) == (view.verdict, view.edits) for each in self._task.decisions)

    @property
    def _given(self) -> int:
        """How many answers count towards the quorum: approvals, or like answers of operators."""
        decisions = self._task.decisions
        if self._task.kind == "intervention":
            return max(map(self._alike, decisions), default=0)
        return sum(view.verdict is Verdict.APPROVE for view in decisions)

    def _tally(self, now: datetime, *, closing: bool = True) -> None:
        given = self._given
        self._change(quorum=Quorum(needed=self._task.quorum.needed, given=given))
        if closing and given >= self._task.quorum.needed:
            self.close(Outcome.APPROVED, now)

    def count(self, present: Present, now: datetime) -> list[Happened]:
        """Judge whether the people who can act now can still decide the task, and do what follows. Answers what it was.

        A claim ends when its holder cannot decide. The clock goes on when nobody can answer what it waits for.
        Rejections without veto end the gate as soon as the approvals cannot be reached because of them. Where
        abstentions or missing people are the cause, the next level of escalation comes at once, and the question is
        asked again. With no level left `short` says why the gate needs the help of operators.
        """
        if not self.open:
            return []
        happened = [*self._lapse(present, now), *self._unclaim(present)]
        task = self._task
        left = answers_left(task, present)
        missing = task.quorum.needed - self._given - left
        if missing <= 0:
            self.short = ""
            return happened
        abstained = sum(view.verdict is Verdict.ABSTAIN for view in task.decisions)
        rejected = sum(view.verdict is Verdict.REJECT for view in task.decisions)
        if rejected and missing > abstained:
            self.close(Outcome.REJECTED, now)
            return happened
        what = "approvals" if task.kind == "gate" else "answers"
        cause = (
            f"{task.quorum.needed} {what} are needed; {self._given} given, {left} of the candidates can still decide"
        )
        level = next((alarm for alarm in self._alarms if alarm.kind == "escalate"), None)
        if level is not None:
            self._goes_by([alarm for alarm in self._alarms if alarm is not level])
        elif task.kind == "intervention" and OPERATORS not in task.candidate_groups:
            level = Alarm(now, "escalate", (OPERATORS,))
        if level is not None:
            rang = self._escalate(level)
            return [*happened, Happened("gate_escalated", f"{cause}. {rang.summary} at once", rang.data)]
        if not self.short:
            happened.append(Happened("gate_short", f"Nobody is left to decide: {cause}"))
        self.short = cause
        return happened

    def _unclaim(self, present: Present) -> list[Happened]:
        """End a claim when nobody can answer under it."""
        holder = self._task.assignee
        if holder is None or any(answering(self._task, present)):
            return []
        self._change(assignee=None, owner=None)
        said = f"{holder} cannot decide the task any more, so it is free again"
        return [Happened("task_released", said, {"from": holder, "to": None})]

    def _lapse(self, present: Present, now: datetime) -> list[Happened]:
        """Let the clock go on when it waits for people who cannot answer."""
        if self._task.paused_at is None:
            return []
        gone = lapsed(self._task.questions, present.silent)
        for asked in gone:
            self._change(questions=replaced(self._task.questions, asked))
        self._resume(now)
        return [
            Happened(
                "question_lapsed",
                f"{asked.to} cannot answer {asked.by} now, so the clock does not wait for it",
                {"question": asked.id, "asked_by": asked.by},
            )
            for asked in gone
        ]

    def exclude(self, people: Sequence[str]) -> None:
        """Of gates that are open together: who decided another one must not decide this."""
        excluded = _joined(self._excluded, list(people))
        if excluded != self._task.excluded_users:
            self._change(excluded_users=excluded)
            self.uncertain = True

    # ---------------------------------------------------------------------------------------------------- other actions

    def check_action(self, action: Action) -> None:
        """Raise the refusal of what somebody wants to do with the task. Changes nothing.

        Codes: NotAllowed, AlreadyClosed, Stale, AlreadyClaimed, NotReady, Nothing (there is nothing to do), Missing.
        """
        task, by = self._task, action.by
        match action.act:
            case Act.CLAIM:
                if task.kind == "changes":
                    raise not_allowed("This task is its requester's.", "changes: made by the requester")
                if task.assignee and not same(task.assignee, by.id):
                    may_answer(task.model_copy(update={"assignee": None, "owner": None}), by)
                    self._check_open(action.revision)
                    raise refusal("AlreadyClaimed", f"{task.assignee} has claimed this task.", assignee=task.assignee)
                self._check_place(action)
            case Act.RELEASE:
                if not (same(by.id, task.assignee) or same(by.id, task.owner) or ADMINS in by.groups):
                    raise not_allowed("Only who has claimed a task gives it back, or an admin.", "claims: one's own")
                self._check_open(action.revision)
                if task.assignee is None:
                    raise refusal("Nothing", "Nobody has claimed this task.")
            case Act.REASSIGN:
                check_admin(by, "reassign tasks; who has one may delegate it")
                check_arranger(action)
                self._check_handover(action)
            case Act.DELEGATE:
                if same(by.id, task.assignee) and task.owner:
                    raise not_allowed(
                        f"{task.owner} handed you this task: give it back, and do not hand it on.",
                        "delegation: one step only",
                    )
                self._check_place(action)
                self._check_handover(action)
                if action.to and same(action.to.id, by.id):
                    raise not_allowed("You have this task already.", "delegation: to somebody else")
            case Act.WITHDRAW:
                if not any(same(view.by, by.id) for view in task.decisions):
                    raise not_allowed("You have not decided this task.", "withdrawing: one's own decision")
                self._check_open(action.revision)
            case Act.ASK:
                self._check_place(action)
                if action.to is None or not action.text.strip():
                    raise refusal("Missing", "A question needs a text, and somebody to answer it.")
                if self._asked_already(action):
                    raise refusal("Nothing", f"You have asked {action.to.id} this, and the answer is still to come.")
            case Act.ANSWER:
                check_asked(task, action)
                self._check_open(action.revision)
                check_unanswered(question_of(task, action.question))
                if not action.text.strip():
                    raise refusal("Missing", "An answer needs a text.")
            case Act.WITHDRAW_QUESTION:
                check_asker(task, action)
                self._check_open(action.revision)
                check_unanswered(question_of(task, action.question))
            case Act.SET_CLOCK:
                check_admin(by, "move the clock of a task")
                self._check_open(action.revision)
                if not action.text.strip():
                    raise refusal("Missing", "Say why the clock is moved.", field="reason")
                if action.due_at is None and action.expires_at is None:
                    raise refusal("Missing", "Say to when: a new due time, a new end, or both.", field="due_at")
                for name, at in (("due_at", action.due_at), ("expires_at", action.expires_at)):
                    if at and at >= LATEST:
                        raise refusal("Missing", "The new time is too far away.", field=name)
                    if at and at <= action.at:
                        raise refusal("Missing", "The new time must lie in the future.", field=name)
                due, end = action.due_at or task.due_at, action.expires_at or task.expires_at
                if due and end and due > end:
                    name = "due_at" if action.due_at else "expires_at"
                    said = f"The task would be due at {_said(due)}, after it ends at {_said(end)}: move both."
                    raise refusal("Missing", said, field=name)
            case Act.REPLACE | Act.NEW_RULES:
                check_admin(by, "do this")
                check_arranger(action)
                self._check_open(action.revision)
                if task.kind != "gate" and action.act is Act.NEW_RULES:
                    raise refusal("Nothing", "Only approval steps follow rules of the policy.")
            case Act.RECOUNT:
                self._check_open(None)

    def _check_place(self, action: Action) -> None:
        """Like a decision: somebody who could decide now."""
        _, behalf = may_answer(self._task, action.by)
        self._check_open(action.revision)
        for person in (action.by.id, behalf):
            if person and among(person, voters(self._task)):
                raise not_allowed(f"{person} has decided this task already.", "quorum: each person counts once")

    def _check_handover(self, action: Action) -> None:
        if self._task.kind == "changes":
            raise not_allowed("This task is its requester's.", "changes: made by the requester")
        self._check_open(action.revision)
        if action.to is None:
            raise refusal("Missing", "Say to whom.", field="to")
        check_fit(self._task, action.to.id)

    def _asked_already(self, action: Action) -> bool:
        """Whether the very question is open: sent twice by somebody who did not hear of the first, it is asked once."""
        return any(
            each.answer is None
            and same(each.by, action.by.id)
            and same(each.to, action.to.id if action.to else None)
            and each.text == action.text.strip()
            for each in self._task.questions
        )

    def act(self, action: Action, now: datetime) -> tuple[Happened | None, list[DecisionView]]:
        """Do what `check_action` has allowed; answer what happened and decisions that no longer count."""
        arranges_it = arranges(self._task, self.ruling, action)
        done = self._acted(action, now)
        if arranges_it and self.open:
            self._excluded = _joined(self._excluded, [action.by.id])
            self._change(
                arranged_by=_joined(self._task.arranged_by, [action.by.id]),
                excluded_users=_joined(self._task.excluded_users, [action.by.id]),
            )
            self.uncertain = True
        return done

    def _acted(self, action: Action, now: datetime) -> tuple[Happened | None, list[DecisionView]]:
        task, by, to = self._task, action.by, action.to.id if action.to else ""
        void: list[DecisionView] = []
        happened: Happened | None
        match action.act:
            case Act.CLAIM:
                if same(task.assignee, by.id):
                    return None, []
                _, behalf = may_answer(task, by)
                self._change(assignee=by.id, owner=None)
                happened = Happened("task_claimed", f"{by.id} claimed the task" + _behalf(behalf))
            case Act.RELEASE:
                one_of_them = same(by.id, task.assignee) or same(by.id, task.owner)
                back = task.owner if one_of_them else None
                self._change(assignee=back, owner=None)
                self.uncertain = True
                said = f"{by.id} gave the task back" + (f" to {back}" if back else "")
                happened = Happened("task_released", said, {"from": task.assignee, "to": back})
            case Act.REASSIGN:
                users = task.candidate_users
                if candidacy(task, to, action.to.groups if action.to else []) is None:
                    users = [*users, to]
                given = _joined(task.given_by_hand, [to])
                self._change(assignee=to, owner=None, candidate_users=users, given_by_hand=given)
                self.uncertain = True
                if self._task.candidate_users != task.candidate_users:
                    self._move("candidates")
                happened = Happened("task_reassigned", f"{by.id} gave the task to {to}", {"from": task.assignee})
            case Act.DELEGATE:
                _, behalf = may_answer(task, by)
                owner = behalf or by.id
                self._change(assignee=to, owner=owner)
                self.uncertain = True
                happened = Happened("task_delegated", f"{by.id} delegated the task to {to}" + _behalf(behalf))
                happened.data["owner"] = owner
            case Act.WITHDRAW:
                void = [view for view in task.decisions if same(view.by, by.id)]
                self._change(decisions=[view for view in task.decisions if view not in void])
                self._tally(now)
                self.uncertain = True
                verdicts = ", ".join(view.verdict.replace("_", " ") for view in void)
                happened = Happened("decision_withdrawn", f"{by.id} took back: {verdicts}")
                happened.data["decisions"] = [view.decision_id for view in void]
            case Act.ASK:
                asked = Question(id=action.id, by=by.id, to=to, text=action.text.strip(), at=action.at)
                self._change(questions=[*task.questions, asked])
                if self.ruling.pause_for_questions:
                    self._change(paused_at=task.paused_at or now)
                    self.uncertain = True
                happened = Happened("question_asked", f"{by.id} asked {to}: {asked.text}", {"question": asked.id})
            case Act.ANSWER:
                happened = self._answer(action, now)
            case Act.WITHDRAW_QUESTION:
                happened = self._withdraw_question(action, now)
            case Act.SET_CLOCK:
                happened = self._set_clock(action)
            case Act.REPLACE:
                return self.replace(action.replaces or "", to or None, now), []
            case Act.NEW_RULES:
                assert action.ruling is not None, "the gateway sends the ruling"
                happened = self.adopt(action.ruling, now, times=action.times)
                happened.data.update(reason=action.text, policy=action.policy_hash)
            case Act.RECOUNT:
                self.uncertain = True
                return None, []
        if to and happened:
            happened.data["to"] = to
        return happened, void

    def _answer(self, action: Action, now: datetime) -> Happened:
        asked = question_of(self._task, action.question)
        told = asked.model_copy(update={"answer": action.text.strip(), "answered_at": action.at})
        self._change(questions=replaced(self._task.questions, told))
        self._move("questions")
        self._resume(now)
        said = f"{action.by.id} answered {asked.by}: {told.answer}"
        return Happened("question_answered", said, {"question": asked.id, "asked_by": asked.by})

    def _withdraw_question(self, action: Action, now: datetime) -> Happened:
        asked = question_of(self._task, action.question)
        withdrawn = asked.model_copy(update={"withdrawn_at": action.at})
        self._change(questions=replaced(self._task.questions, withdrawn))
        self._move("questions")
        self._resume(now)
        said = f"{action.by.id} withdrew the question to {asked.to}: {asked.text}"
        return Happened("question_withdrawn", said, {"question": asked.id, "from": asked.to})

    def _resume(self, now: datetime) -> None:
        """Let the clock go on where no question is left that it waits for."""
        since = self._task.paused_at
        if since is not None and not any(each.pending for each in self._task.questions):
            self._shift(now - since)
            self._change(paused_at=None)

    def _set_clock(self, action: Action) -> Happened:
        told, paused = [], self._task.paused_at is not None
        times = [name for name in ("due_at", "expires_at") if getattr(action, name)]
        self._change(set_by_hand=_joined(list(self._task.set_by_hand), times))
        if action.due_at:
            self._due_fixed = paused
            told.append(f"due {moment_text(action.due_at)}")
            self._change(due_at=action.due_at)
        if end := action.expires_at:
            told.append(f"expires {moment_text(end)}")
            self._change(expires_at=end)
            kept = [alarm for alarm in self._alarms if alarm.kind != "expire"]
            self._goes_by(sorted([*kept, Alarm(end, "expire", fixed=paused)], key=lambda alarm: alarm.at))
        return Happened("clock_set", f"{action.by.id} moved the clock: {', '.join(told)}. {action.text}")

    def replace(self, leaver: str, successor: str | None, now: datetime) -> Happened:
        """Give every place of somebody who has left to who came after, as far as they may have it; else to nobody."""
        asks = asks_now(self._task, leaver, successor)
        if asks and successor:
            self.exclude([successor])
        task, heir = self._task, heir_of(self._task, successor)
        self._change(**without(task, leaver, successor))
        self._goes_by(
            [
                Alarm(**{**vars(alarm), "users": tuple(in_place(list(alarm.users), leaver, successor))})
                for alarm in self._alarms
            ]
        )
        self._resume(now)
        self._move("candidates")
        self.uncertain = True
        said = f"{leaver} was replaced by {heir or 'nobody'}"
        if asks:
            said = f"{leaver} was replaced by {successor}, whose request it is now, so they do not decide it"
        data: dict[str, Any] = {"from": leaver} | ({"to": heir} if heir else {})
        before = [each.id for each in task.questions if each.pending and same(each.to, leaver)]
        if moved := [each for each in self._task.questions if each.id in before and each.pending]:
            said += f"; {successor} is asked: {'; '.join(each.text for each in moved)}"
            data["asked"] = successor
        if lapsed := [each for each in self._task.questions if each.id in before and each.lapsed]:
            said += f"; nobody can answer: {'; '.join(each.text for each in lapsed)}"
            data["askers"] = sorted({each.by for each in lapsed})
        return Happened("candidate_replaced", said, data)

    def adopt(self, ruling: GateRuling, now: datetime, *, times: bool = False) -> Happened:
        """Follow another ruling from now on: after an edit, or because an admin applied a new policy.

        What was decided keeps counting. Where people are no longer needed the rule decides. What an admin has set by
        hand stays, and with `times` it gives way to the times of the ruling.
        """
        before, edited = self._task, self.edited
        self.edited = False
        self._excluded = _joined(
            [person for person in self._excluded if person not in self.ruling.excluded],
            [*ruling.excluded, *self._task.arranged_by],
        )
        self.ruling = ruling = ruling if edited else self._kept(ruling, times)
        if not edited and not ruling.needed:
            self._change(rule=ruling.reason)
            self.close(Outcome.REJECTED_BY_RULE if ruling.decided == "reject" else Outcome.APPROVED_BY_RULE, now)
            self.closed_because = ruling.said
        else:
            self._follow(ruling, edited, now)
            self._tally(now)
            self.uncertain = self.open
        changed = [
            f"{name.replace('_', ' ')}: {_said(old)} became {_said(new)}"
            for name in (
                "candidate_groups",
                "candidate_users",
                "excluded_users",
                "due_at",
                "expires_at",
                "veto",
                "rule",
            )
            if (old := getattr(before, name)) != (new := getattr(self._task, name))
        ]
        for what in ("remind", "escalate"):
            old, new = (steps_said(task.clock, what) for task in (before, self._task))
            if self.open and old != new:
                changed.append(f"{what}: {old} became {new}")
        if before.quorum.needed != self._task.quorum.needed:
            changed.append(f"approvals needed: {before.quorum.needed} became {self._task.quorum.needed}")
        if self.open and self._task.expires_at and self._task.expires_at <= now:
            changed.append("that end is over already, so it comes at once")
        said = self.closed_because or "; ".join(changed) or "nothing changed"
        ruled = ruling.model_dump(mode="json", include={"needed", "rule", "names", "problem", "decided"})
        return Happened("rules_changed", f"The gate follows other rules: {said}", {"changed": changed, **ruled})

    def _kept(self, ruling: GateRuling, times: bool) -> GateRuling:
        """The ruling with the times set by hand, and as far behind as the clock has stood still until now."""
        task = self._task
        if times:
            self._change(set_by_hand=[])
        ruling = ruling.later(task.shifted)
        kept: dict[str, Any] = {name: getattr(task, name) for name in self._task.set_by_hand}
        if self._expired_before and task.expires_at:
            kept["expires_at"] = task.expires_at  # it has expired once; the policy's end would end it now
        end = kept.get("expires_at", ruling.expires_at)
        if "due_at" not in kept and end and ruling.due_at:
            kept["due_at"] = min(ruling.due_at, end)
        return ruling.model_copy(update=kept)

    def _follow(self, ruling: GateRuling, edited: bool, now: datetime) -> None:
        needed = max(ruling.quorum, 1) if ruling.needed else 1
        self._change(quorum=Quorum(needed=needed, given=self._task.quorum.given), rule=ruling.reason)
        if edited:  # only who and how many may follow from the input; the clock runs on
            return
        before = self._task
        self._change(
            candidate_groups=ruling.groups,
            candidate_users=ruling.users,
            members=ruling.members,
            excluded_users=self._excluded,
            veto=ruling.veto,
            comment_needed=ruling.comment_needed,
            revision_required=ruling.revision_required,
            substitutes=ruling.substitutes,
            due_at=ruling.due_at,
            expires_at=ruling.expires_at,
        )
        alarms = alarms_of(ruling)
        had = [alarm for alarm in alarms if alarm.kind == "escalate" and has_had(before, alarm, now)]
        self._escalate(*had)
        users = _joined(self._task.candidate_users, before.given_by_hand)
        claimed = before.assignee is not None and (
            bool(before.owner)
            or among(before.assignee, users)
            or self._task.candidate_groups == before.candidate_groups
        )
        self._change(
            candidate_users=users,
            assignee=before.assignee if claimed else None,
            owner=before.owner if claimed else None,
        )
        self._goes_by([alarm for alarm in alarms if alarm not in had and (alarm.kind != "remind" or alarm.at > now)])
        self._move("candidates")

    # ------------------------------------------------------------------------------------------------------- the clock

    def next_alarm(self) -> Alarm | None:
        """What the clock does next; None when it does nothing more, or stands still.

        An end that an admin set while the clock stood still comes all the same.
        """
        alarms = self._alarms if self._task.paused_at is None else [alarm for alarm in self._alarms if alarm.fixed]
        return alarms[0] if self.open and alarms else None

    def ring(self, now: datetime) -> list[Happened]:
        """Do everything that is due at `now`, in order, and say what was done."""
        rang = []
        while (alarm := self.next_alarm()) and alarm.at <= now:
            self._goes_by([each for each in self._alarms if each is not alarm])
            match alarm.kind:
                case "remind":
                    rang.append(self._remind())
                case "escalate":
                    rang.append(self._escalate(alarm))
                case "expire":
                    rang.append(self._expire(alarm.at, now))
        return rang

    def _goes_by(self, alarms: list[Alarm]) -> None:
        self._alarms = alarms
        self._change(clock=self._told)

    @property
    def _told(self) -> list[ClockStep]:
        over = self.ruling.on_expiry == "escalate" and self._expired_before
        return clock_of(self._alarms, self._task.opened_at, "reject" if over else self.ruling.on_expiry)

    def _remind(self) -> Happened:
        names = [self._task.assignee] if self._task.assignee else self._task.candidate_groups
        names = names if self._task.assignee else names + self._task.candidate_users
        return Happened("gate_reminded", f"{', '.join(names)} reminded of the open task", {"to": names})

    def _escalate(self, *levels: Alarm) -> Happened:
        """Ask more people, or others. A claim ends with it, and whether they can decide must be asked."""
        before = self._task
        self.uncertain = True
        self._change(assignee=None, owner=None)
        for level in levels:
            groups, users = list(level.groups), list(level.users)
            if level.replace:
                self._change(candidate_groups=groups, candidate_users=users)
            else:
                self._change(
                    candidate_groups=_joined(self._task.candidate_groups, groups),
                    candidate_users=_joined(self._task.candidate_users, users),
                )
            if level.priority is not None:
                self._change(priority=min(level.priority, self._task.priority))
        now, old = ([*task.candidate_groups, *task.candidate_users] for task in (self._task, before))
        added = [name for name in now if name not in old]
        removed = [name for name in old if name not in now]
        if added or removed:
            # Who may decide is part of what a reviewer saw, so the revision moves with it.
            self._move("candidates")
        data: dict[str, Any] = {"added": added} | ({"removed": removed} if removed else {})
        if before.assignee is not None:
            data["from"] = before.assignee
        return Happened("gate_escalated", f"Escalated to {', '.join(added) or 'nobody new'}", data)

    def _expire(self, at: datetime, now: datetime) -> Happened:
        """Reject, approve or escalate as the policy says. Escalated, it runs once more as long and is then rejected."""
        on_expiry = self.ruling.on_expiry
        if on_expiry == "escalate" and not self._expired_before:
            self._expired_before = True
            pending = [alarm for alarm in self._alarms if alarm.kind == "escalate"]
            self._goes_by([Alarm(after(at, at - self._task.opened_at), "expire")])
            self._change(expires_at=self._alarms[0].at)
            rang = self._escalate(*pending)
            return Happened(
                "gate_expired", f"Nobody decided in time. {rang.summary}", {**rang.data, "on_expiry": on_expiry}
            )
        if on_expiry == "approve":
            self.close(Outcome.APPROVED_BY_RULE, now)
            return Happened(
                "gate_expired", "Nobody decided in time; approved, as the policy says", {"on_expiry": on_expiry}
            )
        self.close(Outcome.EXPIRED, now)
        return Happened("gate_expired", "Nobody decided in time", {"on_expiry": on_expiry})

    def _shift(self, by: timedelta) -> None:
        """The clock stood still for so long: all of it comes later, except what an admin set meanwhile."""
        task, end_fixed = self._task, any(alarm.fixed for alarm in self._alarms)
        moved = [
            replace(alarm, fixed=False) if alarm.fixed else replace(alarm, at=after(alarm.at, by))
            for alarm in self._alarms
        ]
        self._goes_by(sorted(moved, key=lambda alarm: alarm.at))
        self._change(
            due_at=task.due_at if self._due_fixed else task.due_at and after(task.due_at, by),
            expires_at=task.expires_at if end_fixed else task.expires_at and after(task.expires_at, by),
            shifted=task.shifted + by,
        )
        self._due_fixed = False

    def close(self, outcome: Outcome, at: datetime) -> None:
        """End the gate; the first outcome stands."""
        if self.open:
            self._change(outcome=outcome, status="closed", closed_at=at, paused_at=None)

    # ------------------------------------------------------------------------------------------------------ for others

    def patch(self, *, whole: bool = False) -> TaskPatch:
        """What has changed, for the stored task. `whole`: all that may have, and which decisions count."""
        task = self._task
        return TaskPatch(
            task_id=task.task_id,
            status=task.status,
            outcome=task.outcome,
            given=task.quorum.given,
            candidate_groups=task.candidate_groups,
            candidate_users=task.candidate_users,
            members=task.members,
            due_at=task.due_at,
            expires_at=task.expires_at,
            revision=task.revision,
            closed_at=task.closed_at,
            priority=task.priority,
            state=task.model_dump(mode="json", include=_STATE if whole else self._changed & _STATE),
            counting=[view.decision_id for view in task.decisions] if whole else None,
        )

    def _move(self, what: str) -> None:
        """The revision moves with everything that a reviewer goes by."""
        self._change(revision=self._task.revision + 1)
        self._moved.append((self._task.revision, what))

    def _change(self, **fields: Any) -> None:
        self._changed |= fields.keys()
        self._task = self._task.model_copy(update=fields)


def _joined(names: list[str], more: list[str]) -> list[str]:
    return names + [name for name in dict.fromkeys(more) if name not in names]


def _joined_changes(before: Sequence[FieldChange], now: Sequence[FieldChange]) -> list[FieldChange]:
    """Changes on top of changes: from what was first to what is last."""
    found = {change.field: change for change in before}
    for change in now:
        first = found[change.field].before if change.field in found else change.before
        found[change.field] = FieldChange(field=change.field, before=first, after=change.after)
    return [change for change in found.values() if change.before != change.after]


def _behalf(person: str | None) -> str:
    return f" on behalf of {person}" if person else ""


def _said(value: Any) -> str:
    if isinstance(value, datetime):
        return moment_text(value)
    return ", ".join(map(str, value)) or "nobody" if isinstance(value, list) else str(value)

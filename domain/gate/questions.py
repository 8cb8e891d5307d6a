"""Questions on a task: ask, answer and withdraw them, and check who may do so."""

from collections.abc import Collection
from datetime import datetime

from domain.gate.clock import resume
from domain.gate.state import GateEvent, GateState
from domain.messages import Action, Actor
from domain.permissions import among, operates, operators_of, same
from domain.refusals import Refusal, RefusalCode, not_allowed
from domain.task import Question, TaskView

# ------------------------------------------------------------------------------------------------------------ validate


def check_question(task: TaskView, action: Action) -> None:
    """Raise Refusal if the question has no text, names nobody to answer it, or is the same as an open question."""
    if action.to is None or not action.text.strip():
        raise Refusal(RefusalCode.MISSING, "Write a question, and name the person who shall answer it.")
    if _asked_already(task, action):
        raise Refusal(
            RefusalCode.NOTHING_TO_DO, f"You have asked {action.to.id} this already. The question is still open."
        )


def check_asked(task: TaskView, action: Action) -> None:
    """Raise Refusal unless the person was asked, or substitutes for the person who was asked."""
    asked = question_of(task, action.question)
    if not _may_answer_question(asked, action.by):
        raise not_allowed(
            f"Only {asked.to}, or the substitute of {asked.to} during an absence, can answer this question.",
            "questions: only the person who was asked, or the substitute of this person, can answer",
        )


def check_asker(task: TaskView, action: Action) -> None:
    """Raise Refusal unless the person asked the question, or is an operator or admin."""
    asked = question_of(task, action.question)
    if not (same(asked.by, action.by.id) or operates(task, action.by)):
        raise not_allowed(
            f"Only {asked.by}, operators and admins can withdraw this question.",
            f"questions: only the person who asked, and members of {operators_of(task)} can withdraw a question",
        )


def check_unanswered(task: TaskView, action: Action) -> None:
    """Raise Refusal when the question was answered or withdrawn."""
    asked = question_of(task, action.question)
    if asked.answer is not None:
        raise Refusal(RefusalCode.ALREADY_ANSWERED, "This question already has an answer.")
    if asked.withdrawn_at is not None:
        raise Refusal(RefusalCode.NOTHING_TO_DO, "This question has already been withdrawn. No answer is needed.")


def question_of(task: TaskView, id: str | None) -> Question:
    """Return the question of the task with this id. Raises Refusal if the task has no such question."""
    found = next((each for each in task.questions if each.id == id), None)
    if found is None:
        raise Refusal(
            RefusalCode.MISSING,
            "This task has no question with this id. Load the task again, and use the id of one of its questions.",
            field="question_id",
        )
    return found


def _may_answer_question(asked: Question, by: Actor) -> bool:
    return same(asked.to, by.id) or any(same(asked.to, absent.id) for absent in by.stands_in_for)


def _asked_already(task: TaskView, action: Action) -> bool:
    """Return True if the task has an open question of the same person, to the same person, in the same words.

    A person whose browser got no answer from the server may send a question twice.
    """
    return any(
        each.open
        and same(each.by, action.by.id)
        and same(each.to, action.to.id if action.to else None)
        and each.text == action.text.strip()
        for each in task.questions
    )


# ------------------------------------------------------------------------------------------------------------- perform


def ask(state: GateState, action: Action, now: datetime) -> GateEvent:
    """Add a question to the task. If the policy says so, pause the clock until the answer."""
    to = action.to.id if action.to else ""
    asked = Question(id=action.id, by=action.by.id, to=to, text=action.text.strip(), at=action.at)
    state.change(questions=[*state.task.questions, asked])
    if state.ruling.pause_for_questions:
        state.change(paused_at=state.task.paused_at or now)
        state.uncertain = True
    return GateEvent("question_asked", f"{asked.by} asked {to}: {asked.text}", {"question": asked.id})


def answer(state: GateState, action: Action, now: datetime) -> GateEvent:
    """Answer a question."""
    asked = question_of(state.task, action.question)
    answered = asked.model_copy(update={"answer": action.text.strip(), "answered_at": action.at})
    _settle(state, answered, now)
    summary = f"{action.by.id} answered {asked.by}: {answered.answer}"
    return GateEvent("question_answered", summary, {"question": asked.id, "asked_by": asked.by})


def withdraw_question(state: GateState, action: Action, now: datetime) -> GateEvent:
    """Withdraw a question that has no answer."""
    asked = question_of(state.task, action.question)
    _settle(state, asked.model_copy(update={"withdrawn_at": action.at}), now)
    summary = f"{action.by.id} withdrew the question to {asked.to}: {asked.text}"
    return GateEvent("question_withdrawn", summary, {"question": asked.id, "from": asked.to})


def lapse_questions(state: GateState, silent: Collection[str], now: datetime) -> list[GateEvent]:
    """Resume a paused clock if nobody can answer the questions for which it waits.

    Return an event for each question that nobody can answer.
    """
    if state.task.paused_at is None:
        return []
    lapsed = [each for each in state.task.questions if each.pending and among(each.to, [*silent])]
    for asked in lapsed:
        _replace(state, asked.model_copy(update={"lapsed": True}))
    resume(state, now)
    return [
        GateEvent(
            "question_lapsed",
            f"{asked.to} cannot answer {asked.by} now, so the clock does not wait for it",
            {"question": asked.id, "asked_by": asked.by},
        )
        for asked in lapsed
    ]


def _settle(state: GateState, question: Question, now: datetime) -> None:
    _replace(state, question)
    state.revise("questions")
    resume(state, now)


def _replace(state: GateState, question: Question) -> None:
    state.change(questions=[question if each.id == question.id else each for each in state.task.questions])

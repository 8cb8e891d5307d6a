"""Questions on a task: who may answer or take back one, and which of them the clock waits for."""

from collections.abc import Collection, Sequence

from domain.messages import Action, Actor
from domain.names import ADMINS, OPERATORS
from domain.task import Question, TaskView
from workflows.people import among, not_allowed, refusal, same


def question_of(task: TaskView, id: str | None) -> Question:
    """Return the question with this id. Raises Missing."""
    found = next((each for each in task.questions if each.id == id), None)
    if found is None:
        raise refusal("Missing", "There is no such question on this task.", field="question_id")
    return found


def check_asker(task: TaskView, action: Action) -> None:
    """Raise NotAllowed for taking back a question of somebody else. Operators and admins may."""
    asked = question_of(task, action.question)
    if not (same(asked.by, action.by.id) or {ADMINS, OPERATORS}.intersection(action.by.groups)):
        raise not_allowed(
            f"{asked.by} asked this question: only they, operators and admins withdraw it.",
            "questions: withdrawn by whoever asked, or by operators",
        )


def check_asked(task: TaskView, action: Action) -> None:
    """Raise NotAllowed for answering in the place of somebody for whom one does not stand in."""
    asked = question_of(task, action.question)
    if not may_answer_question(asked, action.by):
        raise not_allowed(f"{asked.to} was asked.", "questions: who was asked answers, or their substitute")


def may_answer_question(asked: Question, by: Actor) -> bool:
    """Return whether the question was put to this person, or to somebody who is away and named them."""
    return same(asked.to, by.id) or any(same(asked.to, absent.id) for absent in by.stands_in_for)


def check_unanswered(asked: Question) -> None:
    """Raise the refusal of a question that is settled: AlreadyAnswered, Nothing."""
    if asked.answer is not None:
        raise refusal("AlreadyAnswered", "This question has its answer.")
    if asked.withdrawn_at is not None:
        raise refusal("Nothing", "This question was withdrawn.")


def replaced(questions: Sequence[Question], new: Question) -> list[Question]:
    """Return the questions with one of them as it is now."""
    return [new if each.id == new.id else each for each in questions]


def lapsed(questions: Sequence[Question], silent: Collection[str]) -> list[Question]:
    """Return, marked so, the questions for which the clock would wait in vain: these people cannot answer."""
    return [
        each.model_copy(update={"lapsed": True}) for each in questions if each.pending and among(each.to, [*silent])
    ]

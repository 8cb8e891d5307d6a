"""How the input of a case is shown: with the wording of its process, masked fields masked."""

from collections.abc import Mapping
from typing import Any, Protocol

from domain.case import CaseInput
from domain.masking import hidden_values, without
from domain.task import TaskView
from domain.wording import Words


class Presentation(Protocol):
    """The interface that shows the input of a case to people."""

    def input_json(self, case: CaseInput[Any]) -> dict[str, Any]:
        """Return the whole input as JSON, for the policy and the database, never for people."""

    def masked(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return an input, given as JSON, as people may see it."""

    def without_masked(self, case: CaseInput[Any], said: Any) -> Any:
        """Return what a step or a failure says, as text or JSON, without the values of the case's masked fields."""

    def task_fields(self, case: CaseInput[Any], task: TaskView | None) -> dict[str, Any]:
        """Return `title`, `key_fields`, `input` and `money`; with `task`, also `summary`, the question of its gate.

        People may have changed the input, so `summary` asks about the input as it is now.
        """


class WordsPresentation:
    """Shows an input with the wording of its process."""

    def __init__(self, words: Words) -> None:
        self._words = words

    def input_json(self, case: CaseInput[Any]) -> dict[str, Any]:
        stored: dict[str, Any] = case.input.model_dump(mode="json")
        return stored

    def masked(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        return self._words.shown_input(stored)

    def without_masked(self, case: CaseInput[Any], said: Any) -> Any:
        if not self._words.masked:
            return said
        stored = self.input_json(case)
        return without(said, list(hidden_values(stored, self.masked(stored))))

    def task_fields(self, case: CaseInput[Any], task: TaskView | None) -> dict[str, Any]:
        stored = self.input_json(case)
        return {
            "title": self._words.title_of(case.input),
            "key_fields": self._words.key_fields_of(case.input),
            "input": self.masked(stored),
            "money": self._words.money_of(stored),
            **({"summary": self._words.gate(task.gate, case.input, task.facts)} if task else {}),
        }

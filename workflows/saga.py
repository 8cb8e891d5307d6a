"""The undo stack of a case: what to undo, newest first, should it not end well.

An undo is registered before its step runs: a step that reports failure may still have taken effect.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workflows.models import StepCall, UndoView


@dataclass(frozen=True)
class Undo:
    """How to undo one step. `call` holds the step's own input: its result may not exist."""

    step: str
    activity: Callable[..., Any]
    name: str
    call: StepCall[Any]
    summary: str

    @property
    def view(self) -> UndoView:
        """One line of the rollback plan."""
        return UndoView(step=self.step, undo=self.name, summary=self.summary)


class Saga:
    """Undos in the order in which their steps began."""

    def __init__(self) -> None:
        self._undos: list[Undo] = []

    def register(self, undo: Undo) -> None:
        """Remember how to undo a step that is about to run."""
        self._undos.append(undo)

    def newest(self) -> Undo | None:
        """What is to be undone next; None when everything has been."""
        return self._undos[-1] if self._undos else None

    def settle(self, undo: Undo) -> None:
        """Take the newest undo off the stack: it was done, or people decided that it need not be."""
        settled = self._undos.pop()
        assert settled is undo, "a rollback goes newest first"

    def plan(self) -> list[UndoView]:
        """What a rollback would do now, newest first."""
        return [undo.view for undo in reversed(self._undos)]

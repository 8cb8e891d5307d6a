"""What a case would undo."""

from typing import Any

from domain.base import Message
from domain.step import StepCall


class UndoView(Message):
    """One line of the rollback plan."""

    step: str
    undo: str
    summary: str


class PlannedUndo(UndoView):
    """How to undo one step: all that another Workflow needs to do it.

    `call` holds the step's own input, for its result may not exist.
    """

    call: StepCall[Any]
    uses: str | None = None
    """Key of the undo that is a no-op once this step is done, for the step has used up what is to be undone there."""
    done: bool = False
    by_hand: str = ""
    """Who did the step by hand, and why. Then people must undo it, too."""

    @property
    def view(self) -> UndoView:
        """As it is shown."""
        by_hand = f" (by hand: {self.by_hand})" if self.by_hand else ""
        return UndoView(step=self.step, undo=self.undo, summary=self.summary + by_hand)

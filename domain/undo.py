"""The undos of a case, as data: for the rollback plan, and for the rollback Workflow that runs them after the case."""

from collections.abc import Sequence
from typing import Any

from domain.base import Message
from domain.step import StepCall


class UndoView(Message):
    """One line of the rollback plan."""

    step: str
    undo: str
    summary: str


class PlannedUndo(UndoView):
    """The undo of one step, with all data that the rollback Workflow needs to run it.

    `call` holds the input of the step, because the step may have no result.
    """

    call: StepCall[Any]
    uses: str | None = None
    """The key of an earlier undo that is no longer needed when this step is done; None without one.

    The earlier undo is not needed because this step uses up the effect that the undo would undo.
    """
    done: bool = False
    by_hand: str = ""
    """Who did the step by hand, and why; empty if Holdgate did it.

    If a step was done by hand, operators are asked to undo it by hand, unless its undo had an effect.
    """

    @property
    def view(self) -> UndoView:
        """Return the line of the rollback plan."""
        by_hand = f" (by hand: {self.by_hand})" if self.by_hand else ""
        return UndoView(step=self.step, undo=self.undo, summary=self.summary + by_hand)


def updated(stored: Sequence[PlannedUndo], known: Sequence[PlannedUndo], gone: Sequence[str]) -> list[PlannedUndo]:
    """Return a stored plan, oldest first, as a Workflow reports it now: with the undos that the Workflow knows.

    `gone` are the keys of undos that the Workflow has run or dropped. The other stored undos stay in their place: the
    Workflow may have forgotten them, or a branch beside this one has just stored them.
    """
    reported = {undo.call.key: undo for undo in known}
    kept = [reported.pop(undo.call.key, undo) for undo in stored if undo.call.key not in gone]
    return [*kept, *reported.values()]


def joined(known: Sequence[PlannedUndo], more: Sequence[PlannedUndo]) -> list[PlannedUndo]:
    """Return `known`, then the undos of `more` with other keys. An undo that was done before has no effect again."""
    keys = {undo.call.key for undo in known}
    return [*known, *(undo for undo in more if undo.call.key not in keys)]

"""The undo stack of a case: what to undo, newest first, should it not end well.

An undo is registered before its step runs: a step that reports failure may still have taken effect.
"""

from collections.abc import Iterable

from domain.undo import PlannedUndo, UndoView


class Saga:
    """Undos in the order in which their steps began."""

    def __init__(self, planned: Iterable[PlannedUndo] = ()) -> None:
        self._undos = list(planned)

    @property
    def planned(self) -> list[PlannedUndo]:
        """All that is to be undone, oldest first."""
        return list(self._undos)

    def register(self, undo: PlannedUndo) -> None:
        """Remember how to undo a step that is about to run."""
        self._undos.append(undo)

    def done(self, key: str, by_hand: str = "") -> None:
        """The step whose undo bears this key was done: by itself, or by hand, by whom and why."""
        changes = {"by_hand": by_hand} if by_hand else {"done": True}
        self._undos = [undo.model_copy(update=changes) if undo.call.key == key else undo for undo in self._undos]

    def key_of(self, step: str) -> str | None:
        """The key of the undo of the newest step of this name."""
        return next((undo.call.key for undo in reversed(self._undos) if undo.step == step), None)

    def forget(self, key: str) -> None:
        """There is nothing left that the undo of this key could undo."""
        self._undos = [undo for undo in self._undos if undo.call.key != key]

    def newest(self) -> PlannedUndo | None:
        """What is to be undone next; None when everything has been."""
        return self._undos[-1] if self._undos else None

    def settle(self, undo: PlannedUndo) -> None:
        """Take the newest undo off the stack: it was done, or people decided that it need not be."""
        settled = self._undos.pop()
        assert settled.call.key == undo.call.key, "a rollback goes newest first"

    def plan(self) -> list[UndoView]:
        """What a rollback would do now, newest first; without what later steps have used up, which is a no-op."""
        return plan_of(self._undos)


def plan_of(undos: Iterable[PlannedUndo]) -> list[UndoView]:
    """What people are shown of undos that are given oldest first: newest first, without no-ops."""
    undos = list(undos)
    used_up = {undo.uses for undo in undos if undo.done and undo.uses}
    return [undo.view for undo in reversed(undos) if undo.call.key not in used_up]

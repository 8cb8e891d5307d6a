"""The undo stack of a case: the undos of a rollback, newest first.

An undo is registered before its step runs, because a step that reports a failure may still have had its effect.
"""

from collections.abc import Iterable

from domain.undo import PlannedUndo, UndoView


class Saga:
    """The undos of a case, in the order in which their steps began."""

    def __init__(self, planned: Iterable[PlannedUndo] = ()) -> None:
        self._undos = list(planned)
        self._known = [undo.call.key for undo in self._undos]
        """The keys of all undos that were ever registered."""

    @property
    def planned(self) -> list[PlannedUndo]:
        """Return all undos, oldest first."""
        return list(self._undos)

    @property
    def gone(self) -> list[str]:
        """Return the keys of all undos that were registered and then settled or forgotten."""
        left = {undo.call.key for undo in self._undos}
        return [key for key in self._known if key not in left]

    def register(self, undo: PlannedUndo) -> None:
        """Add the undo of a step that is about to run, as the newest."""
        self._undos.append(undo)
        self._known.append(undo.call.key)

    def recover(self, stored: Iterable[PlannedUndo]) -> None:
        """Register those undos of a stored plan, oldest first, that were never registered here.

        Each undo is put after the undo that is before it in the stored plan, because the steps ran in this order.
        """
        place = 0
        for undo in stored:
            keys = [each.call.key for each in self._undos]
            if undo.call.key in keys:
                place = keys.index(undo.call.key) + 1
            elif undo.call.key not in self._known:
                self._undos.insert(place, undo)
                self._known.append(undo.call.key)
                place += 1

    def done(self, key: str, by_hand: str = "") -> None:
        """Mark the step whose undo has this key as done.

        `by_hand` says who did the step by hand, and why; else empty.
        """
        changes = {"by_hand": by_hand} if by_hand else {"done": True}
        self._undos = [undo.model_copy(update=changes) if undo.call.key == key else undo for undo in self._undos]

    def key_of(self, step: str) -> str | None:
        """Return the key of the undo of the newest step of this name, None if there is none."""
        return next((undo.call.key for undo in reversed(self._undos) if undo.step == step), None)

    def forget(self, key: str) -> None:
        """Remove the undo of this key, because nothing is left to undo."""
        self._undos = [undo for undo in self._undos if undo.call.key != key]

    def newest(self) -> PlannedUndo | None:
        """Return the undo that must run next; None if no undo is left."""
        return self._undos[-1] if self._undos else None

    def settle(self, undo: PlannedUndo) -> None:
        """Remove the newest undo, after it has run or after people have decided that it is not needed."""
        settled = self._undos.pop()
        assert settled.call.key == undo.call.key, "a rollback goes newest first"

    def plan(self) -> list[UndoView]:
        """Return the rollback plan, newest first, without undos of effects that later steps have used up."""
        return plan_of(self._undos)


def plan_of(undos: Iterable[PlannedUndo]) -> list[UndoView]:
    """Return undos, given oldest first, as people see them: newest first.

    Leave out an undo if a later step that is done has used up the effect that the undo would undo.
    """
    undos = list(undos)
    used_up = {undo.uses for undo in undos if undo.done and undo.uses}
    return [undo.view for undo in reversed(undos) if undo.call.key not in used_up]

"""What a story has under way side by side: steps, gates and sub-cases, and how they stop when one of them ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from temporalio import workflow

from workflows.unwinding import Unwinding

_STORY: ContextVar[int] = ContextVar("story", default=0)
"""Which telling of the story something belongs to. Tasks that a story starts inherit it."""


class BranchStops(Exception):
    """Raised in a branch of the story when another one, side by side with it, has ended the story."""


class Branches(Unwinding):
    """Knows what is under way, and stops it before anything is undone."""

    def __init__(self) -> None:
        super().__init__()
        self._under_way = 0
        """Steps, gates and sub-cases that have begun and not ended."""
        self._story = 0
        """Counts how often the story has ended: what goes on from before then stops."""

    def _halting(self) -> Callable[[], bool]:
        cancelled, began = super()._halting(), _STORY.get()
        return lambda: cancelled() or began != self._story

    def _stop_if_cancelled(self) -> None:
        super()._stop_if_cancelled()
        if _STORY.get() != self._story:
            raise BranchStops

    @contextmanager
    def _branch(self) -> Iterator[None]:
        """A step, gate or sub-case is under way; a story may have several side by side."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _branches_stop(self) -> None:
        """Stop what goes on beside the branch that ended the story. Nothing is undone while a step still runs."""
        self._story += 1
        _STORY.set(self._story)
        await workflow.wait_condition(lambda: self._under_way == 0)

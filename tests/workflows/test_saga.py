"""The undo stack as plain Python."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from domain.moments import FIRST_MOMENT
from domain.step import StepCall
from domain.undo import PlannedUndo
from workflows.engine.saga import Saga


def an_undo(step: str) -> PlannedUndo:
    call = StepCall[Any](
        case_id="c",
        reference="r",
        requester="rita",
        policy_hash="",
        key=f"c/{step}/undo",
        undoes=f"c/{step}",
        at=FIRST_MOMENT,
        input=None,
    )
    return PlannedUndo(step=step, undo=f"undo_{step}", call=call, summary=f"undo {step}")


@given(st.lists(st.text(min_size=1, max_size=5), max_size=20))
def test_undos_come_in_the_reverse_order_of_their_steps(steps: list[str]) -> None:
    saga = Saga()
    for step in steps:
        saga.register(an_undo(step))
    plan = [line.step for line in saga.plan()]
    undone = []
    while undo := saga.newest():
        undone.append(undo.step)
        saga.settle(undo)
    assert undone == plan == list(reversed(steps))
    assert saga.plan() == []


def test_forgotten_undos_are_recovered_in_the_order_of_their_steps_and_settled_undos_never() -> None:
    saga = Saga()
    for step in ("one", "two", "four", "five"):
        saga.register(an_undo(step))
    saga.forget("c/two/undo")
    assert saga.gone == ["c/two/undo"]
    saga.recover([an_undo(step) for step in ("zero", "one", "two", "three", "four")])
    assert [undo.step for undo in saga.planned] == ["zero", "one", "three", "four", "five"]
    assert saga.gone == ["c/two/undo"]


def test_an_undo_out_of_order_is_a_defect() -> None:
    saga = Saga()
    first, second = an_undo("first"), an_undo("second")
    saga.register(first)
    saga.register(second)
    with pytest.raises(AssertionError):
        saga.settle(first)

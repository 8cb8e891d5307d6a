"""The visits of payloads that are left out, and the private names of the SDK on which that rests."""

from typing import Any

import pytest
from temporalio.bridge import worker
from temporalio.converter import DataConverter, PayloadCodec

from core.payloads import data_converter
from domain.status import Status
from tests.support.engine_fixture import House
from workflows import payload_visits


class Codec(PayloadCodec):
    """Any codec."""

    async def encode(self, payloads: Any) -> Any:
        return payloads

    decode = encode


def test_the_names_of_the_sdk_are_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, all payloads are visited: find the new names, or delete `workflows/payload_visits.py`."""
    assert payload_visits.leave_out_needless()
    assert all(hasattr(getattr(worker, name), payload_visits.LEFT_OUT) for name in payload_visits.VISITS)
    monkeypatch.setattr(payload_visits, "VISITS", ("moved",))
    assert not payload_visits.leave_out_needless()


@pytest.mark.parametrize("converter", [DataConverter(payload_codec=Codec()), object()], ids=["codec", "unknown"])
async def test_payloads_are_visited_if_that_may_have_an_effect(converter: Any) -> None:
    async def visit(*given: Any, **options: Any) -> Any:
        return given, options

    visited = payload_visits._only_with_effect(visit, list)
    assert await visited("task", converter, True, limit=3) == (("task", converter, True), {"limit": 3})
    assert await visited("task", data_converter, True, limit=3) == []


async def test_a_case_runs_with_and_without_visits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    payload_visits.leave_out_needless()
    for left_out in (True, False):
        monkeypatch.setattr(payload_visits, "without_effect", lambda _, left_out=left_out: left_out)
        case = await house.start()
        await house.decide(case)
        assert (await house.end(case)).status is Status.COMPLETED

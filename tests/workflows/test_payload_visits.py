"""The visits of payloads that are left out, and the private names of the SDK on which that rests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.bridge import worker
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.converter import DataConverter, PayloadCodec

from core.payloads import data_converter
from domain.status import Status
from tests.support.engine_fixture import House, open_house
from workflows import payload_visits

REFERENCE = Payload(metadata={"encoding": b"json/protobuf", "messageType": b"temporal.api.common.v1.ExternalReference"})


class Codec(PayloadCodec):
    """Counts what it decodes and changes it."""

    def __init__(self) -> None:
        self.calls = 0

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        self.calls += 1
        return [Payload(data=b"coded") for _ in payloads]

    decode = encode


def test_the_names_of_the_sdk_are_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, all payloads are visited: find the new names, or delete `workflows/payload_visits.py`."""
    assert payload_visits.leave_out_needless()
    assert all(hasattr(getattr(worker, name), payload_visits.LEFT_OUT) for name in payload_visits.VISITS)
    monkeypatch.setattr(payload_visits, "VISITS", {"moved": ("decode", "decode_headers")})
    assert not payload_visits.leave_out_needless()
    monkeypatch.undo()
    monkeypatch.setattr(payload_visits, "CURRENT", "moved")
    assert not payload_visits.leave_out_needless()


async def test_payloads_are_visited_as_often_as_their_converter_needs() -> None:
    async def of_sdk(*given: Any, **options: Any) -> Any:
        return given, options

    names = payload_visits.sdk()
    assert names is not None
    visit = payload_visits._needed(of_sdk, names, "decode", "decode_headers")
    task = WorkflowActivation()
    task.jobs.add().signal_workflow.input.append(REFERENCE)
    before = task.SerializeToString()
    assert await visit(task, data_converter, decode_headers=False, limit=3) == names.metrics()
    assert task.SerializeToString() == before, "nothing encodes, so nothing is visited"
    codec = Codec()
    assert await visit(task, DataConverter(payload_codec=codec), decode_headers=False, limit=3) == names.metrics()
    assert codec.calls == 1 and task.jobs[0].signal_workflow.input[0].data == b"coded"
    for unknown in (object(), DataConverter(payload_codec=codec, external_storage=object())):  # type: ignore[arg-type]
        assert await visit(task, unknown, decode_headers=False, limit=3) == (
            (task, unknown),
            {"decode_headers": False, "limit": 3},
        )
    assert codec.calls == 1


@pytest.mark.plain_payloads
async def test_a_case_runs_with_and_without_visits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    payload_visits.leave_out_needless()
    for left_out in (True, False):
        monkeypatch.setattr(payload_visits, "without_effect", lambda _, left_out=left_out: left_out)
        case = await house.start()
        await house.decide(case)
        assert (await house.end(case)).status is Status.COMPLETED


async def test_an_encrypted_case_runs_with_the_visits_of_the_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_visits, "only_codec", lambda _: False)
    async with open_house(tmp_path, encrypted=True) as house:
        case = await house.start()
        await house.decide(case)
        assert (await house.end(case)).status is Status.COMPLETED

"""Expired cases are changed and submitted again: numbered, one open at a time, within the allowed number."""

import asyncio

import pytest

from cases.submit import CaseRequest, DuplicateCase, NotResubmittable, Started, TemporalUnavailable
from domain.case import CaseResult
from domain.status import Status
from store.cases import cases
from store.db.database import DatabaseUnavailable
from tests.support.engine_fixture import ONE_GATE, House

POLICY = (
    "[errand]\nrounds = 3\n" + ONE_GATE + '[errand.steps.pack]\nretry_for = "2s"\nfirst = "1s"\nthen = "roll_back"\n'
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [5, pytest.param(300, marks=pytest.mark.soak)])
async def test_cases_that_time_out_are_changed_and_submitted_again_in_three_rounds(house: House, count: int) -> None:
    starter = house.starter(POLICY)
    ids = [f"errand:rounds-{count}-{number}" for number in range(count)]

    def request(number: int, round_: int) -> CaseRequest:
        before = ids[number] if round_ == 2 else f"{ids[number]}~{round_ - 1}"
        return CaseRequest(
            process="errand",
            reference=f"Rounds-{count}-{number}",
            input={"value": 100 * round_},
            resubmits=before if round_ > 1 else None,
        )

    async def submit(number: int, round_: int) -> str:
        """Twice at the same moment: one of them is refused."""
        both: list[Started | BaseException] = []
        while not any(isinstance(each, Started) for each in both):
            # A busy machine may not answer in time; then nothing was stored, and the caller is told to try again.
            assert all(isinstance(each, TemporalUnavailable | DatabaseUnavailable) for each in both), both
            with house.env.with_time_skipping_disabled():
                both = await asyncio.gather(
                    *(starter.start_case(request(number, round_), "rita") for _ in range(2)), return_exceptions=True
                )
        (started,) = (each for each in both if isinstance(each, Started))
        refused = DuplicateCase | NotResubmittable | TemporalUnavailable | DatabaseUnavailable
        assert any(isinstance(each, refused) for each in both), both
        return started.row.case_id

    for round_ in (1, 2, 3):
        wanted = ids if round_ == 1 else [f"{case_id}~{round_}" for case_id in ids]
        house.receiver.broken |= {(case_id, "pack") for case_id in wanted}
        for first in range(0, count, 5):
            numbers = range(first, first + 5)
            assert await asyncio.gather(*(submit(number, round_) for number in numbers)) == wanted[first : first + 5]
        handles = [house.env.client.get_workflow_handle(case_id, result_type=CaseResult) for case_id in wanted]
        async with asyncio.timeout(120):
            results = await asyncio.gather(*(handle.result() for handle in handles))
        assert {result.status for result in results} == {Status.FAILED}
        assert all("No attempt succeeded within 2 s." in result.reason for result in results)
        assert all(house.receiver.effects[case_id] == ["fetch", "bring_back"] for case_id in wanted)
    for number in range(count):
        with pytest.raises(NotResubmittable, match="the policy allows 3 rounds"):
            await starter.start_case(request(number, 4), "rita")
    async with house.database.read() as connection:
        for case_id in ids:
            last = await cases.get(connection, f"{case_id}~3")
            assert last and (last.round, last.resubmits, last.input["value"]) == (3, f"{case_id}~2", 300)
            assert await cases.get(connection, f"{case_id}~4") is None
    assert await house.audit_problems() == []

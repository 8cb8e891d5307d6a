"""Each step and undo of imports and reviews fails once for good; operators are asked, and each effect is there once.

The receivers are the real ones: their database refuses to write the effect, or their folder of files is away.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from activities.data_import.request import DataImportRequest
from activities.security_review.request import SecurityReviewRequest
from core.settings import load
from domain.status import Status, Verdict
from domain.task import TaskView
from store.receivers import idempotency
from store.receivers.accepted_risks import Risks
from store.receivers.datasets import Datasets
from tests.support.engine_fixture import Handle, House, open_house
from tests.workflows.test_data_import import OCTOBER, Office
from tests.workflows.test_payment import SHIPPED
from tests.workflows.test_security_review import MEDIUM, Desk

STEPS = {
    "data_import": ("profile_file", "load_rows", "drop_rows", "publish_version", "restore_version"),
    "security_review": ("scan_target", "record_accepted_risk", "withdraw_accepted_risk"),
}
ONCE = f"{SHIPPED}\n[retries.once]\npermanent = ['IntegrityError', 'Trouble']\n" + "".join(
    f"[{process}.steps.{step}]\nretries = 'once'\n" for process, steps in STEPS.items() for step in steps
)


@dataclass
class Place:
    """A house whose receivers can be broken."""

    house: House
    files: Path

    @property
    def datasets(self) -> Datasets:
        return Datasets(self.house.database)

    @property
    def risks(self) -> Risks:
        return Risks(self.house.database)

    def write(self, process: str, name: str) -> None:
        """What a case of this name is about."""
        if process == "data_import":
            Office(self.house, self.files, self.datasets).write(f"{name}.csv", OCTOBER)
        else:
            Desk(self.house, self.files, self.risks).write(name, job=MEDIUM + f"NAME = '{name}'\n")

    async def start(self, process: str, name: str) -> Handle:
        about = DataImportRequest(dataset=name) if process == "data_import" else SecurityReviewRequest(target=name)
        return await self.house.start(about, process=process, policy=ONCE)

    async def decide(self, case: Handle, verdict: Verdict = Verdict.APPROVE) -> None:
        """At the gate of the case."""
        person = "stella" if case.id.startswith("data_import") else "sam"
        await self.house.decide(case, person, verdict, comment="looked at")

    async def intervention(self, case: Handle) -> TaskView:
        task = await self.house.open_task(case, "intervention")
        assert task.candidate_groups == ["operators"] and task.facts["attempts"] == 1
        return task

    async def answer(self, case: Handle, task: TaskView, verdict: Verdict) -> None:
        await self.house.send(case, self.house.decision(task, "olga", verdict, comment="as agreed"))

    async def counted(self, case: Handle) -> dict[str, int]:
        async with self.house.database.read() as conn:
            return await idempotency.count(conn, case.id)

    @asynccontextmanager
    async def broken(self, step: str) -> AsyncIterator[None]:
        """As long as this lasts the step has no effect, however far it comes."""
        if step in ("profile_file", "scan_target"):
            away = self.files.rename(self.files.with_name("away"))
            try:
                yield
            finally:
                away.rename(self.files)
            return
        said = "SELECT RAISE(ABORT, 'the disk is broken')"
        async with self.house.database.write() as conn:
            await conn.execute(
                text(f"CREATE TRIGGER broken BEFORE INSERT ON effects WHEN NEW.kind = '{step}' BEGIN {said}; END")
            )
        try:
            yield
        finally:
            async with self.house.database.write() as conn:
                await conn.execute(text("DROP TRIGGER broken"))


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    (folder / "files").mkdir()
    async with open_house(folder, settings=load(var=folder, files=folder / "files")) as house:
        yield Place(house, folder / "files")


FORTH = [
    ("data_import", "profile_file", False, {}),
    ("data_import", "load_rows", False, {}),
    ("data_import", "publish_version", True, {"load_rows": 1, "drop_rows": 1}),
    ("security_review", "scan_target", False, {}),
    ("security_review", "record_accepted_risk", True, {}),
]
DONE = {
    "data_import": {"load_rows": 1, "publish_version": 1},
    "security_review": {"record_accepted_risk": 1},
}


@pytest.mark.parametrize("answer", [Verdict.RETRY, Verdict.ROLL_BACK])
@pytest.mark.parametrize(("process", "step", "approved", "undone"), FORTH, ids=[step for _, step, *_ in FORTH])
async def test_a_failed_step_is_done_once_after_a_correction_or_all_is_undone(
    place: Place, process: str, step: str, approved: bool, undone: dict[str, int], answer: Verdict
) -> None:
    name = f"{step}-{answer}".replace("_", "-")
    place.write(process, name)
    async with place.broken(step):
        case = await place.start(process, name)
        if approved:
            await place.decide(case)
        task = await place.intervention(case)
    await place.answer(case, task, answer)
    if answer is Verdict.RETRY and not approved:
        await place.decide(case)
    result = await place.house.end(case)
    retried = answer is Verdict.RETRY
    assert result.status is (Status.COMPLETED if retried else Status.FAILED)
    assert await place.counted(case) == (DONE[process] if retried else undone)
    seen = await place.datasets.current(name) is not None, len(await place.risks.listed(name))
    assert seen == (retried and process == "data_import", int(retried and process == "security_review"))
    if process == "data_import":
        # Nothing is left of an attempt that loaded, and failed at its very end.
        left = [number for number in range(1, 5) if await place.datasets.rows(name, number)]
        assert len(left) == int(retried)


BACK = [
    ("data_import", "drop_rows", Status.REJECTED, {"load_rows": 1, "drop_rows": 1}),
    ("data_import", "restore_version", Status.ROLLED_BACK, {"restore_version": 1, "drop_rows": 1}),
    ("security_review", "withdraw_accepted_risk", Status.ROLLED_BACK, {"withdraw_accepted_risk": 1}),
]


@pytest.mark.undoes("drop_rows")
@pytest.mark.undoes("restore_version")
@pytest.mark.undoes("withdraw_accepted_risk")
@pytest.mark.parametrize(("process", "undo", "end", "undone"), BACK, ids=[undo for _, undo, *_ in BACK])
async def test_a_failed_undo_is_done_once_after_a_correction(
    place: Place, process: str, undo: str, end: Status, undone: dict[str, int]
) -> None:
    name = undo.replace("_", "-")
    place.write(process, name)
    case = undoing = await place.start(process, name)
    if end is Status.ROLLED_BACK:
        await place.decide(case)
        assert (await place.house.end(case)).status is Status.COMPLETED
        undone = {**DONE[process], **undone}
    async with place.broken(undo):
        if end is Status.ROLLED_BACK:
            undoing = await place.house.roll_back(case, policy=ONCE)
        else:
            await place.decide(case, Verdict.REJECT)
        task = await place.intervention(undoing)
    await place.answer(undoing, task, Verdict.RETRY)
    assert (await place.house.end(undoing)).status is end
    assert await place.counted(case) == undone
    assert await place.datasets.current(name) is None
    assert all(risk.withdrawn_at for risk in await place.risks.listed(name))
    assert await place.house.audit_problems() == []


@pytest.mark.undoes("restore_version")
@pytest.mark.undoes("drop_rows")
@pytest.mark.parametrize("answer", [Verdict.SKIP, Verdict.DONE_BY_HAND])
async def test_rows_stay_as_long_as_they_are_published_whatever_operators_say_of_the_undo_before(
    place: Place, answer: Verdict
) -> None:
    name = answer.replace("_", "-")
    place.write("data_import", name)
    case = await place.start("data_import", name)
    await place.decide(case)
    await place.house.end(case)
    async with place.broken("restore_version"):
        rollback = await place.house.roll_back(case, policy=ONCE)
        await place.answer(rollback, await place.intervention(rollback), answer)
    said = f"Version 1 of {name} is published, so its rows are not removed. Skip this step."
    if answer is Verdict.DONE_BY_HAND:
        task = (await place.house.until(rollback, lambda state: said in state.tasks[-1].summary)).tasks[-1]
        await place.answer(rollback, task, Verdict.SKIP)
    result = await place.house.end(rollback)
    # Where nothing at all was undone the rollback is called off.
    assert result.status is (Status.ROLLED_BACK if answer is Verdict.DONE_BY_HAND else Status.COMPLETED)
    assert await place.counted(case) == DONE["data_import"]
    assert await place.datasets.current(name) == 1 and len(await place.datasets.rows(name, 1)) == 3

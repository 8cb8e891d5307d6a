"""Code of a release runs after an approval, or isolated before it."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from activities.shared import isolation
from core.settings import load
from domain.status import Status, Verdict
from domain.task import TaskView
from tests.support import hostile_artefact
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.shop_app import contents, put
from tests.workflows.test_deployment import App, Yard
from tests.workflows.test_payment import SHIPPED

NEEDS = pytest.mark.skipif(isolation.missing() is not None, reason=f"cannot isolate: {isolation.missing()}")
CODE = Path(hostile_artefact.__file__).read_bytes()
SECURITY, RELEASE = "[deployment.gates.security-approval]", "[deployment.gates.release-approval]"
LAST = {
    "whose condition does not hold": "when = 'facts.added < 0'",
    "which a rule approves": "auto_approve = 'true'",
}
"""Gates that ask nobody, so that the gate before is the last."""


def a_yard(folder: Path, count: int) -> Yard:
    """Apps whose checks leave marks: in a file that they can write to if nothing isolates them."""
    check = ["python3", "attack.py", "mark", json.dumps({"file": str(folder / "marks")})]
    yard = Yard.at(folder, count, first=json.dumps([check]), rest=json.dumps([check]), timeout="5s")
    put(yard.files, "marking", contents() | {"attack.py": CODE})
    return yard


@pytest.fixture(scope="module")
async def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return a_yard(tmp_path_factory.mktemp("yard"), 6)


@pytest.fixture(scope="module")
async def house(yard: Yard) -> AsyncIterator[House]:
    # What nobody has approved is isolated, whatever this says.
    settings = load(var=yard.folder, files=yard.files, apps=yard.folder / "apps.toml", unisolated_code="accept")
    async with open_house(yard.folder, settings=settings) as house:
        yield house


@pytest.fixture(scope="module")
def names(yard: Yard) -> Iterator[str]:
    return iter(yard.ports)


@pytest.fixture
def app(yard: Yard, house: House, names: Iterator[str]) -> Iterator[App]:
    name = next(names)
    with yard.site(name) as site:
        yield App(yard, house, name, site)


def ran_at(task: TaskView) -> float:
    """When the code of the release ran, by its own words."""
    (check,) = task.facts["checks"]
    assert task.facts["isolated"] is True
    return float(check["output"])


async def approved(app: App, case: Handle, task: TaskView, person: str) -> float:
    before = time.time()
    await app.house.send(case, app.house.decision(task, person))
    return before


@NEEDS
async def test_code_runs_after_security_approved_and_the_release_manager_sees_what_it_said(app: App) -> None:
    case = await app.start("marking")
    task = await app.house.open_task(case, "security-approval")
    assert "checks" not in task.facts and task.facts["added"] == len(contents()) + 1
    decided = await approved(app, case, task, "sam")
    task = await app.house.open_task(case, "release-approval")
    assert ran_at(task) > decided
    await approved(app, case, task, "ray")
    assert (await app.house.end(case)).status is Status.COMPLETED
    assert not (app.yard.folder / "marks").exists()


@NEEDS
@pytest.mark.parametrize("rule", LAST)
async def test_with_no_later_gate_code_runs_before_and_security_sees_what_it_said(app: App, rule: str) -> None:
    policy = SHIPPED.replace(RELEASE, f"{RELEASE}\n{LAST[rule]}")
    case = await app.start("marking", policy=policy)
    task = await app.house.open_task(case, "security-approval")
    ran = ran_at(task)
    assert await approved(app, case, task, "sam") > ran
    result = await app.house.end(case)
    assert result.status is Status.COMPLETED
    assert not (app.yard.folder / "marks").exists()


@NEEDS
async def test_with_no_earlier_gate_code_runs_before_the_release_manager_decides(app: App) -> None:
    case = await app.start("marking", policy=SHIPPED.replace(SECURITY, f"{SECURITY}\nwhen = 'app == \"another\"'"))
    task = await app.house.open_task(case, "release-approval")
    assert ran_at(task) < await approved(app, case, task, "ray")
    assert (await app.house.end(case)).status is Status.COMPLETED
    assert not (app.yard.folder / "marks").exists()


@NEEDS
async def test_a_later_gate_whose_rule_reads_what_the_checks_said_is_a_later_gate(app: App) -> None:
    rule = "when = 'size(facts.checks) > 0'"
    case = await app.start("marking", policy=SHIPPED.replace(RELEASE, f"{RELEASE}\n{rule}"))
    task = await app.house.open_task(case, "security-approval")
    assert "checks" not in task.facts
    decided = await approved(app, case, task, "sam")
    task = await app.house.open_task(case, "release-approval")
    assert ran_at(task) > decided and task.rule == "size(facts.checks) > 0"


# ----------------------------------------------------------------------------------------------- where nothing isolates


async def test_where_nothing_isolates_code_runs_once_it_is_approved_if_that_risk_is_accepted_and_else_never(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a machine which cannot is found out is for `test_isolation.py`; here it is taken as found."""
    house, marks = app.house, app.yard.folder / "marks"
    monkeypatch.setattr(isolation, "missing", lambda: "unshare: Operation not permitted")
    case = await app.start("marking")
    single = await app.start("marking", policy=SHIPPED.replace(RELEASE, f"{RELEASE}\nwhen = 'false'"))
    task = await house.open_task(case, "security-approval")
    blocked = await house.open_task(single, "intervention")
    assert "The checks were not run. This worker cannot isolate untrusted code (unshare: " in blocked.summary
    assert "is only for code that somebody has approved." in blocked.summary
    skip = house.decision(blocked, "olga", Verdict.SKIP, groups=("operators",), comment="read by hand")
    await house.send(single, skip)
    unseen = await house.open_task(single, "security-approval")
    assert (unseen.facts["checks"], unseen.facts["isolated"]) == (None, None)
    assert not marks.exists()
    await house.send(case, house.decision(task, "sam"))
    task = await house.open_task(case, "release-approval")
    assert marks.read_text() == "ran\n" and task.facts["isolated"] is False
    await house.send(case, house.decision(task, "ray"))
    assert (await house.end(case)).status is Status.COMPLETED and app.live
    assert marks.read_text() == "ran\n"

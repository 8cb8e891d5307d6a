"""Deployments: approved and live, rejected, unhealthy and switched back, one at a time, with killed workers."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from activities.deployment.releases import Releases
from activities.deployment.request import DeploymentRequest
from activities.shared import isolation
from core.settings import load
from domain.case import CaseResult
from domain.status import Status, Verdict
from store.cases import cases, tasks
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.installed_app import free_port
from tests.support.shop_app import Site, contents, put, sick
from tests.workflows.test_kills import ALL, FEW, life, mortal
from tests.workflows.test_payment import SHIPPED

FULL = '[["python3", "-m", "py_compile", "app.py"], ["python3", "-m", "unittest", "-q"]]'
QUICK = '[["python3", "-m", "py_compile", "app.py"]]'
LIVE = "Switch {0} back to the previous release"
STRICT = f"{SHIPPED}\n[deployment.steps.hold_app]\nattempts = 1\n"
APPS = 14


@dataclass
class Yard:
    """Apps that tests deploy, each with a port of its own, and the files that cases name."""

    folder: Path
    ports: dict[str, int]

    @classmethod
    def at(cls, folder: Path, count: int, first: str = QUICK, rest: str = QUICK, timeout: str = "1s") -> "Yard":
        yard = cls(folder, {f"shop-{n}": free_port() for n in range(count)})
        (folder / "apps.toml").write_text(
            "".join(
                f'[{app}]\nhealth = "http://127.0.0.1:{port}/health"\nhealth_release = "release"\n'
                f'health_timeout = "{timeout}"\nkeep_releases = 3\nchecks = {rest if n else first}\n'
                for n, (app, port) in enumerate(yard.ports.items())
            )
        )
        for name, files in (("one", contents()), ("two", contents("second")), ("sick", sick())):
            put(yard.files, name, files)
        return yard

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def releases(self) -> Releases:
        return Releases(self.folder / "apps")

    def app(self, name: str) -> Path:
        return self.folder / "apps" / name

    def site(self, name: str) -> Site:
        return Site(self.app(name) / "current", self.ports[name])

    def kept(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.app(name) / "releases").iterdir())


@dataclass
class App:
    """One app of one test, with the process that serves it."""

    yard: Yard
    house: House
    name: str
    site: Site

    async def start(self, artefact: str = "one", policy: str = SHIPPED, **more: Any) -> Handle:
        request = DeploymentRequest.model_validate({"app": self.name, "artefact": f"{artefact}.tar.gz", **more})
        return await self.house.start(request, process="deployment", policy=policy, requester="rita")

    async def approve(self, case: Handle) -> None:
        for gate, person in (("security-approval", "sam"), ("release-approval", "ray")):
            task = await self.house.open_task(case, gate)
            await self.house.send(case, self.house.decision(task, person))

    async def deploy(self, artefact: str = "one", **more: Any) -> tuple[Handle, CaseResult]:
        case = await self.start(artefact, **more)
        await self.approve(case)
        return case, await self.house.end(case)

    @property
    def live(self) -> str | None:
        return self.yard.releases.live(self.name)

    def effects(self, case: Handle) -> dict[str, str]:
        """Return the effect of each key of a case, at the receiver."""
        return {each.kind: each.state for each in self.yard.releases.entries(self.name) if each.case_id == case.id}


@pytest.fixture(scope="module")
async def yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    return Yard.at(tmp_path_factory.mktemp("yard"), APPS, first=FULL)


@pytest.fixture(scope="module")
async def house(yard: Yard) -> AsyncIterator[House]:
    settings = load(var=yard.folder, files=yard.files, apps=yard.folder / "apps.toml", unisolated_code="accept")
    async with open_house(yard.folder, settings=settings) as house:
        yield house


@pytest.fixture(scope="module")
def names(yard: Yard) -> Iterator[str]:
    return iter(yard.ports)


@pytest.fixture
def app(yard: Yard, house: House, names: Iterator[str]) -> Iterator[App]:
    """An app that nobody has deployed yet."""
    name = next(names)
    with yard.site(name) as site:
        yield App(yard, house, name, site)


# ------------------------------------------------------------------------------------------------------------ the story


async def test_two_releases_go_live_in_turn_and_both_can_be_rolled_back(app: App) -> None:
    assert app.site.get()[0] == 503
    case = await app.start("one", version="1.0")
    task = await app.house.open_task(case)
    assert (task.gate, task.candidate_groups) == ("security-approval", ["security"])
    assert task.summary == f"Is one.tar.gz safe enough to go live as {app.name}?"
    facts = task.facts
    assert (facts["live"], facts["added"], facts["changed"], facts["removed"]) == (None, len(contents()), 0, 0)
    assert "checks" not in facts and "isolated" not in facts
    await app.house.send(case, app.house.decision(task, "sam"))
    task = await app.house.open_task(case, "release-approval")
    facts = {**task.facts, **{name: value for name, value in facts.items() if name not in task.facts}}
    assert facts == task.facts and facts["isolated"] is (isolation.missing() is None)
    assert [check["command"] for check in facts["checks"]] == [
        "python3 -m py_compile app.py",
        "python3 -m unittest -q",
    ]
    assert "Ran 4 tests" in facts["checks"][1]["output"]
    assert app.live is None
    await app.house.send(case, app.house.decision(task, "ray"))
    one = await app.house.end(case)
    assert one.status is Status.COMPLETED and one.output
    assert app.site.release == one.output["release"] == app.live
    assert (one.output["before"], one.output["version"]) == (None, "1.0")

    later = await app.start("two")
    task = await app.house.open_task(later)
    facts = task.facts
    assert facts["live"] == app.live
    assert facts["names"] == ["~ VERSION", "~ goods.json", "~ templates/home.html"]
    await app.approve(later)
    two = await app.house.end(later)
    assert two.output and two.output["before"] == one.output["release"]
    assert app.site.release == two.output["release"] and "spring" in app.site.get()[1]

    refused = await app.house.end(await app.house.roll_back(case, policy=SHIPPED))
    assert refused.status is Status.COMPLETED and app.live == two.output["release"]
    told = await app.house.row(case)
    assert told.status == "completed"

    for each, after in ((later, one.output["release"]), (case, None)):
        undone = await app.house.end(await app.house.roll_back(each, policy=SHIPPED))
        assert undone.status is Status.ROLLED_BACK
        assert undone.undone[0] == LIVE.format(app.name)
        assert app.live == after == app.site.release
        assert app.effects(each) == {"unpack": "undone", "hold": "undone", "switch": "undone", "finish": "done"}
    assert app.yard.kept(app.name) == []
    assert await app.house.audit_problems() == []


@pytest.mark.parametrize("at", ["security-approval", "release-approval"])
async def test_a_rejected_release_is_removed_and_was_never_live(app: App, at: str) -> None:
    case = await app.start("one")
    if at == "release-approval":
        await app.house.send(case, app.house.decision(await app.house.open_task(case, "security-approval"), "sam"))
    task = await app.house.open_task(case, at)
    await app.house.send(case, app.house.decision(task, "ray", verdict=Verdict.REJECT, comment="not today"))
    result = await app.house.end(case)
    assert result.status is Status.REJECTED
    assert result.undone == ["Remove the release unpacked from one.tar.gz"]
    assert app.effects(case) == {"unpack": "undone"}
    assert app.live is None and app.yard.kept(app.name) == []


async def test_a_security_review_is_a_case_of_its_own_which_the_deployment_waits_for(app: App) -> None:
    put(
        app.yard.files,
        "risky",
        {**contents(), "load.py": b"import yaml\n\nCONFIG = yaml.load('x', Loader=yaml.Loader)\n"},
    )
    for verdict, status in ((Verdict.REJECT, Status.REJECTED), (Verdict.APPROVE, Status.COMPLETED)):
        case = await app.start("risky", security_review=True)
        async with asyncio.timeout(30):
            while True:
                async with app.house.database.read() as connection:
                    found = await cases.children_of(connection, case.id)
                if found and found[0].status is Status.AWAITING_APPROVAL:
                    break
                await asyncio.sleep(0.1)
        assert (found[0].process, found[0].input["target"]) == ("security_review", "risky.tar.gz")
        review = app.house.env.client.get_workflow_handle(found[0].case_id, result_type=CaseResult)
        await app.house.decide(review, "sue", verdict, comment="a loader that runs code")
        if verdict is Verdict.APPROVE:
            await app.approve(case)
        result = await app.house.end(case)
        assert result.status is status, result.reason
        assert (await app.house.end(review)).status is status
    assert app.live is not None


async def test_what_is_not_as_it_was_asked_for_is_refused_in_words(app: App) -> None:
    files = app.yard.files
    put(files, "untold", contents())
    (files / "untold.tar.gz.sha256").unlink()
    put(files, "others", contents())
    (files / "others.tar.gz.sha256").write_text(f"{'0' * 64}  another.tar.gz\n")
    (files / "bad.tar.gz").write_bytes(b"no archive")
    asked: list[tuple[dict[str, str], str]] = [
        ({"sha256": "0" * 64}, f"and {'0' * 64} was asked for"),
        ({"artefact": "untold"}, "The SHA-256 of 'untold.tar.gz' is missing"),
        ({"artefact": "others"}, "has no SHA-256 of 'others.tar.gz'"),
        ({"artefact": "nothing"}, "There is no file 'nothing.tar.gz'"),
        ({"artefact": "bad", "sha256": "a" * 64}, "has the SHA-256"),
        ({"app": "no-such-app"}, "There is no app 'no-such-app'. The apps that can be deployed: shop-0, shop-1"),
    ]
    cases = [await app.start(**each) for each, _ in asked]
    for case, (_, words) in zip(cases, asked, strict=True):
        result = await app.house.end(case)
        assert result.status is Status.FAILED and words in result.reason
    assert app.live is None and app.yard.kept(app.name) == []


async def test_a_release_whose_checks_fail_after_security_approved_is_removed_and_was_never_live(app: App) -> None:
    put(app.yard.files, "wrong", contents() | {"app.py": b"def application(:\n"})
    case = await app.start("wrong")
    await app.house.send(case, app.house.decision(await app.house.open_task(case, "security-approval"), "sam"))
    result = await app.house.end(case)
    assert result.status is Status.FAILED and "The check 'python3 -m py_compile app.py' failed." in result.reason
    assert "SyntaxError" in result.reason
    assert app.effects(case) == {"unpack": "undone"}
    assert app.live is None and app.yard.kept(app.name) == []


async def test_a_release_that_is_not_well_is_switched_back_by_itself_and_the_reason_is_told(app: App) -> None:
    _, first = await app.deploy("one")
    assert first.output
    case, result = await app.deploy("sick")
    assert result.status is Status.FAILED
    assert "health check failed: the answer was 500 The release failed." in result.reason
    assert result.undone == [LIVE.format(app.name), "Remove the release unpacked from sick.tar.gz"]
    assert app.effects(case) == {"unpack": "undone", "hold": "undone", "switch": "undone"}
    assert app.live == app.site.release == first.output["release"]
    assert app.yard.kept(app.name) == [first.output["release"]]
    assert app.yard.releases.holder(app.name) is None
    _, after = await app.deploy("two")
    assert after.status is Status.COMPLETED and "spring" in app.site.get()[1]


# ------------------------------------------------------------------------------------------------------ one at a time


@contextmanager
def watching(link: Path) -> Iterator[list[str | None]]:
    """What the link leads to, one after the other, as somebody sees it who never looks away."""
    seen: list[str | None] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                now: str | None = link.readlink().name
            except FileNotFoundError:
                now = None
            if not seen or seen[-1] != now:
                seen.append(now)
            time.sleep(0.001)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


async def test_deployments_of_one_app_at_once_never_interleave(app: App) -> None:
    _, first = await app.deploy("one")
    assert first.output
    zero = first.output["release"]
    cases = [await app.start(artefact) for artefact in ("sick", "two", "one")]
    with watching(app.yard.app(app.name) / "current") as seen:
        await asyncio.gather(*(app.approve(case) for case in cases))
        ended = await asyncio.gather(*(app.house.end(case) for case in cases))
    assert [each.status for each in ended] == [Status.FAILED, Status.COMPLETED, Status.COMPLETED]
    mine = {each.case_id: each for each in app.yard.releases.entries(app.name) if each.kind == "switch"}
    bad, *good = (mine[case.id] for case in cases)
    # What was switched back was so before anybody else switched: it is followed by what was live before it.
    at = seen.index(bad.release)
    assert bad.before == f"releases/{seen[at - 1]}" and seen[at + 1] == seen[at - 1]
    order = seen[:at] + seen[at + 2 :]
    assert order == [zero, *(each.release for each in sorted(good, key=lambda each: each.at))]
    assert [f"releases/{each}" for each in order[:-1]] == [
        each.before for each in sorted(good, key=lambda each: each.at)
    ]
    said = str([(await app.house.state(case)).model_dump_json() for case in cases])
    assert f"Lock {app.name}" in said and app.yard.releases.holder(app.name) is None
    assert app.site.release == order[-1]


async def test_a_case_that_waits_too_long_for_an_app_asks_operators(app: App) -> None:
    blocking = await app.start("one")
    held = app.yard.releases
    await app.house.open_task(blocking)
    release = app.yard.kept(app.name)[0]
    held.hold("by-hand", "deployment:by-hand", app.name, release)
    case = await app.start("two", policy=STRICT)
    await app.approve(case)
    task = await app.house.open_task(case, "intervention")
    assert f"{app.name} is being deployed by case deployment:by-hand." in task.summary
    held.free("by-hand", "deployment:by-hand", app.name)
    await app.house.send(case, app.house.decision(task, "olga", verdict=Verdict.RETRY, groups=("operators",)))
    assert (await app.house.end(case)).status is Status.COMPLETED
    await app.house.cancel(blocking)
    assert (await app.house.end(blocking)).status is Status.CANCELLED


# -------------------------------------------------------------------------------------------------- what else can break


@pytest.mark.parametrize("step", ["unpack_release", "hold_app", "switch_release", "finish_deployment"])
async def test_a_failed_step_waits_for_operators_and_continues_after_the_correction(app: App, step: str) -> None:
    folder = app.yard.app(app.name)
    in_the_way = {
        "unpack_release": folder,  # a file, where there should be a folder
        "hold_app": folder / "hold.json",  # a folder, where there should be a file
        "switch_release": folder / ".current.new",
        "finish_deployment": folder / "journal" / "switch-torn.json",  # half a file
    }[step]
    policy = f"{SHIPPED}\n[deployment.steps.{step}]\nattempts = 1\n"
    if step == "unpack_release":
        in_the_way.parent.mkdir(exist_ok=True)
        in_the_way.write_text("")
    case = await app.start("one", policy=policy)
    if step != "unpack_release":
        await app.house.open_task(case, "security-approval")
        in_the_way.mkdir() if in_the_way.suffix != ".json" or step == "hold_app" else in_the_way.write_text("{")
        await app.approve(case)
    task = await app.house.open_task(case, "intervention")
    assert app.live == (app.yard.kept(app.name)[0] if step == "finish_deployment" else None)
    in_the_way.rmdir() if in_the_way.is_dir() else in_the_way.unlink()
    await app.house.send(case, app.house.decision(task, "olga", verdict=Verdict.RETRY, groups=("operators",)))
    if step == "unpack_release":
        await app.approve(case)
    assert (await app.house.end(case)).status is Status.COMPLETED
    assert app.effects(case) == dict.fromkeys(("unpack", "hold", "switch", "finish"), "done")
    assert app.site.release == app.live


# --------------------------------------------------------------------------------------------------------------- kills

STEPS = (
    *("unpack_release", "compare_release", "check_release"),
    *("hold_app", "switch_release", "check_health", "finish_deployment"),
)
UNDOS = ("switch_back", "free_app", "remove_release")
KILLS = [
    *(("well", f"{when} {step}") for step in STEPS for when in ("before", "after")),
    *(("sick", f"{when} {undo}") for undo in UNDOS for when in ("before", "after")),
    *(("rolled back", f"{when} {undo}") for undo in UNDOS for when in ("before", "after")),
]
A_FEW = [("sick", "after switch_release")]
QUICKLY = "\n".join(
    (
        SHIPPED.partition("[deployment.steps")[0],
        *(f'[deployment.steps.{step}]\ntime_limit = "2s"' for step in ("hold_app", "switch_release", *UNDOS)),
        '[deployment.steps.finish_deployment]\ntime_limit = "2s"',
    )
)


async def decided(house: House, case: Handle, gate: str, person: str) -> None:
    """Approve at a gate as soon as it is in the inbox, by the door that needs no worker."""
    while True:
        async with house.database.read() as connection:
            found = [each for each in await tasks.of_case(connection, case.id) if each.gate == gate]
        if found:
            break
        assert not (await house.row(case)).closed_at, "it never came to the gate"
        await asyncio.sleep(0.1)
    await case.signal("submit_decision", house.decision(found[0], person))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("every", [FEW, ALL])
async def test_a_deployment_whose_worker_is_killed_goes_on_and_each_effect_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    named = KILLS if every else A_FEW
    yard = Yard.at(tmp_path, len(named), timeout="4s" if every else "1s")
    monkeypatch.setenv("HOLDGATE_APPS", str(tmp_path / "apps.toml"))
    monkeypatch.setenv("HOLDGATE_FILES", str(yard.files))
    seen: dict[str, list[str | None]] = {}
    with ExitStack() as stack:
        for name in yard.ports:
            stack.enter_context(yard.site(name))
            seen[name] = stack.enter_context(watching(yard.app(name) / "current"))
        async with mortal(tmp_path) as (house, fate), asyncio.timeout(250):

            async def both_gates(case: Handle) -> None:
                await decided(house, case, "security-approval", "sam")
                await decided(house, case, "release-approval", "ray")

            def carry(name: str, story: str, point: str) -> Awaitable[tuple[Handle, CaseResult]]:
                request = DeploymentRequest(app=name, artefact="sick.tar.gz" if story == "sick" else "two.tar.gz")
                return life(house, fate, request, "deployment", QUICKLY, story, point, both_gates)

            found = await asyncio.gather(*(carry(name, *each) for name, each in zip(yard.ports, named, strict=True)))
            assert not list(fate.doomed.iterdir()), "every death was died"
            assert await house.audit_problems() == []
    ends = {"well": Status.COMPLETED, "sick": Status.FAILED, "rolled back": Status.ROLLED_BACK}
    for name, (story, point), (case, result) in zip(yard.ports, named, found, strict=True):
        said = f"{story}: {point}: {result.reason}"
        assert result.status is ends[story], said
        entries = {each.kind: each for each in yard.releases.entries(name) if each.case_id == case.id}
        release = entries["unpack"].release
        assert seen[name] == ([None, release] if story == "well" else [None, release, None]), said
        assert {kind: each.state for kind, each in entries.items()} == {
            **dict.fromkeys(("unpack", "hold", "switch"), "done" if story == "well" else "undone"),
            **({} if story == "sick" else {"finish": "done"}),
        }, said
        assert yard.kept(name) == ([release] if story == "well" else []), said
        assert yard.releases.holder(name) is None, said

"""Security reviews: real scanners, accepted risks with an expiry date, and files that try to silence a scanner."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from activities.security_review import scanners
from activities.security_review.request import SecurityReviewRequest
from activities.security_review.scanners import ScannerFailed, scan
from activities.security_review.steps import SecurityReviews
from core.settings import load
from domain.case import CaseResult
from domain.errors import Refused
from domain.input_errors import problems_of
from domain.status import Status, Verdict
from store.receivers import idempotency
from store.receivers.accepted_risks import Risks
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.installed_app import ROOT
from tests.workflows.test_kills import ALL, life, lived, mortal
from tests.workflows.test_payment import SHIPPED

CLEAN = "def total(amounts: list[int]) -> int:\n    return sum(amounts)\n"
MEDIUM = "import yaml\n\n\ndef read(text: str) -> object:\n    return yaml.load(text, Loader=yaml.Loader)\n"
HIGH = "import subprocess\n\n\ndef run(name: str) -> None:\n    subprocess.run(f'x {name}', shell=True)  # nosec\n"
FAKE_SECRET = "AKIA" + "EXAMPLEEXAMPLE00"
FILES = ROOT / "docs" / "samples" / "files"


@dataclass
class Desk:
    """A house with a folder of files to review."""

    house: House
    files: Path
    risks: Risks

    @property
    def scans(self) -> Path:
        return self.files.parent / "scans"

    def write(self, target: str, **contents: str) -> None:
        (self.files / target).mkdir()
        for name, content in contents.items():
            (self.files / target / f"{name}.py").write_text(content)

    async def start(self, target: str, **more: Any) -> Handle:
        request = SecurityReviewRequest(target=target, **more)
        return await self.house.start(request, process="security_review", policy=SHIPPED)

    async def counted(self, case: Handle) -> dict[str, int]:
        async with self.house.database.read() as conn:
            return await idempotency.count(conn, case.id)


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "files").mkdir()
    async with open_house(folder, settings=load(var=folder, files=folder / "files")) as house:
        yield Desk(house, folder / "files", Risks(house.database))


async def test_what_is_clean_is_approved_by_rule_and_no_risk_is_kept(desk: Desk) -> None:
    desk.write("clean", job=CLEAN)
    case = await desk.start("clean")
    result = await desk.house.end(case)
    assert result.status is Status.COMPLETED and result.output is not None
    assert (result.output["worst"], result.output["files"], result.output["findings"]) == (None, 1, [])
    assert await desk.counted(case) == {} and await desk.risks.listed("clean") == []


async def test_a_high_risk_needs_two_people_and_is_kept_with_who_why_and_until_when(desk: Desk) -> None:
    desk.write("high", job=HIGH, other=MEDIUM)
    before = datetime.now(UTC)
    case = await desk.start("high", accept_for_days=30)
    task = await desk.house.open_task(case)
    assert (task.quorum.needed, task.facts["worst"], task.candidate_groups) == (2, "high", ["security", "directors"])
    assert "1 high, 1 medium" in task.summary and task.facts["findings"][0]["file"] == "job.py"
    await desk.house.send(case, desk.house.decision(task, "sam", comment="runs in a box"))
    await desk.house.send(case, desk.house.decision(task, "dan", comment="and only till June"))
    result = await desk.house.end(case)
    (risk,) = await desk.risks.listed("high")
    assert result.status is Status.COMPLETED and await desk.counted(case) == {"record_accepted_risk": 1}
    assert (risk.severity, risk.accepted_by, risk.case_id) == ("high", ["sam", "dan"], case.id)
    assert risk.reason == "runs in a box; and only till June"
    assert timedelta(days=29, hours=23) < risk.expires_at - before < timedelta(days=30, minutes=5)
    # What was accepted for exactly these files need not be asked again.
    again = await desk.house.end(await desk.start("high"))
    assert again.status is Status.COMPLETED and again.output is not None and again.output["accepted_before"]
    assert len(await desk.risks.listed("high")) == 1
    (desk.files / "high" / "third.py").write_text(CLEAN)
    assert (await desk.house.open_task(await desk.start("high"))).facts["accepted_before"] is False


@pytest.mark.undoes("withdraw_accepted_risk")
async def test_a_rollback_withdraws_the_accepted_risk(desk: Desk) -> None:
    desk.write("withdrawn", job=MEDIUM)
    case = await desk.start("withdrawn")
    await desk.house.decide(case, "sam", comment="only our own files")
    assert (await desk.house.end(case)).status is Status.COMPLETED
    result = await (await desk.house.roll_back(case, policy=SHIPPED)).result()
    assert result.status is Status.ROLLED_BACK
    (risk,) = await desk.risks.listed("withdrawn")
    assert risk.withdrawn_at is not None and not await desk.risks.accepted(risk.digest, datetime.now(UTC))
    assert await desk.counted(case) == {"record_accepted_risk": 1, "withdraw_accepted_risk": 1}
    assert await desk.house.audit_problems() == []


async def test_a_risk_that_nobody_wants_is_not_kept(desk: Desk) -> None:
    desk.write("unwanted", job=MEDIUM)
    case = await desk.start("unwanted")
    await desk.house.decide(case, "sam", Verdict.REJECT, comment="use the safe loader")
    assert (await desk.house.end(case)).status is Status.REJECTED
    assert await desk.counted(case) == {} and await desk.risks.listed("unwanted") == []


async def test_a_worse_finding_in_the_same_files_is_asked_about_again(desk: Desk) -> None:
    desk.write("worse", job=HIGH)
    first = await desk.start("worse")
    digest = (await desk.house.open_task(first)).facts["digest"]
    await desk.house.cancel(first)
    now = datetime.now(UTC)
    risk: dict[str, Any] = {"target": "worse", "digest": digest, "findings": [], "accepted_by": ["sam"], "reason": "r"}
    risk |= {"accepted_at": now, "expires_at": now + timedelta(days=1)}
    await desk.risks.accept("as medium", "security_review:other", **risk, severity="medium")
    again = await desk.start("worse")
    assert (await desk.house.open_task(again)).facts["accepted_before"] is False
    await desk.house.cancel(again)
    await desk.risks.accept("as high", "security_review:other", **risk, severity="high")
    assert (await desk.house.end(await desk.start("worse"))).status is Status.COMPLETED


async def test_what_was_approved_of_one_target_is_not_kept_as_accepted_for_another(desk: Desk) -> None:
    desk.write("before", job=MEDIUM)
    desk.write("after", job="import subprocess\n\nsubprocess\n")  # a low finding
    policy = SHIPPED + "[security_review.steps.record]\nattempts = 1\n"
    request = SecurityReviewRequest(target="before")
    case = await desk.house.start(request, process="security_review", policy=policy)
    task = await desk.house.open_task(case)
    async with desk.house.database.write() as conn:
        await conn.execute(text("ALTER TABLE accepted_risks RENAME TO away"))
    await desk.house.send(case, desk.house.decision(task, "sam", comment="only our own files"))
    failed = await desk.house.open_task(case, "intervention")
    async with desk.house.database.write() as conn:
        await conn.execute(text("ALTER TABLE away RENAME TO accepted_risks"))
    await desk.house.send(case, desk.house.decision(failed, "olga", Verdict.RETRY, edits={"target": "after"}))
    result = await desk.house.end(case)
    assert result.status is Status.COMPLETED and result.output is not None
    assert (result.output["target"], result.output["worst"]) == ("after", "low")
    assert await desk.risks.listed("after") == [] and await desk.counted(case) == {}


async def test_scanners_that_do_not_end_are_for_operators_who_try_again_or_leave_it_to_security(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write("slow", job=CLEAN)
    policy = SHIPPED + "[security_review.steps.scan]\nattempts = 2\n"
    request = SecurityReviewRequest(target="slow")
    monkeypatch.setattr(scanners, "TIMEOUT", 0.01)
    retried, skipped = [await desk.house.start(request, process="security_review", policy=policy) for _ in range(2)]
    for case in (retried, skipped):
        task = await desk.house.open_task(case, "intervention")
        assert "did not end within" in task.summary and "tried 2 times" in task.summary
    monkeypatch.undo()
    await desk.house.decide(retried, "olga", Verdict.RETRY)
    assert (await desk.house.end(retried)).status is Status.COMPLETED
    await desk.house.decide(skipped, "olga", Verdict.SKIP, comment="the machine of the scanners is gone")
    task = await desk.house.open_task(skipped, "risk-acceptance")
    assert task.quorum.needed == 2 and "security" in task.candidate_groups and task.facts == {}
    for person in ("sam", "sue"):
        await desk.house.send(skipped, desk.house.decision(task, person, comment="looked at by hand"))
    assert (await desk.house.end(skipped)).status is Status.COMPLETED
    assert await desk.risks.listed("slow") == [] and list(desk.scans.iterdir()) == []


@pytest.mark.undoes("withdraw_accepted_risk")
async def test_each_key_has_one_effect_and_an_undo_that_comes_first_voids_it(desk: Desk) -> None:
    risk: dict[str, Any] = {
        "target": "keys",
        "digest": "0" * 64,
        "severity": "low",
        "findings": [],
        "accepted_by": ["sam"],
        "reason": "",
        "accepted_at": datetime.now(UTC),
        "expires_at": datetime.now(UTC) + timedelta(days=1),
    }
    numbers = await asyncio.gather(*(desk.risks.accept("k", "security_review:k", **risk) for _ in range(5)))
    assert len(set(numbers)) == 1 and len(await desk.risks.listed("keys")) == 1
    assert [await desk.risks.withdraw("k/undo", "k", "security_review:k") for _ in range(2)] == [True, True]
    assert await desk.risks.withdraw("late/undo", "late", "security_review:k") is False
    for key in ("k", "late"):
        with pytest.raises(Refused, match="undone before it was done"):
            await desk.risks.accept(key, "security_review:k", **risk)
    assert len(await desk.risks.listed("keys")) == 1


# ------------------------------------------------------------------------------------------------------------- scanning


async def test_nothing_in_the_files_silences_a_scanner_and_no_secret_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(HIGH)
    (tmp_path / ".bandit").write_text("[bandit]\nskips: B602,B404\nexclude: /job.py\n")
    (tmp_path / "bandit.yaml").write_text("skips: [B602]\n")
    (tmp_path / "keys.ini").write_text(f'aws_key = "{FAKE_SECRET}"  # pragma: allowlist secret\n')
    (tmp_path / "broken.py").write_text("def (\n")
    found = await scan(tmp_path)
    rules = {(each.file, each.rule, each.severity) for each in found}
    assert ("job.py", "B602", "high") in rules and ("broken.py", "unreadable", "medium") in rules
    assert any(each.file == "keys.ini" and each.severity == "high" for each in found)
    assert FAKE_SECRET not in repr(found)
    assert found[0].severity == "high" and found[-1].severity == "low"


async def test_a_scanner_that_fails_is_never_one_that_found_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.py").write_text(CLEAN)
    for report in (b"", b"{}", b'{"results": {}}', b"Traceback"):
        with pytest.raises(ScannerFailed, match="wrote a report that cannot be read"):
            scanners._read("bandit", scanners._BanditReport, report)
        with pytest.raises(ScannerFailed, match="wrote a report that cannot be read"):
            scanners._read("detect-secrets", scanners._SecretsReport, report)
    with pytest.raises(ScannerFailed, match="failed and gave no report"):
        await scanners._run("bandit", ["-c", "raise SystemExit(3)"], tmp_path, good=(0, 1))
    monkeypatch.setattr(scanners, "TIMEOUT", 0.3)
    with pytest.raises(ScannerFailed, match="did not end within"):
        await scanners._run("bandit", ["-c", "while True: pass"], tmp_path, good=(0, 1))


async def test_a_scanner_sees_nothing_of_the_environment_of_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDGATE_TOKEN", "of the worker")
    said = await scanners._run("x", ["-c", "import os; print(sorted(os.environ))"], tmp_path, good=(0,))
    assert b"HOLDGATE" not in said and b"PATH" in said


# ------------------------------------------------------------------------------------------------------------- refusals


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _link(path: Path) -> None:
    (path / "x").mkdir()
    (path / "x" / "l.py").symlink_to("/etc/passwd")


def _linked_folder(path: Path) -> None:
    (path / "x").mkdir()
    (path / "x" / "a.py").write_text(CLEAN)
    (path / "x" / "d").symlink_to("/etc")


def _pipe(path: Path) -> None:
    (path / "x").mkdir()
    os.mkfifo(path / "x" / "p")


BAD = [
    ("x", Path.exists, "There is no folder 'x'"),
    ("x", lambda path: (path / "x").write_text("a file"), "'x' is not a folder"),
    ("x", lambda path: (path / "x").symlink_to("/etc"), "leads out of the folder of files"),
    ("x", lambda path: (path / "x").mkdir(), "There are no files"),
    ("x", _link, "is a link or not a regular file"),
    ("x", _linked_folder, "is a link or not a regular file"),
    ("x", _pipe, "is a link or not a regular file"),
    ("x.tar.gz", Path.exists, "There is no file"),
    ("x.tar.gz", lambda path: (path / "x.tar.gz").write_text("no archive"), ""),
    ("x.tar.gz", lambda path: archive(path / "x.tar.gz", (tarfile.TarInfo("../out.py"), b"x")), ""),
    ("x.tar.gz", lambda path: archive(path / "x.tar.gz", (tarfile.TarInfo("/etc/out.py"), b"x")), ""),
    ("x.tar.gz", lambda path: archive(path / "x.tar.gz", (tarfile.TarInfo("bomb"), b"\0" * (65 << 20))), ""),
]


@pytest.mark.parametrize(("target", "made", "said"), BAD, ids=range(len(BAD)))
def test_a_target_that_cannot_be_scanned_is_refused(tmp_path: Path, target: str, made: Any, said: str) -> None:
    files = tmp_path / "files"
    files.mkdir()
    made(files)
    reviews = SecurityReviews(None, files, tmp_path)  # type: ignore[arg-type]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(Refused) as refused:
        reviews._copied(SecurityReviewRequest(target=target), scratch, scratch / "tree")
    assert said in refused.value.message and str(tmp_path) not in refused.value.message
    assert not (tmp_path / "out.py").exists()


def test_an_archive_of_another_digest_is_refused(tmp_path: Path) -> None:
    archive(tmp_path / "x.tar.gz", (tarfile.TarInfo("a.py"), CLEAN.encode()))
    reviews = SecurityReviews(None, tmp_path, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="differs from the SHA-256 in the request"):
        reviews._copied(SecurityReviewRequest(target="x.tar.gz", sha256="0" * 64), tmp_path, tmp_path / "tree")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "target: enter a value"),
        ({"target": ""}, "is shorter than 1 characters"),
        ({"target": "../x"}, "goes through '..'"),
        ({"target": "/etc"}, "begins with /"),
        ({"target": "a\\b"}, "backslash"),
        ({"target": ".git"}, "is hidden"),
        ({"target": "x\0"}, "cannot be shown"),
        ({"target": "x" * 501}, "is longer than 500 characters"),
        ({"target": "x", "sha256": "abc"}, "does not have the form"),
        ({"target": "x", "sha256": "A" * 64}, "does not have the form"),
        ({"target": "x", "accept_for_days": 0}, "is less than 1"),
        ({"target": "x", "accept_for_days": 366}, "is more than 365"),
        ({"target": "x", "accept_for_days": "long"}, "is not a whole number"),
        ({"target": "x", "note": "a\x07"}, "must not contain control characters"),
        ({"target": "x", "colour": "red"}, "is not a field of this process"),
    ],
    ids=range(15),
)
def test_a_review_that_cannot_be_asked_for_is_refused_by_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        SecurityReviewRequest.model_validate(given)
    assert said in "; ".join(map(str, problems_of(wrong.value, given)))


async def test_the_samples_are_one_with_findings_and_one_without() -> None:
    assert await scan(FILES / "clean-job") == []
    found = await scan(FILES / "reports-job")
    assert {each.scanner for each in found} == {"bandit", "detect-secrets"} and found[0].severity == "high"


# ------------------------------------------------------------------------------------------------------------- kill -9

STEADY = SHIPPED + "".join(
    f'[security_review.steps.{step}]\ntime_limit = "{limit}"\n'
    for step, limit in (("scan", "60s"), ("record", "2s"), ("withdraw", "2s"))
)
KILLS = [
    (story, f"{when} {step}")
    for story, step in (
        ("accepted", "scan_target"),
        ("accepted", "record_accepted_risk"),
        ("rolled back", "withdraw_accepted_risk"),
    )
    for when in ("before", "after")
]
HERE = [("accepted", "after record_accepted_risk"), ("rolled back", "after withdraw_accepted_risk")]


@pytest.mark.timeout(240)
@pytest.mark.undoes("withdraw_accepted_risk")
@pytest.mark.parametrize("every", [ALL])
async def test_a_review_whose_worker_is_killed_at_any_step_has_each_effect_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.setenv("HOLDGATE_FILES", str(tmp_path / "files"))
    async with mortal(tmp_path) as (house, fate):
        desk = Desk(house, tmp_path / "files", Risks(house.database))

        named = KILLS if every else HERE

        def one(number: int, story: str, point: str) -> Awaitable[tuple[Handle, CaseResult]]:
            desk.write(f"job-{number}", job=MEDIUM, other=f"NUMBER = {number}\n")
            request = SecurityReviewRequest(target=f"job-{number}")
            return life(house, fate, request, "security_review", STEADY, story, point)

        found = await lived(fate, [one(number, *each) for number, each in enumerate(named)])
        for number, ((story, point), (case, result)) in enumerate(zip(named, found, strict=True)):
            (risk,) = await desk.risks.listed(f"job-{number}")
            rolled_back = story == "rolled back"
            undone = {"withdraw_accepted_risk": 1} if rolled_back else {}
            assert result.status is (Status.ROLLED_BACK if rolled_back else Status.COMPLETED), point
            assert await desk.counted(case) == {"record_accepted_risk": 1, **undone}, point
            assert (risk.withdrawn_at is not None) == rolled_back, point
        assert await house.audit_problems() == []

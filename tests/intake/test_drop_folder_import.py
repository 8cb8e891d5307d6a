"""The drop folder: a complete file is imported once and moved away with its report, also after a crash."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from intake.drop_folder import DropFolder, StillWritten
from intake.drop_folder_import import DropFolderImport
from store.people import leavers, people
from tests.intake.conftest import HEAD, ROOT, Office
from tests.intake.test_start_rows import rows


@pytest_asyncio.fixture
async def house(office: Office) -> AsyncIterator[Office]:
    """The front office, with people."""
    async with office.db.write() as conn:
        await people.add(conn, "mia", "Mia", ["managers"], by="test")
    yield office


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    (made / "payment").mkdir(parents=True)
    return made


def importer_of(house: Office, folder: Path, requester: str | None = "rita", stable_for: float = 0) -> DropFolderImport:
    box = DropFolder(folder, stable_for)
    return DropFolderImport(house.db, house.uploads, box, requester, most_bytes=100_000, url="http://holdgate")


async def looked(importer: DropFolderImport, times: int = 2) -> int:
    """How many files were put away: the first look only sees them."""
    return sum([await importer.look() for _ in range(times)])


def report(folder: Path, name: str, where: str = "done") -> dict[str, Any]:
    assert (folder / where / name).exists(), sorted(folder.rglob("*"))
    found: dict[str, Any] = json.loads((folder / where / f"{name}.report.json").read_text())
    return found


BESIDE = (".bad.csv", ".report.json", ".report.txt")


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def count(house: Office, table: str) -> int:
    async with house.db.read() as conn:
        return int((await conn.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


# ------------------------------------------------------------------------------------------------------------- imported


async def test_a_complete_file_is_imported_and_put_away_behind_its_report(house: Office, folder: Path) -> None:
    (folder / "payment" / "march.csv").write_text(HEAD + rows(3) + "INV-9,Acme,-3,GBP,operating\n")
    assert await looked(importer_of(house, folder)) == 1
    said = report(folder, "march.csv")
    taken = await house.report(said["batch_id"])
    assert (taken.requester, taken.process, taken.filename) == ("rita", "payment", "march.csv")
    assert (said["outcome"], said["sha256"], said["rows"]["valid"]) == ("imported", taken.sha256, 3)
    assert said["url"] == f"http://holdgate/api/v1/batches/{taken.batch_id}"
    words = (folder / "done" / "march.csv.report.txt").read_text()
    assert "Rows: 4, of which valid 3, bad 1, duplicate 0" in words and "- line 5: amount: " in words
    bad = (folder / "done" / "march.csv.bad.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(bad) == 2 and "INV-9" in bad[1]
    assert files_in(folder) == [".taking/.lock", *(f"done/march.csv{each}" for each in ("", *BESIDE))]


async def test_a_file_in_no_folder_is_one_of_several_processes(house: Office, folder: Path) -> None:
    (folder / "tasks.csv").write_bytes((ROOT / "docs" / "samples" / "tasks.csv").read_bytes())
    assert await looked(importer_of(house, folder)) == 1
    assert report(folder, "tasks.csv")["process"] == "several"
    assert (await house.report(report(folder, "tasks.csv")["batch_id"])).process == "several"


async def test_a_file_in_no_folder_whose_headings_are_the_fields_of_one_process_is_of_that(
    house: Office, folder: Path
) -> None:
    (folder / "payments.csv").write_text(HEAD + rows(2))
    assert await looked(importer_of(house, folder)) == 1
    said = report(folder, "payments.csv")
    assert (said["process"], said["rows"]["valid"]) == ("payment", 2)


async def test_a_folder_may_name_a_saved_mapping(house: Office, folder: Path) -> None:
    data = "Trans No,Supplier Name,Amount\nT-1,Acme,1200.5\nT-2,Acme,-3.00\n"
    for name in ("payment@council-spending", "payment@counsil-spending"):
        (folder / name).mkdir()
        (folder / name / f"{name}.csv").write_text(data)
    assert await looked(importer_of(house, folder)) == 2
    said = report(folder, "payment@council-spending.csv")
    assert (said["process"], said["saved_mapping"], said["rows"]["valid"], said["skipped"]) == (
        "payment",
        "council-spending",
        1,
        1,
    )
    refused = report(folder, "payment@counsil-spending.csv", "refused")
    assert "council-spending" in refused["reason"]


async def test_a_file_that_still_grows_is_waited_for(house: Office, folder: Path) -> None:
    path, importer = folder / "payment" / "slow.csv", importer_of(house, folder, stable_for=0.3)
    path.write_text(HEAD)
    for number in range(1, 5):
        await asyncio.sleep(0.2)
        assert await importer.look() == 0
        with path.open("a") as file:
            file.write(f"INV-{number},Acme Paper Ltd,{number},GBP,operating\n")
    assert path.exists()
    assert await importer.look() == 0
    await asyncio.sleep(0.35)
    assert await importer.look() == 1
    assert report(folder, "slow.csv")["rows"]["valid"] == 4


def test_a_file_that_is_written_to_while_it_is_read_is_not_taken_by_halves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = DropFolder(folder, 0)
    (folder / "payment" / "x.csv").write_text(HEAD)
    box.look()
    (claim,) = box.look()
    path, look_at = folder / ".taking" / claim.token / "payment" / "x.csv", os.fstat

    def and_write(file: int) -> os.stat_result:
        found = look_at(file)
        with path.open("a") as opened:
            opened.write("INV-1,Acme Paper Ltd,1,GBP,operating\n")
        return found

    with monkeypatch.context() as patched, pytest.raises(StillWritten):
        patched.setattr(os, "fstat", and_write)
        box.read(claim, 1000)
    assert box.look() == [claim]
    assert box.read(claim, 1000).decode() == path.read_text()


@pytest.mark.parametrize("name", [".hidden.csv", "~$open.csv", "a.csv.tmp", "a.csv.part", "A.CSV.CRDOWNLOAD"])
async def test_what_is_not_finished_by_its_name_is_left_until_it_is_renamed(
    house: Office, folder: Path, name: str
) -> None:
    importer = importer_of(house, folder)
    (folder / "payment" / name).write_text(HEAD + rows(1))
    assert await looked(importer, 3) == 0
    (folder / "payment" / name).rename(folder / "payment" / "finished.csv")
    assert await looked(importer) == 1
    assert report(folder, "finished.csv")["rows"]["valid"] == 1


# ------------------------------------------------------------------------------------------------------------ only once


async def test_the_same_bytes_dropped_again_start_nothing_and_the_report_says_which_batch_they_were(
    house: Office, folder: Path
) -> None:
    importer, data = importer_of(house, folder), HEAD + rows(2)
    (folder / "payment" / "march.csv").write_text(data)
    await looked(importer)
    (folder / "payment" / "again.csv").write_text(data)
    (folder / "payment" / "march.csv").write_text(data)
    assert await looked(importer) == 2
    assert await count(house, "batches") == 1
    first, second = report(folder, "march.csv"), report(folder, "again.csv")
    assert (first["outcome"], second["outcome"]) == ("imported", "imported before")
    assert first["batch_id"] == second["batch_id"]
    assert "this copy starts no case" in (folder / "done" / "again.csv.report.txt").read_text()
    assert len(list((folder / "done").glob("march*.csv"))) == 2


async def test_names_that_are_taken_in_done_never_collide(house: Office, folder: Path) -> None:
    importer = importer_of(house, folder)
    (folder / "done").mkdir()
    (folder / "done" / "march.csv").write_text("somebody's own")
    for number in range(1, 4):
        (folder / "payment" / "march.csv").write_text(HEAD + rows(1, start=number))
        assert await looked(importer) == 1
    assert (folder / "done" / "march.csv").read_text() == "somebody's own"
    kept = sorted((folder / "done").glob("march-*.csv"))
    assert sorted(path.read_text() for path in kept) == [HEAD + rows(1, start=number) for number in range(1, 4)]
    assert all(path.with_name(f"{path.name}.report.json").exists() for path in kept)


async def test_of_several_workers_one_imports_and_another_goes_on_when_it_is_gone(house: Office, folder: Path) -> None:
    boxes = [DropFolder(folder, 0) for _ in range(4)]
    workers = [
        DropFolderImport(house.db, house.uploads, box, "rita", most_bytes=9_999, url="http://h") for box in boxes
    ]
    for number in range(10):
        (folder / "payment" / f"{number}.csv").write_text(HEAD + rows(1, start=number))
    await asyncio.gather(*(looked(worker, 3) for worker in workers))
    assert (await count(house, "batches"), len(list((folder / "done").glob("*.csv")))) == (10, 10)
    (leader,) = [box for box in boxes if box._lock is not None]
    (folder / "payment" / "late.csv").write_text(HEAD + rows(1, start=99))
    assert sum([await looked(worker) for worker, box in zip(workers, boxes, strict=True) if box is not leader]) == 0
    leader.close()
    others = [worker for worker, box in zip(workers, boxes, strict=True) if box is not leader]
    assert sum([await looked(worker) for worker in others]) == 1


class Lockless(DropFolder):
    """On a drive without locks."""

    def _has_lock(self, taking: int) -> bool:
        return taking >= 0


async def test_workers_that_lost_their_lock_start_no_file_twice(house: Office, folder: Path) -> None:
    for number in range(5):
        (folder / "payment" / f"{number}.csv").write_text(HEAD + rows(1, start=number))
    box = DropFolder(folder, 0)
    box.look()
    assert len(box.look()) == 5
    box.close()
    twins = [
        DropFolderImport(house.db, house.uploads, Lockless(folder, 0), "rita", most_bytes=9_999, url="http://h")
        for _ in range(2)
    ]
    for _ in range(3):
        await asyncio.gather(*(twin.look() for twin in twins))
    assert await count(house, "batches") == 5
    assert sorted(path.name for path in (folder / "done").glob("*.csv")) == [f"{number}.csv" for number in range(5)]


# -------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"reference;what\n1;2\n", ""),
        (b"PK\x03\x04 no csv at all \x00\x01", ""),
        (b"x" * 100_001, "100,001 bytes, and the limit is 100,000"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    house: Office, folder: Path, data: bytes, reason: str
) -> None:
    (folder / "payment" / "bad.csv").write_bytes(data)
    assert await looked(importer_of(house, folder)) == 1
    said = report(folder, "bad.csv", "refused")
    assert said["outcome"] == "refused" and reason in said["reason"]
    assert said["reason"] in (folder / "refused" / "bad.csv.report.txt").read_text()
    assert await count(house, "batches") == 0


async def test_a_folder_that_is_named_after_no_process_is_reported(house: Office, folder: Path) -> None:
    (folder / "payments").mkdir()
    (folder / "payments" / "x.csv").write_text(HEAD + rows(1))
    assert await looked(importer_of(house, folder)) == 1
    assert "there is no process 'payments'" in report(folder, "x.csv", "refused")["reason"]


async def test_links_devices_and_folders_are_never_followed(house: Office, folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(HEAD + rows(1))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.csv").write_text(HEAD + rows(1))
    (folder / "payment" / "link.csv").symlink_to(secret)
    (folder / "approval").symlink_to(elsewhere)
    os.mkfifo(folder / "payment" / "pipe.csv")
    (folder / "payment" / "deep").mkdir()
    (folder / "payment" / "deep" / "x.csv").write_text(HEAD)
    assert await looked(importer_of(house, folder), 3) == 0
    assert (folder / "payment" / "link.csv").is_symlink() and (elsewhere / "x.csv").exists()
    assert await count(house, "batches") == 0


async def test_a_file_with_a_second_hard_link_is_refused_and_the_other_link_kept(
    house: Office, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(HEAD + rows(1))
    (folder / "payment" / "hard.csv").hardlink_to(secret)
    assert await looked(importer_of(house, folder)) == 1
    assert "hard link" in report(folder, "hard.csv", "refused")["reason"]
    assert secret.exists() and await count(house, "batches") == 0


async def test_a_link_in_place_of_done_leads_nowhere(house: Office, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "done").symlink_to(elsewhere)
    (folder / "payment" / "x.csv").write_text(HEAD + rows(1))
    importer = importer_of(house, folder)
    assert await looked(importer, 3) == 0
    assert list(elsewhere.iterdir()) == []
    (folder / "done").unlink()
    assert await importer.look() == 1
    assert await count(house, "batches") == 1 and report(folder, "x.csv")["outcome"] == "imported"


@pytest.mark.parametrize(
    "name", ["ü.csv", "x" * 251 + ".csv", "é" * 120 + ".csv", "-rf *.csv", os.fsdecode(b"\xff\xfe.csv")]
)
async def test_a_file_of_any_name_is_imported(house: Office, folder: Path, name: str) -> None:
    importer = importer_of(house, folder)
    for number in (1, 2):
        (folder / "payment" / name).write_text(HEAD + rows(1, start=number))
        assert await looked(importer) == 1
    assert len(list((folder / "done").glob("*.csv"))) == 2 and await count(house, "batches") == 2


# -------------------------------------------------------------------------------------------------------- who and when


async def test_files_are_asked_for_by_who_came_after_the_person_that_is_named(house: Office, folder: Path) -> None:
    async with house.db.write() as conn:
        await people.add(conn, "bert", "Bert", [], by="test")
        await leavers.replace(conn, "rita", "bert", "left", by="test")
    (folder / "payment" / "march.csv").write_text(HEAD + rows(3))
    assert await looked(importer_of(house, folder)) == 1
    taken = await house.report(report(folder, "march.csv")["batch_id"])
    assert taken.requester == "bert"


@pytest.mark.parametrize(
    ("requester", "said"),
    [(None, "is not set"), ("nobody", "no active person"), ("mia", "start no cases")],
)
async def test_without_somebody_who_may_ask_for_cases_nothing_is_imported_and_it_is_said_once(
    house: Office, folder: Path, caplog: pytest.LogCaptureFixture, requester: str | None, said: str
) -> None:
    (folder / "payment" / "x.csv").write_text(HEAD + rows(1))
    assert await looked(importer_of(house, folder, requester), 4) == 0
    assert (folder / "payment" / "x.csv").exists()
    assert [said in record.message for record in caplog.records if "IMPORT_REQUESTER" in record.message] == [True]


async def test_while_the_folder_is_away_nothing_happens_and_then_it_goes_on(house: Office, tmp_path: Path) -> None:
    importer = importer_of(house, tmp_path / "drive")
    assert await looked(importer) == 0
    assert not (tmp_path / "drive").exists()
    (tmp_path / "drive" / "payment").mkdir(parents=True)
    (tmp_path / "drive" / "payment" / "x.csv").write_text(HEAD + rows(1))
    assert await looked(importer) == 1


async def test_while_temporal_is_away_files_stay_where_they_are(
    house: Office, folder: Path, temporal: WorkflowEnvironment
) -> None:
    (folder / "payment" / "x.csv").write_text(HEAD + rows(1))
    await temporal.shutdown()
    assert await looked(importer_of(house, folder)) == 0
    assert (folder / "payment" / "x.csv").exists() and await count(house, "dropped_files") == 0


# --------------------------------------------------------------------------------------------------------------- killed


@pytest.mark.timeout(240)
@pytest.mark.parametrize("apart", [pytest.param(3, id="some"), pytest.param(1, id="all", marks=pytest.mark.soak)])
async def test_killed_before_any_of_its_steps_it_starts_every_file_once_and_loses_none(
    house: Office, tmp_path: Path, apart: int
) -> None:
    """In every run it is killed before every third step."""
    batches, step, ended = [], 1 - apart, "killed"
    lives = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.intake.killed_import"),
        *(house.client.service_client.config.target_host, house.client.namespace, house.url, str(house.folder)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert lives.stdin and lives.stdout
    while ended == "killed":
        step += apart
        folder = tmp_path / f"importer-{step}"
        (folder / "payment").mkdir(parents=True)
        data = HEAD + rows(2, start=10 * step)
        (folder / "payment" / "march.csv").write_text(data)
        (folder / "tasks.csv").write_text("no heading\n")
        lives.stdin.write(f"{step} {folder}\n".encode())
        ended = (await lives.stdout.readline()).decode().strip()
        await looked(importer_of(house, folder), 3)
        assert files_in(folder) == [
            ".taking/.lock",
            *(f"done/march.csv{each}" for each in ("", ".report.json", ".report.txt")),
            *(f"refused/tasks.csv{each}" for each in ("", ".report.json", ".report.txt")),
        ]
        assert (folder / "done" / "march.csv").read_text() == data
        assert report(folder, "march.csv")["outcome"] == "imported"
        batches.append(report(folder, "march.csv")["batch_id"])
    lives.stdin.close()
    assert (ended, await lives.wait()) == ("lived", 0)
    assert step > 15, "the steps are no longer seen"
    assert await count(house, "batches") == len(set(batches))
    async with house.worker():
        assert [(await house.finished(batch_id)).rows.started for batch_id in batches] == [2] * len(batches)
    assert await count(house, "cases") == 2 * len(batches)

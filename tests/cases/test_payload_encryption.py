"""A program encrypts exactly if its installation does, when it starts and as long as it runs."""

import asyncio
import logging
from pathlib import Path

import pytest

from cases import payload_encryption
from cases.payload_encryption import PayloadEncryption, WrongEncryption
from core.payload_keys import PayloadKey, changed_payload_keys, create_payload_keys, read_payload_keys
from core.settings import WrongSettings
from store.cases import case_keys
from store.db.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_payload_keys(tmp_path / "keys.toml")
    return tmp_path / "keys.toml"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_encryption, "RETRY_AFTER", 0.01)


async def test_off_stays_off(db: Database) -> None:
    program = PayloadEncryption(db, None)
    await program.check()
    assert program.keys is None and program.problem is None
    assert await case_keys.encrypts_since(db) is None


async def test_a_command_that_only_reads_begins_nothing(db: Database, path: Path) -> None:
    await PayloadEncryption(db, path).check(begin=False)
    await PayloadEncryption(db, None).check(begin=False)
    assert await case_keys.encrypts_since(db) is None
    await PayloadEncryption(db, path).check()
    await PayloadEncryption(db, path).check(begin=False)
    with pytest.raises(WrongEncryption):
        await PayloadEncryption(db, None).check(begin=False)


async def test_a_program_without_keys_does_not_start_once_the_others_encrypt(db: Database, path: Path) -> None:
    await PayloadEncryption(db, path).check()
    with pytest.raises(WrongEncryption, match=r"HOLDGATE_PAYLOAD_KEYS is not set, but this installation encrypts"):
        await PayloadEncryption(db, None).check()
    await PayloadEncryption(db, path).check()


async def test_a_program_without_keys_stops_when_another_begins_to_encrypt(
    db: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_encryption, "NOTICED_WITHIN", case_keys.SETTLED / 200)
    running = PayloadEncryption(db, None)
    await running.check_soon()
    watching = asyncio.create_task(running.watch())
    await asyncio.sleep(0.1)
    assert not watching.done() and running.wrong is None
    await PayloadEncryption(db, path).check()
    async with asyncio.timeout(10):
        await watching
    assert "HOLDGATE_PAYLOAD_KEYS is not set" in str(running.wrong)


async def test_a_program_notices_sooner_than_the_others_need_it() -> None:
    assert case_keys.NOTICED_WITHIN * 5 <= case_keys.SETTLED


async def test_the_keys_of_another_installation_are_refused(db: Database, path: Path, tmp_path: Path) -> None:
    await PayloadEncryption(db, path).check()
    create_payload_keys(tmp_path / "other.toml")
    wrong = PayloadEncryption(db, tmp_path / "other.toml")
    with pytest.raises(WrongEncryption, match=r"other.toml: .* not the file of this installation, or an old copy"):
        await wrong.check()
    await wrong.check_soon()
    assert wrong.wrong is not None


async def test_a_wrong_file_is_refused_before_anything_else(db: Database, path: Path) -> None:
    await asyncio.to_thread(path.chmod, 0o644)
    with pytest.raises(WrongSettings, match="chmod 600"):
        PayloadEncryption(db, path)


async def test_a_key_that_cases_need_and_the_file_lacks_is_told_once_and_until_it_is_back(
    db: Database, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = PayloadEncryption(db, path)
    await program.check()
    assert program.keys is not None
    (old,) = read_payload_keys(path).keys.values()
    async with db.write() as conn:
        await program.keys.begin(conn, ["payment:a"])
    with changed_payload_keys(path) as keys:
        keys[:] = [PayloadKey.generate()]
    with caplog.at_level(logging.ERROR):
        await program.check()
        await program.check()
    said = [record.getMessage() for record in caplog.records if old.id in record.getMessage()]
    assert len(said) == 1 and said[0] == program.problem
    with changed_payload_keys(path) as keys:
        keys.append(old)
    await program.check()
    assert program.problem is None


async def test_a_worker_waits_for_its_database(tmp_path: Path, path: Path) -> None:
    absent = Database(f"sqlite:///{tmp_path}/absent.db")
    waiting = asyncio.create_task(PayloadEncryption(absent, path).check_when_reachable())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gateway = PayloadEncryption(absent, path)
    await gateway.check_soon()
    assert gateway.wrong is None, "the gateway answers 503 until the database is there"
    await absent.close()

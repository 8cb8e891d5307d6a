"""Data keys in SQL: stored with their case, read once, wrapped again, and gone for good when they are erased."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, func, select, update

from core.errors import PayloadErased, PayloadKeyMissing
from core.payload_keys import PayloadKey, PayloadKeyFile, changed_payload_keys, create_payload_keys
from domain.installation import MARKER
from store.audit import audit_log
from store.cases import case_keys as module
from store.cases.case_keys import CaseKeys, keys_in_use, rewrap, uses
from store.db.database import Database
from store.tables.cases import case_keys
from tests.store.sample_cases import submitted

pytestmark = pytest.mark.both_databases
SUBJECT = "payment:a"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_payload_keys(tmp_path / "keys.toml")
    return tmp_path / "keys.toml"


@pytest_asyncio.fixture
async def keys(db: Database, path: Path) -> AsyncIterator[CaseKeys]:
    made = CaseKeys(db, PayloadKeyFile(path))
    await made.open()
    yield made


def another(db: Database, path: Path) -> CaseKeys:
    """The keys of another program of the same installation."""
    return CaseKeys(db, PayloadKeyFile(path))


async def begun(db: Database, keys: CaseKeys, *subjects: str) -> None:
    async with db.write() as conn:
        await keys.begin(conn, subjects)


def rotated(path: Path) -> str:
    key = PayloadKey.generate()
    with changed_payload_keys(path) as found:
        found.insert(0, key)
    return key.id


async def rows(db: Database) -> dict[str, Any]:
    async with db.read() as conn:
        return {row.subject: row for row in await conn.execute(select(case_keys))}


async def kinds(db: Database) -> list[str]:
    async with db.read() as conn:
        return [event.kind for event in await audit_log.page(conn, case_id="", limit=100)]


async def test_a_new_case_has_a_key_of_its_own_that_every_program_reads(
    db: Database, keys: CaseKeys, path: Path
) -> None:
    await begun(db, keys, SUBJECT, "payment:b")
    ours = await keys.key_of(SUBJECT, create=True)
    theirs = await another(db, path).key_of(SUBJECT, create=False)
    other = await keys.key_of("payment:b", create=False)
    assert ours and theirs and other and ours.strict
    secret = ours.cipher.encrypt(bytes(12), b"text", b"")
    assert theirs.cipher.encrypt(bytes(12), b"text", b"") == secret != other.cipher.encrypt(bytes(12), b"text", b"")


async def test_a_key_is_gone_with_the_transaction_of_its_case(db: Database, keys: CaseKeys) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.write() as conn:
            await keys.begin(conn, [SUBJECT])
            raise ZeroDivisionError
    assert await keys.key_of(SUBJECT, create=True) is None, "nothing is encrypted with a key that is not stored"
    await begun(db, keys, SUBJECT)
    first = (await rows(db))[SUBJECT]
    await begun(db, keys, SUBJECT)
    assert (await rows(db))[SUBJECT] == first, "a case never gets a second key"


async def test_one_read_for_a_case_and_program(db: Database, keys: CaseKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(db, keys, SUBJECT)
    reads = []
    read = db.read

    def counted() -> Any:
        reads.append(1)
        return read()

    monkeypatch.setattr(db, "read", counted)
    for _ in range(5):
        await keys.key_of(SUBJECT, create=True)
    assert len(reads) == 1


async def test_memory_is_bounded(db: Database, keys: CaseKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED", 3)
    await begun(db, keys, *(f"payment:{number}" for number in range(6)))
    for number in range(6):
        await keys.key_of(f"payment:{number}", create=False)
    await keys.key_of("payment:3", create=False)
    assert [*keys._known] == ["payment:4", "payment:5", "payment:3"]


async def test_a_case_that_began_in_plain_gets_a_lenient_key_when_all_programs_know(
    db: Database, keys: CaseKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await submitted(db, "a")
    assert await keys.key_of(new.case_id, create=True) is None, "a program without keys may not have noticed yet"
    monkeypatch.setattr(module, "SETTLED", timedelta())
    assert await keys.key_of(new.case_id, create=False) is None
    made = await keys.key_of(new.case_id, create=True)
    assert made is not None and not made.strict
    assert await keys.key_of("payment:nobody", create=True) is None, "somebody started this Workflow by hand"
    assert {*await rows(db)} == {MARKER, new.case_id}


async def test_an_erased_key_stays_erased(db: Database, keys: CaseKeys, path: Path) -> None:
    await begun(db, keys, SUBJECT)
    await keys.key_of(SUBJECT, create=True)
    async with db.write() as conn:
        gone = {"wrapped": None, "kek": None, "erased_at": datetime.now(UTC)}
        await conn.execute(update(case_keys).where(case_keys.c.subject == SUBJECT).values(gone))
    for create in (True, False):
        with pytest.raises(PayloadErased, match=f"the data of {SUBJECT} were erased"):
            await another(db, path).key_of(SUBJECT, create=create)
    assert await keys.forget_erased() == 1
    assert await keys.forget_erased() == 0
    with pytest.raises(PayloadErased):
        await keys.key_of(SUBJECT, create=True)
    await begun(db, keys, SUBJECT)
    rotated(path)
    await rewrap(db, PayloadKeyFile(path).current())
    assert (await rows(db))[SUBJECT].wrapped is None


async def test_a_row_cannot_be_moved_to_another_case_or_made_less_strict(
    db: Database, keys: CaseKeys, path: Path
) -> None:
    await begun(db, keys, SUBJECT, "payment:b")
    stolen = (await rows(db))["payment:b"].wrapped
    for change in ({"strict": False}, {"strict": True, "wrapped": stolen}):
        async with db.write() as conn:
            await conn.execute(update(case_keys).where(case_keys.c.subject == SUBJECT).values(change))
        with pytest.raises(PayloadKeyMissing, match="the row in case_keys was changed"):
            await another(db, path).key_of(SUBJECT, create=False)


async def test_a_rotation_wraps_all_data_keys_again_and_changes_none(
    db: Database, keys: CaseKeys, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    await begun(db, keys, *(f"payment:{number}" for number in range(7)))
    before = await keys.key_of("payment:4", create=False)
    (old,) = PayloadKeyFile(path).current().keys
    new = rotated(path)
    await begun(db, keys, "payment:9")
    async with db.read() as conn:
        assert {use.key_id: use.data_keys for use in await uses(conn)} == {old: 8, new: 1}
        assert await keys_in_use(conn) == sorted([old, new])
    assert await keys.rewrap() == 8
    assert await keys.rewrap() == 0
    with changed_payload_keys(path) as found:
        found[:] = found[:1]
    after = await another(db, path).key_of("payment:4", create=False)
    assert before and after
    assert after.cipher.encrypt(bytes(12), b"x", None) == before.cipher.encrypt(bytes(12), b"x", None)
    assert (await kinds(db)).count("data_keys_rewrapped") == 1


async def test_a_lost_key_stops_only_its_cases(db: Database, keys: CaseKeys, path: Path) -> None:
    await begun(db, keys, "payment:lost")
    (old,) = PayloadKeyFile(path).current().keys.values()
    rotated(path)
    middle = rotated(path)
    await begun(db, keys, "payment:kept")
    async with db.write() as conn:
        await conn.execute(update(case_keys).where(case_keys.c.subject == MARKER).values(await made_by(keys)))
    with changed_payload_keys(path) as found:
        found[:] = [key for key in found if key.id != old.id]
    third = rotated(path)
    program = another(db, path)
    await program.open()
    assert await program.missing() == [old.id]
    with pytest.raises(PayloadKeyMissing, match=old.id):
        await program.key_of("payment:lost", create=False)
    with pytest.raises(PayloadKeyMissing, match=old.id):
        await rewrap(db, PayloadKeyFile(path).current())
    async with db.read() as conn:
        assert {use.key_id: use.data_keys for use in await uses(conn)} == {old.id: 1, third: 2}, middle
    with changed_payload_keys(path) as found:
        found.append(old)
    assert await program.key_of("payment:lost", create=False) is not None, "as soon as the file has it again"
    assert await program.missing() == []


async def made_by(keys: CaseKeys) -> dict[str, Any]:
    """The row of the installation, as the current key wraps it."""
    row = module._row(keys._file.current(), MARKER, strict=True)
    return {"wrapped": row["wrapped"], "kek": row["kek"]}


async def test_keys_of_another_installation_are_refused(db: Database, keys: CaseKeys, tmp_path: Path) -> None:
    create_payload_keys(tmp_path / "other.toml")
    with pytest.raises(PayloadKeyMissing, match=MARKER):
        await another(db, tmp_path / "other.toml").open()
    assert (await kinds(db)).count("payloads_encrypted") == 1


async def test_two_programs_that_begin_to_encrypt_at_once_agree(db: Database, path: Path) -> None:
    async with db.write() as conn:
        await conn.execute(delete(case_keys))
    for _ in range(3):
        await another(db, path).open()
    async with db.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(case_keys))).scalar_one() == 1

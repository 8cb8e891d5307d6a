"""The commands of the audit log, and of its database."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from store.audit.checkpoints import keys
from store.audit.checkpoints.note import SigningKey
from store.audit.checkpoints.sign import Signer
from store.db.database import Database
from store.people import people
from tests.support.in_process_command_line import Run


def test_the_database_is_made_and_migrated_by_a_command_of_its_own(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("migrate") == (0, f"sqlite:///{tmp_path}/holdgate.db is up to date\n", "")
    assert run("audit", "verify").code == 0


def test_audit_verify_names_the_edited_row(run: Run, tmp_path: Path) -> None:
    run("people", "add", "anna")
    intact = run("audit", "verify")
    assert intact.code == 0 and intact.out.startswith("the audit log is intact: 1 events")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE events SET actor = 'somebody else'"))
    engine.dispose()
    edited = run("audit", "verify", "--json")
    assert edited.code == 1
    assert json.loads(edited.out)["problems"]
    assert "problems: 1 events" in run("audit", "verify").out


def test_audit_verify_sequences_what_a_killed_process_left(
    run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left() -> None:
        database = Database(postgres_url)
        async with database.write() as conn:
            await people.add(conn, "anna", "Anna", [], by="ada")
            await conn.execute(text("UPDATE unsequenced SET at = at - interval '1 hour'"))
        await database.close()

    asyncio.run(left())
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", postgres_url)
    assert run("audit", "verify") == (0, "the audit log is intact: 1 events of 0 cases\n", "")


def test_a_database_that_is_not_there_is_not_made_by_looking(run: Run, tmp_path: Path) -> None:
    for command in (("audit", "verify"), ("people", "list")):
        answer = run(*command)
        assert answer.code == 2
        assert "holdgate.db is missing, or you cannot write to it; 'make up' creates it" in answer.err
    assert not (tmp_path / "holdgate.db").exists()


def test_a_file_that_is_no_database_is_said_to_be_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "holdgate.db").write_text("this is a letter to my aunt, much longer than a header" * 20)
    answer = run("audit", "verify")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("the database cannot be used: ")


async def signed(tmp_path: Path) -> None:
    """Sign a checkpoint, as a worker does."""
    folder = tmp_path / "keys"
    key, trusted = keys.read(folder / "record.key"), keys.trusted(folder / "record.vkey")
    database = Database(f"sqlite:///{tmp_path}/holdgate.db")
    await Signer(database, key, trusted, tmp_path / "checkpoints").look()
    await database.close()


def test_a_checkpoint_that_somebody_kept_is_compared(run: Run, tmp_path: Path) -> None:
    run("people", "add", "anna")
    made = run("audit", "key")
    assert made.code == 0 and made.out == run("audit", "key").out
    asyncio.run(signed(tmp_path))
    (exported,) = (tmp_path / "checkpoints").glob("*.note")
    kept = exported.rename(tmp_path / "kept.note")
    here = ("--checkpoint", str(kept), "--key", made.out.strip())
    intact = run("audit", "verify", *here)
    assert intact.code == 0 and "1 checkpoints, the newest of 1 events, were compared\n" in intact.out
    for name in ("", "-wal", "-shm"):
        (tmp_path / f"holdgate.db{name}").unlink(missing_ok=True)
    run("people", "add", "berta")
    assert run("audit", "verify").code == 0, "a new database, with nothing in it that is wrong"
    rewritten = run("audit", "verify", *here)
    assert rewritten.code == 1 and "does not fit the audit log" in rewritten.out


def test_a_checkpoint_counts_only_with_a_key_that_is_trusted(run: Run, tmp_path: Path) -> None:
    run("people", "add", "anna")
    kept = tmp_path / "kept.note"
    kept.write_text("no note")
    assert run("audit", "verify", "--checkpoint", str(kept)).err.startswith("there is no key to check the file with")
    run("audit", "key")
    assert "has no checkpoint" in run("audit", "verify", "--checkpoint", str(kept)).err
    stranger = SigningKey.new("record")
    kept.write_text(stranger.sign("record\n1\n" + "A" * 43 + "=\n"))
    assert "no signature by a known key" in run("audit", "verify", "--checkpoint", str(kept)).err
    trusted = run("audit", "verify", "--checkpoint", str(kept), "--key", str(stranger.verifier))
    assert trusted.code == 1 and "does not fit the audit log" in trusted.out
    assert run("audit", "verify", "--key", "rubbish").err.startswith("--key: a key must look like")
    assert run("audit", "verify", "--case", "payment:x", "--key", "rubbish").code == 2


def test_a_pack_that_cannot_be_read_or_a_wrong_key_is_named(run: Run, tmp_path: Path) -> None:
    pack = tmp_path / "evidence.zip"
    assert run("audit", "verify-pack", str(pack)).out.startswith(f"WRONG: {pack} cannot be read")
    pack.write_text("no zip")
    assert run("audit", "verify-pack", str(pack)).code == 1
    assert run("audit", "verify-pack", str(pack), "--key", "rubbish").err.startswith("--key: a key must look like")


def test_an_owner_of_the_tables_needs_postgresql(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDGATE_DATABASE_OWNER_URL", f"sqlite:///{tmp_path}/holdgate.db")
    for command in (("migrate",), ("people", "add", "anna")):
        answer = run(*command)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("HOLDGATE_DATABASE_OWNER_URL needs PostgreSQL")


def test_a_key_of_another_name_is_not_replaced(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("audit", "key").out.startswith("localhost:8000/record+")
    monkeypatch.setenv("HOLDGATE_RECORD_ORIGIN", "holdgate.example.org/record")
    refused = run("audit", "key")
    assert refused.code == 1 and "is named localhost:8000/record" in refused.err
    monkeypatch.setenv("HOLDGATE_RECORD_ORIGIN", "two words")
    assert run("audit", "key").code == 2

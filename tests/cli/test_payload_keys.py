"""The commands of payload keys."""

import asyncio
import json
import stat
from pathlib import Path

import pytest

from core.payload_keys import PayloadKeyFile, read_payload_keys
from store.audit import audit_log
from store.cases.case_keys import CaseKeys
from store.db.database import Database
from tests.support.in_process_command_line import Run
from tests.support.migrated_database import migrated_copy


@pytest.fixture
def file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an installation that encrypts since a moment ago, and has three cases."""
    url = migrated_copy(tmp_path / "holdgate.db")
    made = run("payload-keys", "create")
    path = tmp_path / "keys" / "payload-keys.toml"
    assert made.code == 0 and made.out.splitlines()[-1] == f"HOLDGATE_PAYLOAD_KEYS={path}"
    monkeypatch.setenv("HOLDGATE_PAYLOAD_KEYS", str(path))

    async def begin() -> None:
        db = Database(url)
        keys = CaseKeys(db, PayloadKeyFile(path))
        await keys.open()
        async with db.write() as conn:
            await keys.begin(conn, ["payment:a", "payment:b", "batch:b1"])
        await db.close()

    asyncio.run(begin())
    return path


def listed(run: Run) -> list[tuple[str, str, int]]:
    found = json.loads(run("payload-keys", "list", "--json").out)
    return [(each["key_id"], each["state"], each["data_keys"]) for each in found]


def kinds(tmp_path: Path) -> list[tuple[str, str]]:
    async def read() -> list[tuple[str, str]]:
        db = Database(f"sqlite:///{tmp_path}/holdgate.db")
        async with db.read() as conn:
            found = await audit_log.page(conn, case_id="", limit=100)
        await db.close()
        return [(event.kind, event.data.get("key_id", "")) for event in found if "key" in event.kind]

    return asyncio.run(read())


def test_one_command_makes_the_keys_of_a_new_installation(run: Run, tmp_path: Path) -> None:
    assert "HOLDGATE_PAYLOAD_KEYS is not set, so encryption is off" in run("payload-keys", "list").err
    made = run("payload-keys", "create", "--file", str(tmp_path / "secret" / "k.toml"))
    assert made.code == 0 and f"HOLDGATE_PAYLOAD_KEYS={tmp_path}/secret/k.toml\n" in made.out
    assert stat.S_IMODE((tmp_path / "secret" / "k.toml").stat().st_mode) == 0o600
    again = run("payload-keys", "create", "--file", str(tmp_path / "secret" / "k.toml"))
    assert again.code == 1 and "exists already" in again.err


def test_a_rotation_ends_with_one_key_and_is_in_the_audit_log(run: Run, file: Path, tmp_path: Path) -> None:
    ((old, state, count),) = listed(run)
    assert (state, count) == ("current", 4), "three cases, and the installation"
    assert "is the current key" in run("payload-keys", "remove", old).err
    assert run("payload-keys", "add").code == 0
    (new, *_), (still, *_) = listed(run)
    assert still == old and listed(run) == [(new, "current", 0), (old, "old", 4)]
    refused = run("payload-keys", "remove", old)
    assert refused.code == 1 and f"{old} still wraps 4 data keys" in refused.err
    assert "4 data keys were wrapped again" in run("payload-keys", "rewrap").out
    assert run("payload-keys", "remove", old).code == 0
    assert listed(run) == [(new, "current", 4)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert kinds(tmp_path) == [
        ("payload_key_added", new),
        ("data_keys_rewrapped", new),
        ("payload_key_removed", old),
    ]
    assert f"has no key {old}" in run("payload-keys", "remove", old).err


def test_a_lost_key_is_shown_as_missing_and_new_keys_are_refused(run: Run, file: Path) -> None:
    ((old, _, _),) = listed(run)
    file.rename(file.with_name("away.toml"))
    refused = run("payload-keys", "create")
    assert refused.code == 1 and "new keys could not read its cases" in refused.err
    assert "does not exist" in run("payload-keys", "list").err
    elsewhere = file.with_name("other.toml")
    elsewhere.write_text(file.with_name("away.toml").read_text().replace(old, "other"))
    elsewhere.chmod(0o600)
    elsewhere.rename(file)
    assert listed(run) == [("other", "current", 0), (old, "missing", 4)]
    assert f"{old}  missing  not in the file  wraps 4 data keys" in run("payload-keys", "list").out
    failed = run("payload-keys", "rewrap")
    assert failed.code == 1 and old in failed.err and "Restore the key from a backup" in failed.err


def test_no_command_prints_a_key(run: Run, file: Path) -> None:
    run("payload-keys", "add")
    lines = "\n".join(run("payload-keys", *each).out for each in (["list"], ["list", "--json"], ["rewrap"], ["add"]))
    assert not [key for key in file.read_text().split('"') if len(key) == 44 and key in lines]
    assert len(read_payload_keys(file).keys) == 3

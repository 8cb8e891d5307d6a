"""The files of signing keys: made once, private, and read again when they change."""

import errno
import logging
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.settings import Settings, WrongSettings
from core.signing_keys import (
    KeyFile,
    changed_registry,
    make_missing_keys,
    make_private_key,
    own_key,
    read_registry,
    write_registry,
)
from domain.proof.keys import Role, SigningKey

PUBLIC = "public_key = '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(var=tmp_path)
    make_missing_keys(made)
    return made


def test_the_first_start_makes_a_key_for_the_gateway_and_one_for_workers(settings: Settings) -> None:
    keys = read_registry(settings.trusted_keys).keys
    assert {key.role for key in keys.values()} == {*Role}
    assert own_key(settings, Role.GATEWAY).key_id in keys
    assert own_key(settings, Role.WORKER).key_id in keys
    for private in (settings.signing_key, settings.worker_key):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert SigningKey.of_pem(private.read_bytes()).pem == private.read_bytes()
    assert make_missing_keys(settings) == []


def test_a_registry_keeps_all_that_is_written_into_it(settings: Settings) -> None:
    keys = [key.model_copy(update={"retired_at": NOW}) for key in read_registry(settings.trusted_keys).keys.values()]
    write_registry(settings.trusted_keys, [keys[0], keys[1].model_copy(update={"revoked_at": NOW})])
    found = [*read_registry(settings.trusted_keys).keys.values()]
    assert [key.state for key in found] == ["retired", "revoked"]
    assert found[0] == keys[0]


@pytest.mark.parametrize("broken", ["keys = 7", ""], ids=["another form", "empty"])
def test_a_changed_registry_is_read_again_and_a_broken_one_is_not(
    settings: Settings, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    file = KeyFile(settings.trusted_keys)
    assert not file.refresh()
    before = file.registry.keys
    write_registry(settings.trusted_keys, [*before.values()][:1])
    assert file.refresh() and len(file.registry.keys) == 1
    write_registry(settings.trusted_keys, before.values())
    assert file.current().keys == before
    settings.trusted_keys.write_text(broken)
    with caplog.at_level(logging.ERROR):
        assert not file.refresh()
        assert not file.refresh()
    assert len(caplog.records) == 1 and "stay in use" in caplog.text
    settings.trusted_keys.unlink()
    assert not file.refresh() and file.registry.keys == before


def test_a_registry_that_could_not_be_read_is_read_when_its_mode_is_corrected(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = KeyFile(settings.trusted_keys)
    write_registry(settings.trusted_keys, [*file.registry.keys.values()][:1])
    with monkeypatch.context() as other:
        other.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError("not yours")))
        assert not file.refresh()
    assert not file.refresh(), "the file is the same"
    settings.trusted_keys.chmod(0o640)
    assert file.refresh() and len(file.registry.keys) == 1


def test_a_private_key_is_whole_or_not_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings.var / "new.pem"
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            make_private_key(path)
    assert not path.exists()
    made = make_private_key(path)
    with pytest.raises(FileExistsError):
        make_private_key(path)
    assert SigningKey.of_pem(path.read_bytes()).key_id == made.key_id


def test_a_lost_registry_is_made_again_so_that_earlier_signatures_stay_valid(settings: Settings) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    os.utime(settings.signing_key, (long_ago.timestamp(),) * 2)
    settings.trusted_keys.unlink()
    make_missing_keys(settings)
    (key,) = (key for key in read_registry(settings.trusted_keys).keys.values() if key.role is Role.GATEWAY)
    assert abs(key.not_before - long_ago) < timedelta(seconds=1)


def test_changes_of_a_registry_at_the_same_time_are_all_kept(settings: Settings) -> None:
    together, number = threading.Barrier(8), 8

    def add(_: int) -> None:
        key = SigningKey.generate().trusted(Role.GATEWAY, NOW)
        together.wait()
        with changed_registry(settings.trusted_keys) as keys:
            keys[key.key_id] = key

    with ThreadPoolExecutor(number) as pool:
        list(pool.map(add, range(number)))
    assert len(read_registry(settings.trusted_keys).keys) == 2 + number


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keys = 7", "cannot be read"),
        ("", "has no keys"),
        ("nonsense", "cannot be read"),
        ("[keys.x]\nrole = 'gateway'", "public_key: Field required"),
        (f"[keys.x]\nrole = 'king'\nnot_before = 2026-11-30T12:00:00Z\n{PUBLIC}", "role"),
        (f"[keys.x]\nrole = 'worker'\nnot_before = 2026-11-30T12:00:00\n{PUBLIC}", "not_before"),
        (
            "[keys.x]\nrole = 'worker'\nnot_before = 2026-11-30T12:00:00Z\npublic_key = 'AAAA'",
            "public_key: Value error, must be the 32 bytes",
        ),
        (
            f"[keys.x]\nrole = 'worker'\nnot_before = 2026-11-30T12:00:00Z\n{PUBLIC}",
            "has the public key of 21fe31dfa154a261",
        ),
    ],
)
def test_a_wrong_registry_names_its_file_and_the_mistake(tmp_path: Path, text: str, says: str) -> None:
    (path := tmp_path / "trusted.toml").write_text(text)
    with pytest.raises(WrongSettings, match=says) as wrong:
        read_registry(path)
    assert f"HOLDGATE_TRUSTED_KEYS={path}" in str(wrong.value)


def test_a_program_does_not_start_with_a_key_that_nobody_believes(settings: Settings) -> None:
    with pytest.raises(WrongSettings, match="a key of the worker"):
        own_key(settings.model_copy(update={"signing_key": settings.worker_key}), Role.GATEWAY)
    make_private_key(strange := settings.var / "strange.pem")
    with pytest.raises(WrongSettings, match="is unknown in the registry"):
        own_key(settings.model_copy(update={"signing_key": strange}), Role.GATEWAY)
    (settings.var / "empty.pem").write_text("")
    with pytest.raises(WrongSettings, match=r"HOLDGATE_SIGNING_KEY=.*empty\.pem: the private key cannot be read"):
        own_key(settings.model_copy(update={"signing_key": settings.var / "empty.pem"}), Role.GATEWAY)
    with pytest.raises(WrongSettings, match=r"does not exist; `\./holdgate keys add --role worker"):
        own_key(settings.model_copy(update={"worker_key": settings.var / "none.pem"}), Role.WORKER)
    keys = read_registry(settings.trusted_keys).keys.values()
    write_registry(settings.trusted_keys, [key.model_copy(update={"retired_at": NOW}) for key in keys])
    with pytest.raises(WrongSettings, match="is retired in the registry"):
        own_key(settings, Role.GATEWAY)

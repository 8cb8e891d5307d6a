"""The files of signing keys: made once, private, and read again when they change."""

import logging
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.settings import Settings, WrongSettings
from core.signing_keys import (
    KeyFile,
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


def test_a_changed_registry_is_read_again_and_a_broken_one_is_not(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(settings.trusted_keys)
    assert not file.refresh()
    before = file.registry.keys
    write_registry(settings.trusted_keys, [])
    assert file.refresh() and not file.registry.keys
    write_registry(settings.trusted_keys, before.values())
    assert file.current().keys == before
    settings.trusted_keys.write_text("keys = 7")
    with caplog.at_level(logging.ERROR):
        assert not file.refresh()
        assert not file.refresh()
    assert len(caplog.records) == 1 and "stay in use" in caplog.text
    settings.trusted_keys.unlink()
    assert not file.refresh() and file.registry.keys == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keys = 7", "cannot be read"),
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

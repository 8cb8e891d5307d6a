"""The file of payload keys: private, read again when it changes, and clear about what is wrong in it."""

import base64
import logging
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import PayloadKeyMissing
from core.payload_keys import (
    SETTING,
    PayloadKey,
    PayloadKeyFile,
    PayloadKeys,
    Wrapped,
    changed_payload_keys,
    create_payload_keys,
    read_payload_keys,
)
from core.settings import WrongSettings

SECRET = base64.urlsafe_b64encode(bytes(range(32))).decode()
ENTRY = f'[keys.old]\nkey = "{SECRET}"\ncreated_at = 2026-12-01T09:00:00Z\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "payload-keys.toml"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_new_file_is_private_and_has_one_key(path: Path) -> None:
    made = create_payload_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = read_payload_keys(path)
    assert keys.current == made.id and keys.keys == {made.id: made} and len(made.secret) == 32
    with pytest.raises(FileExistsError):
        create_payload_keys(path)
    assert read_payload_keys(path).keys == {made.id: made}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no keys"),
        ("[keys]", "has no keys"),
        ("keys = 7", "cannot be read"),
        ("[keys.old", "cannot be read"),
        ('[keys."a b"]\nkey = "x"', r"\[keys.a b\]: an id"),
        ("[keys.old]\ncreated_at = 2026-12-01T09:00:00Z", r"\[keys.old\]: `key` must be 32 bytes"),
        (ENTRY.replace(SECRET, SECRET[:20]), r"\[keys.old\]: `key` must be 32 bytes"),
        (ENTRY.replace(SECRET, SECRET[:20] + "!" + SECRET[21:]), r"\[keys.old\]: `key` must be 32 bytes"),
        (ENTRY.replace(f'"{SECRET}"', "7"), r"\[keys.old\]: `key` must be 32 bytes"),
        ("[keys]\nold = 7", r"\[keys.old\]: `key` must be 32 bytes"),
        (ENTRY.replace("2026-12-01T09:00:00Z", '"yesterday"'), r"\[keys.old\]: `created_at` must be a time"),
        (ENTRY.replace("09:00:00Z", "09:00:00"), r"\[keys.old\]: `created_at` must be a time"),
    ],
)
def test_a_wrong_file_is_refused_with_the_setting_and_never_with_a_key(path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongSettings, match=said) as refused:
        read_payload_keys(written(path, text))
    assert str(refused.value).startswith(f"{SETTING}={path}: ") and "\n" not in str(refused.value)
    assert SECRET[:20] not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620])
def test_a_file_that_other_users_can_use_is_refused(path: Path, mode: int) -> None:
    with pytest.raises(WrongSettings, match=f"mode {mode:04o}.*chmod 600"):
        read_payload_keys(written(path, ENTRY, mode))


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"does not exist. Restore it.*payload-keys create"):
        PayloadKeyFile(path)


def test_a_file_with_keys_of_somebody_else_in_their_own_form_is_read(path: Path) -> None:
    keys = read_payload_keys(
        written(path, ENTRY.replace(SECRET, SECRET.rstrip("=")) + ENTRY.replace("old", '"2026.1"'))
    )
    assert [*keys.keys] == ["old", "2026.1"] and keys.current == "old"
    assert keys.keys["old"].secret == bytes(range(32))


def test_a_changed_file_is_read_again_and_a_broken_one_is_not(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old = create_payload_keys(path)
    file = PayloadKeyFile(path)
    new = PayloadKey.generate()
    with changed_payload_keys(path) as keys:
        keys.insert(0, new)
    assert file.current().current == new.id and [*file.current().keys] == [new.id, old.id]
    for break_it in (lambda: written(path, "keys = 7"), lambda: path.chmod(0o644), path.unlink):
        break_it()
        with caplog.at_level(logging.ERROR):
            caplog.clear()
            assert file.current().current == new.id
            assert file.current().current == new.id
        assert len(caplog.records) == 1 and "stay in use" in caplog.text


def test_programs_that_change_the_file_at_once_lose_no_key(path: Path) -> None:
    create_payload_keys(path)
    together = threading.Barrier(4)

    def add(_: int) -> str:
        together.wait()
        key = PayloadKey.generate()._replace(id=f"k{_}")
        with changed_payload_keys(path) as keys:
            keys.insert(0, key)
        return key.id

    with ThreadPoolExecutor(4) as pool:
        added = [*pool.map(add, range(4))]
    assert {*added} < {*read_payload_keys(path).keys}
    assert len(read_payload_keys(path).keys) == 5


def test_a_data_key_can_be_unwrapped_only_with_its_key_and_for_its_owner() -> None:
    old, new = PayloadKey.generate()._replace(id="old"), PayloadKey.generate()._replace(id="new")
    wrapped = PayloadKeys([old]).wrap(b"a data key", "payment:a")
    assert wrapped.key_id == "old"
    assert PayloadKeys([new, old]).unwrap(wrapped, "payment:a", "payment:a") == b"a data key"
    raw = bytearray(base64.urlsafe_b64decode(wrapped.text))
    raw[20] ^= 1
    changed = wrapped._replace(text=base64.urlsafe_b64encode(raw).decode())
    for keys, given, owner in (
        (PayloadKeys([new]), wrapped, "payment:a"),
        (PayloadKeys([new._replace(id="old")]), wrapped, "payment:a"),
        (PayloadKeys([old]), wrapped, "payment:b"),
        (PayloadKeys([old]), changed, "payment:a"),
        (PayloadKeys([old]), Wrapped("", "old"), "payment:a"),
        (PayloadKeys([old]), Wrapped("no base64", "old"), "payment:a"),
    ):
        with pytest.raises(PayloadKeyMissing, match="payload key old, which payment:a needs") as missing:
            keys.unwrap(given, owner, "payment:a")
        assert missing.value.key_id == "old"

"""Texts that the database keeps encrypted can be read only with the key, by their owner, unchanged."""

from pathlib import Path

import pytest

from core.secret_box import open_secret_box
from core.settings import WrongSettings


def test_a_text_is_read_only_with_the_key_and_for_its_owner(tmp_path: Path) -> None:
    box = open_secret_box(tmp_path / "keys" / "secrets.key")
    encrypted = box.encrypt("a refresh token", "anna")
    assert "refresh" not in encrypted and encrypted != box.encrypt("a refresh token", "anna")
    assert box.decrypt(encrypted, "anna") == "a refresh token"
    assert open_secret_box(tmp_path / "keys" / "secrets.key").decrypt(encrypted, "anna") == "a refresh token"
    other = open_secret_box(tmp_path / "other.key")
    changed = ("B" if encrypted[30] == "A" else "A").join((encrypted[:30], encrypted[31:]))
    for given in (
        box.decrypt(encrypted, "bert"),
        other.decrypt(encrypted, "anna"),
        *(box.decrypt(text, "anna") for text in (changed, "", "x", "\u00e9", encrypted[:20])),
    ):
        assert given is None


def test_the_file_of_the_key_is_private_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    open_secret_box(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for wrong in ("", "x", "AAAA", "\u00e9"):
        path.write_text(wrong)
        with pytest.raises(WrongSettings, match="HOLDGATE_SECRETS_KEY="):
            open_secret_box(path)

"""The commands of signing keys."""

import json
from pathlib import Path

from domain.proof.keys import SigningKey, base64url
from tests.support.in_process_command_line import Run


def test_a_key_is_added_rotated_and_revoked(run: Run, tmp_path: Path) -> None:
    assert "does not exist" in run("keys", "list").err
    first, second = tmp_path / "one.pem", tmp_path / "two.pem"
    for private in (first, second):
        assert run("keys", "add", "--private", str(private)).code == 0
    elsewhere = SigningKey.generate()
    added = run("keys", "add", "--role", "worker", "--public", base64url(elsewhere.public_key))
    assert added.out == f"added the key {elsewhere.key_id} of the worker to {tmp_path}/keys/trusted.toml\n"
    one, two = (SigningKey.of_pem(each.read_bytes()).key_id for each in (first, second))
    assert "has the key" in run("keys", "add", "--private", str(first)).err
    assert run("keys", "retire", one).code == 0
    assert run("keys", "revoke", two).code == 0
    found = json.loads(run("keys", "list", "--json").out)
    assert {each["key_id"]: (each["role"], each["state"]) for each in found} == {
        one: ("gateway", "retired"),
        two: ("gateway", "revoked"),
        elsewhere.key_id: ("worker", "valid"),
    }
    assert "retired since" in run("keys", "list").out
    again = json.loads(run("keys", "list", "--json").out)
    assert run("keys", "retire", one).code == 0 and json.loads(run("keys", "list", "--json").out) == again


def test_a_wrong_key_is_named(run: Run, tmp_path: Path) -> None:
    run("keys", "add", "--private", str(tmp_path / "one.pem"))
    assert "has no key nobody" in run("keys", "retire", "nobody").err
    assert run("keys", "add").code == 2
    assert "32 bytes" in run("keys", "add", "--public", "AAAA").err
    assert run("keys", "add", "--role", "king", "--public", "AAAA").code == 2
    (tmp_path / "text.pem").write_text("hello")
    assert "cannot be used" in run("keys", "add", "--private", str(tmp_path / "text.pem")).err


def test_the_first_keys_are_made_once(run: Run, tmp_path: Path) -> None:
    made = run("keys", "init")
    assert made.code == 0 and made.out.startswith("created the keys ")
    assert {each["role"] for each in json.loads(run("keys", "list", "--json").out)} == {"gateway", "worker"}
    again = run("keys", "init")
    assert again == (0, f"there is a registry already: {tmp_path}/keys/trusted.toml\n", "")

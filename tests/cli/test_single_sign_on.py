"""The commands of single sign-on: `people link`, `connect` and `disconnect`."""

import re

import pytest

from store.people.emergency_links import PREFIX
from tests.support.in_process_command_line import Run

ISSUER = "https://login.example.org"


def test_an_emergency_link_is_printed_once_for_an_administrator(run: Run) -> None:
    run("people", "add", "anna", "--group", "admins")
    made = run("people", "link", "anna")
    assert made.code == 0
    assert re.fullmatch(rf"http://localhost:\d+/link#{PREFIX}[\w-]{{43}}\n", made.out), made.out
    again = run("people", "link", "anna", "--json")
    assert again.json["person"] == "anna" and again.json["link"] != made.out.strip()
    run("people", "add", "bert", "--group", "managers")
    refused = run("people", "link", "bert")
    assert refused.code == 1 and "./holdgate people join bert admins" in refused.err


def test_an_account_is_connected_to_one_person(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("people", "add", "anna", "--group", "admins")
    run("people", "add", "bert", "--group", "managers")
    unnamed = run("people", "connect", "anna", "00u1")
    assert unnamed.code == 1 and "--issuer URL, or set HOLDGATE_OIDC_ISSUER" in unnamed.err
    done = run("people", "connect", "anna", "00u1", "--issuer", ISSUER)
    assert (done.code, done.out) == (0, f"anna signs in with the account 00u1 of {ISSUER}\n")
    monkeypatch.setenv("HOLDGATE_OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("HOLDGATE_OIDC_CLIENT_ID", "holdgate")
    assert run("people", "connect", "anna", "00u1").code == 0, "once more changes nothing"
    taken = run("people", "connect", "bert", "00u1")
    assert taken.code == 1 and "belongs to anna" in taken.err
    wrong = run("people", "disconnect", "bert", "00u1")
    assert wrong.code == 1 and "bert has no account 00u1" in wrong.err
    assert run("people", "disconnect", "anna", "00u1").code == 0
    assert run("people", "connect", "bert", "00u1").code == 0
    assert run("people", "connect", "bert", "x" * 256).code == 1

"""`./holdgate decide` at a gate whose policy asks people to confirm."""

from collections.abc import Mapping
from typing import Any

import pytest

from cli.client import Denied
from tests.support.in_process_command_line import Run

PAGE = "http://localhost:8000/tasks/t1"
DONE = {"decision_id": "d", "status": "pending"}


def asking(monkeypatch: pytest.MonkeyPatch, **problem: Any) -> list[Mapping[str, Any]]:
    """A gateway that asks for a confirmation once. Return the list of what it gets."""
    got: list[Mapping[str, Any]] = []

    def post(_: object, _path: str, body: Mapping[str, Any]) -> Any:
        got.append(body)
        if len(got) == 1:
            raise Denied("Confirm this decision.", {"code": "ConfirmNeeded", "review_url": PAGE, **problem})
        return DONE

    monkeypatch.setattr("cli.client.Remote.post", post)
    monkeypatch.setenv("HOLDGATE_TOKEN", "hg_test")
    return got


def test_the_password_is_asked_for_in_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    got = asking(monkeypatch, method="password", field="password")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda *_, hide_input, err: "secret" if hide_input and err else "")
    assert run("decide", "t1", "approve", "--revision", "1").code == 0
    assert got[1] == {**got[0], "password": "secret"}


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ({"method": "password", "field": "password"}, "Run this command in a terminal, which asks for the password"),
        ({"method": "passkey", "nonce": "n"}, f"A passkey needs a browser. Decide on the page of the task: {PAGE}"),
        ({"method": "password"}, "Confirm this decision."),
    ],
    ids=["no terminal", "passkey", "no password"],
)
def test_a_confirmation_that_the_command_cannot_give_is_explained(
    run: Run, monkeypatch: pytest.MonkeyPatch, problem: dict[str, Any], said: str
) -> None:
    got = asking(monkeypatch, **problem)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    answer = run("decide", "t1", "approve", "--revision", "1")
    assert answer.code == 1 and said in answer.err and len(got) == 1

"""`./holdgate tasks reveal` prints the value alone, and `./holdgate tasks` still lists tasks."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.in_process_command_line import Run

IBAN = "GB82WEST12345698765432"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Any]]]:
    """What a gateway gets that answers with the value of `payee_account`, or with an empty field."""
    got: list[tuple[str, Mapping[str, Any]]] = []

    def post(_: object, path: str, body: Mapping[str, Any]) -> Any:
        got.append((path, body))
        return {"field": body["field"], "value": IBAN if body["field"] == "payee_account" else None}

    monkeypatch.setattr("cli.client.Remote.post", post)
    monkeypatch.setattr("cli.client.Remote.get", lambda *_, **__: {"items": [], "next_cursor": None})
    monkeypatch.setenv("HOLDGATE_TOKEN", "hg_test")
    return got


def test_the_value_is_printed_alone(run: Run, sent: list[tuple[str, Mapping[str, Any]]]) -> None:
    answer = run("tasks", "reveal", "t1", "payee_account", "--reason", "Compare")
    assert (answer.code, answer.out) == (0, f"{IBAN}\n")
    assert sent == [("tasks/t1/reveal", {"field": "payee_account", "reason": "Compare"})]
    as_json = run("tasks", "reveal", "t1", "payee_account", "--reason", "Compare", "--json")
    assert json.loads(as_json.out) == {"field": "payee_account", "value": IBAN}
    assert run("tasks", "reveal", "t1", "other", "--reason", "Compare").out == "other is empty\n"


def test_a_reason_is_needed_and_tasks_alone_lists(run: Run, sent: list[tuple[str, Mapping[str, Any]]]) -> None:
    assert run("tasks", "reveal", "t1", "payee_account").code == 2
    assert run("tasks", "--mine").code == 0
    assert sent == []

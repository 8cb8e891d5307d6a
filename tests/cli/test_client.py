"""The client of the gateway: its address, the token, and the text of its problems."""

import ssl
from pathlib import Path

import pytest

from cli import client
from core.settings import Settings
from tests.support.in_process_command_line import Run


def test_a_gateway_that_does_not_answer_is_exit_code_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_TOKEN", "hg_x")
    answer = run("cases")
    assert answer.code == 2
    assert answer.err.startswith("no gateway answers at http://127.0.0.1:9 (")
    monkeypatch.setenv("HOLDGATE_URL", "nonsense")
    assert run("cases").code == 2


def test_without_a_token_it_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    assert "run 'make up' first, or set HOLDGATE_TOKEN" in run("cases").err
    assert "--as PERSON" in run("decide", "t1", "approve").err
    (tmp_path / "demo-tokens.json").write_text('{"manager-1": "hg_x"}')
    unknown = run("decide", "t1", "approve", "--as", "manager-9")
    assert (unknown.code, unknown.out) == (2, "")
    assert "no token for 'manager-9'" in unknown.err and "name one of: manager-1" in unknown.err
    (tmp_path / "demo-tokens.json").write_text("[]")
    assert "cannot be read" in run("cases").err


def test_the_gateway_is_found_by_variable_then_by_what_make_up_wrote(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path, port=8123)
    assert client.address(settings, {}) == "http://localhost:8123"
    (tmp_path / "up.json").write_text('{"gateway_url": "http://127.0.0.1:4711"}')
    assert client.address(settings, {}) == "http://127.0.0.1:4711"
    assert client.address(settings, {client.URL: "https://holdgate.example"}) == "https://holdgate.example"


def test_the_person_named_wins_over_the_token_of_the_environment(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path)
    (tmp_path / "demo-tokens.json").write_text('{"manager-1": "of manager", "admin-1": "of admin"}')
    own = {client.TOKEN: "mine"}
    assert client.token(settings, own, "manager-1", "admin-1") == "of manager"
    assert client.token(settings, own, None, "admin-1") == "mine"
    assert client.token(settings, {}, None, "admin-1") == "of admin"


def test_a_problem_is_a_line_and_a_line_for_each_field() -> None:
    body = {
        "title": "Unprocessable",
        "detail": "2 mistakes",
        "errors": [
            {"field": "input.amount", "message": "more than 0"},
            {"line": 3, "column": "payee", "message": "needed"},
        ],
    }
    assert client.problem(body) == "2 mistakes\n  input.amount: more than 0\n  line 3, payee: needed"
    assert client.problem({"title": "Conflict"}) == "Conflict"
    assert client.problem(["what"]) == ""


def test_only_a_gateway_without_tls_needs_no_certificates() -> None:
    assert client.Remote("https://holdgate.example", "t")._tls.cert_store_stats()["x509_ca"] > 0
    for address in ("https://holdgate.example", "http://127.0.0.1:8233"):
        assert client.Remote(address, "t")._tls.verify_mode is ssl.CERT_REQUIRED

"""The command line where no gateway is needed: people, the record, the policy, and what it says when it cannot."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import create_engine, insert, text

from cli import app as command_line, client, mapping, output
from cli.common import CommandError
from core.settings import Settings
from store.tables.receivers import accounts
from workflows.registry import PROCESSES

ROOT = Path(__file__).parent.parent


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carries out a command line in a folder of its own, where nothing runs."""
    for name in ("HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL", "HOLDGATE_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("HOLDGATE_URL", "http://127.0.0.1:9")

    def run(*arguments: str) -> Answer:
        code = command_line.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run


def test_the_first_admin_can_be_made_before_anything_runs(run: Run) -> None:
    assert run("people", "add", "anna", "--name", "Anna Berg", "--group", "admins", "--group", "managers").code == 0
    made = run("people", "token", "anna")
    assert made.code == 0 and made.out.startswith("hg_") and len(made.out.split()) == 1
    listed = run("people", "list", "--json")
    assert json.loads(listed.out) == [
        {
            "id": "anna",
            "name": "Anna Berg",
            "groups": ["admins", "managers"],
            "email": None,
            "manager": None,
            "time_zone": None,
            "demo": False,
        }
    ]
    assert "Anna Berg" in run("people", "list").out
    assert run("people", "revoke", "anna").out == "tokens of anna made worthless: 1\n"


def test_people_are_meant_by_name_or_address_and_several_are_listed(run: Run) -> None:
    for id, name in (("anna", "Anna Berg"), ("bert", "Bert Ånder"), ("bert-2", "bert ander")):
        assert run("people", "add", id, "--name", name, "--email", f"{id}@example.org", "--group", "managers").code == 0
    assert run("people", "manager", "ANNA@example.org", "bert@Example.org").out == "the manager of anna is bert\n"
    assert run("people", "join", "anna  berg", "directors").out == "anna is in directors\n"
    away = run("people", "away", "Anna Berg", "--from", "2031-01-01", "--to", "2031-01-02", "--substitute", "BERT-2")
    assert away.code == 0 and away.out.startswith("anna is away") and away.out.endswith("bert-2 stands in\n")
    several = run("people", "manager", "anna", "Bert Ander")
    assert several.code == 1 and "means 2 people: Bert Ånder (bert) and bert ander (bert-2)" in several.err
    nobody = run("people", "token", "Ana Berg")
    assert nobody.code == 1 and "did you mean Anna Berg (anna)?" in nobody.err
    assert run("people", "back", "Anna Berg").out == "anna is back\n"


def test_a_group_that_nobody_has_and_no_policy_names_is_questioned(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for group in ("managers", "admins", "data-stewards", "release-managers"):  # of the policy, or a role
        assert run("people", "add", f"p-{group}", "--group", group).code == 0
    refused = run("people", "add", "anna", "--group", "manager")
    assert refused.code == 1 and "did you mean managers?" in refused.err and "--new-group" in refused.err
    assert "anna" not in run("people", "list").out
    assert run("people", "add", "anna", "--group", "chess-club", "--new-group").code == 0
    assert run("people", "join", "p-admins", "chess-club").code == 0
    assert run("people", "join", "anna", "go-club").code == 1
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for answer, code in ((False, 1), (True, 0)):
        monkeypatch.setattr("typer.confirm", lambda _question, answer=answer: answer)
        assert run("people", "join", "anna", "go-club").code == code
    listed = json.loads(run("people", "list", "--json").out)
    assert next(each["groups"] for each in listed if each["id"] == "anna") == ["chess-club", "go-club"]
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert run("people", "deactivate", "ANNA", "--reason", "left").out.startswith("anna has left")
    back = run("people", "reactivate", "anna", "--group", "manager")
    assert back.code == 1 and "did you mean managers?" in back.err
    back = run("people", "reactivate", "anna", "--group", "Managers", "--group", "tea-club", "--new-group")
    assert back.out == "anna is back with managers, tea-club\n"


def test_whoever_comes_back_is_not_put_into_a_new_group_unasked(run: Run) -> None:
    assert run("people", "add", "anna", "--name", "Anna Berg", "--group", "managers").code == 0
    assert run("people", "deactivate", "anna berg", "--reason", "left").out.startswith("anna has left")
    refused = run("people", "reactivate", "anna", "--group", "manager")
    assert refused.code == 1 and "--new-group" in refused.err
    assert run("people", "reactivate", "anna", "--group", "managers", "--group", "chess-club").code == 1
    back = run("people", "reactivate", "anna", "--group", "chess-club", "--new-group")
    assert back.out == "anna is back with chess-club\n"


def test_a_person_has_an_address_for_notices_which_the_record_does_not_keep(run: Run, tmp_path: Path) -> None:
    assert run("people", "add", "anna", "--email", "anna@example.com").code == 0
    assert "anna@example.com" in run("people", "list").out
    assert run("people", "email", "anna", "berg@example.com").out == "anna gets mail at berg@example.com\n"
    assert json.loads(run("people", "list", "--json").out)[0]["email"] == "berg@example.com"
    assert run("people", "email", "anna", "").out == "anna gets no mail\n"
    assert json.loads(run("people", "list", "--json").out)[0]["email"] is None
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.connect() as connection:
        assert "@example.com" not in str(connection.execute(text("SELECT payload FROM event_payloads")).all())
    engine.dispose()


def test_operators_look_at_what_people_are_still_to_be_told(run: Run) -> None:
    run("people", "add", "anna")
    looked = run("notices")
    assert looked.out == "no entries\n1 events of the audit log are still to be read; a worker does that\n"
    lag = {"due": 0, "oldest_s": 0.0, "refused": 0, "unread": 1}
    assert json.loads(run("notices", "--json").out) == {"items": [], "lag": lag}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("people", "email", "anna", "nonsense"), "this is not an e-mail address"),
        (("people", "email", "nobody", "a@example.com"), "there is no active person 'nobody'"),
        (("people", "add", "anna"), "the id 'anna' is already in use"),
        (("people", "add", "a b"), "'a b' is not valid as an id"),
        (("people", "add", "bert", "--group", "No Group"), "'No Group' is not valid as a group"),
        (("people", "token", "nobody"), "there is no active person 'nobody'"),
        (("people", "token", "anna", "--label", ""), "enter a label of 1 to 60 characters"),
    ],
)
def test_what_the_store_refuses_is_one_line_and_exit_code_1(run: Run, arguments: tuple[str, ...], says: str) -> None:
    run("people", "add", "anna")
    answer = run(*arguments)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(says) and answer.err.count("\n") == 1


def test_the_database_is_made_and_migrated_by_a_command_of_its_own(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("migrate") == (0, f"sqlite+aiosqlite:///{tmp_path}/holdgate.db is up to date\n", "")
    assert run("audit", "verify").code == 0


@pytest.fixture
def operating(run: Run, tmp_path: Path) -> None:
    """An account `operating` with no money in it."""
    run("migrate")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.begin() as connection:
        row = {"name": "operating", "currency": "GBP", "open": True, "funded": True, "posted": 0, "pending": 0}
        connection.execute(insert(accounts).values(row))
    engine.dispose()


def test_an_account_is_locked_and_unlocked_and_its_books_are_closed(run: Run, operating: None, tmp_path: Path) -> None:
    assert run("ledger", "lock", "operating").out.startswith("operating is locked: ")
    assert run("ledger", "unlock", "operating").out.startswith("operating is unlocked: ")
    rest = ": what was paid until then can no longer be undone\n"
    for until, closed in (
        ("2024-11-30T19:30:00+01:00", "30 Nov 2024, 18:30 UTC"),
        ("2024-11-30", "30 November 2024"),
        ("2024-12-01T00:00Z", "1 Dec 2024, 00:00 UTC"),
    ):
        answer = run("ledger", "close-books", "operating", "--until", until)
        assert answer == (0, f"the books of operating are closed up to {closed}{rest}", "")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT closed_until FROM accounts")) == "2024-12-01 00:00:00.000000"
        recorded = connection.execute(text("SELECT kind FROM events WHERE actor LIKE 'cli:%' ORDER BY position"))
        assert list(recorded.scalars()) == ["account_locked", "account_unlocked", *["books_closed"] * 3]
    engine.dispose()


@pytest.mark.parametrize(
    ("account", "until", "says"),
    [
        ("nowhere", "2024-11-30", "there is no account 'nowhere'"),
        ("operating", "2024-11-31", "'2024-11-31' is no day such as 2026-11-30, and no moment such as"),
        ("operating", "2024-11-30T18:00", "'2024-11-30T18:00' is no day such as"),
        ("operating", "2999-12-31", "books are closed up to what has passed, and 31 December 2999 has not"),
        ("operating", "2024-09-30", "the books of account 'operating' are closed up to 31 October 2024 already"),
    ],
)
def test_books_that_cannot_be_closed_are_one_line_and_exit_code_1(
    run: Run, operating: None, account: str, until: str, says: str
) -> None:
    run("ledger", "close-books", "operating", "--until", "2024-10-31")
    answer = run("ledger", "close-books", account, "--until", until)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(says) and answer.err.count("\n") == 1


def test_it_says_its_version(run: Run) -> None:
    assert run("--version").out == "holdgate 0.1.0\n"


def test_the_record_is_verified_and_names_what_was_edited(run: Run, tmp_path: Path) -> None:
    run("people", "add", "anna")
    intact = run("audit", "verify")
    assert intact.code == 0 and intact.out.startswith("the record is intact: 1 events")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE events SET actor = 'somebody else'"))
    engine.dispose()
    edited = run("audit", "verify", "--json")
    assert edited.code == 1
    assert json.loads(edited.out)["problems"]
    assert "problems: 1 events" in run("audit", "verify").out


def test_a_database_that_is_not_there_is_not_made_by_looking(run: Run, tmp_path: Path) -> None:
    for command in (("audit", "verify"), ("people", "list")):
        answer = run(*command)
        assert answer.code == 2
        assert "holdgate.db is not there, or not yours; 'make up' creates it" in answer.err
    assert not (tmp_path / "holdgate.db").exists()


def test_a_file_that_is_no_database_is_said_to_be_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "holdgate.db").write_text("this is a letter to my aunt, much longer than a header" * 20)
    answer = run("audit", "verify")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("the database cannot be used: ")


def test_the_shipped_policy_passes_its_check(run: Run) -> None:
    answer = run("policy", "check")
    assert answer.code == 0
    assert "(warning)" in answer.out and "is valid; its hash is" in answer.out
    assert len(json.loads(run("policy", "check", "--json").out)["hash"]) == 64


def test_a_wrong_policy_is_told_by_file_line_and_key(run: Run, tmp_path: Path) -> None:
    shipped, wrong = (ROOT / "config" / "policy.toml").read_text(), tmp_path / "wrong.toml"
    wrong.write_text(shipped.replace('due = "4h"', 'deu = "4h"'))
    line = shipped.splitlines().index('due = "4h"') + 1
    answer = run("policy", "check", str(wrong))
    assert answer.code == 1
    assert f"{wrong}:{line}: payment.gates.fraud-review.deu: unknown key" in answer.out
    wrong.write_text(shipped.replace("director-approval", "board"))
    assert "payment.gates.board: the process has no such gate" in run("policy", "check", str(wrong)).out
    assert run("policy", "check", str(tmp_path / "none.toml")).code == 1


def test_the_check_knows_the_people_where_there_is_a_database(run: Run) -> None:
    assert "nobody" not in run("policy", "check").out
    run("people", "add", "anna", "--group", "managers")
    said = run("policy", "check")
    assert said.code == 0
    assert "payment.gates.director-approval.groups: there is nobody in the group directors (warning)" in said.out
    assert "nobody in the group managers" not in said.out


@pytest.fixture
def payment(tmp_path: Path) -> Path:
    file = tmp_path / "payment.json"
    example = {"payee": "Northwind Paper Ltd", "amount": "12000.00", "currency": "GBP", "account": "operating"}
    file.write_text(json.dumps(example))
    return file


def test_a_policy_is_explained_for_a_case_that_is_not_there_yet(run: Run, payment: Path, tmp_path: Path) -> None:
    asked = ("policy", "explain", "payment", "--input", str(payment), "--at", "2026-11-24T09:00:00Z")
    without_people = run(*asked)
    assert without_people.code == 0 and not (tmp_path / "holdgate.db").exists()
    assert "\nfraud-review: depends on facts.score\n" in without_people.out
    assert "\nmanager-approval: 2 of managers\n  The approval step opens, because amount >= " in without_people.out
    assert "It is due on Wed 25 Nov 2026 at 09:00 UTC." in without_people.out
    run("people", "add", "anna", "--name", "Anna Berg", "--group", "managers")
    (tmp_path / "facts.json").write_text('{"score": 0.5}')
    said = run(*asked, "--facts", str(tmp_path / "facts.json"), "--requester", "anna", "--json")
    gates = {gate["gate"]: gate for gate in json.loads(said.out)["gates"]}
    assert [gate["answer"] for gate in gates.values()] == ["no", "2 of managers", "no"]
    assert "Anna Berg (anna) is the requester and cannot decide." in gates["manager-approval"]["sentences"]


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ('{"amount": "12.345", "currency": "GBP"}', (), ["payee: enter a value", "amount: ", "account: enter a"]),
        ('{"payee": "x", "typo": 1}', (), ["typo: is not a field of this process"]),
        ("[]", (), ["must hold a JSON object"]),
        ("{", (), ["is not JSON"]),
        ("{}", ("--at", "tomorrow"), ["--at: 'tomorrow': write a moment"]),
        ("{}", ("--at", "2026-11-24T09:00:00"), ["--at: "]),
    ],
)
def test_a_mistake_in_the_case_to_explain_names_its_field(
    run: Run, tmp_path: Path, text: str, more: tuple[str, ...], says: list[str]
) -> None:
    file = tmp_path / "case.json"
    file.write_text(text)
    said = run("policy", "explain", "payment", "--input", str(file), *more)
    assert (said.code, said.out) == (2, "")
    assert all(part in said.err for part in says), said.err


def test_a_case_that_cannot_be_explained_is_exit_code_2(run: Run, payment: Path, tmp_path: Path) -> None:
    unknown = run("policy", "explain", "paymint", "--input", str(payment))
    assert unknown == (2, "", "there is no process 'paymint'; there is " + ", ".join(sorted(PROCESSES)) + "\n")
    missing = run("policy", "explain", "payment", "--input", str(tmp_path / "none.json"))
    assert missing.code == 2 and "none.json cannot be read: No such file" in missing.err


def test_the_shipped_policy_passes_the_table_beside_it(run: Run) -> None:
    assert run("policy", "test") == (0, "all 12 rows hold\n", "")


def test_a_row_that_fails_is_exit_code_1_and_a_table_that_cannot_be_read_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.toml"
    file.write_text(
        (ROOT / "config" / "policy.tests.toml").read_text().replace('= "2 of managers"', '= "3 of managers"', 1)
    )
    failed = run("policy", "test", str(file))
    assert failed.code == 1
    line, count = failed.out.splitlines()
    assert line.startswith(f"{file}:") and "expected 3 of managers, found 2 of managers" in line
    assert count == "1 of 12 rows fail"
    for nonsense in ("nonsense", "[[payment]]"):
        file.write_text(nonsense)
        assert run("policy", "test", str(file)).code == 2
    assert run("policy", "test", str(tmp_path / "none.toml")).code == 2
    wrong = tmp_path / "policy.toml"
    wrong.write_text("[payment")
    monkeypatch.setenv("HOLDGATE_POLICY", str(wrong))
    assert run("policy", "test").code == 2


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
    assert "no token for 'manager-9'" in unknown.err and "there are manager-1" in unknown.err
    (tmp_path / "demo-tokens.json").write_text("[]")
    assert "cannot be read" in run("cases").err


def test_a_wrong_setting_names_its_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_PORT", "many")
    answer = run("cases")
    assert answer.code == 2
    assert answer.err.startswith("HOLDGATE_PORT=many: ")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("decide", "t1"), ("cases", "--limit", "0"), ("submit",), ("cancel", "c")]
)
def test_wrong_usage_is_exit_code_2(run: Run, arguments: tuple[str, ...]) -> None:
    answer = run(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "Usage" in answer.err


def test_a_file_that_cannot_be_read_is_said_to_be_so(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLDGATE_TOKEN", "hg_x")
    answer = run("submit", str(tmp_path / "none.csv"), "--process", "payment")
    assert (answer.code, answer.err) == (2, f"{tmp_path}/none.csv cannot be read: No such file or directory\n")


def test_every_command_explains_itself(run: Run) -> None:
    commands = "up worker api submit cases case tasks decide cancel people notices audit ledger policy"
    overview = run("--help").out
    for command in commands.split():
        assert command in overview
        assert run(command, "--help").code == 0


def test_a_defect_is_a_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("oops")

    monkeypatch.setattr("cli.common.load_settings", broken)
    answer = run("cases")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("holdgate has a defect: KeyError: 'oops'")


def test_the_gateway_is_found_by_variable_then_by_what_make_up_wrote(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path, port=8123)
    assert client.address(settings, {}) == "http://127.0.0.1:8123"
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


def test_text_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table_of(("Title",), [("\x1b[31mred\x07 [bold]x[/bold]",)])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert "[bold]x[/bold]" in out


def test_the_launcher_runs_from_anywhere_and_makes_its_environment_first(tmp_path: Path) -> None:
    """Against a checkout with an environment that is only pretended, as making one takes half a minute."""
    checkout = tmp_path / "my checkout"
    (checkout / "ops").mkdir(parents=True)
    (checkout / "holdgate").write_bytes((ROOT / "holdgate").read_bytes())
    (checkout / "holdgate").chmod(0o755)
    (checkout / "cli").mkdir()
    (checkout / "cli" / "__main__.py").write_text("import sys; print('ran', sys.argv[1:])")
    (checkout / "ops" / "environment").write_text(
        f'#!/bin/sh\nmkdir -p "{checkout}/.venv/bin" && ln -s {sys.executable} "{checkout}/.venv/bin/python"\n'
        f'echo making $1; touch "{checkout}/.venv/requirements.txt"\n'
    )
    (checkout / "ops" / "environment").chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(checkout / "holdgate")
    command = [str(link), "cases", "--q", "a b"]
    first = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    second = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    assert first.stdout == second.stdout == "ran ['cases', '--q', 'a b']\n"
    assert "making config/requirements/runtime.txt" in first.stderr
    assert second.stderr == ""


# ------------------------------------------------------------------------------------------------------------ mappings


def test_a_suggested_mapping_is_printed_as_it_is_saved(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "June 2027.csv"
    file.write_text("Trans No;Suplier Name;Net Amount (£)\n1;Acme;1,50\n")
    said = run("mapping", "suggest", str(file))
    assert said.code == 0
    assert "# 'Suplier Name' stands for payee, as it is close to 'supplier name'" in said.out
    (tmp_path / "mappings.toml").write_text(said.out)
    monkeypatch.setenv("HOLDGATE_MAPPINGS", str(tmp_path / "mappings.toml"))
    assert run("mapping", "check").out.strip().endswith("is valid; it holds 1 mappings")
    listed = json.loads(run("mapping", "list", "--json").out)
    assert listed["june-2027"]["columns"]["payee"] == ["Suplier Name"]
    assert "june-2027 (payment): reference = Trans No" in run("mapping", "list").out


def test_a_mistake_in_mappings_names_its_line_and_key(run: Run, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('[mappings.a]\nprocess = "payment"\nnegativ = "skip"\n')
    said = run("mapping", "check", str(wrong))
    assert said.code == 1
    assert "wrong.toml:3: is not a key of a mapping; is 'negative' meant? (mappings.a.negativ)" in said.err
    assert run("mapping", "check", str(tmp_path / "absent.toml")).code == 2


def test_a_file_that_no_mapping_helps_is_said_to_be_so(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "colours.csv"
    file.write_text("name,colour\nx,red\n")
    said = run("mapping", "suggest", str(file))
    assert said.code == 1 and "these headings are missing: reference, amount" in said.err
    assert run("mapping", "suggest", str(file), "--process", "alchemy").code == 1


def test_a_mapping_to_submit_with_is_a_name_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[mappings.mine]\nprocess = "payment"\nnegative = "skip"\n')
    assert mapping.mapping_to_send("council-spending") == "council-spending"
    assert json.loads(mapping.mapping_to_send(str(file)) or "") == {"negative": "skip"}
    file.write_text('{"negative": "skip"}')
    assert json.loads(mapping.mapping_to_send(str(file)) or "") == {"negative": "skip"}
    file.write_text("[mappings.one]\n[mappings.two]\n")
    with pytest.raises(CommandError, match="holds 2 mappings"):
        mapping.mapping_to_send(str(file))

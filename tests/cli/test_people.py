"""The commands of people: `people` and `notices`."""

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.support.in_process_command_line import Run


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
            "kind": "person",
            "demo": False,
        }
    ]
    assert "Anna Berg" in run("people", "list").out
    assert run("people", "revoke", "anna").out == "access tokens of anna that were revoked: 1\n"


def test_people_are_meant_by_name_or_address_and_several_are_listed(run: Run) -> None:
    for id, name in (("anna", "Anna Berg"), ("bert", "Bert Ånder"), ("bert-2", "bert ander")):
        assert run("people", "add", id, "--name", name, "--email", f"{id}@example.org", "--group", "managers").code == 0
    assert run("people", "manager", "ANNA@example.org", "bert@Example.org").out == "the manager of anna is bert\n"
    assert run("people", "join", "anna  berg", "directors").out == "anna is in directors\n"
    away = run("people", "away", "Anna Berg", "--from", "2031-01-01", "--to", "2031-01-02", "--substitute", "BERT-2")
    assert away.code == 0 and away.out.startswith("anna is away") and away.out.endswith("the substitute is bert-2\n")
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


def test_a_person_who_comes_back_is_not_put_into_a_new_group_unasked(run: Run) -> None:
    assert run("people", "add", "anna", "--name", "Anna Berg", "--group", "managers").code == 0
    assert run("people", "deactivate", "anna berg", "--reason", "left").out.startswith("anna has left")
    refused = run("people", "reactivate", "anna", "--group", "manager")
    assert refused.code == 1 and "--new-group" in refused.err
    assert run("people", "reactivate", "anna", "--group", "managers", "--group", "chess-club").code == 1
    back = run("people", "reactivate", "anna", "--group", "chess-club", "--new-group")
    assert back.out == "anna is back with chess-club\n"


def test_the_address_of_a_person_is_not_in_the_audit_log(run: Run, tmp_path: Path) -> None:
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
    assert looked.out == "no entries\n1 events of the audit log are not read yet; a running worker reads them\n"
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

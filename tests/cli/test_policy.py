"""The commands of the policy: `check`, `explain`, `test`."""

import json
from pathlib import Path

import pytest

from tests.support.in_process_command_line import Run
from workflows.registry import PROCESSES

ROOT = Path(__file__).parents[2]


def test_the_shipped_policy_passes_its_check(run: Run) -> None:
    answer = run("policy", "check")
    assert answer.code == 0
    assert "(warning)" in answer.out and "is valid; its hash is" in answer.out
    assert len(json.loads(run("policy", "check", "--json").out)["hash"]) == 64


def test_a_wrong_policy_is_reported_by_file_line_and_key(run: Run, tmp_path: Path) -> None:
    shipped, wrong = (ROOT / "config" / "policy.toml").read_text(), tmp_path / "wrong.toml"
    wrong.write_text(shipped.replace('due = "4h"', 'deu = "4h"'))
    line = shipped.splitlines().index('due = "4h"') + 1
    answer = run("policy", "check", str(wrong))
    assert answer.code == 1
    assert f"{wrong}:{line}: payment.gates.fraud-review.deu: unknown key" in answer.out
    wrong.write_text(shipped.replace("director-approval", "board"))
    assert "payment.gates.board: the process has no gate of this name" in run("policy", "check", str(wrong)).out
    assert run("policy", "check", str(tmp_path / "none.toml")).code == 1


def test_the_check_knows_the_people_where_there_is_a_database(run: Run) -> None:
    assert "nobody" not in run("policy", "check").out
    run("people", "add", "anna", "--group", "managers")
    said = run("policy", "check")
    assert said.code == 0
    assert "payment.gates.director-approval.groups: the group directors has no members (warning)" in said.out
    assert "the group managers has no members" not in said.out


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
        ("[]", (), ["must contain a JSON object"]),
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
    assert unknown == (2, "", "there is no process 'paymint'; name one of: " + ", ".join(sorted(PROCESSES)) + "\n")
    missing = run("policy", "explain", "payment", "--input", str(tmp_path / "none.json"))
    assert missing.code == 2 and "none.json cannot be read: No such file" in missing.err


def test_the_shipped_policy_passes_the_table_beside_it(run: Run) -> None:
    assert run("policy", "test") == (0, "all 15 rows hold\n", "")


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
    assert count == "1 of 15 rows fail"
    for nonsense in ("nonsense", "[[payment]]"):
        file.write_text(nonsense)
        assert run("policy", "test", str(file)).code == 2
    assert run("policy", "test", str(tmp_path / "none.toml")).code == 2
    wrong = tmp_path / "policy.toml"
    wrong.write_text("[payment")
    monkeypatch.setenv("HOLDGATE_POLICY", str(wrong))
    assert run("policy", "test").code == 2

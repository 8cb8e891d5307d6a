"""`./holdgate process`: a new process works, and the check names what another one lacks."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import app as command_line
from plugins.scaffold import TEMPLATE
from tests.plugins.conftest import change
from tests.support.installed_app import ROOT

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line and return its exit code and output."""
    monkeypatch.setenv("HOLDGATE_PROCESSES", str(folder))
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path / "var"))
    monkeypatch.delenv("HOLDGATE_POLICY", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        code = command_line.main(("process", *arguments))
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out + said.err

    return run


def test_a_new_process_lacks_nothing_and_has_its_name_everywhere(run: Run, folder: Path) -> None:
    code, said = run("new", "travel_request")
    assert code == 0 and f"{folder}/travel_request is a process that works" in said
    made = {file.name: file.read_text() for file in (folder / "travel_request").iterdir()}
    assert set(made) == {file.name.replace("my_process", "travel_request") for file in TEMPLATE.glob("*.*")}
    assert not [name for name, text in made.items() if "my" in text.lower().replace("mypy", "").split()]
    assert "class TravelRequestProcess(CaseWorkflow)" in made["process.py"]
    assert 'nouns=("travel request", "travel requests")' in made["process.py"]
    assert 'title="Travel request: {purpose} for {amount}"' in made["process.py"]
    assert run("check") == (0, "travel_request lacks nothing\n")
    assert [each.name for each in folder.iterdir()] == ["travel_request"]


def test_an_existing_folder_is_never_overwritten(run: Run, claim: Path) -> None:
    (claim / "process.py").write_text("mine")
    code, said = run("new", "expense_claim")
    assert code == 1 and said == f"{claim} exists already, and nothing was written: choose another name\n"
    assert (claim / "process.py").read_text() == "mine"


def test_into_names_the_folder_and_says_which_variable_to_set(run: Run, tmp_path: Path) -> None:
    code, said = run("new", "travel_request", "--into", str(tmp_path / "others"))
    assert code == 0 and f"first set HOLDGATE_PROCESSES={tmp_path}/others, in the environment or in .env" in said


def test_without_any_folder_it_says_how_to_name_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDGATE_PROCESSES")
    code, said = run("new", "travel_request")
    assert code == 1 and "set HOLDGATE_PROCESSES to a folder, or use --into FOLDER" in said
    assert run("test", "travel_request")[0] == 1
    assert run("check")[0] == 0


def test_a_folder_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = run("new", "travel_request", "--into", str(tmp_path / "file" / "mine"))
    assert code == 1 and said == f"{tmp_path}/file/mine cannot be written: Not a directory\n"


LACKS = [
    ("process.py", ', "note": "Note"', "", "Words.labels has no label for the field 'note': add one"),
    ("__init__.py", "Book(folder)", "Book(None)", "equip("),
    ("policy.toml", "[expense_claim.gates.approval]", "[expense_claim.gates.board]", "the gate approval is missing"),
    ("policy.toml", None, None, "there is no section [expense_claim], so nobody can decide"),
    ("sample.csv", None, None, "sample.csv: cannot be read (No such file or directory): add a CSV with a few cases"),
    ("sample.csv", "184.50", "a lot", "sample.csv:3: amount: 'a lot' is not a number"),
    ("sample.csv", "R-2", "R-1", "sample.csv: the reference 'r-1' is in two rows: give each row its own reference"),
    ("sample.csv", ",note\n", ",memo\n", "sample.csv: the process has no field 'memo': correct or remove the column"),
    ("sample.csv", "reference,", "ref,", "sample.csv: line 1: these headings are missing: reference"),
    (
        "test_expense_claim.py",
        '@pytest.mark.undoes("free_expense_claim")\n',
        "",
        'is marked @pytest.mark.undoes("free_',
    ),
    ("test_expense_claim.py", "undoes(", "undone(", 'no test is marked @pytest.mark.undoes("withdraw_expense_claim")'),
    ("test_expense_claim.py", None, None, 'no test is marked @pytest.mark.undoes("withdraw_expense_claim")'),
]


@pytest.mark.parametrize(("file", "old", "new", "says"), LACKS)
def test_a_process_that_lacks_something_is_refused(
    run: Run, claim: Path, file: str, old: str | None, new: str | None, says: str
) -> None:
    if old is None or new is None:
        (claim / file).unlink()
    else:
        change(claim / file, old, new)
    code, said = run("check", "expense_claim")
    assert code == 1 and says in said
    assert all(line.startswith("expense_claim: ") for line in said.splitlines())


def test_a_process_that_cannot_be_loaded_does_not_stop_the_check_of_others(run: Run, claim: Path) -> None:
    run("new", "travel_request")
    (claim / "process.py").write_text("this is no Python")
    code, said = run("check", "--json")
    found = json.loads(said)
    assert code == 1 and found["travel_request"] == []
    assert len(found["expense_claim"]) == 1 and "SyntaxError" in found["expense_claim"][0]


def test_an_unknown_process_is_refused(run: Run, folder: Path) -> None:
    assert run("check", "nonsense") == (1, f"there is no process 'nonsense' in {folder}\n")
    assert run("test", "nonsense") == (1, f"there is no process 'nonsense' in {folder}\n")


def test_the_template_is_a_process_whose_tests_pass() -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", "-p", "no:cacheprovider", str(TEMPLATE)]
    done = subprocess.run(tests, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr

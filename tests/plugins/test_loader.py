"""Load processes of HOLDGATE_PROCESSES, and name the mistakes in one that cannot be loaded."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plugins import loader
from plugins.activities import activities_of, equip
from plugins.errors import WrongProcess
from plugins.scaffold import make
from tests.plugins.conftest import change
from tests.support.installed_app import ROOT, Product
from workflows.registry import GATES, INPUTS, PROCESSES, STEPS


def test_a_process_in_the_folder_is_in_all_tables(folder: Path, claim: Path, tmp_path: Path) -> None:
    loader.load(folder)
    assert PROCESSES["expense_claim"].folder == claim
    assert list(INPUTS["expense_claim"].model_fields) == ["purpose", "amount", "needed_by", "note"]
    assert GATES["expense_claim"] == ["approval"]
    assert STEPS["expense_claim"].undos == ["free_expense_claim", "withdraw_expense_claim"]
    (steps,) = equip(tmp_path / "var")
    names = [method.__name__ for method in activities_of(steps)]
    assert sorted(names) == sorted([*STEPS["expense_claim"].steps, *STEPS["expense_claim"].undos])
    assert (tmp_path / "var" / "processes" / "expense_claim").is_dir()
    assert loader.policy_file(ROOT / "config" / "policy.toml").current.has("expense_claim")


def test_loading_twice_is_loading_once(folder: Path, claim: Path) -> None:
    loader.load(folder)
    loaded = PROCESSES["expense_claim"]
    loader.load(folder)
    assert PROCESSES["expense_claim"] is loaded


def test_no_folder_and_an_empty_folder_load_nothing(folder: Path) -> None:
    before = dict(PROCESSES)
    loader.load(None)
    folder.mkdir()
    (folder / "notes.txt").touch()
    (folder / "docs").mkdir()
    loader.load(folder)
    assert before == PROCESSES


def test_a_folder_that_is_not_there_or_is_a_process_itself(folder: Path, claim: Path) -> None:
    with pytest.raises(WrongProcess, match="there is no such folder"):
        loader.load(folder / "nowhere")
    with pytest.raises(WrongProcess, match="this is a process; name the folder around it"):
        loader.load(claim)


WORKFLOW = '@workflow.defn(name="expense_claim")\n'
IMPORT = "from temporalio import workflow\n"


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("__init__.py", "PROCESS =", "PROCES =", r"__init__.py: there is no PROCESS = Process\(...\): add it"),
        (
            "__init__.py",
            '"expense_claim"',
            '"expenses"',
            "named 'expenses' and its folder 'expense_claim': use one name",
        ),
        ("__init__.py", '"184.50"', '"lots"', "the example .* is not valid: amount: 'lots' is not a number"),
        (
            "__init__.py",
            '"reference": "R-1001",',
            "",
            "process.py: the example of the process has no reference: add one",
        ),
        ("__init__.py", "=ExpenseClaimProcess", "=ExpenseClaimRequest", "must be a subclass of CaseWorkflow"),
        ("__init__.py", "input=ExpenseClaimRequest", "input=dict", "input of the process must be a pydantic model"),
        ("__init__.py", "from .process", "from .proces", r"__init__.py:13: there is no module 'expense_claim.proces'"),
        (
            "process.py",
            IMPORT,
            IMPORT + "import nowhere\n",
            "process.py:4: there is no module 'nowhere': .*install the module",
        ),
        ("process.py", IMPORT, IMPORT + "1 / 0\n", "process.py:4: correct this.*: ZeroDivisionError: division by zero"),
        ("process.py", IMPORT, IMPORT + "this is no Python\n", r"process.py:4: correct this.*: SyntaxError"),
        ("process.py", IMPORT, IMPORT + "import random\nX = random.random()\n", "Workflow: .*random.*imports_passed"),
        ("process.py", WORKFLOW, "@workflow.defn\n", r'write @workflow.defn\(name="expense_claim"\) above the class'),
        ("process.py", WORKFLOW, "", r'write @workflow.defn\(name="expense_claim"\) above the class'),
        ("process.py", "    words = Words(", "    said = Words(", r"needs words = Words\(...\)"),
        ("process.py", ', "note": "Note"', "", "Words.labels has no label for the field 'note'"),
        ("process.py", '"note": "Note"', '"memo": "", "note": "Note"', "Words.labels names 'memo', which is no field"),
        ("process.py", '("purpose", "amount", "needed_by")', "()", "must name one to four fields, and names 0"),
        ("process.py", '"Expense claim, from the request to the booking"', '" "', "Words.summary is empty"),
        ("process.py", '"reserve_expense_claim":', '"keep_expense_claim":', "no sentence for 'reserve_expense_claim'"),
        ("process.py", '"free_expense_claim":', '"let_expense_claim":', "Words.undos has no sentence for 'free_exp"),
        ("process.py", '"approval": ', '"approvals": ', "Words.gates has no sentence for 'approval'"),
        ("process.py", "Book {amount} for", "Book {sum} for", r"Words.steps\['confirm_.*'\] names 'sum', which is no"),
        ("process.py", "Book {amount} for", "Book {amount for", r"Words.steps\['confirm_.*'\] cannot be read"),
        ("process.py", '"May {amount} be spent on {purpose}?"', '""', r"Words.gates\['approval'\] is empty"),
        (
            "process.py",
            "        gates={",
            '        repeated={"aproval"},\n        gates={',
            "Words.repeated names 'aproval', which is no",
        ),
        (
            "process.py",
            "        gates={",
            '        facts_after={"x": ""},\n        gates={',
            "Words.facts_after names 'x', which",
        ),
    ],
)
def test_a_mistake_names_the_file_and_what_to_do(
    folder: Path, claim: Path, file: str, old: str, new: str, says: str
) -> None:
    before = dict(PROCESSES)
    change(claim / file, old, new)
    with pytest.raises(WrongProcess, match=says) as wrong:
        loader.load(folder)
    assert str(wrong.value).startswith(str(claim))
    assert before == PROCESSES


def test_a_sentence_of_a_gate_may_name_fields_of_its_facts(folder: Path, claim: Path) -> None:
    change(claim / "process.py", "May {amount}", "{score} points. May {amount}")
    change(claim / "process.py", 'self.gate("approval")', 'self.gate("approval", facts=request)')
    loader.load(folder)
    assert "expense_claim" in PROCESSES


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("__init__.py", "Book(folder)", "Book(folder / '0' / '1')", r"equip\(.*\) fails: OperationalError"),
        (
            "__init__.py",
            "[ExpenseClaimSteps(Book(folder))]",
            "[]",
            "no object of equip.. has an activity 'withdraw_expense_claim'",
        ),
        (
            "activities.py",
            "    @activity.defn\n    async def free",
            "    async def free",
            "has an activity 'free_expense_claim'",
        ),
        (
            "activities.py",
            "class ExpenseClaimSteps:\n",
            "class ExpenseClaimSteps:\n    @activity.defn\n    async def more(self) -> None: ...\n",
            "the activity 'more' has no sentence",
        ),
    ],
)
def test_the_activities_are_those_that_the_wording_names(
    folder: Path, claim: Path, tmp_path: Path, file: str, old: str, new: str, says: str
) -> None:
    change(claim / file, old, new)
    loader.load(folder)
    with pytest.raises(WrongProcess, match=says) as wrong:
        equip(tmp_path)
    assert str(wrong.value).startswith(str(claim / "__init__.py"))


@pytest.mark.parametrize(
    ("name", "says"),
    [("reserve_funds", "the process payment has an activity 'reserve_funds' too"), ("record", "the engine has")],
)
def test_the_name_of_an_activity_is_unique(folder: Path, claim: Path, name: str, says: str) -> None:
    for file in ("activities.py", "process.py"):
        change(claim / file, "reserve_expense_claim", name)
    with pytest.raises(WrongProcess, match=says):
        loader.load(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("store", "is the name of a module of Python or of Holdgate"),
        ("core", "is the name of a module"),
        ("json", "is the name of a module"),
        ("pydantic", "is the name of a module"),
        ("payment", "there is a process 'payment' already"),
        ("batch", "the name is reserved"),
        ("calendars", "the name is reserved"),
        ("class", "the name is reserved"),
        ("Expense", "use small letters"),
        ("expense-claim", "use small letters"),
        ("expense__claim", "use small letters"),
        ("2nd_claim", "use small letters"),
        ("x" * 41, "at most 40"),
    ],
)
def test_a_name_that_is_taken_or_not_allowed_is_refused(folder: Path, claim: Path, name: str, says: str) -> None:
    with pytest.raises(WrongProcess, match=says):
        make(name, folder)
    assert [each.name for each in folder.iterdir()] == ["expense_claim"]
    shutil.move(claim, folder / name)
    with pytest.raises(WrongProcess, match=says):
        loader.load(folder)


PROGRAMS = {"worker": ["-m", "worker"], "gateway": ["-m", "api"], "command line": ["-m", "cli", "policy", "check"]}


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_names_the_mistake_in_one_line_and_exits_with_2(
    folder: Path, claim: Path, tmp_path: Path, program: str
) -> None:
    change(claim / "process.py", ', "note": "Note"', "")
    environment = Product(tmp_path, HOLDGATE_PROCESSES=os.path.relpath(folder, ROOT)).environment
    ended = subprocess.run(
        [sys.executable, *PROGRAMS[program]], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2 and "Traceback" not in said
    (line,) = re.findall(r"[^\s]+process\.py: .*", said)
    assert line.startswith(f"{claim / 'process.py'}: Words.labels has no label for the field 'note'")

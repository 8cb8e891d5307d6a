"""The docs are correct: links work, settings and commands exist, and the example sessions run as written."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import typer
from typer.main import get_command

from cli import app as command_line
from core.settings import COMMAND_LINE, PREFIX, Settings
from intake.mapping.column_mapping import ColumnMapping
from plugins.scaffold import TEMPLATE, named
from policy.calendars import Calendar
from policy.model import GateRules, Level, ProcessPolicy, Step
from tests.support.installed_app import ROOT, Product

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
WALK = ROOT / "docs" / "extend" / "adding-a-process.md"
MAPS = sorted({*PAGES} - {*(ROOT / "docs" / "decisions").iterdir(), ROOT / "docs" / "CHANGELOG.md"})
"""The pages that say where the code is today."""
LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".cache", ".git", ".venv", ".env", ".hypothesis", "__pycache__", "var", "bench", ".site"
)


class Fence(NamedTuple):
    """One fenced block, with the last line of text before it."""

    said: str
    language: str
    text: str


def fences(text: str) -> list[Fence]:
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(text[: each.start()].strip().splitlines()[-1], each[1], each[2]) for each in found]


def section(page: Path, heading: str) -> str:
    """The text under a heading of the second level."""
    return page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """What stands in backquotes at the start of each table row."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout whose `.venv` is the environment of these tests."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    (copy / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(copy / "config" / "requirements" / "runtime.txt", copy / ".venv" / "requirements.txt")
    python = copy / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return copy


# ---------------------------------------------------------------------------------------------------------- small facts


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    wrong = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if "://" not in link and (not target.exists() or (anchor and anchor not in anchors(target))):
                wrong.append(f"{page.relative_to(ROOT)}: {link}")
    assert not wrong


def test_every_file_named_in_backquotes_exists() -> None:
    made = {f"expense_claim/{named(file.name, 'expense_claim')}" for file in TEMPLATE.iterdir()}
    made |= {path.split("/")[1] for path in made}
    anywhere = {path.name for path in ROOT.glob("[a-z]*/**/*.py")}
    wrong = []
    for page in PAGES:
        names = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|csv|toml|md|json|html)|[\w-]+\.py)`", page.read_text())
        known = anywhere | made if page == WALK else anywhere
        wrong += [
            f"{page.relative_to(ROOT)}: {name}" for name in names if not (ROOT / name).exists() and name not in known
        ]
    assert not wrong


def test_every_path_and_pattern_in_backquotes_matches_a_file() -> None:
    """In a pattern such as `api/routes/<noun>.py`, `<noun>` stands for any name. A path may be a folder.

    A folder that no folder of the checkout contains is one that Holdgate makes, such as `releases/<id>`.
    """
    tops = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "var"}
    wrong = []
    for page in MAPS:
        for name in re.findall(r"`((?:[\w.<>-]+/)+[\w.<>-]*)`", page.read_text()):
            pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
            named_here = name.split("/")[0] in tops or ("*" in pattern and Path(pattern).suffix)
            if named_here and not any(ROOT.glob(pattern)):
                wrong.append(f"{page.relative_to(ROOT)}: {name}")
    assert not wrong


def test_every_make_target_and_command_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = get_command(command_line.app)
    assert isinstance(commands, typer.core.TyperGroup)
    wrong = []
    for page in PAGES:
        text = page.read_text()
        wrong += [
            f"{page}: make {name}" for name in set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.M)) - targets
        ]
        for name, sub in re.findall(r"\./holdgate ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text):
            group = commands.commands.get(name)
            missing = isinstance(group, typer.core.TyperGroup) and sub and sub not in group.commands
            if group is None or missing:
                wrong.append(f"{page}: ./holdgate {name} {sub}")
    assert not wrong


# -------------------------------------------------------------------------------------------------------- configuration

SETTINGS = ROOT / "docs" / "reference" / "settings.md"
POLICY = ROOT / "docs" / "reference" / "policy.md"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(HOLDGATE_\w+)` \| (.*?) \|", section(SETTINGS, "Settings"), re.MULTILINE))
    assert set(rows) == {PREFIX + name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = default.relative_to(ROOT)
        if field.default_factory is None:
            shown = str(default).lower() if isinstance(default, bool) else str(default)
            assert rows[PREFIX + name.upper()] == (f"`{shown}`" if default is not None else "none")


def test_the_variables_of_the_command_line_are_documented() -> None:
    assert set(first_cells(section(SETTINGS, "The command line"))) == COMMAND_LINE


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("Keys of a process", ProcessPolicy),
        ("Keys of a gate", GateRules),
        ("Keys of an escalation", Level),
        ("Keys of a step", Step),
        ("Keys of a calendar", Calendar),
    ],
)
def test_every_key_of_the_policy_is_documented(
    heading: str, model: type[ProcessPolicy | GateRules | Level | Step | Calendar]
) -> None:
    text = section(POLICY, "The policy").split(f"### {heading}\n")[1].split("\n### ")[0]
    assert set(first_cells(text)) == set(model.model_fields)


# ------------------------------------------------------------------------------------------------- followed literally


def pasted(block: str, where: Path, environment: dict[str, str]) -> str:
    """What a block prints when it is pasted into bash."""
    bash = ["bash", "-euo", "pipefail", "-c", block]
    done = subprocess.run(bash, cwd=where, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def until(product: Product, **statuses: str) -> None:
    """Wait as a reader would until these payments have come so far."""
    for number, status in statuses.items():
        settled(product, f"payment:inv-{number[1:]}", status)


def settled(product: Product, case: str, status: str) -> None:
    """Wait until a case has a status; the test's timeout ends a wait in vain."""
    with product.client("admin-1") as client:
        while client.get(f"/cases/{quote(case, safe='')}").json().get("status") != status:
            time.sleep(0.1)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
def test_the_session_of_the_readme_does_what_it_says(checkout: Path, tmp_path: Path) -> None:
    up, submit, tasks, decide, look = (
        fence.text for fence in fences(section(ROOT / "README.md", "Try it")) if fence.language == "bash"
    )
    assert up == "make up\n"
    with Product(tmp_path) as product:
        environment = product.environment
        assert "12 total, 12 valid, 12 started" in pasted(submit, checkout, environment)
        until(product, _1003="awaiting_approval", _1005="awaiting_approval")
        assert "Pay Kestrel Couriers Ltd 500.00 GBP" in pasted(tasks, checkout, environment)
        said = pasted(decide, checkout, environment)
        assert "manager-approval is approved" in said and "manager-approval is rejected" in said
        until(product, _1003="completed", _1005="rejected")
        seen = pasted(look, checkout, environment)
        assert "Release the held 7,800.00 EUR" in seen
        assert '"kind":"hold"' in seen and '"kind":"release"' in seen and '"kind":"capture"' not in seen
        assert "the audit log is intact" in seen


def follow(fence: Fence, folder: Path) -> None:
    """Do what the line before a block says: add to a file, or change one."""
    verb, name = fence.said.split(" `")[0], fence.said.split("`")[1]
    file = folder / name
    match verb:
        case "Add to":
            gap = "\n\n" if file.suffix == ".py" else ""  # as anybody leaves it between two functions
            file.write_text(file.read_text() + gap + fence.text)
        case "Change":
            lines = fence.text.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            assert file.read_text().count(old) == 1, f"{name}: these lines stand there once, or no longer:\n{old}"
            file.write_text(file.read_text().replace(old, new))
        case _:
            raise AssertionError(f"what is to be done with this block? {fence.said}")


@pytest.mark.soak
def test_who_follows_the_page_about_processes_has_a_process_that_works(checkout: Path, tmp_path: Path) -> None:
    commands = [fence.text for fence in fences(WALK.read_text()) if fence.language == "bash"]
    changes = [fence for fence in fences(WALK.read_text()) if fence.language != "bash"]
    new, up, decide, test = commands
    assert up == "make up\n" and len(changes) == 4
    mine = tmp_path / "holdgate-processes"
    environment = Product(tmp_path, HOME=str(tmp_path), HOLDGATE_PROCESSES=str(mine)).environment
    said = pasted(new, checkout, {**environment, "HOLDGATE_PROCESSES": ""})
    assert f"{mine}/expense_claim is a process that works" in said
    with Product(tmp_path, HOME=str(tmp_path), HOLDGATE_PROCESSES=str(mine)) as product:
        submit, look, *rest = decide.splitlines(keepends=True)
        assert "3 total, 3 valid, 3 started" in pasted(submit, checkout, product.environment)
        settled(product, "expense_claim:r-2", "awaiting_approval")
        settled(product, "expense_claim:r-3", "awaiting_approval")
        assert "Expense claim: A week at the trade fair for 2,310.00" in pasted(look, checkout, product.environment)
        said = pasted("".join(rest[:2]), checkout, product.environment)
        assert "approval is approved" in said and "approval is rejected" in said
        for case, status in (("r-1", "completed"), ("r-2", "completed"), ("r-3", "rejected")):
            settled(product, f"expense_claim:{case}", status)
        assert "Free the 2,310.00 set aside" in pasted(rest[2], checkout, product.environment)
    for change in changes:
        follow(change, mine)
    said = pasted(test, checkout, environment)
    assert "8 passed" in said and "expense_claim lacks nothing" in said
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml"), str(mine)]
    for arguments in (["check", "--ignore", "I"], ["format", "--check"]):  # what is whose depends on where it lies
        done = subprocess.run([*ruff, *arguments, *config], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"


def test_every_feature_of_gates_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+|the_quorum_\w+)`", (ROOT / "docs" / "reference" / "gates.md").read_text()))
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (\w+)\(", code)) | {f"test_{name}" for name in re.findall(r"def (\w+)\(self", code)}
    assert len(named) > 40 and named <= there, sorted(named - there)


def test_every_key_of_a_mapping_is_documented() -> None:
    assert first_cells(section(ROOT / "docs" / "request" / "column-mappings.md", "Mapping keys")) == list(
        ColumnMapping.model_fields
    )

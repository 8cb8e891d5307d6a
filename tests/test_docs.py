"""The docs are correct: links work, and settings and commands exist."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from cli import app as command_line
from core.settings import COMMAND_LINE, PREFIX, Settings
from intake.mapping.column_mapping import ColumnMapping
from plugins.scaffold import TEMPLATE, named
from policy.calendars import Calendar
from policy.model import GateRules, Level, ProcessPolicy, Step
from tests.support.installed_app import ROOT
from tests.support.markdown import section

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")])
WALK = ROOT / "docs" / "extend" / "adding-a-process.md"
MAPS = sorted({*PAGES} - {*(ROOT / "docs" / "decisions").iterdir(), ROOT / "docs" / "CHANGELOG.md"})
"""The pages that say where the code is today."""


def first_cells(text: str) -> list[str]:
    """What stands in backquotes at the start of each table row."""
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


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


def test_every_feature_of_gates_names_a_test_that_exists() -> None:
    named = set(re.findall(r"`(test_\w+|the_quorum_\w+)`", (ROOT / "docs" / "reference" / "gates.md").read_text()))
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = set(re.findall(r"def (\w+)\(", code)) | {f"test_{name}" for name in re.findall(r"def (\w+)\(self", code)}
    assert len(named) > 40 and named <= there, sorted(named - there)


def test_every_key_of_a_mapping_is_documented() -> None:
    assert first_cells(section(ROOT / "docs" / "request" / "column-mappings.md", "Mapping keys")) == list(
        ColumnMapping.model_fields
    )

"""What a process still lacks: words for everything, a sample that imports, a policy, a test of each undo."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import own
from core.settings import ROOT, Settings
from intake.rows import UnreadableFile, read
from kit import sentences
from policy.model import Policy, PolicyError
from workflows.registry import PROCESSES, Process

SHIPPED_SAMPLES = {"payment": "payments.csv"}
"""Samples that are not named for their process."""


def check(settings: Settings, name: str | None = None) -> dict[str, list[str]]:
    """What each process of HOLDGATE_PROCESSES lacks, or only the one of this name, which may be a shipped one.

    Raises WrongProcess where there is no such process.
    """
    found: dict[str, list[str]] = {}
    for package in packages(settings.processes):
        try:
            own.add(package)
        except own.WrongProcess as wrong:
            found[package.name] = str(wrong).splitlines()
    loaded = [each for each in PROCESSES.values() if each.name == name or (name is None and each.folder)]
    if name and name not in found and not loaded:
        raise own.WrongProcess(f"there is no process '{name}' in {settings.processes or 'HOLDGATE_PROCESSES'}")
    for process in loaded:
        found[process.name] = list(_lacks(process, settings))
    return {each: said for each, said in sorted(found.items()) if name in (None, each)}


def packages(folder: Path | None) -> list[Path]:
    """The folders of processes in a folder."""
    return sorted(each.parent for each in folder.glob("*/__init__.py")) if folder else []


def _lacks(process: Process, settings: Settings) -> Iterator[str]:
    try:
        if process.folder:
            own.equipment(process, settings.var)
        policy = own.policy_file(settings.policy).current
    except (own.WrongProcess, PolicyError) as wrong:
        yield from str(wrong).splitlines()
        return
    yield from lacks(process, policy, sample_of(process), files_of_tests(process))


def sample_of(process: Process) -> Path:
    """The file of cases to try a process with."""
    if process.folder:
        return process.folder / own.SAMPLE
    return ROOT / "samples" / SHIPPED_SAMPLES.get(process.name, f"{process.name}.csv")


def files_of_tests(process: Process) -> list[Path]:
    """The files in which the tests of a process are looked for."""
    return sorted((process.folder or ROOT / "tests").rglob("test_*.py"))


def lacks(process: Process, policy: Policy, sample: Path, tests: Iterable[Path]) -> Iterator[str]:
    """What a process lacks, a line each; nothing when it is whole."""
    yield from own.mistakes(process)
    for line, name in sentences.told_by(process.workflow).unchecked:
        yield (
            f"{inspect.getsourcefile(process.workflow)}:{line}: {name}: operators may skip a step, and its result is "
            "then None: look whether there is one, or say step(..., skipped=...), what a skip yields"
        )
    if not policy.has(process.name):
        yield f"{policy.source}: there is no section [{process.name}], so nobody could decide"
    else:
        for gate in sorted(set(process.words.gates) - set(policy.processes[process.name].gates)):
            yield f"{policy.source}: there is no section [{process.name}.gates.{gate}]"
    yield from _mistakes_in_sample(process, sample)
    tested = undone_in(tests)
    for undo in sorted(set(process.words.undos) - tested):
        yield f'no test is marked @pytest.mark.undoes("{undo}"): test this undo at what receives it, and mark the test'


def _mistakes_in_sample(process: Process, sample: Path) -> Iterator[str]:
    try:
        sheet = read(sample.read_bytes(), process.input, process.shown_input)
    except OSError as wrong:
        yield f"{sample}: cannot be read ({wrong.strerror}): write a CSV of a few cases"
        return
    except UnreadableFile as wrong:
        yield f"{sample}: {wrong}"
        return
    for row in sheet.rows:
        yield from (f"{sample}:{row.line}: {problem}" for problem in row.errors)
    for column in sheet.ignored_columns:
        yield f"{sample}: no field is called '{column}'"
    references = [row.key for row in sheet.rows if row.input]
    for reference in sorted({each for each in references if references.count(each) > 1}):
        yield f"{sample}: the reference '{reference}' stands there twice"


def undone_in(tests: Iterable[Path]) -> set[str]:
    """The undos for which there is a test with `@pytest.mark.undoes("name")`. The files are read, not imported."""
    found: set[str] = set()
    for path in tests:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.update(name for mark in node.decorator_list for name in _named(mark))
    return found


def _named(mark: ast.expr) -> Iterator[str]:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.undoes":
        yield from (each.value for each in mark.args if isinstance(each, ast.Constant) and isinstance(each.value, str))

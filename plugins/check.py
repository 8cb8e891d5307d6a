"""Find what a process lacks: texts for people, a sample file that can be imported, a policy, a test of each undo."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from core.settings import ROOT, Settings
from intake.parse_rows import UnreadableFile, read
from plugins import loader
from plugins.activities import equipment
from plugins.check_words import mistakes
from plugins.errors import WrongProcess
from plugins.source import file_of, undos_tested_in, uses_of
from policy.model import Policy, PolicyError
from workflows.registry import PROCESSES, Process

SAMPLE = "sample.csv"
SHIPPED_SAMPLES = {"payment": "payments.csv"}
"""The sample files of shipped processes whose names differ from the name of the process."""


def check(settings: Settings, name: str | None = None) -> dict[str, list[str]]:
    """Return what each process of HOLDGATE_PROCESSES lacks, by process.

    With `name`, check only this process, which may be a shipped one.

    Raises WrongProcess if there is no process of this name.
    """
    found: dict[str, list[str]] = {}
    for package in packages(settings.processes):
        try:
            loader.add(package)
        except WrongProcess as wrong:
            found[package.name] = str(wrong).splitlines()
    loaded = [each for each in PROCESSES.values() if each.name == name or (name is None and each.folder)]
    if name and name not in found and not loaded:
        raise WrongProcess(f"there is no process '{name}' in {settings.processes or 'HOLDGATE_PROCESSES'}")
    for process in loaded:
        found[process.name] = list(_lacks(process, settings))
    return {each: said for each, said in sorted(found.items()) if name in (None, each)}


def packages(folder: Path | None) -> list[Path]:
    """Return the folders of processes in a folder."""
    return sorted(each.parent for each in folder.glob("*/__init__.py")) if folder else []


def _lacks(process: Process, settings: Settings) -> Iterator[str]:
    try:
        if process.folder:
            equipment(process, settings.var)
        policy = loader.policy_file(settings.policy).current
    except (WrongProcess, PolicyError) as wrong:
        yield from str(wrong).splitlines()
        return
    yield from lacks(process, policy, sample_of(process), files_of_tests(process))


def sample_of(process: Process) -> Path:
    """Return the path of the sample file of a process, a CSV with a few cases."""
    if process.folder:
        return process.folder / SAMPLE
    return ROOT / "docs" / "samples" / SHIPPED_SAMPLES.get(process.name, f"{process.name}.csv")


def files_of_tests(process: Process) -> list[Path]:
    """Return the files in which the tests of a process can be."""
    return sorted((process.folder or ROOT / "tests").rglob("test_*.py"))


def lacks(process: Process, policy: Policy, sample: Path, tests: Iterable[Path]) -> Iterator[str]:
    """Yield one line for each missing part of a process, such as a sentence, a policy section or a test."""
    yield from mistakes(process)
    for line, name in uses_of(process.workflow).unchecked:
        yield (
            f"{file_of(process.workflow)}:{line}: {name}: operators may skip a step, and its result is then None: "
            "test it for None, or give the result of a skipped step as step(..., skipped=...)"
        )
    if not policy.has(process.name):
        yield f"{policy.source}: there is no section [{process.name}], so nobody can decide: add the section"
    else:
        for gate in sorted(set(process.words.gates) - set(policy.processes[process.name].gates)):
            yield f"{policy.source}: there is no section [{process.name}.gates.{gate}]: add the section"
    yield from _mistakes_in_sample(process, sample)
    tested = undos_tested_in(tests)
    for undo in sorted(set(process.words.undos) - tested):
        yield f'no test is marked @pytest.mark.undoes("{undo}"): add a test that looks at the receiver, and mark it'


def _mistakes_in_sample(process: Process, sample: Path) -> Iterator[str]:
    try:
        sheet = read(sample.read_bytes(), process.input, process.shown_input)
    except OSError as wrong:
        yield f"{sample}: cannot be read ({wrong.strerror}): add a CSV with a few cases"
        return
    except UnreadableFile as wrong:
        yield f"{sample}: {wrong}"
        return
    for row in sheet.rows:
        yield from (f"{sample}:{row.line}: {problem}" for problem in row.errors)
    for column in sheet.ignored_columns:
        yield f"{sample}: the process has no field '{column}': correct or remove the column"
    references = [row.key for row in sheet.rows if row.input]
    for reference in sorted({each for each in references if references.count(each) > 1}):
        yield f"{sample}: the reference '{reference}' is in two rows: give each row its own reference"

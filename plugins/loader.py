"""Load processes from the folder `HOLDGATE_PROCESSES`, beside the shipped ones.

Each program calls `load` once, when the program starts and before anything uses the table of processes. A mistake in a
process ends the program at its start, before a case could be affected.
"""

import asyncio
import importlib
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.engine.child_cases import ChildCases
from activities.engine.records import Records
from core.settings import WrongSettings
from domain.retention import Periods, check_processes, parse
from plugins.activities import activity_names
from plugins.check_words import definition_of, mistakes
from plugins.errors import WrongProcess, place_of, text_of
from plugins.source import file_of
from policy.file import PolicyFile
from policy.parse import CALENDARS, RETRIES
from workflows.engine.case import CaseWorkflow
from workflows.registry import GATES, INPUTS, MASKED, PROCESSES, STEPS, Process, register

POLICY = "policy.toml"
RESERVED = frozenset({"batch", "rollback", CALENDARS, RETRIES})
"""Names that a process cannot have: names of Workflows of the engine, and of tables in the policy."""
MAX_NAME = 40


def load(folder: Path | None) -> None:
    """Load every process in `folder`; do nothing if `folder` is None. Raises WrongProcess."""
    if folder is None:
        return
    if not folder.is_dir():
        raise WrongProcess(f"HOLDGATE_PROCESSES={folder}: there is no such folder: create it, or correct the setting")
    if (folder / "__init__.py").exists():
        raise WrongProcess(f"HOLDGATE_PROCESSES={folder}: this is a process; name the folder around it")
    for package in sorted(folder.iterdir()):
        if (package / "__init__.py").exists():
            add(package)


def add(package: Path) -> Process:
    """Load one process from its folder, unless it is loaded already, and return the process. Raises WrongProcess."""
    if (known := PROCESSES.get(package.name)) and known.folder == package:
        return known
    if wrong := wrong_name(package.name, home=package):
        raise WrongProcess(f"{package}: {wrong}")
    process = replace(_imported(package), folder=package)
    file = file_of(process.workflow) or str(package)
    if found := list(mistakes(process)) or [*_taken(process), *_refused_by_sandbox(process)]:
        raise WrongProcess("\n".join(f"{file}: {mistake}" for mistake in found))
    register(process)
    return process


def retention(text: str | None) -> Periods:
    """Return the retention periods that `HOLDGATE_RETENTION` describes. Call this after `load`.

    Raises WrongSettings if the text names a process that does not exist.
    """
    periods = parse(text)
    try:
        check_processes(periods, PROCESSES)
    except ValueError as wrong:
        raise WrongSettings(f"HOLDGATE_RETENTION={text}: {wrong}") from None
    return periods


def wrong_name(name: str, home: Path | None = None) -> str | None:
    """Return why a process cannot have this name, or None if it can.

    `home` is the folder of the process, if the folder exists already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > MAX_NAME:
        return (
            f"'{name}' cannot name a process: begin with a letter, and use small letters, digits and single "
            f"underscores, at most {MAX_NAME} characters"
        )
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' cannot name a process, because the name is reserved: choose another name"
    if name in PROCESSES:
        return f"there is a process '{name}' already: choose another name"
    module = importlib.util.find_spec(name)
    if module and module.origin and (home is None or Path(module.origin).resolve().parent != home.resolve()):
        return f"'{name}' is the name of a module of Python or of Holdgate ({module.origin}): choose another name"
    return None


def policy_file(path: Path) -> PolicyFile:
    """Return the policy at this path with the sections of the processes that are loaded. Raises PolicyError."""
    sections = {
        process.name: process.folder / POLICY
        for process in PROCESSES.values()
        if process.folder and (process.folder / POLICY).exists()
    }
    return PolicyFile(path, INPUTS, gates=GATES, steps=STEPS, masked=MASKED, sections=sections)


def _imported(package: Path) -> Process:
    """Import a package and return its PROCESS, after checking its parts. Raises WrongProcess."""
    if str(package.parent) not in sys.path:
        # At the end, so that no file in the folder replaces a module that Holdgate needs.
        sys.path.append(str(package.parent))
    init = package / "__init__.py"
    importlib.invalidate_caches()
    try:
        process = getattr(importlib.import_module(package.name), "PROCESS", None)
    except ModuleNotFoundError as error:
        raise WrongProcess(
            f"{place_of(error, package)}: there is no module '{error.name}': correct the name, "
            f"or install the module for {sys.executable}"
        ) from error
    except Exception as error:
        raise WrongProcess(
            f"{place_of(error, package)}: correct this error, or remove the folder: {text_of(error)}"
        ) from error
    if not isinstance(process, Process):
        raise WrongProcess(f"{init}: there is no PROCESS = Process(...): add it")
    if process.name != package.name:
        raise WrongProcess(
            f"{init}: the process is named '{process.name}' and its folder '{package.name}': use one name"
        )
    if not (isinstance(process.workflow, type) and issubclass(process.workflow, CaseWorkflow)):
        raise WrongProcess(f"{init}: the workflow of the process must be a subclass of CaseWorkflow")
    if not (isinstance(process.input, type) and issubclass(process.input, BaseModel)):
        raise WrongProcess(f"{init}: the input of the process must be a pydantic model")
    return process


def _taken(process: Process) -> Iterator[str]:
    """Yield a sentence for each activity of the process whose name another process uses already.

    A worker knows an activity by its name only.
    """
    mine = {*process.steps.steps, *process.steps.undos}
    for name in sorted(mine & (activity_names(Records) | activity_names(ChildCases))):
        yield f"the engine has an activity '{name}': give yours another name"
    for other in PROCESSES.values():
        for name in sorted(mine & {*other.steps.steps, *other.steps.undos}):
            yield f"the process {other.name} has an activity '{name}' too: give yours another name"


def _refused_by_sandbox(process: Process) -> Iterator[str]:
    """Yield a sentence with the reason if the sandbox of the Temporal SDK refuses the Workflow of the process."""

    async def prepare() -> None:
        SandboxedWorkflowRunner().prepare_workflow(definition_of(process.workflow))

    try:
        with ThreadPoolExecutor(1) as aside:  # the SDK needs an event loop, and this thread may already run one
            aside.submit(asyncio.run, prepare()).result()
    except Exception as error:
        # The text below replaces the SDK's advice.
        said = text_of(error.__cause__ or error).split(" If this is code")[0].rstrip(".")
        yield (
            f"cannot run as a Workflow: {said}. Import what is not deterministic below "
            "'with workflow.unsafe.imports_passed_through():', and use it in activities only"
        )

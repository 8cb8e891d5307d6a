"""Processes of your own: packages in the folder `HOLDGATE_PROCESSES`, loaded beside the shipped ones.

Each program calls `load` once, when it starts, before anything uses the table of processes. What is wrong with a
process is found here and told in words, and not by a case that meets it.
"""

import asyncio
import importlib
import importlib.util
import inspect
import keyword
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.engine.child_cases import ChildCases
from activities.engine.records import Records
from domain.input_errors import problems_of
from domain.moments import asked_now, lenient_fields
from domain.wording import Words
from kit import sentences
from policy.file import PolicyFile
from policy.parse import CALENDARS, RETRIES
from workflows.engine.case import CaseWorkflow
from workflows.registry import GATES, INPUTS, PROCESSES, STEPS, Process, register

POLICY = "policy.toml"
SAMPLE = "sample.csv"
RESERVED = frozenset({"batch", "rollback", CALENDARS, RETRIES})
"""Names of Workflows of the engine, and of tables in the policy."""
MAX_NAME = 40


class WrongProcess(ValueError):
    """A process that cannot be used. `str()` is one line for each mistake: the file, and what to do."""


# ------------------------------------------------------------------------------------------------------------- loading


def load(folder: Path | None) -> None:
    """Load every process of a folder, if there is one. Raises WrongProcess."""
    if folder is None:
        return
    if not folder.is_dir():
        raise WrongProcess(f"HOLDGATE_PROCESSES={folder}: there is no such folder")
    if (folder / "__init__.py").exists():
        raise WrongProcess(f"HOLDGATE_PROCESSES={folder}: this is a process; name the folder around it")
    for package in sorted(folder.iterdir()):
        if (package / "__init__.py").exists():
            add(package)


def add(package: Path) -> Process:
    """Load one process from its folder, once. Raises WrongProcess."""
    if (known := PROCESSES.get(package.name)) and known.folder == package:
        return known
    if wrong := wrong_name(package.name, home=package):
        raise WrongProcess(f"{package}: {wrong}")
    process = replace(_imported(package), folder=package)
    file = inspect.getsourcefile(process.workflow) or str(package)
    if found := list(mistakes(process)) or [*_taken(process), *_unfit(process)]:
        raise WrongProcess("\n".join(f"{file}: {mistake}" for mistake in found))
    register(process)
    return process


def wrong_name(name: str, home: Path | None = None) -> str | None:
    """Why a process cannot be called that; None when it can. `home` is its folder, where it has one already."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > MAX_NAME:
        return f"'{name}' cannot name a process: take small letters, digits and single underscores, at most {MAX_NAME}"
    if keyword.iskeyword(name) or name in RESERVED:
        return f"'{name}' cannot name a process, as it has a meaning already: take another name"
    if name in PROCESSES:
        return f"there is a process '{name}' already: take another name"
    module = importlib.util.find_spec(name)
    if module and module.origin and (home is None or Path(module.origin).resolve().parent != home.resolve()):
        return f"'{name}' is the name of a module of Python's or of Holdgate's ({module.origin}): take another name"
    return None


def _imported(package: Path) -> Process:
    if str(package.parent) not in sys.path:
        # Behind everything else, so that no file in there takes the place of a module that Holdgate needs.
        sys.path.append(str(package.parent))
    init = package / "__init__.py"
    importlib.invalidate_caches()
    try:
        process = getattr(importlib.import_module(package.name), "PROCESS", None)
    except ModuleNotFoundError as wrong:
        raise WrongProcess(
            f"{_place(wrong, package)}: there is no module '{wrong.name}': mend the name, "
            f"or install it for {sys.executable}"
        ) from wrong
    except Exception as wrong:
        raise WrongProcess(f"{_place(wrong, package)}: mend this, or take the folder away: {_said(wrong)}") from wrong
    if not isinstance(process, Process):
        raise WrongProcess(f"{init}: must say PROCESS = Process(...), and does not")
    if process.name != package.name:
        raise WrongProcess(
            f"{init}: the process is named '{process.name}' and its folder '{package.name}': make them one"
        )
    if not (isinstance(process.workflow, type) and issubclass(process.workflow, CaseWorkflow)):
        raise WrongProcess(f"{init}: the workflow of the process must be a subclass of CaseWorkflow")
    if not (isinstance(process.input, type) and issubclass(process.input, BaseModel)):
        raise WrongProcess(f"{init}: the input of the process must be a pydantic model")
    return process


def _taken(process: Process) -> Iterator[str]:
    """Names of activities that others have: a worker knows an activity by its name only."""
    mine = {*process.steps.steps, *process.steps.undos}
    for name in sorted(mine & (activity_names(Records) | activity_names(ChildCases))):
        yield f"the engine has an activity '{name}': give yours another name"
    for other in PROCESSES.values():
        for name in sorted(mine & {*other.steps.steps, *other.steps.undos}):
            yield f"the process {other.name} has an activity '{name}', too: give yours another name"


def _unfit(process: Process) -> Iterator[str]:
    """What the Workflow's sandbox refuses: better now than when a worker has started."""

    async def prepare() -> None:
        SandboxedWorkflowRunner().prepare_workflow(getattr(process.workflow, _WORKFLOW))

    try:
        with ThreadPoolExecutor(1) as aside:  # it wants an event loop, and there may be one here or not
            aside.submit(asyncio.run, prepare()).result()
    except Exception as wrong:
        said = _said(wrong.__cause__ or wrong).split(" If this is code")[0].rstrip(".")  # the SDK's advice; ours fits
        yield (
            f"cannot run as a Workflow: {said}. Import what is not deterministic below "
            "'with workflow.unsafe.imports_passed_through():', and use it in activities only"
        )


_WORKFLOW = "__temporal_workflow_definition"
_ACTIVITY = "__temporal_activity_definition"
"""Where the SDK's decorators leave their mark."""


def _place(wrong: BaseException, package: Path) -> str:
    """File and line of a process at which it went wrong."""
    if isinstance(wrong, SyntaxError):
        return f"{wrong.filename}:{wrong.lineno}"
    frames = traceback.extract_tb(wrong.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(package.resolve())]
    return f"{inside[-1].filename}:{inside[-1].lineno}" if inside else str(package / "__init__.py")


def _said(wrong: BaseException) -> str:
    return " ".join(f"{type(wrong).__name__}: {wrong}".split())


# ----------------------------------------------------------------------------------------------------------- the words


def mistakes(process: Process) -> Iterator[str]:
    """What a process does not say, or says wrongly; nothing where its words are whole."""
    definition = getattr(process.workflow, _WORKFLOW, None)
    if definition is None or definition.name != process.name:
        yield f'write @workflow.defn(name="{process.name}") above the class {process.workflow.__name__}'
        return
    words, known = getattr(process.workflow, "words", None), set(process.input.model_fields)
    if not isinstance(words, Words):
        yield f"the class {process.workflow.__name__} needs words = Words(...)"
        return
    if not words.summary.strip():
        yield "Words.summary is empty: say in one sentence what the process does"
    if not 1 <= len(words.key_fields) <= 4:
        yield f"Words.key_fields must name one to four fields, and names {len(words.key_fields)}"
    for name in sorted(known - set(words.labels)):
        yield f"Words.labels has none for the field '{name}'"
    named = {"labels": words.labels, "key_fields": words.key_fields, "masked": words.masked, "money": words.money or ()}
    for key, names in named.items():
        for name in sorted(set(names) - known):
            yield f"Words.{key} names '{name}', which is no field of the input"
    for key, gates in (("facts_after", words.facts_after), ("repeated", words.repeated)):
        for name in sorted(set(gates) - set(words.gates)):
            yield f"Words.{key} names '{name}', which is no gate of the process"
    yield from sentences.mistakes(words, process.input, sentences.told_by(process.workflow))
    for name in lenient_fields(process.input):
        yield f"the field {name} of the input would read 20270331 as 1970: use Day or Moment of domain.moments"
    yield from _mistakes_of_example(process)


def _mistakes_of_example(process: Process) -> Iterator[str]:
    row = dict(process.example)
    if not row.pop("reference", "").strip():
        yield "the example of the process needs a reference"
    try:
        process.input.model_validate(row, context=asked_now())
    except ValidationError as wrong:
        yield from (f"the example of the process is not valid: {problem}" for problem in problems_of(wrong, row))


# -------------------------------------------------------------------------------------------------- what carries it out


def activity_names(kind: type) -> set[str]:
    """The methods of a class that are activities."""
    return {name for name in dir(kind) if not name.startswith("_") and hasattr(getattr(kind, name), _ACTIVITY)}


def activities_of(*objects: object) -> list[Callable[..., Any]]:
    """The methods of these objects that are activities."""
    return [getattr(each, name) for each in objects for name in sorted(activity_names(type(each)))]


def folder_of(process: Process, var: Path) -> Path:
    """Where a process of your own keeps its files."""
    return var / "processes" / process.name


def equip(var: Path) -> list[object]:
    """What carries out the steps of all processes of your own. Raises WrongProcess."""
    return [each for process in PROCESSES.values() if process.folder for each in equipment(process, var)]


def equipment(process: Process, var: Path) -> list[object]:
    """What carries out the steps of one. Raises WrongProcess where its activities are not those of its words."""
    init = f"{process.folder}/__init__.py"
    folder = folder_of(process, var)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        objects = list(process.equip(folder)) if process.equip else []
    except Exception as wrong:
        raise WrongProcess(f"{init}: equip({folder}) fails: {_said(wrong)}") from wrong
    there, said = {method.__name__ for method in activities_of(*objects)}, {*process.steps.steps, *process.steps.undos}
    found = [
        f"{init}: no activity of what equip() answers is called '{name}', as its words do" for name in said - there
    ]
    found += [f"{init}: the activity '{name}' has no sentence in Words.steps or Words.undos" for name in there - said]
    if found:
        raise WrongProcess("\n".join(sorted(found)))
    return objects


# ---------------------------------------------------------------------------------------------------------- the policy


def policy_file(path: Path) -> PolicyFile:
    """The policy at this path with the sections of your own processes. Raises PolicyError."""
    sections = {
        process.name: process.folder / POLICY
        for process in PROCESSES.values()
        if process.folder and (process.folder / POLICY).exists()
    }
    return PolicyFile(path, INPUTS, gates=GATES, steps=STEPS, sections=sections)

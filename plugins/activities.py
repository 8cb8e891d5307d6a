"""Find the activities of processes on the objects that `equip` makes, and compare them with the texts (`Words`)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from plugins.errors import WrongProcess, text_of
from workflows.registry import PROCESSES, Process

_DEFINITION = "__temporal_activity_definition"
"""The attribute that the SDK's `@activity.defn` sets on a method."""


def activity_names(kind: type) -> set[str]:
    """Return the names of the methods of a class that are activities."""
    return {name for name in dir(kind) if not name.startswith("_") and hasattr(getattr(kind, name), _DEFINITION)}


def activities_of(*objects: object) -> list[Callable[..., Any]]:
    """Return the methods of these objects that are activities."""
    return [getattr(each, name) for each in objects for name in sorted(activity_names(type(each)))]


def folder_of(process: Process, var: Path) -> Path:
    """Return the folder in HOLDGATE_VAR for the files of a process of HOLDGATE_PROCESSES."""
    return var / "processes" / process.name


def equip(var: Path) -> list[object]:
    """Make the objects that run the steps of all processes of HOLDGATE_PROCESSES. Raises WrongProcess."""
    return [each for process in PROCESSES.values() if process.folder for each in equipment(process, var)]


def equipment(process: Process, var: Path) -> list[object]:
    """Make the objects that run the steps of one process.

    Raises WrongProcess if `equip` fails, or if its activities are not those that have a sentence in the texts of the
    process (`Words`).
    """
    init = f"{process.folder}/__init__.py"
    folder = folder_of(process, var)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        objects = list(process.equip(folder)) if process.equip else []
    except Exception as error:
        raise WrongProcess(f"{init}: equip({folder}) fails: {text_of(error)}") from error
    there = {method.__name__ for method in activities_of(*objects)}
    named = {*process.steps.steps, *process.steps.undos}
    found = [f"{init}: no object of equip() has an activity '{name}', which Words names" for name in named - there]
    found += [f"{init}: the activity '{name}' has no sentence in Words.steps or Words.undos" for name in there - named]
    if found:
        raise WrongProcess("\n".join(sorted(found)))
    return objects

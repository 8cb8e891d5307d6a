"""Which mapping a file is read by: one that is given, a saved one or none; and the file read by it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.base import FieldProblem
from intake.mapping.column_mapping import ColumnMapping, Target, WrongMapping, parse_mapping
from intake.mapping.saved_mappings import SavedMappings
from intake.mixed_process_file import read_seed
from intake.read_file import Look, look, read_file
from intake.rows import Sheet
from policy.model import Policy
from workflows.registry import PROCESSES, Process, process_named

SEVERAL = "several"
"""The process of a file whose rows say themselves what they are for."""
MAX_MAPPING = 200_000
"""Characters of a mapping as it is sent."""

GivenMapping = ColumnMapping | Mapping[str, Any] | str
"""A mapping, as JSON has it, or the name of a saved one."""


def target_of(process: Process) -> Target:
    """Return a process as rows are read into it."""
    return Target(process.input, process.shown_input, process.words.money)


class MappingChoice:
    """Chooses mappings for the files of these processes."""

    def __init__(self, processes: Mapping[str, Process] = PROCESSES, mappings: Path | None = None) -> None:
        """`mappings` is the file of saved mappings and usual values; without it there are none."""
        self._processes = processes
        self._targets = {name: target_of(process) for name, process in processes.items()}
        self.saved = SavedMappings(mappings, self._targets)

    def sheet(
        self, process: str, data: bytes, policy: Policy | None = None, mapping: GivenMapping | None = None
    ) -> Sheet:
        """Return the rows of a file, of one process or of SEVERAL.

        With `policy`, rows of a process that it has no section for are invalid. `mapping` is one, or as JSON has it, or
        the name of a saved one; without it files whose headings are not the fields are read by the suggested one.
        Raises UnknownProcess, UnreadableFile and WrongMapping.
        """
        if process == SEVERAL:
            given = _only_opening(mapping)
            startable = [name for name in self._processes if policy is None or policy.has(name)]
            return read_seed(data, self._processes, startable, given)
        return read_file(data, self.target(process), self.mapping(process, mapping), lambda: self.saved.usual(process))

    def look(self, process: str, data: bytes, mapping: GivenMapping | None = None) -> Look:
        """Look at a file of one process before it is read. Raises UnknownProcess, UnreadableFile and WrongMapping."""
        return look(data, self.target(process), self.mapping(process, mapping))

    def target(self, process: str) -> Target:
        """Return a process as rows are read into it. Raises UnknownProcess."""
        return self._targets[process_named(process, self._processes).name]

    def mapping(self, process: str, given: GivenMapping | None) -> ColumnMapping | None:
        """Return a mapping that is given as one, as JSON or by the name of a saved one. Raises WrongMapping."""
        if isinstance(given, str) and not given.lstrip().startswith(("{", "[", '"')):
            return self.saved.named(given.strip(), process)
        if given is None or isinstance(given, ColumnMapping):
            return given
        return parse_mapping(given, self.target(process).fields)

    def opened(self, process: str, given: GivenMapping | None, opening: Mapping[str, str]) -> GivenMapping | None:
        """Return a mapping as it is given, with how the file is to be opened: what is named there counts.

        `opening` has keys of a mapping such as `encoding` and `sheet`; blank ones say nothing. Raises WrongMapping.
        """
        said = {key: value for key, value in opening.items() if value}
        if not said:
            return given
        mapping = self.mapping(process, given) if process != SEVERAL else _only_opening(given)
        whole = (mapping or ColumnMapping()).model_dump(mode="json", exclude_defaults=True)
        return parse_mapping({**whole, **said}, [] if process == SEVERAL else self.target(process).fields)

    def names(self, process: str) -> list[str]:
        """Return the names of the mappings saved for a process. Raises WrongMapping when their file has a mistake."""
        return [name for name, saved in self.saved.all.items() if saved.process == process]


def _only_opening(given: GivenMapping | None) -> ColumnMapping:
    """Return the mapping of a file of several processes: how it is opened. Raises WrongMapping for any other."""
    whole = given if isinstance(given, ColumnMapping) else None
    if not isinstance(given, str) or given.lstrip().startswith("{"):
        whole = whole or parse_mapping(given or {}, [])
    if whole is None or not whole.only_opens:
        raise WrongMapping(
            [FieldProblem(column="", message="goes with a file of one process: name the process of its rows")]
        )
    return whole

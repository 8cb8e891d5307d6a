"""Choose the mapping for a file (sent with the file, saved under a name, or none) and read the file with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.base import FieldProblem
from domain.names import SEVERAL as SEVERAL
from domain.scope import EVERYWHERE, Reach
from intake.mapping.column_mapping import ColumnMapping, Target, WrongMapping, parse_mapping
from intake.mapping.saved_mappings import SavedMappings
from intake.mixed_process_file import read_seed
from intake.parse_rows import Sheet
from intake.read_file import Look, look, read_file
from policy.model import Policy
from workflows.registry import PROCESSES, Process, process_named

MAX_MAPPING = 200_000
"""The maximum number of characters of a mapping that is sent with a file."""

GivenMapping = ColumnMapping | Mapping[str, Any] | str
"""A mapping as a person gives it: as object, as JSON, or as the name of a saved mapping."""


def target_of(process: Process) -> Target:
    """Return the data of a process that are needed to read its rows."""
    return Target(process.input, process.shown_input, process.words.money)


def mapping_json(process: str, mapping: ColumnMapping | None) -> dict[str, Any] | None:
    """Return a mapping as people may see it: constants of masked fields are masked."""
    if mapping is None:
        return None
    found: dict[str, Any] = mapping.model_dump(mode="json")
    if process in PROCESSES:
        found["constants"] = PROCESSES[process].shown_input(found["constants"])
    return found


class MappingChoice:
    """Chooses mappings for files of these processes."""

    def __init__(self, processes: Mapping[str, Process] = PROCESSES, mappings: Path | None = None) -> None:
        """Use the saved mappings and usual values in the file `mappings`, or none if `mappings` is None."""
        self._processes = processes
        self._targets = {name: target_of(process) for name, process in processes.items()}
        self.saved = SavedMappings(mappings, self._targets)

    def sheet(
        self,
        process: str,
        data: bytes,
        policy: Policy | None = None,
        mapping: GivenMapping | None = None,
        starts: Reach = EVERYWHERE,
    ) -> Sheet:
        """Return the rows of a file of one process or of SEVERAL.

        With SEVERAL and `policy`, rows of a process without a section in the policy are invalid. With SEVERAL, rows of
        processes that are not in `starts` are invalid, because their requester may not start such cases. `mapping` is a
        mapping, its JSON or the name of a saved one. Without `mapping`, a suggested mapping reads files whose headings
        are not the names of the fields. Raises UnknownProcess, UnreadableFile and WrongMapping.
        """
        if process == SEVERAL:
            given = _only_opening(mapping)
            ruled = [name for name in self._processes if policy is None or policy.has(name)]
            startable = [name for name in ruled if name in starts]
            return read_seed(data, self._processes, startable, given, not_allowed=set(ruled) - set(startable))
        return read_file(data, self.target(process), self.mapping(process, mapping), lambda: self.saved.usual(process))

    def look(self, process: str, data: bytes, mapping: GivenMapping | None = None) -> Look:
        """Return a preview of a file of one process. Raises UnknownProcess, UnreadableFile and WrongMapping."""
        return look(data, self.target(process), self.mapping(process, mapping))

    def target(self, process: str) -> Target:
        """Return the data of a process that are needed to read its rows. Raises UnknownProcess."""
        return self._targets[process_named(process, self._processes).name]

    def mapping(self, process: str, given: GivenMapping | None) -> ColumnMapping | None:
        """Return the mapping that `given` means, which is a mapping, its JSON, or the name of a saved one; None if
        `given` is None. Raises WrongMapping for an invalid mapping or an unknown name.
        """
        if isinstance(given, str) and not given.lstrip().startswith(("{", "[", '"')):
            return self.saved.named(given.strip(), process)
        if given is None or isinstance(given, ColumnMapping):
            return given
        return parse_mapping(given, self.target(process).fields)

    def opened(self, process: str, given: GivenMapping | None, opening: Mapping[str, str]) -> GivenMapping | None:
        """Return the given mapping with the values of `opening`, which replace those of the mapping.

        `opening` has keys of a mapping such as `encoding` and `sheet`; blank values change nothing. Raises
        WrongMapping.
        """
        said = {key: value for key, value in opening.items() if value}
        if not said:
            return given
        mapping = self.mapping(process, given) if process != SEVERAL else _only_opening(given)
        whole = (mapping or ColumnMapping()).model_dump(mode="json", exclude_defaults=True)
        return parse_mapping({**whole, **said}, [] if process == SEVERAL else self.target(process).fields)

    def names(self, process: str) -> list[str]:
        """Return the names of the mappings saved for a process. Raises WrongMapping for an error in the file of
        mappings.
        """
        return [name for name, saved in self.saved.all.items() if saved.process == process]


def _only_opening(given: GivenMapping | None) -> ColumnMapping:
    """Return the mapping for a file of several processes, which can only say how to open the file.

    Raises WrongMapping if the mapping says anything else.
    """
    whole = given if isinstance(given, ColumnMapping) else None
    if not isinstance(given, str) or given.lstrip().startswith("{"):
        whole = whole or parse_mapping(given or {}, [])
    if whole is None or not whole.only_opens:
        raise WrongMapping(
            [FieldProblem(column="", message="is allowed only for a file of one process: name the process of the rows")]
        )
    return whole

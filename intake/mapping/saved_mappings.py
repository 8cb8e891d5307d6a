"""Read `mappings.toml`: saved mappings by name, and the usual values of an organisation.

The file is read again after each change. A file with an error is not used at all: a mapping from it is refused with the
errors. An uploaded file whose headings are the names of the fields needs no mapping, so it can still be read.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from domain.base import FieldProblem
from intake.mapping.column_mapping import ColumnMapping, Target, WrongMapping, check_constants, nearest, parse_mapping
from policy.line_numbers import LineNumbers

PROCESS = "process"


class SavedMapping(NamedTuple):
    """One saved mapping."""

    process: str
    mapping: ColumnMapping


class _Contents(NamedTuple):
    mappings: Mapping[str, SavedMapping]
    usual: Mapping[str, Mapping[str, str]]


_EMPTY = _Contents({}, {})


class SavedMappings:
    """The saved mappings in one TOML file, for these processes.

    If the file does not exist, there are no saved mappings.
    """

    def __init__(self, path: Path | None, targets: Mapping[str, Target]) -> None:
        self.path, self.targets = path, targets
        self._seen: object = None
        self._contents = _EMPTY
        self._wrong: list[FieldProblem] = []

    @property
    def all(self) -> Mapping[str, SavedMapping]:
        """Return all mappings by name. Raises WrongMapping for an error in the file."""
        return self._current().mappings

    def named(self, name: str, process: str) -> ColumnMapping:
        """Return a saved mapping by name.

        Raises WrongMapping for an unknown name, for a mapping of another process, and for an error in the file.
        """
        saved = self.all.get(name)
        if saved is None:
            there = [each for each, one in self.all.items() if one.process == process]
            near = nearest(name, there) or "; there are no saved mappings"
            raise WrongMapping([FieldProblem(column="", message=f"there is no saved mapping '{name}'{near}")])
        if saved.process != process:
            message = f"'{name}' is a mapping for {saved.process}, not for {process}"
            raise WrongMapping([FieldProblem(column="", message=message)])
        return saved.mapping

    def usual(self, process: str) -> Mapping[str, str]:
        """Return the usual values for fields that a file does not fill.

        Raises WrongMapping for an error in the file of mappings.
        """
        return self._current().usual.get(process, MappingProxyType({}))

    def _current(self) -> _Contents:
        stamp = _stamp(self.path)
        if stamp != self._seen:
            # The stamp is taken before the file is read, so that an edit in between is noticed next time.
            self._seen, self._wrong, self._contents = stamp, [], _EMPTY
            if self.path is not None and stamp is not None:
                self._contents = self._read(self.path)
        if self._wrong:
            raise WrongMapping(self._wrong)
        return self._contents

    def _read(self, path: Path) -> _Contents:
        try:
            text = path.read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except (OSError, ValueError) as wrong:
            what = (wrong.strerror if isinstance(wrong, OSError) else None) or str(wrong)
            self._wrong = [FieldProblem(column="", message=f"{path.name} cannot be read: {what}")]
            return _EMPTY
        lines = LineNumbers(text, path.name)
        mappings: dict[str, SavedMapping] = {}
        usual: dict[str, Mapping[str, str]] = {}

        def say(key: tuple[str, ...], message: str) -> None:
            found = lines.problem(key, message)
            self._wrong.append(FieldProblem(column=found.key, message=f"{found.source}:{found.line}: {found.message}"))

        def part(key: tuple[str, ...], content: object) -> None:
            process = key[1] if key[0] == "usual" else content.pop(PROCESS, None) if isinstance(content, dict) else None
            target = self.targets.get(str(process))
            if not isinstance(content, dict):
                say(key, f"must be a table such as [{'.'.join(key)}]")
            elif target is None:
                told = nearest(str(process), list(self.targets))
                say(
                    key,
                    f"'{process}' is not a process{told}"
                    if process
                    else 'needs its process, such as process = "payment"',
                )
            else:
                try:
                    given = {"constants": content} if key[0] == "usual" else content
                    mapping = parse_mapping(given, target.fields)
                    check_constants(target, mapping.constants)
                except WrongMapping as wrong:
                    for each in wrong.problems:
                        inner = (
                            (each.column or "").removeprefix("constants.") if key[0] == "usual" else each.column or ""
                        )
                        say((*key, *(name for name in inner.split(".") if name)), each.message)
                    return
                if key[0] == "usual":
                    usual[key[1]] = mapping.constants
                else:
                    mappings[key[1]] = SavedMapping(str(process), mapping)

        for name, content in tables.items():
            if name not in ("mappings", "usual") or not isinstance(content, dict):
                say((name,), "is not a known table: name it [mappings.NAME] or [usual.PROCESS]")
                continue
            for inner, table in content.items():
                part((name, inner), table)
        return _Contents(mappings, usual)


def as_toml(name: str, process: str, mapping: ColumnMapping) -> str:
    """Return the mapping as TOML, to add it to the file of saved mappings. Keys with default values are left out."""
    lines = [f"[mappings.{_key(name)}]", f"{PROCESS} = {_text(process)}"]
    tables: list[str] = []
    for key, value in mapping.model_dump(mode="json", exclude_defaults=True).items():
        if isinstance(value, dict):
            tables += ["", f"[mappings.{_key(name)}.{key}]"]
            tables += [f"{_key(inner)} = {_text(each)}" for inner, each in value.items()]
        else:
            lines.append(f"{key} = {_text(value)}")
    return "\n".join([*lines, *tables])


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: Any) -> str:
    """Return a text or a list of texts as TOML, written as JSON, which TOML reads in the same way.

    A list with one text becomes this text.
    """
    return json.dumps(value[0] if isinstance(value, list) and len(value) == 1 else value, ensure_ascii=False)


def _stamp(path: Path | None) -> Any:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return stat and (stat.st_mtime_ns, stat.st_size, stat.st_ino)

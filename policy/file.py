"""Read the policy file again when it has changed. If the changed file is invalid, keep the last valid policy."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from domain.step import StepNames
from policy.line_numbers import LineNumbers
from policy.model import Policy, PolicyError, PolicyProblem
from policy.parse import Inputs, parse, toml

log = logging.getLogger(__name__)


class PolicyFile:
    """The policy file and the section files. It reads them again when one of them has changed.

    A section file holds the section of one process.

    All files together make one text with one hash. If the policy file itself has a section for a process, the section
    file of this process is ignored. After an invalid edit the last valid policy stays in force, and `problem` says why.
    If the files are invalid at the first reading, it raises PolicyError.
    """

    def __init__(
        self,
        path: Path,
        inputs: Inputs,
        *,
        gates: Mapping[str, Collection[str]] | None = None,
        steps: Mapping[str, StepNames] | None = None,
        masked: Mapping[str, Collection[str]] | None = None,
        sections: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        self.path, self._inputs, self._sections = path, inputs, sections
        self._gates, self._steps, self._masked = gates, steps, masked
        self._seen = self._stamps()
        self._policy = self._read()
        self._problem: str | None = None

    @property
    def current(self) -> Policy:
        """Return the policy for cases that start now."""
        stamps = self._stamps()
        if stamps != self._seen:
            changed = " and ".join(str(path) for path in stamps if stamps[path] != self._seen[path])
            # The time is read before the file, so that an edit in between is seen the next time.
            self._seen = stamps
            try:
                self._policy, self._problem = self._read(), None
                log.info("%s was changed; new cases follow policy %s", changed, self._policy.hash)
            except PolicyError as wrong:
                self._problem = str(wrong)
                log.warning("%s was changed and is refused, policy %s stays:\n%s", changed, self._policy.hash, wrong)
        return self._policy

    @property
    def problem(self) -> str | None:
        """Return the error because of which the present file is refused; None if the present file is in force."""
        _ = self.current
        return self._problem

    def _read(self) -> Policy:
        text, parts = _text(self.path), []
        there = toml(text, str(self.path))
        for process, path in sorted(self._sections.items()):
            if process not in there:
                section = _section(process, path)
                text = f"{text.rstrip()}\n\n# ---- from {process}/{path.name}\n"
                parts.append((len(text.splitlines()) + 1, str(path)))
                text += section
        return parse(
            text,
            source=str(self.path),
            inputs=self._inputs,
            gates=self._gates,
            steps=self._steps,
            masked=self._masked,
            parts=parts,
        )

    def _stamps(self) -> dict[Path, tuple[int, int, int] | None]:
        return {path: _stamp(path) for path in (self.path, *self._sections.values())}


def _section(process: str, path: Path) -> str:
    """Return the text of a section file. Raises PolicyError if the file holds anything but the section of `process`."""
    text = _text(path)
    lines = LineNumbers(text, str(path))
    found = [
        lines.problem((key,), f"does not belong here: this file holds the section [{process}] and nothing else")
        for key in toml(text, str(path))
        if key != process
    ]
    # A key before the first header would belong to the last table of the text before it.
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "[")
    if not found and not first.lstrip().startswith("["):
        found = [
            lines.problem((process,), f"must begin with the header of a table, such as [{process}.gates.approval]")
        ]
    if found:
        raise PolicyError(found)
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as wrong:
        raise PolicyError(
            [
                PolicyProblem(
                    str(path),
                    1,
                    "",
                    f"cannot be read: {wrong.strerror}. Correct the path or the permissions",
                )
            ]
        ) from wrong
    except UnicodeDecodeError as wrong:
        raise PolicyError(
            [PolicyProblem(str(path), 1, "", "is not UTF-8 text: save the file with the encoding UTF-8")]
        ) from wrong


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

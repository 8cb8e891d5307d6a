"""The policy file of a running process: edited while it runs, never wrong while it runs."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from policy.model import Policy, PolicyError, Problem
from policy.parse import Inputs, parse
from workflows.models import StepNames

log = logging.getLogger(__name__)


class PolicyFile:
    """Reads the policy again whenever its file changed.

    A bad edit leaves the last valid policy in force and says so in `problem`. The first reading raises PolicyError.
    """

    def __init__(
        self,
        path: Path,
        inputs: Inputs,
        *,
        gates: Mapping[str, Collection[str]] | None = None,
        steps: Mapping[str, StepNames] | None = None,
    ) -> None:
        self.path, self._inputs, self._gates, self._steps = path, inputs, gates, steps
        self._seen = self._stamp()
        self._policy = self._read()
        self._problem: str | None = None

    @property
    def current(self) -> Policy:
        """The policy for cases that start now."""
        stamp = self._stamp()
        if stamp != self._seen:
            # Stamped before it is read: an edit in between is seen the next time.
            self._seen = stamp
            try:
                self._policy, self._problem = self._read(), None
                log.info("%s was changed; new cases follow policy %s", self.path, self._policy.hash)
            except PolicyError as wrong:
                self._problem = str(wrong)
                log.warning("%s was changed and is refused, policy %s stays:\n%s", self.path, self._policy.hash, wrong)
        return self._policy

    @property
    def problem(self) -> str | None:
        """Why the file as it is now is refused; None when it is the policy in force."""
        _ = self.current
        return self._problem

    def _read(self) -> Policy:
        name = str(self.path)
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError as wrong:
            raise PolicyError([Problem(name, 1, "", f"cannot be read: {wrong.strerror}")]) from wrong
        except UnicodeDecodeError as wrong:
            raise PolicyError([Problem(name, 1, "", "is not UTF-8 text")]) from wrong
        return parse(text, source=name, inputs=self._inputs, gates=self._gates, steps=self._steps)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

"""Find the lines of keys in a policy text, which the TOML parser of the standard library does not provide."""

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from policy.model import PolicyProblem

Key = tuple[str | int, ...]
"""The path of a value in the policy: `("payment", "gates", "manager-approval", "remind", 0)`."""


def key_of(name: str) -> Key:
    """Return a key written as text, such as `escalate[0].after`, as a path: `("escalate", 0, "after")`."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", name))


def spell(key: Key) -> str:
    """Return a path as text, as error messages show it: `payment.gates.manager-approval.remind[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).removeprefix(".")


class LineNumbers:
    """Finds the line of each key in one policy text.

    If the text consists of several files, `parts` are the files after the first, as in `Policy.parts`.
    """

    def __init__(self, text: str, source: str, parts: Sequence[tuple[int, str]] = ()) -> None:
        self._source, self._parts = source, parts
        self.places: dict[Key, int] = {}
        table: Key = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if line.lstrip().startswith("["):
                if path := self._path(line):
                    table = path
                    self._note(table, number)
                continue
            # Greedy, because the pattern contains no "=". Trying longer keys step by step would take quadratic time.
            written = re.match(r"""((?:[\w.\s-]|"[^"]*"|'[^']*')+)=""", line)
            if written and (path := self._path(f"{written[1].strip()} = 0")):
                self._note(table + path, number)

    def of(self, key: Key) -> int:
        """Return the line number of the key.

        If the text does not have the key, return the line of the nearest table that would contain it, or 1.
        """
        names = tuple(part for part in key if isinstance(part, str))
        return next((self.places[names[:n]] for n in range(len(names), 0, -1) if names[:n] in self.places), 1)

    def problem(self, key: Key, message: str) -> PolicyProblem:
        """Return a PolicyProblem for the mistake at this key, with the file and the line of the key."""
        line, source = self.of(key), self._source
        start, source = next(((first, name) for first, name in reversed(self._parts) if first <= line), (1, source))
        return PolicyProblem(source, line - start + 1, spell(key), message)

    def _note(self, path: Key, number: int) -> None:
        for length in range(1, len(path) + 1):
            self.places.setdefault(path[:length], number)

    @staticmethod
    def _path(line: str) -> Key:
        """Return the names in a header or key, as the TOML parser reads them; empty for any other line."""
        try:
            table: Any = tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            return ()
        path: list[str] = []
        while isinstance(table, dict) and table:
            ((name, table),) = table.items()
            path.append(name)
            table = table[0] if isinstance(table, list) and table else table
        return tuple(path)

"""The groups that a policy names: those who decide, and those to whom it escalates."""

import re
from collections.abc import Iterable, Iterator

from policy.model import Gate, Policy

# A text that never closes goes to the end, so that no quote in it is tried as the beginning of another.
_TEXT = re.compile(r""""((?:\\[\s\S]|[^"\\])*+)(?:"|\\?\Z)|'((?:\\[\s\S]|[^'\\])*+)(?:'|\\?\Z)""")


def groups_of(policy: Policy, process: str | None = None) -> set[str]:
    """The groups that gates of a process name, or of all; with what else an expression for candidates names."""
    sections = policy.processes
    chosen = sections.values() if process is None else [sections[process]] if process in sections else []
    return {name for section in chosen for name in _of_gates(section.gates.values())}


def known_groups(policy: Policy) -> set[str]:
    """All that may be the name of a group by the policy: the same, and what stands in its lists, such as owners."""
    lists = (names for section in policy.processes.values() for names in section.lists.values())
    return groups_of(policy) | {name for names in lists for name in names}


def _of_gates(gates: Iterable[Gate]) -> Iterator[str]:
    for gate in gates:
        yield from gate.groups
        for level in gate.escalate:
            yield from level.to
        for double, single in _TEXT.findall(gate.candidates or ""):
            yield double or single

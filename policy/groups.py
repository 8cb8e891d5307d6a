"""Find the names of groups in a policy: groups that can decide gates, and groups to which gates escalate."""

from collections.abc import Iterable, Iterator

from policy.expressions import tokens
from policy.model import GateRules, Policy


def groups_of(policy: Policy, process: str | None = None) -> set[str]:
    """Return the names of the groups in the gates of one process, or of all processes if `process` is None.

    Also return every text in a `candidates` expression, because such a text may be the name of a group.
    """
    sections = policy.processes
    chosen = sections.values() if process is None else [sections[process]] if process in sections else []
    return {name for section in chosen for name in _of_gates(section.gates.values())}


def known_groups(policy: Policy) -> set[str]:
    """Return every name in the policy that may be a group: groups of gates, and names in lists."""
    lists = (names for section in policy.processes.values() for names in section.lists.values())
    return groups_of(policy) | {name for names in lists for name in names}


def _of_gates(gates: Iterable[GateRules]) -> Iterator[str]:
    for gate in gates:
        yield from gate.groups
        for level in gate.escalate:
            yield from level.to
        for word in tokens(gate.candidates or ""):
            if word.kind == "text":
                yield word.text.strip("\"'")

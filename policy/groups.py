"""Find the names of groups in a policy: groups that can decide gates, to which gates escalate, and that have a role."""

from collections.abc import Iterable, Iterator

from policy.expressions import tokens
from policy.model import GateRules, Policy, ProcessPolicy


def groups_of(policy: Policy, process: str | None = None) -> set[str]:
    """Return the names of the groups in the gates of one process, or of all processes if `process` is None.

    Also return every text in a `candidates` expression, because such a text may be the name of a group.
    """
    sections = policy.processes
    chosen = sections.values() if process is None else [sections[process]] if process in sections else []
    return {name for section in chosen for name in _of_gates(section.gates.values())}


def known_groups(policy: Policy) -> set[str]:
    """Return every name in the policy that may be a group: groups of gates and of roles, and names in lists."""
    sections = policy.processes.values()
    lists = {name for section in sections for names in section.lists.values() for name in names}
    return groups_of(policy) | lists | {group for section in sections for group in roles_of(section)}


def roles_of(section: ProcessPolicy) -> set[str]:
    """Return the groups that have a role in a process, or may reveal one of its masked fields."""
    reveal = (group for groups in section.reveal.values() for group in groups)
    return {*section.requesters, *section.viewers, *section.operators, *section.auditors, *reveal}


def deciders_of(section: ProcessPolicy) -> set[str]:
    """Return every name in a section that may be a group or person who decides: in gates, and in lists of names."""
    gates = section.gates.values()
    users = {
        user for gate in gates for user in (*gate.users, *(each for level in gate.escalate for each in level.users))
    }
    chosen = {name for gate in gates for name in gate.choose_from or ()}
    return {*_of_gates(gates), *users, *chosen, *(name for names in section.lists.values() for name in names)}


def _of_gates(gates: Iterable[GateRules]) -> Iterator[str]:
    for gate in gates:
        yield from gate.groups
        for level in gate.escalate:
            yield from level.to
        for word in tokens(gate.candidates or ""):
            if word.kind == "text":
                yield word.text.strip("\"'")

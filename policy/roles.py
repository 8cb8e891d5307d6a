"""The roles of a process: the keys of its section that say which groups start, view, operate and audit its cases."""

from collections.abc import Sequence

from domain.names import ADMINS
from policy.model import Policy

ROLES = {
    "requesters": "start its cases and upload files",
    "viewers": "see all its cases, tasks and uploads",
    "operators": "see all of it, decide about failures, cancel, roll back, reassign, and read its audit events",
    "auditors": "see all of it, and read its audit events and evidence",
}
"""The keys, each with what the members of its groups may do."""


def roles_in(policy: Policy, process: str) -> dict[str, list[str]]:
    """Return the groups of each role in a process; none if the policy has no section for it."""
    section = policy.processes.get(process)
    return {} if section is None else {role: list(getattr(section, role)) for role in ROLES}


def role_in_words(role: str, groups: Sequence[str]) -> str:
    """Return a sentence about who has a role, for `policy check`."""
    return f"{', '.join([*groups, ADMINS])} {ROLES[role]}"

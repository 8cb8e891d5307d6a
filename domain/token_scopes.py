"""Scopes: what a token may be used for, if not for everything that its owner may do."""

from collections.abc import Iterable
from enum import StrEnum


class TokenScope(StrEnum):
    """One use of a token. A token with scopes is refused for every other use."""

    CASES_ASK = "cases:ask"
    """Start cases, and cancel the cases that the same account started."""
    CASES_READ = "cases:read"
    """Read the cases and tasks that the owner of the token may see."""
    BATCHES_UPLOAD = "batches:upload"
    """Check and upload files, and pause, resume and cancel one's own uploads."""
    AUDIT_READ = "audit:read"
    """Read the audit log, if the owner of the token may read the audit log."""
    METRICS_READ = "metrics:read"
    """Read metrics."""


def scopes_named(names: Iterable[str]) -> list[TokenScope]:
    """Return the scopes with these names, each once, in a fixed order.

    Raises ValueError for an unknown name, and if there is no name: a token without any use is a mistake.
    """
    wanted = set(names)
    if unknown := sorted(wanted - set(TokenScope)):
        raise ValueError(f"'{unknown[0]}' is not a scope: choose from {', '.join(TokenScope)}")
    if not wanted:
        raise ValueError(f"name at least one scope: {', '.join(TokenScope)}")
    return [scope for scope in TokenScope if scope in wanted]

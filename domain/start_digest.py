"""The digest of a start input, which binds a Workflow to the row that Holdgate stored before the start.

Anybody who can write to the Temporal namespace can start a Workflow with any id and any input. So the row has the
digest of the only start input that belongs to it, and a Workflow with another input has no effect.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from domain.moments import bounded

CASE_FACTS = (
    "case_id",
    "process",
    "reference",
    "round",
    "resubmits",
    "parent",
    "requester",
    "on_behalf_of",
    "asked_for",
    "priority",
    "batch_id",
    "policy_hash",
    "start_at",
    "input",
)
"""The fields of CaseInput that the digest of a case covers. The others follow from the policy with `policy_hash`."""
ROLLBACK_FACTS = (
    "case_id",
    "process",
    "reference",
    "requester",
    "on_behalf_of",
    "asked_for",
    "priority",
    "batch_id",
    "policy_hash",
    "input",
    "workflow_id",
    "plan",
    "asked",
)
"""The fields of RollbackInput that the digest of a rollback covers. The others only show the case to people."""


def start_digest(start: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a start input, in hexadecimal.

    `start` has the fields of a CaseInput or a RollbackInput by name, as JSON values, and `start_at` as a datetime.
    """
    rollback = start.get("asked") is not None
    facts = {name: start.get(name) for name in (ROLLBACK_FACTS if rollback else CASE_FACTS)}
    if (salt := start.get("salt")) is not None:  # a case of an earlier version has none
        facts["salt"] = salt
    if (start_at := facts.get("start_at")) is not None:
        facts["start_at"] = bounded(start_at).isoformat()
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"holdgate-{'rollback' if rollback else 'case'}-v1\n{text}".encode()).hexdigest()

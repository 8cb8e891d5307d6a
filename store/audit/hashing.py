"""The format of the audit log: which data each hash is computed from.

Any change of this format makes the verification of existing audit logs fail.

- The *payload* of an event is the canonical JSON of its summary and data, stored beside the chain with a random salt.
- The *digest* of an event is SHA-256 over salt and payload. Without the salt nobody can guess the content of an erased
  payload.
- The *hash* of an event is SHA-256 over the canonical JSON of its envelope, which contains the digest and the hash of
  the previous event of the same case (empty for the first). Events without a case form their own chain, with case_id
  "".
- The events of all cases, in the order of positions, are the leaves of a Merkle tree (`store.audit.tree`). The head of
  the audit log stores the peaks of the tree, and the database stores the root of each block of 256 events. A signed
  checkpoint (`store.audit.checkpoints`) states the size and the root of the tree.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from domain.case import CaseEvent


def payload_of(event: CaseEvent) -> str:
    """Return summary and data of an event as canonical JSON: the text that is stored beside the chain."""
    return canonical(json.loads(event.model_dump_json(include={"summary", "data"})))


def digest_of(salt: str, payload: str) -> str:
    """Return the digest of a payload, which the chain stores."""
    return sha256(salt + payload)


class Envelope(TypedDict):
    """The part of an event that is hashed."""

    event_id: str
    case_id: str
    """Empty for an event without a case."""
    seq: int
    at: datetime | str
    kind: str
    actor: str
    digest: str
    prev_hash: str


def hash_of(**envelope: Unpack[Envelope]) -> str:
    """Return the hash of an event.

    If `at` is a text and not a datetime, the text is hashed unchanged; the hash then matches no event that Holdgate
    wrote.
    """
    return sha256(canonical(written(envelope)))


def written(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as it is written into the JSON that is hashed."""
    at = envelope["at"]
    return {**envelope, "at": at if isinstance(at, str) else at.astimezone(UTC).isoformat(timespec="microseconds")}


def canonical(value: Any) -> str:
    """Return the canonical JSON text of a value."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Created once: `json.dumps` creates an encoder at each call, which takes longer than encoding an event."""


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()

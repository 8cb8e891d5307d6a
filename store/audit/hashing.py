"""The format of the record: what each hash covers. Changing a line here breaks the verification of every old record.

- The *payload* of an event is the canonical JSON of its summary and data, kept beside the chain with a random salt.
- Its *digest* is SHA-256 over salt and payload. Without the salt nobody can guess back what an erased payload said.
- The *hash* of an event is SHA-256 over the canonical JSON of its envelope, which holds the digest and the hash of the
  event before it in the same case (empty for the first). Events of no case form a chain of their own, with case_id "".
- The *running hash* after an event is SHA-256 over the running hash before it and the event's hash, over all cases in
  the order of their positions. The head of the record holds it, and every 256th position keeps it as a checkpoint.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from domain.case import CaseEvent

CHECKPOINT_EVERY = 256
"""Positions between two checkpoints."""


def payload_of(event: CaseEvent) -> str:
    """What the event says, as it is kept beside the chain."""
    return canonical(json.loads(event.model_dump_json(include={"summary", "data"})))


def digest_of(salt: str, payload: str) -> str:
    """What the chain knows of a payload."""
    return sha256(salt + payload)


def hash_of(
    *, event_id: str, case_id: str, seq: int, at: datetime | str, kind: str, actor: str, digest: str, prev_hash: str
) -> str:
    """The hash of an event. A text for `at` is taken as it is; it fits no event that we wrote."""
    moment = at if isinstance(at, str) else at.astimezone(UTC).isoformat(timespec="microseconds")
    envelope = {
        "event_id": event_id,
        "case_id": case_id,
        "seq": seq,
        "at": moment,
        "kind": kind,
        "actor": actor,
        "digest": digest,
        "prev_hash": prev_hash,
    }
    return sha256(canonical(envelope))


def run_on(running: str, event_hash: str) -> str:
    """The running hash after one more event."""
    return sha256(running + event_hash)


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""Made once: `json.dumps` makes one at each call, which takes longer than to encode an event."""


def sha256(text: str) -> str:
    """The hash of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()

"""What a passkey signs to confirm a decision: the digest of exactly this decision, with a random nonce.

The digest covers the same fields as the signature of the gateway, except the confirmation itself, which does not exist
yet. The digest can be computed again from the signed text of the decision.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from domain.proof.envelope import Kind, canonical_text


def challenge(fields: Mapping[str, Any], nonce: str) -> bytes:
    """Return the challenge of a decision, 32 bytes. `fields` are the signed fields of the decision.

    Raises NotCanonical.
    """
    decided = {name: value for name, value in fields.items() if name != "confirmation"}
    return hashlib.sha256(canonical_text(Kind.DECISION, {**decided, "nonce": nonce})).digest()

"""Receipts of decisions: signed statements that anybody can verify with the published keys of the gateway.

A receipt is a JSON Web Signature (RFC 7515) in its compact form, with the algorithm EdDSA (RFC 8037). Its signed bytes
begin with base64url of a JSON object, so they are never a text of `domain/proof/envelope.py`, which the same key signs.
"""

import json
from typing import Any, Literal

from domain.base import Message
from domain.proof.keys import SigningKey, base64url

TYPE = "holdgate-receipt+jwt"
"""The header `typ` of receipts (RFC 8725, 3.11), so that a verifier never takes another token of this key for one."""
MEDIA_TYPE = "application/jose"


class DecisionReceipt(Message):
    """What a receipt says: who decided what, when, on what, and under which policy."""

    iss: str
    """The address of the gateway that signed the receipt."""
    iat: int
    """When the gateway signed the receipt, in seconds since 1970."""
    installation: str
    process: str
    case: str
    task: str
    gate: str
    decision: str
    verdict: str
    status: Literal["accepted", "withdrawn"]
    """`withdrawn`: the person took the decision back later, or another decision of the person replaced it."""
    by: str
    on_behalf_of: str | None
    requester: str
    asked_for: list[str]
    """If a service account requested the case: the people who count as requester, too."""
    at: str
    """When the person decided."""
    via: str
    revision: int
    shown: str
    """The digest of what the person was shown."""
    policy: str
    """The SHA-256 of the policy with whose rules the task was decided."""

    def signed(self, key: SigningKey) -> str:
        """Return the receipt with the signature of this key."""
        header = {"alg": "EdDSA", "kid": key.key_id, "typ": TYPE}
        text = f"{_encoded(header)}.{_encoded(self.model_dump())}"
        return f"{text}.{base64url(key.signature(text.encode()))}"


def _encoded(value: dict[str, Any]) -> str:
    return base64url(json.dumps(value, separators=(",", ":")).encode())

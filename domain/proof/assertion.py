"""Check the signature of a passkey (a WebAuthn assertion) without the library of the gateway.

The gateway checks each assertion when it arrives. The check of the audit log repeats this years later, with nothing but
the stored assertion and the public key, which the event of the new passkey holds.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.confirmation import Confirmation

_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_FLAGS = 32
"""The place of the flags in the authenticator data, after the digest of the domain."""
_LABELS = {"kty": 1, "alg": 3, "crv": -1, "x": -2, "y": -3, "n": -1, "e": -2}
"""The numbers by which a COSE key names its parts."""


class Assertion(NamedTuple):
    """What a passkey has signed, and its signature."""

    client_data: bytes
    authenticator_data: bytes
    signature: bytes

    @classmethod
    def of(cls, told: Confirmation) -> "Assertion":
        """Return the assertion in a confirmation. Raises ValueError if its parts are no base64url."""
        return cls(*map(of_base64url, (told.client_data, told.authenticator_data, told.signature)))


def fault(assertion: Assertion, public_key: bytes, expected: bytes, domain: str) -> str:
    """Return why an assertion does not prove that a person confirmed `expected`; empty if it does.

    `public_key` is in COSE form. `domain` is the one for which the passkey was made. The text is the end of a sentence.
    """
    try:
        client = json.loads(assertion.client_data)
        said, kind, foreign = of_base64url(client["challenge"]), client["type"], client.get("crossOrigin", False)
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
        return "its client data cannot be read"
    if kind != "webauthn.get" or foreign:
        return "its client data is about something else than a confirmation"
    if said != expected:
        return "the passkey signed another decision"
    if assertion.authenticator_data[:_FLAGS] != hashlib.sha256(domain.encode(errors="replace")).digest():
        return "the passkey signed for another domain"
    flags = assertion.authenticator_data[_FLAGS : _FLAGS + 1]
    if not flags or ~flags[0] & (_USER_PRESENT | _USER_VERIFIED):
        return "the passkey did not verify the person"
    try:
        _verify(cbor2.loads(public_key), assertion)
    except InvalidSignature:
        return "the signature of the passkey is not valid"
    except Exception:  # a public key that somebody made up
        return "the public key of the passkey cannot be read"
    return ""


def _verify(key: Any, assertion: Assertion) -> None:
    """Check the signature with a COSE key. Raises InvalidSignature, and any error for a key that is none."""
    signed = assertion.authenticator_data + hashlib.sha256(assertion.client_data).digest()
    part = {name: key.get(label) for name, label in _LABELS.items()}
    match part["alg"]:
        case -8:
            Ed25519PublicKey.from_public_bytes(part["x"]).verify(assertion.signature, signed)
        case -7:
            x, y = int.from_bytes(part["x"]), int.from_bytes(part["y"])
            point = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
            point.verify(assertion.signature, signed, ec.ECDSA(hashes.SHA256()))
        case -257:
            numbers = rsa.RSAPublicNumbers(int.from_bytes(part["e"]), int.from_bytes(part["n"]))
            numbers.public_key().verify(assertion.signature, signed, padding.PKCS1v15(), hashes.SHA256())
        case other:
            raise ValueError(f"COSE algorithm {other}")


def challenge_of(credential: Mapping[str, Any]) -> bytes:
    """Return the challenge that the answer of a browser names; empty if it names none. This proves nothing."""
    try:
        found = of_base64url(json.loads(of_base64url(credential["response"]["clientDataJSON"]))["challenge"])
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError):
        return b""
    return found


def of_base64url(text: str) -> bytes:
    """Return the bytes of a base64url text. Raises ValueError for another text, TypeError for another type."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

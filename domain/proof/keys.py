"""Keys of signatures: sign a message, and say whether a signature is valid.

A signature is the text `v1.<key id>.<signature>`: an Ed25519 signature as base64url, over the text that
`domain/proof/envelope.py` makes. The id of a key is the start of the digest of its public key.

The gateway signs the messages of people. Workers have a key of their own, for the messages that they send themselves:
with such a key, nobody can decide a task or act as another person, except that a worker can cancel a case.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from pydantic import PlainSerializer, PlainValidator

from domain.base import Message
from domain.codes import CodeWithMeaning
from domain.moments import ZonedMoment
from domain.proof.envelope import Kind

FORM = "v1"
KEY_ID = 16
"""Characters of the id of a key."""
SKEW = timedelta(minutes=5)
"""How much the clocks of the machines may differ."""
FRESH = timedelta(minutes=15)
"""The greatest age of a message that comes as an Update. A Signal may wait for a worker as long as it takes."""


class Role(StrEnum):
    """Which program holds the private key."""

    GATEWAY = "gateway"
    WORKER = "worker"


MAY_SIGN: Mapping[Role, frozenset[Kind]] = {
    Role.GATEWAY: frozenset(Kind),
    # A worker cancels the child case of a case that needs it no longer, and the cases of a cancelled batch.
    Role.WORKER: frozenset({Kind.RECOUNT, Kind.RESYNCHRONISE, Kind.CANCELLATION}),
}


class Fault(CodeWithMeaning):
    """The reason why a signature is not valid: the stored value, and the reason as the end of a sentence."""

    UNSIGNED = "unsigned", "it has no signature"
    MALFORMED = "malformed", "its signature cannot be read"
    UNKNOWN_KEY = "unknown-key", "the registry has no key with the id in its signature"
    TOO_EARLY = "too-early", "it was signed before its key was valid"
    RETIRED = "retired", "it was signed after its key was retired"
    REVOKED = "revoked", "its key was revoked"
    WRONG_ROLE = "wrong-role", "its key may not sign messages of this kind"
    WRONG_SIGNATURE = "wrong-signature", "its signature belongs to another message"
    STALE = "stale", "it was not signed in the last 15 minutes"


def _public_key_of(value: Any) -> bytes:
    try:
        raw = value if isinstance(value, bytes) else base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        Ed25519PublicKey.from_public_bytes(raw)
    except (TypeError, ValueError) as error:
        raise ValueError("must be the 32 bytes of an Ed25519 public key, as base64url") from error
    return raw


def base64url(data: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


PublicKey = Annotated[bytes, PlainValidator(_public_key_of), PlainSerializer(base64url, return_type=str)]


class TrustedKey(Message):
    """A public key of the registry, and when messages that it signed are believed."""

    public_key: PublicKey
    role: Role
    not_before: ZonedMoment
    """The key signs no message before this moment."""
    retired_at: ZonedMoment | None = None
    """The key signs no message from this moment on. Messages that were signed earlier stay valid."""
    revoked_at: ZonedMoment | None = None
    """Since when no message of this key is believed any more, whenever it was signed."""

    @property
    def key_id(self) -> str:
        """Return the id of the key."""
        return hashlib.sha256(self.public_key).hexdigest()[:KEY_ID]

    @property
    def state(self) -> str:
        """Return `valid`, `retired` or `revoked`."""
        return "revoked" if self.revoked_at else "retired" if self.retired_at else "valid"

    def fault_at(self, kind: Kind, at: datetime) -> Fault | None:
        """Return why the key could not sign a message of this kind at this moment; None if it could."""
        if self.revoked_at is not None:
            return Fault.REVOKED
        if kind not in MAY_SIGN[self.role]:
            return Fault.WRONG_ROLE
        if at < self.not_before - SKEW:
            return Fault.TOO_EARLY
        return Fault.RETIRED if self.retired_at is not None and at >= self.retired_at else None


class KeyRegistry:
    """The public keys whose signatures are believed."""

    def __init__(self, keys: Iterable[TrustedKey] = ()) -> None:
        self.keys: Mapping[str, TrustedKey] = MappingProxyType({key.key_id: key for key in keys})
        """The keys by their ids."""

    def fault(self, kind: Kind, text: bytes, proof: str | None, at: datetime) -> Fault | None:
        """Return why `proof` is not a valid signature of `text`, signed at the moment `at`; None if it is valid.

        `at` must be part of `text`.
        """
        if not proof:
            return Fault.UNSIGNED
        try:
            form, key_id, encoded = proof.split(".")
            signature = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return Fault.MALFORMED
        if form != FORM:
            return Fault.MALFORMED
        if (key := self.keys.get(key_id)) is None:
            return Fault.UNKNOWN_KEY
        try:
            _public_key(key.public_key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return Fault.WRONG_SIGNATURE
        return key.fault_at(kind, at)


class SigningKey:
    """A private key. It never shows itself in a log or an error."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_key = private.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(self.public_key).hexdigest()[:KEY_ID]

    @classmethod
    def generate(cls) -> Self:
        """Return a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def of_pem(cls, pem: bytes) -> Self:
        """Return the key of a PEM text. Raises ValueError if the text is no unencrypted Ed25519 private key."""
        try:
            private = load_pem_private_key(pem, password=None)
        except (TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key is encrypted
            raise ValueError(str(error)) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("it is a key of another kind")
        return cls(private)

    @classmethod
    def of_bytes(cls, raw: bytes) -> Self:
        """Return the key with these 32 bytes. Raises ValueError for another length."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    @property
    def pem(self) -> bytes:
        """Return the private key as PEM, to store it."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, text: bytes) -> str:
        """Return the signature of a text, in the form `v1.<key id>.<signature>`."""
        return f"{FORM}.{self.key_id}.{base64url(self.signature(text))}"

    def signature(self, text: bytes) -> bytes:
        """Return the 64 bytes of the signature of a text. Its first bytes must say what kind of text it is."""
        return self._private.sign(text)

    def trusted(self, role: Role, not_before: datetime) -> TrustedKey:
        """Return the public key as an entry for the registry."""
        return TrustedKey(public_key=self.public_key, role=role, not_before=not_before)


def key_id_of(proof: str) -> str:
    """Return the id of the key that a signature names; empty if the signature cannot be read."""
    try:
        _, key_id, _ = proof.split(".")
    except ValueError:
        return ""
    return key_id


@lru_cache(maxsize=100)
def _public_key(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


def _warm_up() -> None:
    """Let one verification fail at import.

    `cryptography` imports its exception when the first verification fails. Inside the sandbox of a Workflow this import
    ends the process, so anybody who can send a message to a Workflow could end the worker.
    """
    try:
        Ed25519PrivateKey.generate().public_key().verify(bytes(64), b"")
    except InvalidSignature:
        return


_warm_up()

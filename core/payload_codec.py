"""Encrypt the payloads of Workflows, so that Temporal stores no content of a case in plain.

Each case has a data key of its own. After this key is destroyed, nobody can read the history of the case, also in
backups of Temporal. The SDK tells the codec of which Workflow a payload is. Encryption authenticates, too: a payload
that was changed, that belongs to another case, or that somebody without the key wrote, becomes `UNREADABLE`.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio import converter
from temporalio.api.common.v1 import Payload

from domain.ids import payload_subject

ENCODING = b"binary/encrypted"
"""The `encoding` of an encrypted payload."""
SUBJECT = "subject"
"""The name of the metadata that says whose data key encrypts a payload."""
UNREADABLE_TEXT = "nobody with a key wrote this"
UNREADABLE = Payload(metadata={"encoding": b"json/plain"}, data=f'"{UNREADABLE_TEXT}"'.encode())
"""What a reader gets in place of a payload that is not genuine.

The text fits no model, so an Update is refused and a Signal is recorded as refused. If the codec raised an error
instead, the Workflow task would fail for ever.
"""
_NONCE_BYTES = 12


class DataKey(NamedTuple):
    """The data key of one case or import."""

    cipher: AESGCM
    strict: bool
    """True if the Workflow began encrypted, so that no plain payload can be its own."""


class DataKeys(Protocol):
    """Where the codec finds data keys."""

    async def key_of(self, subject: str, *, create: bool) -> DataKey | None:
        """Return the data key of a case or import; None if it has none.

        With `create`, make a key for a case or import that began in plain, unless the programs of this installation
        have only just begun to encrypt. Raises PayloadKeyMissing, PayloadErased and DatabaseUnavailable.
        """

    def foreign(self, subject: str) -> None:
        """Note that a Workflow of this subject got a payload which nobody with its key wrote."""


class PayloadCodec(converter.PayloadCodec, converter.WithSerializationContext):
    """Encrypts payloads with the data key of their case."""

    def __init__(self, keys: DataKeys, subject: str | None = None, *, bound: bool = False) -> None:
        """Make the codec of a client. `with_context` makes the codec for the payloads of one Workflow.

        `bound` is True if it is known of which Workflow the payloads are. `subject` is then None if this Workflow has
        no key, because its payloads must stay readable.
        """
        self.keys = keys
        self.subject = subject
        self._bound = bound
        self._subject = subject.encode() if subject is not None else b""

    def with_context(self, context: converter.SerializationContext) -> Self:
        """Return the codec for payloads in this context. The SDK calls this method."""
        workflow_id = getattr(context, "workflow_id", None)
        if workflow_id is None:
            return type(self)(self.keys)
        subject = payload_subject(workflow_id)
        return self if self._bound and subject == self.subject else type(self)(self.keys, subject, bound=True)

    async def is_strict(self) -> bool:
        """Return True if the Workflow began encrypted, so that nothing in plain can be its own.

        Raises the errors of `DataKeys.key_of`.
        """
        key = await self.keys.key_of(self.subject, create=False) if self.subject is not None else None
        return key is not None and key.strict

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads, encrypted. Raises the errors of `DataKeys.key_of`.

        The payloads of a Workflow that belongs to no case and no import stay plain.
        """
        if not self._bound:
            raise RuntimeError("a payload that belongs to no Workflow cannot be encrypted")
        key = await self.keys.key_of(self.subject, create=True) if self.subject is not None else None
        return list(payloads) if key is None else [self._encrypted(each, key) for each in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads, decrypted; `UNREADABLE` for each that is not genuine.

        Raises the errors of `DataKeys.key_of`.
        """
        return [await self._decoded(each) for each in payloads]

    def _encrypted(self, payload: Payload, key: DataKey) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        data = nonce + key.cipher.encrypt(nonce, payload.SerializeToString(), self._subject)
        return Payload(metadata={"encoding": ENCODING, SUBJECT: self._subject}, data=data)

    async def _decoded(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return self._foreign(self.subject or "") if await self.is_strict() else payload
        named = payload.metadata.get(SUBJECT, b"")
        if self._bound and named != self._subject:
            return self._foreign(self.subject or "")
        try:
            subject = named.decode()
            key = await self.keys.key_of(subject, create=False)
            if key is not None:
                nonce, encrypted = payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:]
                return Payload.FromString(key.cipher.decrypt(nonce, encrypted, named))
        except (InvalidTag, ValueError):  # also a nonce that is too short, and a name that is no text
            subject = self.subject or ""
        return self._foreign(subject)

    def _foreign(self, subject: str) -> Payload:
        self.keys.foreign(subject)
        return UNREADABLE

"""An authenticator in software, and the browser around it: makes passkeys and signs challenges as `toJSON()` says."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from webauthn import base64url_to_bytes

from domain.proof.keys import base64url

PRESENT, VERIFIED, ATTESTED = 1, 4, 64


@dataclass
class Authenticator:
    """One device. `verifies` is False for a device that asks for no PIN; `counts` is False for one that sends 0."""

    origin: str = "http://localhost:8000"
    kind: Literal["EdDSA", "ES256"] = "EdDSA"
    verifies: bool = True
    counts: bool = True
    count: int = 0
    credential_id: str = field(default_factory=lambda: base64url(secrets.token_bytes(16)))
    handle: str = ""
    domain: str = ""

    def __post_init__(self) -> None:
        eddsa = self.kind == "EdDSA"
        self._key = ed25519.Ed25519PrivateKey.generate() if eddsa else ec.generate_private_key(ec.SECP256R1())

    def copy(self, **changes: Any) -> "Authenticator":
        """A copy with the same private key."""
        copied = replace(self, **changes)
        copied._key = self._key
        return copied

    def create(self, options: dict[str, Any], **altered: Any) -> dict[str, Any]:
        """Answer `PublicKeyCredentialCreationOptionsJSON`. `altered` replaces fields of the client data."""
        self.handle, self.domain = options["user"]["id"], options["rp"]["id"]
        id = base64url_to_bytes(self.credential_id)
        attested = bytes(16) + len(id).to_bytes(2, "big") + id + cbor2.dumps(self._public())
        data = self._data(ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client("webauthn.create", options["challenge"], altered)
        response = {"clientDataJSON": base64url(client), "attestationObject": base64url(attestation)}
        return self._answer({**response, "transports": ["internal", "carrier-pigeon"]})

    def get(self, options: dict[str, Any], **altered: Any) -> dict[str, Any]:
        """Answer `PublicKeyCredentialRequestOptionsJSON`. `altered` replaces fields of the client data."""
        self.count += self.counts
        data, client = self._data(), self._client("webauthn.get", options["challenge"], altered)
        covered = data + hashlib.sha256(client).digest()
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            signature = self._key.sign(covered)
        else:
            signature = self._key.sign(covered, ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": client, "authenticatorData": data, "signature": signature}
        return self._answer({name: base64url(part) for name, part in response.items()} | {"userHandle": self.handle})

    def _data(self, flags: int = 0) -> bytes:
        flags |= PRESENT | (VERIFIED if self.verifies else 0)
        return hashlib.sha256(self.domain.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str, altered: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | altered).encode()

    def _public(self) -> dict[int, Any]:
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return {1: 1, 3: -8, -1: 6, -2: self._key.public_key().public_bytes_raw()}
        numbers = self._key.public_key().public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}

    def _answer(self, response: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.credential_id, "rawId": self.credential_id, "type": "public-key", "response": response}

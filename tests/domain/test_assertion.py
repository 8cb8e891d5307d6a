"""A stored signature of a passkey is checked offline, for each algorithm that authenticators use."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from domain.proof.assertion import Assertion, challenge_of, fault
from domain.proof.keys import base64url

DOMAIN, CHALLENGE = "holdgate.example.org", hashlib.sha256(b"a decision").digest()


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size)


def eddsa() -> tuple[dict[int, Any], Callable[[bytes], bytes]]:
    key = ed25519.Ed25519PrivateKey.generate()
    return {1: 1, 3: -8, -1: 6, -2: key.public_key().public_bytes_raw()}, key.sign


def es256() -> tuple[dict[int, Any], Callable[[bytes], bytes]]:
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    public = {1: 2, 3: -7, -1: 1, -2: _number(point.x, 32), -3: _number(point.y, 32)}
    return public, lambda signed: key.sign(signed, ec.ECDSA(hashes.SHA256()))


def rs256() -> tuple[dict[int, Any], Callable[[bytes], bytes]]:
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.public_key().public_numbers()
    public = {1: 3, 3: -257, -1: _number(numbers.n, 256), -2: _number(numbers.e, 3)}
    return public, lambda signed: key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


KEYS = {made.__name__: made() for made in (eddsa, es256, rs256)}


def asserted(algorithm: str = "eddsa", flags: int = 5, domain: str = DOMAIN, **said: Any) -> Assertion:
    """What a passkey signs for the challenge; `said` replaces members of the client data."""
    client = {"type": "webauthn.get", "challenge": base64url(CHALLENGE), "origin": f"https://{DOMAIN}"} | said
    data = hashlib.sha256(domain.encode()).digest() + bytes([flags]) + bytes(4)
    client_data = json.dumps(client).encode()
    return Assertion(client_data, data, KEYS[algorithm][1](data + hashlib.sha256(client_data).digest()))


def fault_of(assertion: Assertion, algorithm: str = "eddsa", expected: bytes = CHALLENGE, domain: str = DOMAIN) -> str:
    return fault(assertion, cbor2.dumps(KEYS[algorithm][0]), expected, domain)


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_algorithm_is_checked(algorithm: str) -> None:
    made = asserted(algorithm)
    assert fault_of(made, algorithm) == ""
    for name, part in made._asdict().items():
        for at in (0, len(part) // 2, len(part) - 1):
            edited = part[:at] + bytes([part[at] ^ 1]) + part[at + 1 :]
            assert fault_of(made._replace(**{name: edited}), algorithm) != ""
    other = next(name for name in KEYS if name != algorithm)
    assert fault_of(made, other) == "the signature of the passkey is not valid"


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (asserted(challenge=base64url(bytes(32))), "the passkey signed another decision"),
        (asserted(type="webauthn.create"), "its client data is about something else than a confirmation"),
        (asserted(crossOrigin=True), "its client data is about something else than a confirmation"),
        (asserted(challenge=7), "its client data cannot be read"),
        (asserted()._replace(client_data=b"[1]"), "its client data cannot be read"),
        (asserted()._replace(client_data=b"[" * 100_000), "its client data cannot be read"),
        (asserted(domain="other.example.org"), "the passkey signed for another domain"),
        (asserted(flags=1), "the passkey did not verify the person"),
        (asserted(flags=4), "the passkey did not verify the person"),
        (
            asserted()._replace(authenticator_data=hashlib.sha256(DOMAIN.encode()).digest()),
            "the passkey did not verify",
        ),
    ],
)
def test_an_assertion_about_something_else_proves_nothing(made: Assertion, why: str) -> None:
    assert fault_of(made).startswith(why)


@pytest.mark.parametrize(
    "key", [b"", b"\xff", cbor2.dumps([]), cbor2.dumps({3: -8}), cbor2.dumps({3: -7, -2: 1, -3: 1})]
)
def test_any_public_key_is_read(key: bytes) -> None:
    assert fault(asserted(), key, CHALLENGE, "\ud800") == "the passkey signed for another domain"
    assert fault(asserted(), key, CHALLENGE, DOMAIN) == "the public key of the passkey cannot be read"


@pytest.mark.parametrize("answer", [{}, {"response": 7}, {"response": {"clientDataJSON": "é"}}, {"response": {}}])
def test_the_challenge_of_any_answer_is_read(answer: dict[str, Any]) -> None:
    assert challenge_of(answer) == b""
    client_data = base64url(asserted().client_data)
    assert challenge_of({"response": {"clientDataJSON": client_data}}) == CHALLENGE

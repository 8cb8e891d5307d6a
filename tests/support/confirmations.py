"""Decisions that a passkey in software confirms, for tests without a gateway."""

import secrets
from datetime import datetime
from typing import Any

import cbor2

from domain.confirmation import Confirm, Confirmation
from domain.messages import Decision
from domain.proof.assertion import of_base64url
from domain.proof.challenge import challenge
from domain.proof.envelope import signed_fields
from domain.proof.keys import base64url
from store.db.connection import AsyncConnection
from store.people import passkeys
from store.people.passkeys import Passkey
from tests.support.authenticator import Authenticator

DOMAIN = "localhost"


async def passkey_of(conn: AsyncConnection, person: str, now: datetime) -> Authenticator:
    """A device whose passkey the person has added, so that the audit log has its public key."""
    device = Authenticator()
    answer = device.create({"user": {"id": "h"}, "rp": {"id": DOMAIN}, "challenge": "AAAA"})
    attested = cbor2.loads(of_base64url(answer["response"]["attestationObject"]))["authData"]
    new = Passkey(
        passkey_id=passkeys.id_of(device.credential_id),
        person=person,
        domain=DOMAIN,
        credential_id=device.credential_id,
        public_key=base64url(attested[55 + len(of_base64url(device.credential_id)) :]),
        sign_count=0,
        user_handle="h",
        name="Laptop",
        transports=[],
        device_type="single_device",
        backed_up=False,
        created_at=now,
    )
    await passkeys.add(conn, new)
    return device


def confirmed(device: Authenticator, decision: Decision, workflow_id: str, nonce: str = "", **altered: Any) -> Decision:
    """The decision with the confirmation that the device signs; `altered` replaces fields of the client data."""
    nonce = nonce or secrets.token_urlsafe(24)
    wanted = challenge(signed_fields(decision, "default", workflow_id), nonce)
    response = device.get({"challenge": base64url(wanted)}, **altered)["response"]
    confirmation = Confirmation(
        method=Confirm.PASSKEY,
        name="Mia Manager",
        nonce=nonce,
        credential_id=device.credential_id,
        authenticator_data=response["authenticatorData"],
        client_data=response["clientDataJSON"],
        signature=response["signature"],
    )
    return decision.model_copy(update={"confirmation": confirmation})

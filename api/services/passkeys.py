"""Passkeys (WebAuthn): options for the browser, and the checks of its answers.

A browser makes a key pair for this site (registration) or signs a challenge with it (an assertion). The authenticator
has verified the person, by a PIN or a fingerprint: everything here demands that. Adding a passkey and signing in use
random challenges from `store.people.passkey_challenges`. To confirm something, such as a decision, call
`authentication_options` and `verify_assertion` with its digest as the challenge: the assertion then proves that the
person confirmed exactly this.

The functions that take an answer need a write transaction. They return `Refused` and do not raise, because the
transaction must be committed in any case: it uses up the challenge, and may write the event of a copied passkey.

`webauthn` takes 0.2 s to import, so the functions that need it import it.
"""

import base64
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from secrets import token_bytes
from typing import Any

from api.services.relying_party import RelyingParty
from domain.proof.keys import base64url
from store.db.connection import AsyncConnection
from store.people import passkey_challenges, passkeys
from store.people.passkeys import NotAdded, Passkey
from store.people.people import Person

TIMEOUT_MS = int(passkey_challenges.VALID_FOR.total_seconds() * 1000)


@dataclass(frozen=True)
class Refused:
    """The answer of a browser that was not accepted."""

    why: str
    """A code for the audit log: `challenge`, `unknown`, `person`, `copied`, `invalid` or `not-added`."""
    person: str | None = None
    """The owner of the passkey, if the passkey is known."""
    message: str = "The passkey was not accepted. Try again."
    """A sentence for the person."""


@dataclass(frozen=True)
class Verified:
    """A valid assertion: the owner of the passkey was present, was verified, and signed the challenge."""

    person: str
    passkey_id: str
    credential_id: str
    name: str
    """The name that the person gave the passkey."""
    assertion: dict[str, str]
    """What the signature covers, and the signature, as base64url: `id`, `clientDataJSON`, `authenticatorData`,
    `signature`. With the public key in the event `passkey_added` of this `id`, this is all that a check needs."""


class NoPasskeys(LookupError):
    """Raised if a person who must sign with a passkey has none."""


# ------------------------------------------------------------------------------------------------------- a new passkey


async def registration_options(
    conn: AsyncConnection, party: RelyingParty, person: Person, now: datetime
) -> dict[str, Any]:
    """Return the options with which the browser makes a passkey: `PublicKeyCredentialCreationOptionsJSON`.

    The browser refuses an authenticator that has a passkey of the person already.
    """
    from webauthn import generate_registration_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    known = await passkeys.of(conn, person.id, party.domain)
    handle = await passkeys.handle_of(conn, person.id) or base64url(token_bytes(32))
    challenge = await passkey_challenges.make(conn, now, person=person.id, user_handle=handle)
    options = generate_registration_options(
        rp_id=party.domain,
        rp_name="Holdgate",
        user_id=_bytes_of(handle),
        user_name=person.id,
        user_display_name=person.name,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        exclude_credentials=_described(known),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    return options_to_json_dict(options)


async def register(
    conn: AsyncConnection, party: RelyingParty, person: str, credential: Mapping[str, Any], name: str, now: datetime
) -> Passkey | Refused:
    """Check the new passkey that the browser made, store it, and return it. `name` comes from `checked_name`."""
    from webauthn import verify_registration_response
    from webauthn.helpers.exceptions import WebAuthnException

    parts = _parts(credential, "clientDataJSON", "attestationObject")
    challenge = _challenge_in(parts)
    made_for = await passkey_challenges.take(conn, challenge, now)
    if made_for is None or made_for.person != person or made_for.user_handle is None:
        return Refused("challenge", person, "This took too long. Add the passkey again.")
    try:
        found = verify_registration_response(
            credential=_credential(credential.get("id"), parts),
            expected_challenge=challenge,
            expected_rp_id=party.domain,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except Exception as invalid:  # the parsers of the library raise many types for bytes that somebody made up
        said = f": {invalid}" if isinstance(invalid, WebAuthnException) else ""
        return Refused("invalid", person, f"The passkey was not accepted{said}.")
    credential_id = base64url(found.credential_id)
    new = Passkey(
        passkey_id=passkeys.id_of(credential_id),
        person=person,
        domain=party.domain,
        credential_id=credential_id,
        public_key=base64url(found.credential_public_key),
        sign_count=found.sign_count,
        user_handle=made_for.user_handle,
        name=name,
        transports=_transports_in(credential),
        device_type=found.credential_device_type.value,
        backed_up=found.credential_backed_up,
        created_at=now,
    )
    try:
        await passkeys.add(conn, new)
    except NotAdded as no:
        return Refused("not-added", person, f"The passkey was not added: {no}.")
    return new


# ---------------------------------------------------------------------------------------------------------- assertions


async def authentication_options(
    conn: AsyncConnection, party: RelyingParty, person: str, challenge: bytes
) -> dict[str, Any]:
    """Return the options with which the browser of this person signs a challenge: the JSON form of
    `PublicKeyCredentialRequestOptions`. Raises NoPasskeys if the person has no passkey.
    """
    allowed = await passkeys.of(conn, person, party.domain)
    if not allowed:
        raise NoPasskeys(f"{person} has no passkey for {party.domain}")
    return _request_options(party, challenge, allowed)


async def sign_in_options(conn: AsyncConnection, party: RelyingParty, now: datetime) -> dict[str, Any]:
    """Return the options with which a browser signs in a person who has not said who they are."""
    return _request_options(party, await passkey_challenges.make(conn, now), [])


async def verify_sign_in(
    conn: AsyncConnection, party: RelyingParty, credential: Mapping[str, Any], now: datetime
) -> Verified | Refused:
    """Check the answer to `sign_in_options`, which can be used only once, and return who signed in."""
    challenge = _challenge_in(_parts(credential, "clientDataJSON"))
    made_for = await passkey_challenges.take(conn, challenge, now)
    if made_for is None or made_for.person is not None:
        return Refused("challenge")
    return await verify_assertion(conn, party, credential, challenge, now)


async def verify_assertion(
    conn: AsyncConnection,
    party: RelyingParty,
    credential: Mapping[str, Any],
    expected_challenge: bytes,
    now: datetime,
    *,
    person: str | None = None,
) -> Verified | Refused:
    """Check that a passkey signed the challenge on this site, and count the use of the passkey.

    `credential` is what `PublicKeyCredential.toJSON()` returned in the browser. With `person`, only a passkey of this
    person is accepted; without, the authenticator must name its owner by the user handle.
    """
    from webauthn import verify_authentication_response

    credential_id = credential.get("id")
    known = await passkeys.by_credential(conn, credential_id) if isinstance(credential_id, str) else None
    if known is None or known.domain != party.domain:
        return Refused("unknown")
    handle = _parts(credential, "userHandle").get("userHandle")
    owner = person == known.person if handle is None else handle == _bytes_of(known.user_handle)
    if not owner or person not in (None, known.person):
        return Refused("person", known.person)
    covered = _parts(credential, "clientDataJSON", "authenticatorData", "signature")
    if _challenge_in(covered) != expected_challenge:
        return Refused("challenge", known.person)
    try:
        found = verify_authentication_response(
            credential=_credential(credential_id, covered),
            expected_challenge=expected_challenge,
            expected_rp_id=party.domain,
            expected_origin=party.origin,
            credential_public_key=_bytes_of(known.public_key),
            credential_current_sign_count=0,  # `count_use` compares the counter, with the row of the passkey locked
            require_user_verification=True,
        )
    except Exception:  # the parsers of the library raise many types for bytes that somebody made up
        return Refused("invalid", known.person)
    if not await passkeys.count_use(conn, known, found.new_sign_count, now, backed_up=found.credential_backed_up):
        return Refused("copied", known.person)
    assertion = {"id": known.credential_id, **{name: base64url(part) for name, part in covered.items()}}
    return Verified(known.person, known.passkey_id, known.credential_id, known.name, assertion)


# ----------------------------------------------------------------------------------------- forms of options and answers


def _request_options(party: RelyingParty, challenge: bytes, allowed: list[Passkey]) -> dict[str, Any]:
    from webauthn import generate_authentication_options
    from webauthn.helpers import options_to_json_dict
    from webauthn.helpers.structs import UserVerificationRequirement

    options = generate_authentication_options(
        rp_id=party.domain,
        challenge=challenge,
        timeout=TIMEOUT_MS,
        allow_credentials=_described(allowed),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def _described(known: list[Passkey]) -> list[Any]:
    """Return passkeys in the form in which options name them."""
    from webauthn.helpers.structs import AuthenticatorTransport, PublicKeyCredentialDescriptor

    return [
        PublicKeyCredentialDescriptor(
            id=_bytes_of(each.credential_id), transports=[AuthenticatorTransport(way) for way in each.transports]
        )
        for each in known
    ]


def _parts(credential: Mapping[str, Any], *names: str) -> dict[str, bytes]:
    """Return these members of the response in the answer, as bytes, without those that are missing or no base64url.

    What is checked and what is stored come from these bytes, so that the answer cannot be read in two ways.
    """
    response = credential.get("response")
    given, found = response if isinstance(response, dict) else {}, {}
    for name in names:
        with suppress(KeyError, TypeError, ValueError):
            found[name] = _bytes_of(given[name])
    return found


def _credential(credential_id: Any, parts: Mapping[str, bytes]) -> dict[str, Any]:
    """Return an answer with these parts, in the form of `PublicKeyCredential.toJSON()`."""
    response = {name: base64url(part) for name, part in parts.items()}
    return {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}


def _challenge_in(parts: Mapping[str, bytes]) -> bytes:
    """Return the challenge that the client data of an answer names; empty if the client data cannot be read, or if a
    page inside a page of another site asked.

    This proves nothing else: `register` and `verify_assertion` check the whole answer.
    """
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said = json.loads(parts["clientDataJSON"])
        return b"" if said.get("crossOrigin") else _bytes_of(said["challenge"])
    return b""


def _transports_in(credential: Mapping[str, Any]) -> list[str]:
    """Return the ways in which a browser can reach the new authenticator, without those that the library lacks."""
    from webauthn.helpers.structs import AuthenticatorTransport

    response = credential.get("response")
    said = response.get("transports") if isinstance(response, dict) else None
    return [each.value for each in AuthenticatorTransport if isinstance(said, list) and each.value in said]


def _bytes_of(text: str) -> bytes:
    """Return the bytes of a base64url text. Raises ValueError for any other text, and TypeError for no text."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

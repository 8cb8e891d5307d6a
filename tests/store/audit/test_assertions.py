"""`audit verify` checks the signatures of passkeys with the audit log alone, also against a stolen key of a gateway."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.signed_client import signed
from domain.messages import Decision
from domain.proof.envelope import SignedText
from domain.proof.keys import base64url
from domain.records import CaseRecord, DecisionRecord
from domain.status import Status, Verdict
from plugins.testing.signatures import TEST_KEY, TEST_KEYS
from store.audit.verification import verify, verify_case
from store.db.database import Database
from store.people import passkeys, people
from store.tables.audit import events
from tests.store.sample_cases import MORNING, decision, event, opening, recorded, submitted, task
from tests.support.authenticator import Authenticator
from tests.support.confirmations import confirmed, passkey_of

CASE, NONCE = "payment:inv-1", "a-random-nonce"
PERSON = "manager-1"


@dataclass
class Signer:
    """A person's device, and the decision that it confirms."""

    device: Authenticator
    decision: Decision

    @classmethod
    async def of(cls, db: Database, person: str = PERSON) -> "Signer":
        """A device whose passkey the person has had since the morning, before the decision."""
        async with db.write() as conn:
            await people.add(conn, person, person.title(), ["managers"], by="t")
            device = await passkey_of(conn, person, MORNING)
            await conn.execute(update(events).where(events.c.kind == "passkey_added").values(at=MORNING))
        return cls(device, decision(task(CASE), person, comment="as agreed", via="page"))

    def confirmed(self, **altered: Any) -> Decision:
        """The decision with what the device signs; `altered` replaces fields of the client data."""
        return confirmed(self.device, self.decision, CASE, NONCE, **altered)


async def stored(db: Database, *given: Decision) -> None:
    """Write decisions as Holdgate would, with signatures of a gateway: every hash, seal and signature is right."""
    await submitted(db)
    await recorded(db, opening(task(CASE)))
    for number, each in enumerate(given, 2):
        proven = signed(each, TEST_KEY, "default", CASE)
        data = {
            "task_id": each.task_id,
            "decision_id": each.id,
            "verdict": each.verdict.value,
            "comment": each.comment,
            "groups": each.by.groups,
            "via": each.via,
            **each.recorded_confirmation,
        }
        told = event(CASE, number, "decided", **data).model_copy(update={"actor": each.by.id})
        record = CaseRecord(
            case_id=CASE,
            status=Status.RUNNING,
            events=[told],
            decisions=[DecisionRecord(decision=each)],
            proofs=[SignedText.of(proven, "default", CASE)],
        )
        await recorded(db, record)


async def problems(db: Database) -> list[str]:
    """What a check of the case finds about confirmations; the whole check finds the same."""
    async with db.read() as conn:
        found = (await verify_case(conn, CASE, keys=TEST_KEYS)).problems
    whole = (await verify(db, keys=TEST_KEYS)).problems
    assert [each for each in whole if "confirmation" in each] == found
    return [each.partition("not valid: ")[2] for each in found]


async def test_an_honest_confirmation_needs_nothing_but_the_audit_log(db: Database) -> None:
    signer = await Signer.of(db)
    await stored(db, signer.confirmed())
    async with db.write() as conn:
        await passkeys.remove(conn, PERSON, passkeys.id_of(signer.device.credential_id), by=PERSON)
    assert await problems(db) == []


Lie = Callable[[Signer], Decision]


def with_part(**part: str) -> Lie:
    def lie(signer: Signer) -> Decision:
        honest = signer.confirmed()
        assert honest.confirmation is not None
        return honest.model_copy(update={"confirmation": honest.confirmation.model_copy(update=part)})

    return lie


LIES: dict[str, tuple[Lie, str]] = {
    "verdict": (lambda s: s.confirmed().model_copy(update={"verdict": Verdict.REJECT}), "signed another decision"),
    "comment": (lambda s: s.confirmed().model_copy(update={"comment": "pay twice"}), "signed another decision"),
    "edits": (lambda s: s.confirmed().model_copy(update={"edits": {"amount": "9"}}), "signed another decision"),
    "revision": (lambda s: s.confirmed().model_copy(update={"revision": 7}), "signed another decision"),
    "task": (lambda s: s.confirmed().model_copy(update={"task_id": "another"}), "signed another decision"),
    "id": (lambda s: s.confirmed().model_copy(update={"id": "another"}), "signed another decision"),
    "time": (
        lambda s: s.confirmed().model_copy(update={"at": MORNING + timedelta(hours=2)}),
        "signed another decision",
    ),
    "too early": (
        lambda s: Signer(s.device, s.decision.model_copy(update={"at": MORNING - timedelta(hours=1)})).confirmed(),
        "manager-1 did not have this passkey at that time",
    ),
    "nonce": (with_part(nonce="another"), "signed another decision"),
    "signature": (with_part(signature=base64url(bytes(64))), "the signature of the passkey is not valid"),
    "no signature": (with_part(signature=""), "the signature of the passkey is not valid"),
    "no base64": (with_part(signature="é"), "it cannot be read"),
    "credential": (with_part(credential_id="AAAA"), "no event says that manager-1 added this passkey"),
    "authenticator": (with_part(authenticator_data=base64url(bytes(37))), "signed for another domain"),
    "page of another site": (lambda s: s.confirmed(crossOrigin=True), "about something else than a confirmation"),
    "registration": (lambda s: s.confirmed(type="webauthn.create"), "about something else than a confirmation"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_decision_that_the_passkey_did_not_sign_is_found(db: Database, lie: str) -> None:
    made, why = LIES[lie]
    await stored(db, made(await Signer.of(db)))
    (found,) = await problems(db)
    assert why in found


async def test_the_passkey_of_another_person_is_found(db: Database) -> None:
    signer = await Signer.of(db, "manager-2")
    signer.decision = decision(task(CASE), PERSON)
    await stored(db, signer.confirmed())
    assert await problems(db) == ["no event says that manager-1 added this passkey"]


async def test_a_nonce_that_was_used_twice_is_found(db: Database) -> None:
    signer = await Signer.of(db)
    first = signer.confirmed()
    signer.decision = signer.decision.model_copy(update={"id": "second"})
    await stored(db, first, signer.confirmed())
    assert await problems(db) == ["its nonce was used before"]


async def test_a_confirmation_after_the_passkey_was_removed_is_found(db: Database) -> None:
    signer = await Signer.of(db)
    async with db.write() as conn:
        await passkeys.remove(conn, PERSON, passkeys.id_of(signer.device.credential_id), by=PERSON)
        removed = signer.decision.at - timedelta(minutes=6)
        await conn.execute(update(events).where(events.c.kind == "passkey_removed").values(at=removed))
    await stored(db, signer.confirmed())
    assert "manager-1 did not have this passkey at that time" in await problems(db)


async def test_an_event_that_tells_another_confirmation_is_found(db: Database) -> None:
    signer = await Signer.of(db)
    honest = signer.confirmed()
    await submitted(db)
    await recorded(db, opening(task(CASE)))
    for number, lie in enumerate((None, {"method": "password", "name": "Mia Manager"}), 2):
        each = honest.model_copy(update={"id": f"d{number}"})
        data = {"task_id": each.task_id, "decision_id": each.id, "confirmed": lie}
        told = event(CASE, number, "decided", **data).model_copy(update={"actor": PERSON})
        text = SignedText.of(signed(each, TEST_KEY, "default", CASE), "default", CASE)
        await recorded(db, CaseRecord(case_id=CASE, status=Status.RUNNING, events=[told], proofs=[text]))
    async with db.read() as conn:
        found = (await verify_case(conn, CASE, keys=TEST_KEYS)).problems
    assert [f"event {CASE}/{number} of case {CASE}: it does not say what manager-1 signed" for number in (2, 3)] == [
        each for each in found if each.startswith("event")
    ]

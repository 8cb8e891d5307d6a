"""Let people confirm decisions: ask for the password or a passkey, and check what they send.

A passkey signs the digest of the decision with a random nonce. The gateway computes the digest from the decision of the
request, once when it asks the person, and again when the person has confirmed. The gateway never takes the digest from
the client.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from api.gateway.refusal_problems import confirm_needed
from api.gateway.requests import PasskeyAnswer
from api.http.problems import Problem
from api.http.step_up import NO_PASSWORD, check_password
from api.http.ways_to_sign_in import check_passwords_on
from api.services import passkeys
from api.services.passkeys import Verified
from api.services.relying_party import relying_party, why_off
from core.settings import Settings
from domain.confirmation import Confirm, Confirmation
from domain.messages import Decision
from domain.permissions import same
from domain.proof.challenge import challenge
from domain.proof.envelope import signed_fields
from domain.proof.keys import base64url
from domain.refusals import Refusal, RefusalCode
from domain.task import TaskView
from store.cases import confirmations
from store.cases.confirmations import VALID, PendingConfirmation
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import passkeys as stored_passkeys, passwords
from store.people.people import Person

PASSWORD_FIELD = "password"
_BY_PASSWORD = "Confirm this decision with your password."
_BY_PASSKEY = "Confirm this decision with your passkey."
_ON_THE_PAGE = "Confirm this decision with your passkey on the page of the task."
_NO_PASSKEY = "This decision needs a passkey, and you have none. Add a passkey on the page Settings, then decide."
_USED = "This confirmation was used before, or is older than 5 minutes. Confirm the decision again."
_OTHER_TASK = "This confirmation is for a decision on another task, or of another person. Confirm this decision."
_OTHER_DECISION = (
    "Your passkey confirmed another decision. The verdict, the comment, the edits, the revision or the task differ, or "
    "your groups or the task have changed. Confirm the decision again."
)


class Confirmations:
    """Asks people to confirm decisions, and checks their confirmations."""

    def __init__(self, db: Database, namespace: str, settings: Settings) -> None:
        self._db, self._namespace, self._settings = db, namespace, settings

    async def by_password(self, person: Person, password: str) -> Confirmation:
        """Check the password of the person, and return the confirmation.

        Raises Problem: 403 for a person without a password or with too many tries, 422 for a wrong password, 503 if too
        many passwords are being checked.
        """
        check_passwords_on(self._settings)
        await check_password(self._db, person, password, field=PASSWORD_FIELD)
        return Confirmation(method=Confirm.PASSWORD, name=person.name)

    async def by_passkey(
        self, person: Person, task: TaskView, decision: Decision, answer: PasskeyAnswer, *, new_id: bool
    ) -> Decision:
        """Check what the person's passkey signed, and return the decision with this confirmation.

        The decision gets the time at which the person was asked, which the passkey signed, and with `new_id` also the
        id. The nonce is used up, whether the answer is right or wrong. Raises Refusal CONFIRM_NEEDED.
        """
        async with self._db.write() as conn:  # committed in any case: an error would make the nonce valid again
            pending = await confirmations.take(conn, answer.nonce, datetime.now(UTC))
            if pending is None:
                found: Confirmation | str = _USED
            elif not same(pending.person, person.id) or pending.task_id != task.task_id:
                found = _OTHER_TASK
            else:
                stored = {"at": pending.at, "id": pending.decision_id if new_id else decision.id}
                decision = decision.model_copy(update=stored)
                found = await self._signed(conn, person, task, decision, pending, answer.credential)
        if isinstance(found, str):
            raise Refusal(RefusalCode.CONFIRM_NEEDED, found)
        return decision.model_copy(update={"confirmation": found})

    async def _signed(
        self,
        conn: AsyncConnection,
        person: Person,
        task: TaskView,
        decision: Decision,
        pending: PendingConfirmation,
        credential: Mapping[str, Any],
    ) -> Confirmation | str:
        """Return the confirmation if a passkey of the person signed this decision; otherwise a sentence that says why
        not.
        """
        if decision.id != pending.decision_id:
            return _OTHER_DECISION
        expected = self._challenge(task, decision, pending.nonce)
        party, now = relying_party(self._settings), datetime.now(UTC)
        found = await passkeys.verify_assertion(conn, party, credential, expected, now, person=person.id)
        if not isinstance(found, Verified):
            return _OTHER_DECISION if found.why == "challenge" else found.message
        return Confirmation(
            method=Confirm.PASSKEY,
            name=person.name,
            nonce=pending.nonce,
            credential_id=found.credential_id,
            authenticator_data=found.assertion["authenticatorData"],
            client_data=found.assertion["clientDataJSON"],
            signature=found.assertion["signature"],
        )

    async def way(self, person: str, asked: Confirm) -> Confirm:
        """Return how a person can confirm a decision for which the policy asks for this way.

        This is a passkey in place of the password if the person has a passkey and no password, and NONE if the person
        has nothing to confirm the decision with.
        """
        if asked is Confirm.NONE:
            return asked
        async with self._db.read() as conn:
            by_password = asked is Confirm.PASSWORD and self._settings.passwords == "on"
            if by_password and await passwords.stored(conn, person) is not None:
                return Confirm.PASSWORD
            if why_off(self._settings) is None:
                domain = relying_party(self._settings).domain
                return Confirm.PASSKEY if await stored_passkeys.of(conn, person, domain) else Confirm.NONE
        return Confirm.NONE

    async def needed(self, task: TaskView, decision: Decision, asked: Confirm, *, of_many: bool) -> Problem:
        """Return the problem that asks a person to confirm a decision: 403 with what the client needs.

        If the decision is one `of_many` in a request, a passkey cannot confirm it there.
        """
        way = await self.way(decision.by.id, asked)
        about = {
            "method": (way if way is not Confirm.NONE else asked).value,
            "review_url": f"{self._settings.public_url}/tasks/{quote(task.task_id, safe='')}",
        }
        match way:
            case Confirm.PASSWORD:
                return confirm_needed(_BY_PASSWORD, **about, field=PASSWORD_FIELD)
            case Confirm.PASSKEY if of_many:
                return confirm_needed(_ON_THE_PAGE, **about)
            case Confirm.PASSKEY:
                return confirm_needed(_BY_PASSKEY, **about, **await self._ask(task, decision))
        return confirm_needed(self.why_not(asked), **about)

    def why_not(self, asked: Confirm) -> str:
        """Return why a person who has nothing to confirm a decision with cannot do so, and what to do."""
        if asked is Confirm.PASSWORD and self._settings.passwords == "on":
            return NO_PASSWORD
        return why_off(self._settings) or _NO_PASSKEY

    async def _ask(self, task: TaskView, decision: Decision) -> dict[str, Any]:
        """Store the decision to confirm, and return what the browser needs for the passkey."""
        pending = PendingConfirmation(
            nonce=secrets.token_urlsafe(24),
            person=decision.by.id,
            task_id=task.task_id,
            decision_id=decision.id,
            at=decision.at,
        )
        expected, party = self._challenge(task, decision, pending.nonce), relying_party(self._settings)
        async with self._db.write() as conn:
            await confirmations.add(conn, pending)
            options = await passkeys.authentication_options(conn, party, decision.by.id, expected)
        return {
            "nonce": pending.nonce,
            "challenge": base64url(expected),
            "options": options,
            "expires_at": (pending.at + VALID).isoformat(),
        }

    def _challenge(self, task: TaskView, decision: Decision, nonce: str) -> bytes:
        """Return what a passkey signs to confirm this decision. The confirmation itself is no part of it."""
        return challenge(signed_fields(decision, self._namespace, task.workflow_id or task.case_id), nonce)

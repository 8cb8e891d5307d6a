"""Read the groups of a person again before a decision, if the provider gave them and they are old.

If the provider does not answer, the groups of the last reading count, except where a decision must be confirmed.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from api.http.problems import Problem, forbidden, unavailable
from api.oidc import claims
from api.oidc.accounts import Accounts
from api.oidc.errors import GrantEnded, NotAccepted, ProviderDown
from api.oidc.exchange import Tokens, read_again
from api.oidc.provider import Provider
from core.secret_box import SecretBox
from core.settings import Settings
from policy.model import Policy
from store.db.database import Database
from store.people import identities, people
from store.people.identities import Identity
from store.people.people import Person

PATIENCE_S = 2.5
"""The most seconds that a decision waits for the provider. The reading then goes on, and counts for later decisions."""
TURN = timedelta(seconds=20)
"""How long one request may read the groups of an account before another one may try."""
PAUSE_S = 0.1
DOWN_FOR_S = 5.0
"""Seconds for which no decision waits for a provider that has just not answered."""

_log = logging.getLogger("holdgate.oidc")


class FreshGroups:
    """Reads groups again. Each gateway has one such object."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        provider: Provider,
        accounts: Accounts,
        box: SecretBox,
        policy: Callable[[], Policy],
    ) -> None:
        self._settings, self._db, self._provider, self._accounts = settings, db, provider, accounts
        self._box, self._policy = box, policy
        self._readings: WeakValueDictionary[str, asyncio.Task[None]] = WeakValueDictionary()
        self._running: set[asyncio.Task[None]] = set()
        self._down_until = 0.0

    async def close(self) -> None:
        """Let running readings end: a refresh token that the provider has taken must be stored."""
        if self._running:
            await asyncio.wait(self._running, timeout=PATIENCE_S)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def encrypted(self, identity: Identity, tokens: Tokens) -> str:
        """Return the tokens of an account as the database stores them."""
        return self._box.encrypt(tokens.as_text(), identity.identity_id)

    def tokens_of(self, identity: Identity) -> Tokens | None:
        """Return the tokens of the last sign-in of an account; None if there are none that can be read."""
        if identity.encrypted_tokens is None:
            return None
        return Tokens.of_text(self._box.decrypt(identity.encrypted_tokens, identity.identity_id))

    async def fresh(self, person: Person, *, confirm: bool) -> Person:
        """Return the person with groups that are at most `HOLDGATE_OIDC_GROUPS_AGE` old, as far as the provider sets
        them.

        `confirm` is True if the decision must be confirmed. Raises Problem 403 if the provider needs a new sign-in, or
        the person was deactivated, and 503 if the provider does not answer and `confirm` is True.
        """
        async with self._db.read() as conn:
            own = await identities.of(conn, person.id, self._provider.issuer)
        identity = own[0] if own else None
        if identity is None or not self._is_old(identity):
            return person
        name = self._settings.oidc_label
        try:
            await self._read_soon(identity)
        except GrantEnded as ended:
            raise Problem(
                403,
                f"Holdgate must read your groups again before you decide, and {name} needs a new sign-in for that. "
                "Open /sign-in/oidc to sign in again, then decide.",
                kind="sign-in-again",
                sign_in_url=f"{self._settings.public_url}/sign-in/oidc",
            ) from ended
        except (ProviderDown, NotAccepted) as error:
            if confirm:
                raise unavailable(
                    f"This decision must be confirmed, so Holdgate reads your groups again first, and {name} does not "
                    "answer. Try again in a moment."
                ) from error
            return person
        async with self._db.read() as conn:
            now = await people.acting(conn, person.id, datetime.now(UTC))
        if now is None:
            raise forbidden("Your account was deactivated.", "active people")
        return now

    def _is_old(self, identity: Identity) -> bool:
        """Return True if the provider has said groups, and the last time is too long ago."""
        read_at = identity.groups_read_at
        return read_at is not None and datetime.now(UTC) - read_at > self._settings.groups_age

    async def _read_soon(self, identity: Identity) -> None:
        """Wait for a reading of the groups: the one that runs in this gateway, or a new one.

        Raises ProviderDown also if the reading takes longer than `PATIENCE_S`, and NotAccepted.
        """
        if time.monotonic() < self._down_until:
            raise ProviderDown(f"{self._provider.issuer} did not answer a moment ago")
        reading = self._readings.get(identity.identity_id)
        if reading is None or reading.done():
            reading = asyncio.create_task(self._read(identity))
            self._readings[identity.identity_id] = reading
            self._running.add(reading)
            reading.add_done_callback(self._ended)
        done, _ = await asyncio.wait({reading}, timeout=PATIENCE_S)
        if not done:
            raise ProviderDown(f"{self._provider.issuer} did not answer within {PATIENCE_S} s")
        await reading

    def _ended(self, reading: asyncio.Task[None]) -> None:
        self._running.discard(reading)
        error = None if reading.cancelled() else reading.exception()
        if isinstance(error, ProviderDown):
            self._down_until = time.monotonic() + DOWN_FOR_S
        if error is not None:
            _log.warning("the groups of a person cannot be read again: %s", error)

    async def _read(self, known: Identity) -> None:
        """Read the groups of an account again, unless another gateway does so meanwhile."""
        while True:
            async with self._db.write() as conn:
                identity = await identities.find(conn, known.issuer, known.subject)
                if identity is None or identity.person != known.person:
                    raise GrantEnded("identity", "the account was disconnected")
                if not self._is_old(identity):
                    return
                if await identities.take_turn(conn, identity, datetime.now(UTC), TURN):
                    break
            await asyncio.sleep(PAUSE_S)
        read_at, stored = identity.groups_read_at, identity.encrypted_tokens

        async def keep(tokens: Tokens) -> None:
            nonlocal stored
            stored = self.encrypted(identity, tokens)
            async with self._db.write() as conn:
                await identities.keep_tokens(conn, identity, stored)

        try:
            answer = await read_again(self._provider, identity.subject, self.tokens_of(identity), keep)
            values = claims.groups_in(self._settings.oidc_groups_claim, answer.claims, answer.userinfo)
            if values is not None:
                await self._accounts.give_groups(self._db, identity.person, values, self._policy())
            read_at = datetime.now(UTC)
        except GrantEnded:
            stored = None
            raise
        finally:
            async with self._db.write() as conn:
                await identities.note_reading(conn, identity, read_at, stored)

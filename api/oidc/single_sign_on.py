"""Single sign-on, as routes and pages use it: sign in, sign out, access tokens of the API, fresh groups."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import httpx2

from api.http.credentials import Credential
from api.http.problems import unauthenticated, unavailable
from api.oidc import claims, exchange, tokens
from api.oidc.accounts import Accounts
from api.oidc.attempts import Attempt
from api.oidc.errors import NotAccepted, ProviderDown
from api.oidc.exchange import Answer
from api.oidc.fresh_groups import FreshGroups
from api.oidc.provider import Provider
from core.outbound import OutboundGuard, guarded_client
from core.secret_box import open_secret_box
from core.settings import Settings
from domain.token_scopes import TokenScope
from policy.model import Policy
from store.db.database import Database
from store.people import identities, people, sessions
from store.people.identities import Identity
from store.people.people import Person
from store.people.sessions import ProviderSession, Session

CALLBACK = "/sign-in/oidc/callback"
MAX_ANSWER_BYTES = 1024 * 1024
"""The most bytes of an answer of the provider. Its keys, and the groups of a person, may be long."""

SCOPES = frozenset(TokenScope)


@dataclass(frozen=True)
class SignedInThere:
    """A person whom the identity provider has signed in."""

    person: Person
    provider: ProviderSession
    zone: str


class SingleSignOn:
    """Single sign-on with the identity provider of this installation."""

    def __init__(
        self, settings: Settings, db: Database, http: httpx2.AsyncClient, policy: Callable[[], Policy]
    ) -> None:
        """Prepare everything, without a request to the provider. Raises WrongSettings for a wrong key file."""
        assert settings.oidc_issuer is not None and settings.oidc_client_id is not None
        secret = settings.oidc_client_secret
        self.issuer = settings.oidc_issuer
        self.name = settings.oidc_label
        self._settings, self._db, self._policy = settings, db, policy
        self._redirect_uri = settings.public_url + CALLBACK
        self._provider = Provider(
            self.issuer, settings.oidc_client_id, secret.get_secret_value() if secret else None, http
        )
        self._accounts = Accounts(settings, self.issuer)
        self.box = open_secret_box(settings.secrets_key)
        """Encrypts the attempts in cookies, and the tokens of accounts."""
        self._groups = FreshGroups(settings, db, self._provider, self._accounts, self.box, policy)

    async def close(self) -> None:
        """Let what runs in the background end."""
        await self._groups.close()

    # --------------------------------------------------------------------------------------------------------- sign in

    async def address(self, attempt: Attempt) -> str:
        """Return the address at the provider with which the attempt begins. Raises ProviderDown, NotAccepted."""
        return await exchange.address(self._provider, attempt, self._redirect_uri, self._settings.oidc_scopes)

    async def finish(self, params: Mapping[str, str], attempt: Attempt | None) -> SignedInThere:
        """Return the person who comes back from the provider with these parameters. A new person is created.

        Raises NotAccepted, ProviderDown.
        """
        answer, now = await exchange.finish(self._provider, params, attempt, self._redirect_uri), datetime.now(UTC)
        assert attempt is not None
        async with self._db.write() as conn:
            identity = await self._accounts.identity_of(conn, answer, attempt.connect, now)
            if (person := await people.active(conn, identity.person)) is None or person.kind != "person":
                raise NotAccepted("deactivated" if person is None else "service", person=identity.person)
            await identities.note_sign_in(conn, identity, now, self._groups.encrypted(identity, answer.tokens))
        await self._take_groups(identity, answer, now)
        async with self._db.read() as conn:
            person = await people.acting(conn, identity.person, now)
        if person is None:
            raise NotAccepted("deactivated", person=identity.person)
        # Only what the provider signs: somebody at an open browser can remove `prompt=login` from the address.
        session = ProviderSession(self.issuer, identity.subject, answer.claims.get("sid"), answer.proved_at)
        return SignedInThere(person, session, claims.time_zone_of(answer.known))

    async def _take_groups(self, identity: Identity, answer: Answer, now: datetime) -> None:
        """Give the person the groups in the answer. If it says nothing about groups, they stay as they are."""
        values = claims.groups_in(self._settings.oidc_groups_claim, answer.claims, answer.userinfo)
        if values is None:
            return
        await self._accounts.give_groups(self._db, identity.person, values, self._policy())
        async with self._db.write() as conn:
            await identities.note_groups(conn, identity, now)

    async def fresh(self, person: Person, *, confirm: bool) -> Person:
        """Return the person with fresh groups. See `FreshGroups.fresh`."""
        return await self._groups.fresh(person, confirm=confirm)

    # -------------------------------------------------------------------------------------------------------- sign out

    async def sign_out_address(self, session: Session) -> str | None:
        """Return the address at which the person of this session signs out of the provider, too; None without one."""
        if session.issuer != self.issuer or session.subject is None:
            return None
        try:
            where = (await self._provider.metadata()).end_session_endpoint
        except (ProviderDown, NotAccepted):
            return None
        if where is None:
            return None
        asked = {
            "client_id": self._provider.client_id,
            "post_logout_redirect_uri": f"{self._settings.public_url}/sign-in",
        }
        async with self._db.read() as conn:
            identity = await identities.find(conn, self.issuer, session.subject)
        kept = self._groups.tokens_of(identity) if identity else None
        if kept is not None and kept.id_token is not None:
            asked["id_token_hint"] = kept.id_token
        return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(asked)}"

    async def sign_out(self, logout_token: str) -> int:
        """End the sessions that the provider has ended (back-channel logout), and return their number.

        Raises NotAccepted, ProviderDown.
        """
        said, now = await tokens.logout_token(self._provider, logout_token), datetime.now(UTC)
        async with self._db.write() as conn:
            remembered = timedelta(seconds=tokens.LOGOUT_AGE_S + 2 * tokens.LEEWAY_S)
            if not await identities.use_logout_token(conn, self.issuer, said["jti"], now, remembered):
                raise NotAccepted("jti", "the logout token was used before")
            return await sessions.end_at_provider(conn, self.issuer, said.get("sub"), said.get("sid"))

    # ------------------------------------------------------------------------------------------------------ API tokens

    async def caller(self, token: str) -> tuple[Person, Credential]:
        """Return the person of an access token (JWT), and the credential. Raises Problem 401 or 503."""
        audience = self._settings.oidc_audience
        if audience is None:
            raise unauthenticated(
                "This gateway accepts no access tokens of an identity provider (HOLDGATE_OIDC_AUDIENCE is not set). "
                "Create a token on the page Settings."
            )
        try:
            said = await tokens.access_token(self._provider, token, audience)
        except NotAccepted as no:
            raise unauthenticated(f"The access token of {self.name} is not accepted ({no.why}).") from no
        except ProviderDown as down:
            raise unavailable(f"{self.name} does not answer, so the access token cannot be checked.") from down
        async with self._db.read() as conn:
            identity = await identities.find(conn, self.issuer, said["sub"])
            person = await people.acting(conn, identity.person, datetime.now(UTC)) if identity else None
        if person is None:
            raise unauthenticated(_no_account(self.name, identity))
        if _is_of_program(said) and person.kind != "service":
            raise unauthenticated(
                f"This access token belongs to a program of {self.name}. Connect the program to a service account, not "
                "to a person."
            )
        return person, Credential("jwt", f"jwt:{said['sub']}", scopes_of(said))


@asynccontextmanager
async def opened(settings: Settings, db: Database, policy: Callable[[], Policy]) -> AsyncIterator[SingleSignOn | None]:
    """Yield single sign-on as the settings say; None if they name no identity provider."""
    if settings.oidc_issuer is None:
        yield None
        return
    guard = OutboundGuard.parse(settings.outbound_allow)
    async with guarded_client(guard, trusted_origin=settings.oidc_issuer, max_bytes=MAX_ANSWER_BYTES) as http:
        found = SingleSignOn(settings, db, http, policy)
        try:
            yield found
        finally:
            await found.close()


def scopes_of(said: Mapping[str, object]) -> frozenset[str] | None:
    """Return the scopes of Holdgate in an access token; None if it has none, and so is not limited.

    RFC 9068 has one text, `scope`. Some providers send a list, or `scp`: a token with a limit must never have none.
    """
    named: set[str] = set()
    for listed in (said.get("scope"), said.get("scp")):
        names = listed.split() if isinstance(listed, str) else listed if isinstance(listed, list) else []
        named.update(each for each in names if isinstance(each, str))
    return frozenset(SCOPES & named) or None


def _is_of_program(said: Mapping[str, object]) -> bool:
    """Return True if a program got the token for itself (client credentials), as Entra and others mark it."""
    return said["sub"] == said["client_id"] or said.get("idtyp") == "app"


def _no_account(name: str, identity: Identity | None) -> str:
    if identity is None:
        return (
            f"Nobody here has this account of {name}. A person signs in to the pages once; an administrator connects a "
            "program with ./holdgate people connect."
        )
    return f"{identity.person} was deactivated. Ask an administrator."

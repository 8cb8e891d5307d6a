"""Find or create the person of an account of the identity provider, and give the person the provider's groups."""

import logging
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlsplit

from api.oidc import claims
from api.oidc.errors import NotAccepted
from api.oidc.exchange import Answer
from core.settings import Settings
from domain.input_errors import WrongField
from domain.names import ADMINS
from domain.normalization import fold
from policy.groups import known_groups
from policy.model import Policy
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import identities, new_ids, people, provided_groups
from store.people.identities import AlreadyConnected, Identity
from store.people.last_admin import LastAdmin
from store.people.name_resolver import group_names

_log = logging.getLogger("holdgate.oidc")


class Accounts:
    """The accounts of one identity provider, and the people to whom they belong."""

    def __init__(self, settings: Settings, issuer: str) -> None:
        self._settings = settings
        self.issuer = issuer
        self.actor = f"oidc:{urlsplit(issuer).netloc}"
        """The actor of changes that the provider causes, in the audit log."""

    async def identity_of(self, conn: AsyncConnection, answer: Answer, connect: str | None, now: datetime) -> Identity:
        """Return the account of the answer. If it is new, connect it to a person, whom this may create.

        `connect` is the id of the signed-in person who connects this account; None for a sign-in. Raises NotAccepted.
        """
        if connect is not None:
            try:
                return await identities.connect(conn, connect, self.issuer, answer.subject, connect, now)
            except AlreadyConnected as other:
                raise NotAccepted("connected", str(other)) from other
        found = await identities.find(conn, self.issuer, answer.subject)
        if found is not None:
            return found
        person = await self._provisioned_person(conn, answer) or await self._person_with_address(conn, answer, now)
        person = person or await self._new_person(conn, answer)
        return await identities.connect(conn, person, self.issuer, answer.subject, self.actor, now)

    async def give_groups(self, db: Database, person: str, values: Iterable[str], policy: Policy) -> None:
        """Make the provider's groups of a person those of the values of the groups claim.

        If nobody else is an administrator, the person stays one: otherwise nobody could correct the provider.
        """
        for stays in (set(), {ADMINS}):
            try:
                async with db.write() as conn:
                    known = known_groups(policy) | await group_names(conn)
                    given = claims.groups_of(values, self._settings.oidc_groups, known)
                    await provided_groups.assign(conn, person, given | stays, "oidc", self.actor)
                return
            except LastAdmin:
                if stays:
                    raise
                _log.warning("the last administrator stays one, but %s gives the group to nobody any more", self.issuer)

    async def _provisioned_person(self, conn: AsyncConnection, answer: Answer) -> str | None:
        """Return the person whom the provider has sent by SCIM as the user of this account; None if it sent nobody.

        Raises NotAccepted if this person had another way to sign in before: then the person connects the account.
        """
        names = {fold(name) for name in claims.user_names_of(answer.known)}
        found = await identities.provisioned(conn, names, claims.external_ids_of(answer.subject, answer.known))
        if found and (len(found) > 1 or await identities.had_another_way(conn, found[0])):
            raise NotAccepted("address-in-use", person=found[0])
        return found[0] if found else None

    async def _person_with_address(self, conn: AsyncConnection, answer: Answer, now: datetime) -> str | None:
        """Return the person here who has the e-mail address of the account; None if nobody has it.

        Raises NotAccepted if the account cannot be connected to this person: two people must not have one address,
        because one person with two ids could ask and approve.
        """
        address = claims.email_of(answer.known)
        owner = await identities.owner_of_address(conn, address, now) if address else None
        if owner is None:
            return None
        person, settled = owner
        verified = claims.verified_email_of(answer.known) is not None
        if not (self._settings.oidc_connect_by_email and verified and settled):
            raise NotAccepted("address-in-use", person=person)
        if await identities.of(conn, person, self.issuer):  # the provider may have given the address to somebody else
            raise NotAccepted("address-in-use", person=person)
        return person

    async def _new_person(self, conn: AsyncConnection, answer: Answer) -> str:
        said = answer.known
        id = await new_ids.free_id(conn, claims.id_stem(said))
        name, address = claims.name_of(said, id), claims.email_of(said)
        try:
            await people.add(conn, id, name, [], by=self.actor, email=address)
        except WrongField as wrong:
            if wrong.field != "email":
                raise
            await people.add(conn, id, name, [], by=self.actor)  # the provider says an address that is none
        return id

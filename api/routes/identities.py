"""Routes for accounts of identity providers: which account signs in as which person.

No route connects an account to another person: an administrator could connect their own account, and act as this
person. People connect their own accounts on the page Settings, and `./holdgate people connect` does it on the server.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict

from api.deps import Db, Plain
from api.http.callers import Caller
from api.http.problems import Problem, documented, not_found
from api.http.security import Admin, PeopleReader
from api.routes.absences import PersonId, person_or_404
from store.db.database import Database
from store.people import identities
from store.people.identities import UnknownIdentity
from store.people.last_admin import LastAdmin

router = APIRouter(tags=["people"])

IdentityId = Annotated[Plain, Path(max_length=64)]


class IdentityItem(BaseModel):
    """An account of an identity provider that signs in as a person. The subject of the account is not shown."""

    model_config = ConfigDict(from_attributes=True)

    identity_id: str
    issuer: str
    connected_by: str
    connected_at: datetime
    signed_in_at: datetime | None
    groups_read_at: datetime | None


class IdentityList(BaseModel):
    """The accounts of a person, the last used first."""

    items: list[IdentityItem]


@router.get("/me/identities", responses=documented(401, 503))
async def my_identities(person: Caller, db: Db) -> IdentityList:
    """List the accounts of identity providers that sign in as the caller."""
    return await _listed(db, person.id)


@router.get("/people/{person_id}/identities", responses=documented(401, 404, 422, 503))
async def identities_of(person_id: PersonId, _reader: PeopleReader, db: Db) -> IdentityList:
    """List the accounts of identity providers that sign in as a person. For auditors and admins."""
    await person_or_404(db, person_id)
    return await _listed(db, person_id)


@router.delete("/people/{person_id}/identities/{identity_id}", responses=documented(401, 403, 404, 409, 422, 503))
async def disconnect(person_id: PersonId, identity_id: IdentityId, admin: Admin, db: Db) -> IdentityList:
    """Disconnect an account from a person, whose sessions with this account end. Admins only.

    The groups that the provider gave to the person are taken away with the last account.
    """
    await person_or_404(db, person_id)
    try:
        async with db.write() as conn:
            await identities.disconnect(conn, person_id, identity_id, by=admin.id)
    except UnknownIdentity as unknown:
        raise not_found("account") from unknown
    except LastAdmin as last:
        raise Problem(409, f"{last}.", kind="last-admin") from last
    return await _listed(db, person_id)


async def _listed(db: Database, person: str) -> IdentityList:
    async with db.read() as conn:
        found = await identities.of(conn, person)
    return IdentityList(items=[IdentityItem.model_validate(each) for each in found])

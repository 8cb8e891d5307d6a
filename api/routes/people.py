"""Routes for people: their groups, sign-in and tokens. Auditors can read this data; admins can read and change it."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.deps import Db, Limit, Plain, Search, TheServices
from api.http.callers import Caller
from api.http.field_errors import field_errors
from api.http.problems import Problem, documented, not_found
from api.http.schemas import Page
from api.http.security import Admin, PeopleReader, check_for_another
from api.http.step_up import Proof, check_password
from api.routes.absences import PersonId, person_or_404
from api.services.add_to_groups import ConfirmGroup, put_into
from api.services.person_lookup import find_person
from domain.moments import Moment
from domain.token_scopes import TokenScope
from store.db.database import Database
from store.people import passwords, people, people_list, sessions, tokens
from store.people.last_admin import LastAdmin
from store.people.people import Person
from store.people.people_list import RosterEntry, RosterGroup
from store.people.tokens import Token, UnknownToken

router = APIRouter(tags=["people"])

GroupName = Annotated[Plain, Path(max_length=60)]
TokenId = Annotated[Plain, Path(max_length=64)]
_READS, _KEEPS = documented(401, 404, 422, 503), documented(401, 403, 404, 422, 503)


class NewPerson(BaseModel):
    """A new user of Holdgate."""

    model_config = ConfigDict(extra="forbid")

    id: Plain = Field(max_length=200, description="Short; it never changes", examples=["anna"])
    name: Plain = Field(max_length=200, examples=["Anna Berg"])
    groups: list[Plain] = Field([], max_length=50, examples=[["managers"]])
    email: Plain | None = Field(
        None, max_length=254, description="The address for mails. No answer contains the address"
    )


class PersonChanges(BaseModel):
    """Changes of a person. A field that the request leaves out does not change; null removes the value."""

    model_config = ConfigDict(extra="forbid")

    email: Plain | None = Field(None, max_length=254)
    manager: Plain | None = Field(
        None, max_length=200, description="The manager of the person: an id, a name or an e-mail address"
    )
    time_zone: Plain | None = Field(None, max_length=60, examples=["Europe/London"])


class NewToken(BaseModel):
    """A new token for a script or a program."""

    model_config = ConfigDict(extra="forbid")

    label: Plain = Field(
        min_length=1, max_length=60, description="Where the token is used", examples=["nightly import"]
    )
    scopes: list[TokenScope] | None = Field(
        None, min_length=1, description="What the token may be used for. Without this, all that you may do"
    )
    expires_at: Moment | None = Field(None, description="When the token ends. Without this, when you revoke the token")
    password: Plain = Field(
        max_length=1000, description="The caller's own password: a token alone creates no other token"
    )


class MadeToken(BaseModel):
    """A new token. Only this answer shows the secret of the token."""

    person: str
    label: str
    token: str = Field(examples=["hg_..."])


class TokenList(BaseModel):
    """The tokens of a person, the newest first."""

    items: list[Token]


class GroupList(BaseModel):
    """The groups, ordered by name."""

    items: list[RosterGroup]


@router.get("/people", responses=_READS)
async def list_people(
    _reader: PeopleReader, db: Db, q: Search = None, group: Search = None, cursor: Search = None, limit: Limit = 50
) -> Page[RosterEntry]:
    """List people, ordered by id. For auditors and admins."""
    async with db.read() as conn:
        found = await people_list.page(conn, datetime.now(UTC), q=q, group=group, after=cursor or "", limit=limit + 1)
    return Page(items=found[:limit], next_cursor=found[limit - 1].id if len(found) > limit else None)


@router.post("/people", status_code=201, responses=documented(401, 403, 404, 409, 422, 503))
async def add_person(new: NewPerson, admin: Admin, services: TheServices, confirm: ConfirmGroup = False) -> RosterEntry:
    """Add a person. The person needs a password or token to sign in, such as by a one-time link. Admins only."""
    with field_errors(field="id", others=("email", "name", "groups")):
        async with put_into(services, new.groups, confirm=confirm, field="groups") as conn:
            await people.add(conn, new.id, new.name, new.groups, by=admin.id, email=new.email)
    return await _entry(services.db, new.id)


@router.get("/people/{person_id}", responses=_READS)
async def one_person(person_id: PersonId, _reader: PeopleReader, db: Db) -> RosterEntry:
    """Return one person. For auditors and admins."""
    return await _entry(db, person_id)


@router.patch("/people/{person_id}", responses=_KEEPS)
async def change_person(person_id: PersonId, changes: PersonChanges, admin: Admin, db: Db) -> RosterEntry:
    """Change a person's address, manager or time zone. Admins only.

    An admin cannot set their own address or manager, or make themselves the manager of a person: another admin must do
    this.
    """
    await person_or_404(db, person_id)
    if changes.email is not None:
        check_for_another(admin, person_id, "set your own e-mail address")
    setters = {"email": people.set_email, "manager": people.set_manager, "time_zone": people.set_time_zone}
    if changes.manager:
        async with db.read() as conn:
            manager = await find_person(conn, changes.manager, admin, field="manager", asking="Who is the manager?")
        changes = changes.model_copy(update={"manager": manager})
        check_for_another(admin, person_id, "set your own manager")
        check_for_another(admin, manager, "become a manager")
    async with db.write() as conn:
        for field in sorted(changes.model_fields_set):
            with field_errors(field=field):
                await setters[field](conn, person_id, getattr(changes, field), admin.id)
    return await _entry(db, person_id)


@router.put("/people/{person_id}/groups/{group}", responses=documented(401, 403, 404, 409, 422, 503))
async def join_group(
    person_id: PersonId, group: GroupName, admin: Admin, services: TheServices, confirm: ConfirmGroup = False
) -> RosterEntry:
    """Add another person to a group. Groups whose members an identity provider sets are refused. Admins only."""
    await person_or_404(services.db, person_id)
    check_for_another(admin, person_id, "join a group")
    with field_errors(field="group"):
        async with put_into(services, [group], confirm=confirm, field="group") as conn:
            await people.join(conn, person_id, group, by=admin.id)
    return await _entry(services.db, person_id)


@router.delete("/people/{person_id}/groups/{group}", responses=documented(401, 403, 404, 409, 422, 503))
async def leave_group(person_id: PersonId, group: GroupName, admin: Admin, db: Db) -> RosterEntry:
    """Remove a person from a group. Admins only.

    The last admin cannot be removed. A membership that an identity provider gave ends only at the provider.
    """
    await person_or_404(db, person_id)
    try:
        with field_errors(field="group"):
            async with db.write() as conn:
                await people.leave(conn, person_id, group, by=admin.id)
    except LastAdmin as last:
        raise Problem(409, f"{last}.", kind="last-admin") from last
    return await _entry(db, person_id)


@router.get("/groups", responses=_READS)
async def list_groups(_reader: PeopleReader, db: Db) -> GroupList:
    """List all groups that have members. For auditors and admins."""
    async with db.read() as conn:
        return GroupList(items=await people_list.groups(conn))


# ----------------------------------------------------------------------------------------------------- how they sign in


@router.get("/people/{person_id}/tokens", responses=_READS)
async def tokens_of(person_id: PersonId, _reader: PeopleReader, db: Db) -> TokenList:
    """List the tokens of a person, without their secrets. For auditors and admins."""
    await person_or_404(db, person_id)
    async with db.read() as conn:
        return TokenList(items=await tokens.of(conn, person_id))


@router.delete("/people/{person_id}/tokens", responses=_KEEPS)
async def revoke_all(person_id: PersonId, admin: Admin, db: Db) -> TokenList:
    """Revoke all tokens of a person. Admins only."""
    await person_or_404(db, person_id)
    async with db.write() as conn:
        await tokens.revoke_all(conn, person_id, by=admin.id)
        return TokenList(items=await tokens.of(conn, person_id))


@router.delete("/people/{person_id}/tokens/{token_id}", responses=_KEEPS)
async def revoke_one(person_id: PersonId, token_id: TokenId, admin: Admin, db: Db) -> TokenList:
    """Revoke one token of a person. Admins only."""
    await person_or_404(db, person_id)
    return await _revoked(db, person_id, token_id, by=admin.id)


@router.post("/people/{person_id}/unlock", status_code=204, responses=_KEEPS)
async def unlock(person_id: PersonId, admin: Admin, db: Db) -> Response:
    """Let a person who entered too many wrong passwords try to sign in again at once. Admins only."""
    await person_or_404(db, person_id)
    async with db.write() as conn:
        await passwords.unlock(conn, person_id, by=admin.id)
    return Response(status_code=204)


@router.delete("/people/{person_id}/sessions", status_code=204, responses=_KEEPS)
async def end_sessions(person_id: PersonId, admin: Admin, db: Db) -> Response:
    """Sign a person out of all browsers. Admins only."""
    await person_or_404(db, person_id)
    async with db.write() as conn:
        await sessions.end_all(conn, person_id, by=admin.id)
    return Response(status_code=204)


# -------------------------------------------------------------------------------------------------- the caller's tokens


@router.get("/me/tokens", responses=documented(401, 503))
async def my_tokens(person: Caller, db: Db) -> TokenList:
    """List the caller's tokens, without their secrets."""
    async with db.read() as conn:
        return TokenList(items=await tokens.of(conn, person.id))


@router.post("/me/tokens", status_code=201, responses=documented(401, 403, 422, 503))
async def make_my_token(new: NewToken, person: Caller, db: Db) -> MadeToken:
    """Create a token for a script of the caller. The caller must send their password. Only this answer shows the token.

    A person without a password sets a password, or gets a token, with a one-time link. A person who signs in with an
    identity provider creates tokens on the page Settings.
    """
    return await make_token(db, person, new, await check_password(db, person, new.password))


async def make_token(db: Database, person: Person, new: NewToken, proof: Proof) -> MadeToken:
    """Create a token for the person, who has proven to be present. Raises Problem 409 and 422."""
    with field_errors(field="label", others=("expires_at",)):
        async with db.write() as conn:
            await proof.still_holds(conn)
            token = await tokens.make(
                conn, person.id, new.label, by=person.id, scopes=new.scopes, expires_at=new.expires_at
            )
    return MadeToken(person=person.id, label=new.label.strip(), token=token)


@router.delete("/me/tokens/{token_id}", responses=documented(401, 404, 422, 503))
async def revoke_mine(token_id: TokenId, person: Caller, db: Db) -> TokenList:
    """Revoke one token of the caller."""
    return await _revoked(db, person.id, token_id, by=person.id)


async def _revoked(db: Database, person: str, token_id: str, by: str) -> TokenList:
    try:
        async with db.write() as conn:
            await tokens.revoke(conn, person, token_id, by=by)
            return TokenList(items=await tokens.of(conn, person))
    except UnknownToken as unknown:
        raise not_found("token") from unknown


async def _entry(db: Database, id: str) -> RosterEntry:
    async with db.read() as conn:
        found = await people_list.page(conn, datetime.now(UTC), only=id)
    if not found:
        raise not_found("person")
    return found[0]

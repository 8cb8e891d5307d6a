"""Routes for passkeys, with which people sign in and confirm decisions.

A browser makes a passkey, so the routes that add one are for pages, and for clients that control a browser. A token
alone neither adds nor removes a passkey of the caller: the caller also sends their password.
"""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api.container import Services
from api.deps import Db, Plain, TheServices
from api.http.callers import Caller
from api.http.problems import FieldError, Problem, documented, invalid, not_found
from api.http.security import Admin, PeopleReader
from api.http.step_up import Proof, check_presence
from api.routes.absences import PersonId, person_or_404
from api.services import passkeys as ceremonies
from api.services.passkeys import NotAccepted
from api.services.relying_party import relying_party
from store.db.database import Database
from store.people import passkeys
from store.people.passkeys import UnknownPasskey
from store.people.people import Person
from store.people.sessions import Session

router = APIRouter(tags=["people"])

PasskeyId = Annotated[Plain, Path(max_length=64)]


class NewPasskey(BaseModel):
    """A new passkey, in two requests: first with the password, then with the answer of the browser."""

    model_config = ConfigDict(extra="forbid")

    password: Plain = Field("", max_length=1000, description="First request: the caller's own password")
    credential: dict[str, Any] | None = Field(
        None, description="Second request: `toJSON()` of what `navigator.credentials.create` returned", max_length=20
    )
    name: Plain = Field(
        "", max_length=1000, description="Second request: the name of the passkey", examples=["Work laptop"]
    )


class PasskeyOptions(BaseModel):
    """What the browser needs to make the passkey, for five minutes."""

    options: dict[str, Any] = Field(description="For `PublicKeyCredential.parseCreationOptionsFromJSON`")


class PasskeyItem(BaseModel):
    """A passkey."""

    model_config = ConfigDict(from_attributes=True)

    passkey_id: str
    name: str
    domain: str = Field(description="Browsers offer the passkey only to pages of this domain")
    device_type: str = Field(description="`multi_device`: can be synchronised to other devices of the person")
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None


class PasskeyList(BaseModel):
    """The passkeys of a person, the oldest first."""

    items: list[PasskeyItem]


class PasskeyName(BaseModel):
    """A new name of a passkey."""

    model_config = ConfigDict(extra="forbid")

    name: Plain = Field(max_length=1000, examples=["Work laptop"])


class Presence(BaseModel):
    """What shows that the caller is present."""

    model_config = ConfigDict(extra="forbid")

    password: Plain = Field("", max_length=1000, description="The caller's own password")


@router.get("/me/passkeys", responses=documented(401, 404, 503))
async def my_passkeys(person: Caller, services: TheServices) -> PasskeyList:
    """List the caller's passkeys.

    404 if browsers refuse passkeys at `HOLDGATE_PUBLIC_URL`; the problem names the setting.
    """
    relying_party(services.settings)
    return await _listed(services.db, person.id)


@router.post(
    "/me/passkeys",
    responses={**documented(401, 403, 404, 409, 422, 503), 201: {"model": PasskeyItem, "description": "Added"}},
)
async def add_my_passkey(
    new: NewPasskey, person: Caller, services: TheServices, answer: Response
) -> PasskeyOptions | PasskeyItem:
    """Add a passkey of the caller, in two requests.

    The first request has the password of the caller, and its answer has the options for the browser. The second request
    has the name, and the credential that the browser made: the answer 201 is the new passkey.
    """
    if new.credential is None:
        return PasskeyOptions(options=await begin(services, person, None, new.password))
    answer.status_code = 201
    return PasskeyItem.model_validate(await finish(services, person, new.credential, new.name))


@router.patch("/me/passkeys/{passkey_id}", responses=documented(401, 404, 422, 503))
async def rename_my_passkey(
    passkey_id: PasskeyId, new: PasskeyName, person: Caller, services: TheServices
) -> PasskeyItem:
    """Rename a passkey of the caller."""
    return PasskeyItem.model_validate(await rename(services, person, passkey_id, new.name))


@router.delete("/me/passkeys/{passkey_id}", responses=documented(401, 403, 404, 422, 503))
async def remove_my_passkey(
    passkey_id: PasskeyId, person: Caller, services: TheServices, presence: Presence | None = None
) -> PasskeyList:
    """Remove a passkey of the caller, who sends their password. Sessions that began with the passkey end."""
    await remove(services, person, None, passkey_id, presence.password if presence else "")
    return await _listed(services.db, person.id)


@router.get("/people/{person_id}/passkeys", responses=documented(401, 404, 422, 503))
async def passkeys_of(person_id: PersonId, _reader: PeopleReader, db: Db) -> PasskeyList:
    """List the passkeys of a person. For auditors and admins."""
    await person_or_404(db, person_id)
    return await _listed(db, person_id)


@router.delete("/people/{person_id}/passkeys/{passkey_id}", responses=documented(401, 403, 404, 422, 503))
async def remove_passkey(person_id: PersonId, passkey_id: PasskeyId, admin: Admin, db: Db) -> PasskeyList:
    """Remove a passkey of a person, such as one on a lost device. Admins only."""
    await person_or_404(db, person_id)
    await _removed(db, person_id, passkey_id, by=admin.id)
    return await _listed(db, person_id)


# ------------------------------------------------------------------------------------------------ shared with the pages


async def begin(services: Services, person: Person, session: Session | None, password: str) -> dict[str, Any]:
    """Return the options with which the browser makes a passkey.

    `session` is the session of the browser, None for a caller with a token. Raises Problem 404 if there can be no
    passkeys, and the problems of `check_presence`.
    """
    party = relying_party(services.settings)
    proof = await check_presence(services.db, person, session, password)
    async with services.db.write() as conn:
        await proof.still_holds(conn)
        return await ceremonies.registration_options(conn, party, person, datetime.now(UTC))


async def finish(services: Services, person: Person, credential: dict[str, Any], name: str) -> passkeys.Passkey:
    """Check and store the passkey that the browser made after `begin`. Raises Problem 404, 409 and 422."""
    party = relying_party(services.settings)
    try:
        name = passkeys.checked_name(name)
    except ValueError as wrong:
        raise _wrong_name(wrong) from wrong
    async with services.db.write() as conn:
        made = await ceremonies.register(conn, party, person.id, credential, name, datetime.now(UTC))
    if isinstance(made, NotAccepted):
        if made.why == "not-added":
            raise Problem(409, made.message, kind="passkey-not-added")
        raise invalid(made.message, [FieldError(field="credential", message=made.message)])
    return made


async def rename(services: Services, person: Person, passkey_id: str, name: str) -> passkeys.Passkey:
    """Rename a passkey of the person. Raises Problem 404 and 422."""
    try:
        async with services.db.write() as conn:
            return await passkeys.rename(conn, person.id, passkey_id, name)
    except UnknownPasskey as unknown:
        raise not_found("passkey") from unknown
    except ValueError as wrong:
        raise _wrong_name(wrong) from wrong


async def remove(services: Services, person: Person, session: Session | None, passkey_id: str, password: str) -> None:
    """Remove a passkey of the person. Raises Problem 404, and the problems of `check_presence`."""
    proof = await check_presence(services.db, person, session, password)
    await _removed(services.db, person.id, passkey_id, by=person.id, proof=proof)


async def _removed(db: Database, person: str, passkey_id: str, by: str, proof: Proof | None = None) -> None:
    try:
        async with db.write() as conn:
            if proof is not None:
                await proof.still_holds(conn)
            await passkeys.remove(conn, person, passkey_id, by=by)
    except UnknownPasskey as unknown:
        raise not_found("passkey") from unknown


async def _listed(db: Database, person: str) -> PasskeyList:
    async with db.read() as conn:
        found = await passkeys.of(conn, person)
    return PasskeyList(items=[PasskeyItem.model_validate(each) for each in found])


def _wrong_name(wrong: ValueError) -> Problem:
    message = f"{str(wrong)[:1].upper()}{str(wrong)[1:]}."
    return invalid(message, [FieldError(field="name", message=message)])

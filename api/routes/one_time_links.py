"""Routes for one-time links. With a link, a person sets a password or gets a token for themselves.

An administrator or the person requests a link. No administrator sees the complete link of another person: Holdgate
sends the link by mail to the stored address of the person. If this address is missing, or an administrator set it
within the last 7 days, or if the administrator who requests the link has set it, a second administrator must confirm
the link. If Holdgate sends no mail, or the address is missing, each of the two administrators gets one half of the code
of the link.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import Db, Plain, TheServices
from api.http.callers import Caller
from api.http.problems import Problem, documented, forbidden, not_found
from api.http.security import Admin, PeopleReader, admin
from api.http.ways_to_sign_in import check_passwords_on
from api.routes.absences import PersonId, person_or_404
from core.settings import Settings
from domain.notification import MAIL
from store.people import one_time_links
from store.people.one_time_links import LinkClosed, NotSecond, OneTimeLink, UnknownLink, WrongLink
from store.people.people import Person

router = APIRouter(tags=["people"])

LinkId = Annotated[Plain, Path(max_length=40)]
_CLOSES = documented(401, 403, 404, 409, 422, 503)


class MadeLink(OneTimeLink):
    """A one-time link, with the half of its code for this caller, if the link is not sent by mail.

    Only this answer shows the half.
    """

    half: str | None = Field(
        None,
        description="Without mail: your half of the code. Give it to the person. Another admin has the other half",
    )


class Links(BaseModel):
    """One-time links, the newest first."""

    items: list[OneTimeLink]


@router.post("/people/{person_id}/link", status_code=202, responses=_CLOSES)
async def send_link(person_id: PersonId, caller: Caller, services: TheServices) -> MadeLink:
    """Send a person a one-time link, to set a password or get a token for themselves.

    Admins can send a link to another person, and everybody to themselves. Holdgate sends the link only to the stored
    email address of the person, and the `status` of the link is `open`. In three cases another administrator must first
    confirm the link, whose `status` is then `waiting`: Holdgate sends no mail; the person has no address; or the
    address was set by an administrator within the last 7 days, or by the caller at any time. If the caller is the
    person, the answer is 409 in these cases. Older links of the person no longer work. While passwords are switched
    off, the answer is 403.
    """
    check_passwords_on(services.settings)
    if person_id != caller.id:
        await admin(caller)
        await person_or_404(services.db, person_id)
    with refusals():
        async with services.db.write() as conn:
            link, half = await one_time_links.ask(
                conn, person_id, caller.id, datetime.now(UTC), mail=sends_mail(services.settings)
            )
    return MadeLink(**link.model_dump(), half=half)


@router.get("/one-time-links", responses=documented(401, 404, 503))
async def list_links(_reader: PeopleReader, db: Db) -> Links:
    """List one-time links that wait for a second administrator, or that can be used. For auditors and admins."""
    async with db.read() as conn:
        return Links(items=await one_time_links.live(conn, datetime.now(UTC)))


@router.post("/one-time-links/{link_id}/confirm", responses=_CLOSES)
async def confirm_link(link_id: LinkId, admin: Admin, db: Db) -> MadeLink:
    """Confirm a one-time link that another administrator requested. Admins only.

    The two administrators must be independent. You cannot confirm the link if, within the last 7 days, one of you made
    the other an administrator, set the other's address, or requested or confirmed a link for the other, or if the same
    person did so for both of you.
    """
    with refusals():
        async with db.write() as conn:
            link, half = await one_time_links.confirm(conn, link_id, admin.id, datetime.now(UTC))
    return MadeLink(**link.model_dump(), half=half)


@router.post("/one-time-links/{link_id}/withdraw", responses=_CLOSES)
async def withdraw_link(link_id: LinkId, admin: Admin, db: Db) -> OneTimeLink:
    """Withdraw a one-time link that waits for confirmation or can be used. Admins only."""
    with refusals():
        async with db.write() as conn:
            return await one_time_links.withdraw(conn, link_id, admin.id, datetime.now(UTC))


def sends_mail(settings: Settings) -> bool:
    """Return True if Holdgate sends mail: the mail channel is switched on."""
    return MAIL in [name.strip() for name in settings.channels.split(",")]


def sends_mail_to(settings: Settings, person: Person) -> bool:
    """Return True if Holdgate sends mail and this person has an email address."""
    return bool(person.email) and sends_mail(settings)


@contextmanager
def refusals() -> Iterator[None]:
    """Run the block, and turn refusals of the database code about one-time links into problems."""
    try:
        yield
    except UnknownLink as unknown:
        raise not_found("one-time link") from unknown
    except WrongLink as wrong:
        raise Problem(409, f"{str(wrong)[:1].upper()}{str(wrong)[1:]}.", kind="no-link") from wrong
    except NotSecond as no:
        raise forbidden(str(no), "two administrators: one requests, another confirms") from no
    except LinkClosed as closed:
        raise Problem(409, str(closed), kind="already-closed", outcome=closed.link.status) from closed

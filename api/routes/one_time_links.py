"""Routes for one-time links. With a link, a person sets a password or gets a token for themselves.

An administrator requests a link but never sees the complete link: Holdgate mails the link to the address on record. If
that address is missing or was set lately, a second administrator confirms the link. Without mail, each of the two
administrators has one half of the code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api.deps import Db, Plain, TheServices
from api.http.problems import Problem, documented, forbidden, not_found
from api.http.security import Admin, Caller, PeopleReader, admin
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
    """A link, with its secret part for this caller. The part is shown only once."""

    half: str | None = Field(
        None,
        description="Your half of the code, if there is no mail. Give it to the person; another has the other half",
    )


class Links(BaseModel):
    """Links, the newest first."""

    items: list[OneTimeLink]


@router.post("/people/{person_id}/link", status_code=202, responses=_CLOSES)
async def send_link(person_id: PersonId, caller: Caller, services: TheServices) -> MadeLink:
    """Send a person a one-time link, to set a password or get a token for themselves.

    The link is mailed only to the address on record, never to another one. The `status` of the returned link is then
    `open`. The status is `waiting` until another administrator confirms the link if Holdgate sends no mail, if the
    person has no address, or if an administrator set the address within 7 days (the caller: ever). Older links of the
    person become void. Admins only; everybody may have one sent to themselves.
    """
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
    """List links that wait for a second administrator, or can be used. For auditors and admins."""
    async with db.read() as conn:
        return Links(items=await one_time_links.live(conn, datetime.now(UTC)))


@router.post("/one-time-links/{link_id}/confirm", responses=_CLOSES)
async def confirm_link(link_id: LinkId, admin: Admin, db: Db) -> MadeLink:
    """Confirm a link that another administrator asked for. Admins only.

    You cannot confirm for an administrator whom you created, or whose address or link you caused, within 7 days.
    """
    with refusals():
        async with db.write() as conn:
            link, half = await one_time_links.confirm(conn, link_id, admin.id, datetime.now(UTC))
    return MadeLink(**link.model_dump(), half=half)


@router.post("/one-time-links/{link_id}/withdraw", responses=_CLOSES)
async def withdraw_link(link_id: LinkId, admin: Admin, db: Db) -> OneTimeLink:
    """Withdraw a link that waits or can be used. Admins only."""
    with refusals():
        async with db.write() as conn:
            return await one_time_links.withdraw(conn, link_id, admin.id, datetime.now(UTC))


def sends_mail(settings: Settings) -> bool:
    """Return True if mail is switched on."""
    return MAIL in [name.strip() for name in settings.channels.split(",")]


def sends_mail_to(settings: Settings, person: Person) -> bool:
    """Return True if mail reaches this person, so that they can have a link sent to themselves."""
    return bool(person.email) and sends_mail(settings)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn refusals of the store into problems."""
    try:
        yield
    except UnknownLink as unknown:
        raise not_found("one-time link") from unknown
    except WrongLink as wrong:
        raise Problem(409, f"{str(wrong)[:1].upper()}{str(wrong)[1:]}.", kind="no-link") from wrong
    except NotSecond as no:
        raise forbidden(str(no), "two administrators: one proposes, another confirms") from no
    except LinkClosed as closed:
        raise Problem(409, str(closed), kind="already-closed", outcome=closed.link.status) from closed

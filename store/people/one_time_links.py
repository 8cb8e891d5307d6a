"""One-time links with which people set their own password or get their own token.

No administrator ever sees the password or the token.

A link is sent to the address on record. A second administrator confirms the link when mail does not prove who reads it:
no mail is configured, the person has no address, a signed-in person set the address within 7 days, or an administrator
asks for a link to an address that the same administrator has set. If no mail can be sent to the person, each of the two
administrators gets half of the code, and the person needs both halves.

The secret is created while the mail is sent, and only its hash is stored, so that nobody can steal the secret from the
database, the outbox or a backup.
"""

import secrets
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Row, and_, insert, or_, select, update

from domain.names import ADMINS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.notifications import account_news
from store.people.members import active_members
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import memberships, one_time_links, people

WAITS_FOR = timedelta(days=7)
"""How long a link waits for a second administrator."""
VALID_FOR = timedelta(hours=24)
"""How long a link can be used."""
SETTLES_IN = timedelta(days=7)
"""How long a change makes a second administrator necessary.

The change is a new address, administrator or link. After this time, everybody who was notified of the change counts as
informed.
"""

Way = Literal["mail", "halves", "terminal"]
Status = Literal["waiting", "open", "used", "void", "withdrawn", "expired"]
_LIVE = ("waiting", "open")


class OneTimeLink(BaseModel):
    """One one-time link, without its secret."""

    link_id: str
    person: str
    way: Way
    """How the person gets the link.

    `mail`: by mail to the address on record. `halves`: each of two administrators gets one half of the code.
    `terminal`: the command line printed it, see `emergency_links`.
    """
    status: Status
    asked_by: str
    asked_at: datetime
    confirmed_by: str | None
    expires_at: datetime
    address: str | None = None
    """The address, masked so that a second administrator can still check it: `a...@example.org`."""


class WrongLink(ValueError):
    """Raised if no one-time link can be created for this person now.

    `str()` is a sentence that says what to do instead.
    """


class UnknownLink(LookupError):
    """Raised if no link has this id."""


class LinkClosed(ValueError):
    """Raised if the link cannot be confirmed, withdrawn or used any more. `link` is the link in its present state."""

    def __init__(self, message: str, link: OneTimeLink) -> None:
        super().__init__(message)
        self.link = link


class NotSecond(ValueError):
    """Raised if this person may not confirm this link as the second administrator."""


class NotUsable(ValueError):
    """Raised if the code of a one-time link is not valid.

    `str()` is the same for every reason; `why` and `person` are for the audit log.
    """

    def __init__(self, why: str, person: str | None) -> None:
        super().__init__(
            "The code is not valid: used, expired, withdrawn, replaced by a newer code, or not entered exactly. "
            "Correct the code, or ask an administrator for a new one-time link."
        )
        self.why = why
        self.person = person


async def ask(
    conn: AsyncConnection, person: str, by: str, now: datetime, *, mail: bool
) -> tuple[OneTimeLink, str | None]:
    """Create a link for another person, if `by` is an administrator, or for `by`.

    Return the link. Earlier links of the person become void.

    For a link with a two-part code, also return the half of the code that only `by` may see; it is returned only by
    this call. `mail` is True if mail is configured. Raises WrongLink.
    """
    row = await locked(conn, person)
    if row is None:
        raise WrongLink(f"{person} has left, or is not known")
    if row.kind != "person":
        raise WrongLink(f"{person} is a service account, which never signs in: make a token for the account instead")
    doubt = _doubt(row, by, now, mail=mail)
    if doubt and by == person:
        raise WrongLink(f"Holdgate cannot send you a one-time link: {doubt}. Ask an administrator for a one-time link")
    if doubt and not await _seconds(conn, by, person, now):
        raise WrongLink(
            f"Another administrator must confirm the link because {doubt}, and no administrator can do so. "
            f"On the server run: ./holdgate people password {person}"
        )
    await void(conn, person, by=by, now=now)
    way: Way = "mail" if mail and row.email else "halves"
    half = f"hg1_{secrets.token_urlsafe(16)}" if way == "halves" else None
    link_id = f"k{secrets.token_hex(8)}"
    values = {
        "link_id": link_id,
        "person": person,
        "way": way,
        "status": "waiting" if doubt else "open",
        "asked_by": by,
        "asked_at": now,
        "expires_at": now + (WAITS_FOR if doubt else VALID_FOR),
        "hash": secret_hash(half) if half else None,
    }
    await conn.execute(insert(one_time_links).values(values))
    made = await get(conn, link_id, now)
    await _note(conn, "link_asked" if doubt else "link_sent", by, made, "asked for" if doubt else "sent")
    if doubt:
        await account_news.tell(conn, person, AccountNewsKind.LINK_ASKED, by)
    else:
        await account_news.tell(conn, person, AccountNewsKind.LINK_READY, by, link_id=link_id)
    return made, half


async def confirm(conn: AsyncConnection, link_id: str, by: str, now: datetime) -> tuple[OneTimeLink, str | None]:
    """Confirm a link that another administrator asked for, and return the link.

    For a link with a two-part code, also return the second half of the code.

    Raises UnknownLink, LinkClosed, NotSecond.
    """
    person = await locked(conn, (await get(conn, link_id, now)).person)
    link = await get(conn, link_id, now, lock=True)
    if link.status != "waiting":
        raise LinkClosed(f"The link is already {link.status}.", link)
    if person is None:
        raise LinkClosed(f"{link.person} has left.", link)
    if link.asked_by not in await active_members(conn, ADMINS):
        raise LinkClosed(
            f"{link.asked_by} requested the link and is no longer an administrator. Request a new link.", link
        )
    if by == link.person:
        raise NotSecond("The link is for you, so another administrator must confirm the link.")
    if by == link.asked_by:
        raise NotSecond("You requested the link, so another administrator must confirm the link.")
    if by not in await _seconds(conn, link.asked_by, link.person, now):
        raise NotSecond(
            f"You and {link.asked_by} do not count as two: within {SETTLES_IN.days} days one of you made the other an "
            "administrator, set their address or caused a link of theirs, or somebody did so for both of you. "
            "Ask another administrator to confirm the link."
        )
    half = f"hg2_{secrets.token_urlsafe(16)}" if link.way == "halves" else None
    values = {
        "status": "open",
        "confirmed_by": by,
        "confirmed_at": now,
        "expires_at": now + VALID_FOR,
        "second_hash": secret_hash(half) if half else None,
    }
    await conn.execute(update(one_time_links).where(one_time_links.c.link_id == link_id).values(values))
    done = await get(conn, link_id, now)
    await _note(conn, "link_confirmed", by, done, f"confirmed, as {link.asked_by} asked,")
    await account_news.tell(
        conn, link.person, AccountNewsKind.LINK_READY, by, about=link.asked_by, link_id=link_id if not half else None
    )
    return done, half


async def withdraw(conn: AsyncConnection, link_id: str, by: str, now: datetime) -> OneTimeLink:
    """Withdraw a link that waits for confirmation or that can be used. Raises UnknownLink and LinkClosed."""
    link = await get(conn, link_id, now, lock=True)
    if link.status not in _LIVE:
        raise LinkClosed(f"The link is already {link.status}.", link)
    await _close(conn, one_time_links.c.link_id == link_id, "withdrawn", by, now)
    gone = await get(conn, link_id, now)
    await _note(conn, "link_withdrawn", by, gone, "withdrew")
    return gone


async def void(conn: AsyncConnection, person: str, by: str, now: datetime) -> None:
    """Make links void after a change of the person's credentials.

    These are all links for this person, and the links that this person asked for and that wait for confirmation.
    """
    theirs = one_time_links.c.person == person
    asked = and_(one_time_links.c.asked_by == person, one_time_links.c.status == "waiting")
    await _close(conn, or_(theirs, asked), "void", by, now)


async def seal(conn: AsyncConnection, link_id: str, now: datetime) -> str | None:
    """Create and return the secret for one attempt to mail a link. Earlier secrets of the link become invalid.

    Return None if the link is closed.
    """
    code = f"hgl_{secrets.token_urlsafe(32)}"
    its = (one_time_links.c.link_id == link_id, one_time_links.c.status == "open", one_time_links.c.way == "mail")
    sealed = update(one_time_links).where(*its, one_time_links.c.expires_at > now).values(hash=secret_hash(code))
    return code if (await conn.execute(sealed)).rowcount else None


async def is_known(conn: AsyncConnection, code: str, second: str) -> bool:
    """Return True if this code was ever created for a link, also if the link cannot be used any more.

    The function changes nothing.
    """
    query = select(one_time_links.c.link_id).where(one_time_links.c.hash == _hashes(code, second)[0])
    return (await conn.execute(query)).first() is not None


async def redeem(conn: AsyncConnection, code: str, second: str, now: datetime, *, emergency: bool = False) -> str:
    """Use up a link and return the person for whom it was created.

    `emergency` is True for a sign-in, for which only an emergency link is valid; others set a password or get a token.
    Only one call succeeds, also if several calls run at the same time. Raises NotUsable.
    """
    hashes = _hashes(code, second)
    query = select(one_time_links).where(one_time_links.c.hash == hashes[0])
    row = (await conn.execute(query)).first()
    if row is None:
        raise NotUsable("unknown", None)
    person = await locked(conn, row.person)
    row = (await conn.execute(query.with_for_update())).first()
    if row is None or person is None:
        raise NotUsable("void", None if row is None else row.person)
    if (row.way == "terminal") != emergency:
        raise NotUsable("kind", row.person)
    if row.status == "open" and row.expires_at <= now:
        raise NotUsable("expired", row.person)
    if row.status != "open":
        raise NotUsable(row.status, row.person)
    if hashes[1:] != ([row.second_hash] if row.second_hash else []):
        raise NotUsable("half", row.person)
    if emergency and row.person not in await active_members(conn, ADMINS):
        raise NotUsable("void", row.person)
    await _close(conn, one_time_links.c.link_id == row.link_id, "used", row.person, now)
    await _note(conn, "link_used", row.person, await get(conn, row.link_id, now), "used")
    return str(row.person)


async def get(conn: AsyncConnection, link_id: str, now: datetime, *, lock: bool = False) -> OneTimeLink:
    """Return one link. Raises UnknownLink."""
    query = _LINKS.where(one_time_links.c.link_id == link_id)
    row = (await conn.execute(query.with_for_update(of=one_time_links) if lock else query)).first()
    if row is None:
        raise UnknownLink(f"there is no one-time link with the id {link_id}")
    return _link(row, now)


async def live(conn: AsyncConnection, now: datetime, person: str | None = None) -> list[OneTimeLink]:
    """Return at most 200 links that wait for confirmation or can be used, newest first.

    If `person` is given, return only links for this person.
    """
    query = _LINKS.where(one_time_links.c.status.in_(_LIVE), one_time_links.c.expires_at > now)
    if person is not None:
        query = query.where(one_time_links.c.person == person)
    found = await conn.execute(query.order_by(one_time_links.c.asked_at.desc(), one_time_links.c.link_id).limit(200))
    return [_link(row, now) for row in found]


# ---------------------------------------------------------------------------------------------------- who counts as two


async def _seconds(conn: AsyncConnection, first: str, person: str, now: datetime) -> set[str]:
    """Return the administrators who may confirm a link for `person` that the administrator `first` asked for.

    An administrator who made somebody an administrator, set their address, or caused a link of theirs within 7 days
    could act as that person. So two administrators count as two people only if nobody could act as both of them.
    """
    made_by: defaultdict[str, set[str]] = defaultdict(set)
    since = now - SETTLES_IN
    made = select(memberships.c.person, memberships.c.added_by).where(
        memberships.c.group_name == ADMINS, memberships.c.added_at > since
    )
    moved = select(people.c.id, people.c.email_set_by).where(people.c.email_set_at > since)
    asked = one_time_links.c.asked_at > since
    for query in (
        made,
        moved,
        select(one_time_links.c.person, one_time_links.c.asked_by).where(asked),
        select(one_time_links.c.person, one_time_links.c.confirmed_by).where(asked),
    ):
        for who, by in await conn.execute(query):
            if by and audit_log.is_person(by) and by != who:
                made_by[who].add(by)
    admins = set(await active_members(conn, ADMINS)) - {first, person}
    behind_first = _behind(first, made_by)
    return {admin for admin in admins if behind_first.isdisjoint(_behind(admin, made_by))}


def _behind(person: str, made_by: "defaultdict[str, set[str]]") -> set[str]:
    """Return the person, and all people who could sign in as this person, as `made_by` says.

    `made_by` has, for each person, the people who could sign in as the person directly.
    """
    found, ahead = {person}, [person]
    while ahead:
        new = made_by[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def _doubt(person: Row[Any], by: str, now: datetime, *, mail: bool) -> str | None:
    """Return the reason why a mail to the address on record would not prove who reads the mail.

    Return None if the mail proves who reads the mail.
    """
    if not mail:
        return "this server sends no mail"
    if not person.email:
        return f"{person.id} has no e-mail address"
    if person.email_set_by == by and by != person.id:  # otherwise an admin could invent people and act as them later
        return f"you set the e-mail address of {person.id} yourself"
    fresh = person.email_set_at is not None and person.email_set_at > now - SETTLES_IN
    if fresh and person.email_set_by and audit_log.is_person(person.email_set_by):
        return f"the e-mail address of {person.id} was set less than {SETTLES_IN.days} days ago"
    return None


# ----------------------------------------------------------------------------------------------------------------- rows

_LINKS = select(one_time_links, people.c.email).join(people, people.c.id == one_time_links.c.person)


async def _close(conn: AsyncConnection, which: Any, status: Status, by: str, now: datetime) -> None:
    closing = update(one_time_links).where(which, one_time_links.c.status.in_(_LIVE))
    await conn.execute(closing.values(status=status, closed_by=by, closed_at=now))


def _link(row: Row[Any], now: datetime) -> OneTimeLink:
    status = "expired" if row.status in _LIVE and row.expires_at <= now else row.status
    name, at, host = (row.email or "").partition("@")
    names = [name for name in OneTimeLink.model_fields if name not in ("status", "address")]
    return OneTimeLink(
        **{each: getattr(row, each) for each in names},
        status=status,
        address=f"{name[:1]}...{at}{host}" if at and row.way == "mail" else None,
    )


async def _note(conn: AsyncConnection, kind: str, by: str, link: OneTimeLink, said: str) -> None:
    data = {name: getattr(link, name) for name in ("link_id", "person", "way", "status", "asked_by", "confirmed_by")}
    await audit_log.note(conn, kind, by=by, summary=f"{by} {said} a one-time link for {link.person}", data=data)


def _hashes(code: str, second: str) -> list[str]:
    """Return the hashes of a code, or of the two halves of a code, in any form in which people type them.

    The half that begins with `hg1_` comes first.
    """
    halves = sorted(each.strip() for each in (code, second) if each.strip())
    return [secret_hash(each) for each in halves or [""]]

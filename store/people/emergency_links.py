"""Emergency links: an administrator signs in with a link that was made on the server, also while passwords are off.

If the identity provider fails, or gives nobody the group `admins` any more, nobody else could correct this. A person
who can run the command line on the server can change the database anyway. The link works once, within an hour, and
there is only one at a time.
"""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import insert, update

from domain.names import ADMINS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.notifications import account_news
from store.people import one_time_links
from store.people.members import active_members
from store.people.one_time_links import WrongLink
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import one_time_links as links

PREFIX = "hge_"
VALID_FOR = timedelta(hours=1)


async def create(conn: AsyncConnection, person: str, by: str, now: datetime) -> str:
    """Create the emergency link of an administrator, and return its code. An earlier emergency link becomes void.

    Raises WrongLink if the person is no active administrator.
    """
    if (locked_row := await locked(conn, person)) is None:
        raise WrongLink(f"{person} has left, or is not known")
    if locked_row.kind != "person":
        raise WrongLink(f"{person} is a service account, which never signs in")
    if person not in await active_members(conn, ADMINS):
        raise WrongLink(
            f"{person} is not in {ADMINS}, and an emergency link signs in an administrator. Add the person "
            f"to the group first: ./holdgate people join {person} {ADMINS}"
        )
    open_ones = (links.c.way == "terminal", links.c.status == "open")
    await conn.execute(update(links).where(*open_ones).values(status="void", closed_by=by, closed_at=now))
    await one_time_links.void(conn, person, by=by, now=now)
    code, link_id = PREFIX + secrets.token_urlsafe(32), f"k{secrets.token_hex(8)}"
    row = {"link_id": link_id, "person": person, "way": "terminal", "status": "open", "hash": secret_hash(code)}
    await conn.execute(insert(links).values(**row, asked_by=by, asked_at=now, expires_at=now + VALID_FOR))
    await account_news.tell(conn, person, AccountNewsKind.LINK_PRINTED, by)
    summary = f"{by} made a link on the server that signs in as {person}"
    await audit_log.note(conn, "link_printed", by=by, summary=summary, data={"person": person, "link_id": link_id})
    return code

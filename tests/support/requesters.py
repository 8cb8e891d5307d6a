"""People who may start cases, for tests that start cases without a gateway."""

from store.db.database import Database
from store.people import people


async def add_requesters(db: Database, *ids: str) -> None:
    """Add these people as members of `requesters`."""
    async with db.write() as conn:
        for id in ids:
            await people.add(conn, id, id.title(), ["requesters"], by="holdgate")

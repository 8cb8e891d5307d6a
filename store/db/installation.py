"""Read the identity of the database."""

from sqlalchemy import select

from domain.installation import Installation
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.tables.installation import installation


async def read(database: Database) -> Installation:
    """Return the installation of this database. Raises DatabaseUnavailable, also if the database is not migrated."""
    await database.ready()
    async with database.read() as conn:
        return Installation(id=await id_of(conn), database=database.place)


async def id_of(conn: AsyncConnection) -> str:
    """Return the id of the installation."""
    id: str = (await conn.execute(select(installation.c.id))).scalar_one()
    return id

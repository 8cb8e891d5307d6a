"""The database with the rights to erase, and the clean-up of the files of SQLite."""

from core.settings import Settings
from store.db.database import Database


def erasing_database(settings: Settings) -> Database:
    """Return a database whose role may erase: on PostgreSQL with two roles, the owner of the tables."""
    raise NotImplementedError


async def clean_up(db: Database) -> bool:
    """Remove erased bytes from the files of SQLite. Return False if another program prevented it: try again later."""
    raise NotImplementedError

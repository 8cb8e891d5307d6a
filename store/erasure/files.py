"""Delete the files of erased cases and uploads, after the transaction of the erasure."""

from store.audit.verification import Folders
from store.db.database import Database


async def delete_files(db: Database, folders: Folders) -> int:
    """Delete the files that committed erasures have listed, and return their number.

    Call this after each erasure; a job of the worker calls it too, for files that a crash left.
    """
    raise NotImplementedError

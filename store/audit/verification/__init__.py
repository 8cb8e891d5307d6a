"""Whether the database still says what Holdgate wrote into it.

- `chains`: the events, each in the chain of its case and in the global order.
- `rows`: every other row, against the seals of the transactions that wrote it (`store.audit.seals`).
- `books`: the ledger, whose sums are added up again.
- `kept_files`: uploads, attachments and texts of policies, against their hashes.

Nothing here trusts a value it reads: whoever edits a row may leave any value of any type in it.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from store.audit.verification import books, chains, kept_files, rows
from store.audit.verification.found import Told, Verification as Verification
from store.audit.verification.kept_files import Folders as Folders
from store.db.database import Database
from store.db.sqlite import reading_any_text


async def verify(db: Database, told: Told | None = None, folders: Folders | None = None) -> Verification:
    """Check everything in one snapshot, while others go on writing. Raises DatabaseUnavailable.

    `told` hears now and then how many events of how many are checked. Without `folders` no file is looked at.
    """
    async with db.read() as conn:
        return await verify_all(conn, told, folders)


async def verify_all(conn: AsyncConnection, told: Told | None = None, folders: Folders | None = None) -> Verification:
    """Check everything as this snapshot has it."""
    async with reading_any_text(conn):
        found, erased = await chains.check_all(conn, told)
        more = [
            *await rows.check_all(conn, erased),
            *await books.check(conn),
            *await kept_files.check_all(conn, folders),
        ]
    return found.with_problems(more)


async def verify_case(conn: AsyncConnection, case_id: str, folders: Folders | None = None) -> Verification:
    """Check one case as this snapshot has it: its chain of events, and every row that belongs to it.

    That nothing was put between the events of other cases, or cut off with the case's row, only `verify_all` can tell.
    """
    async with reading_any_text(conn):
        found, erased = await chains.check_case(conn, case_id)
        more = [
            *await rows.check_case(conn, case_id, erased),
            *await books.check(conn, case_id),
            *await kept_files.check_case(conn, case_id, folders),
        ]
    return found.with_problems(more)

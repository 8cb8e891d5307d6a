"""One erasure while its transaction runs: what the erasers of tables share."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Delete, Update

from store.audit.seals import SealingConnection
from store.cases.erased_files import list_files

NAME = "Erased"
"""What lists show in place of an erased title."""


class Erasing:
    """The erasure of one case, or of the rest of an upload. Erasers of receivers get this object."""

    def __init__(self, conn: SealingConnection, case_id: str, at: datetime) -> None:
        self.conn = conn
        self.case_id = case_id
        """The id of the erased case; empty for the rest of an upload."""
        self.at = at
        self.rows = 0
        """Rows that were emptied or deleted so far."""
        self.proofs = 0
        self.files: list[str] = []
        """Files to delete after the commit, as paths below the state folder."""
        self.uploads: list[str] = []
        """The ids of uploads whose file is deleted."""
        self.kept: list[str] = []
        """Sentences about data that stays."""

    async def run(self, statement: Update | Delete) -> int:
        """Run a statement that empties or deletes rows, count the rows, and return their number."""
        number = (await self.conn.execute(statement)).rowcount
        self.rows += number
        return number

    async def delete_files(self, paths: Sequence[str], perhaps: Sequence[str] = ()) -> None:
        """List files, which are deleted after the commit. `perhaps` are files that may be there, which do not count."""
        self.files += paths
        await list_files(self.conn, [*paths, *perhaps], self.at)

"""The progress of a batch: the counts that live updates send."""

from pydantic import BaseModel, Field

from domain.batch import BatchCounts
from domain.status import Status
from store.cases import batch_cases, batches
from store.cases.batches import BatchStatus
from store.db.database import Database


class Counts(BaseModel):
    """The progress of a batch: its status, and the counts of its rows and cases."""

    status: BatchStatus
    rows: BatchCounts
    cases: dict[str, int] = Field(description="The batch's cases by status")
    closed: bool = Field(exclude=True)

    @property
    def ended(self) -> bool:
        """Return True if the batch and all its cases are closed."""
        return self.closed and all(Status(status).closed for status in self.cases)


async def counts_of(db: Database, batch_id: str) -> Counts:
    """Return the progress of a batch now. Raises LookupError if the batch does not exist any more."""
    async with db.read() as conn:
        batch = await batches.get(conn, batch_id)
        if batch is None:
            raise LookupError(f"batch {batch_id} no longer exists")
        return Counts(
            status=batch.status,
            rows=await batches.counts(conn, batch_id),
            cases=await batch_cases.counts_by_status(conn, batch_id),
            closed=batch.closed_at is not None,
        )

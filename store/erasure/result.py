"""What an erasure answers."""

from datetime import datetime

from pydantic import BaseModel


class Erased(BaseModel):
    """What one erasure removed. The event `erased` of the same transaction has the same numbers."""

    at: datetime
    already: bool = False
    """True if the subject was erased before, so that this call changed nothing."""
    cases: list[str] = []
    """The ids of the cases whose content was erased."""
    events: int = 0
    """Events whose content was erased."""
    seals: int = 0
    """Seals that were erased, with the digests of the rows in them."""
    rows: int = 0
    """Rows that were emptied or deleted."""
    proofs: int = 0
    """Signed messages whose text and signature were erased."""
    files: list[str] = []
    """Files to delete after the commit, as paths below the state folder: see `store.erasure.files`."""
    others: list[str] = []
    """The ids of other cases that may hold data of the same people: other rounds, the parent, child cases."""
    kept: list[str] = []
    """Sentences about data that stays, such as the amounts in the ledger."""

"""Check whether the database still contains exactly what Holdgate wrote.

- `chains`: the events, each in the chain of its case.
- `order`: the global order of the events, and the tree over them.
- `signed_heads`: the signed checkpoints, against the tree and the chain of seals.
- `waiting`: the events and seals that have no position in their global order yet.
- `rows`: the rows of all sealed tables, against the seals of the transactions that wrote them (`store.audit.seals`).
- `erasures`: that exactly what the events `erased` list is empty.
- `ledger_check`: the ledger, whose sums are computed again.
- `proofs`: the signatures of the messages that changed cases, and that the events say what was signed.
- `assertions`: the signatures of passkeys, with which people confirmed decisions.
- `kept_files`: uploads, attachments and texts of policies, against their hashes.

No check trusts a value it reads: an attacker who edits a row may store any value of any type.
"""

from domain.proof.keys import KeyRegistry
from store.audit.verification import assertions, chains, erasures, kept_files, ledger_check, proofs, rows, waiting
from store.audit.verification.kept_files import Folders as Folders
from store.audit.verification.result import Told, Verification as Verification
from store.audit.verification.signed_heads import SignedHeads, Trust as Trust
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.db.sqlite import reading_any_text

UNSIGNED = Trust()
"""No key and no file: the checkpoints of the database are compared, and their signatures are not checked."""


async def verify(
    db: Database,
    told: Told | None = None,
    folders: Folders | None = None,
    keys: KeyRegistry | None = None,
    trust: Trust = UNSIGNED,
) -> Verification:
    """Check everything in one snapshot while other transactions continue. Raises DatabaseUnavailable.

    `told` is a callback for progress: it is called after each 1,000 positions, with the last position checked and the
    newest position. If `folders` is None, files are not checked; if `keys` is None, signatures of messages are not
    checked. `trust` has the keys of checkpoints, and checkpoints that are stored outside the database.
    """
    signed = await SignedHeads.read(trust)
    async with db.read() as conn:
        return await verify_all(conn, told, folders, keys, signed)


async def verify_all(
    conn: AsyncConnection,
    told: Told | None = None,
    folders: Folders | None = None,
    keys: KeyRegistry | None = None,
    signed: SignedHeads | None = None,
) -> Verification:
    """Check all that `verify` checks, in the snapshot of this connection.

    `signed` are the checkpoints in files, which were read before the snapshot began.
    """
    async with reading_any_text(conn):
        signed = signed or SignedHeads()
        await signed.read_stored(conn)
        found, erased = await chains.check_all(conn, signed, told)
        waits = await waiting.check(conn)
        more = [
            *waits.problems,
            *await rows.check_all(conn, erased, signed),
            *await erasures.check_all(conn, erased),
            *signed.problems(),
            *await ledger_check.check(conn),
            *await kept_files.check_all(conn, folders),
            *await proofs.check(conn, keys),
            *await assertions.check(conn),
        ]
    about = {
        **erased.counts(),
        "unsequenced": waits.number,
        "oldest_unsequenced_s": waits.oldest_s,
        "checkpoints": signed.number,
        "newest_checkpoint": max(signed.roots, default=0),
    }
    return found.with_problems(more).model_copy(update=about)


async def verify_case(
    conn: AsyncConnection, case_id: str, folders: Folders | None = None, keys: KeyRegistry | None = None
) -> Verification:
    """Check one case in this snapshot: its chain of events, every row that belongs to it, its policy, files and
    signatures.

    If `folders` is None, files are not checked; if `keys` is None, signatures are not checked. The two global orders
    are not checked: only `verify_all` detects that positions are missing, or that seals were removed. If neither events
    nor a row of the case are stored, the problems say so.
    """
    async with reading_any_text(conn):
        found, erased = await chains.check_case(conn, case_id)
        waits = await waiting.check(conn, case_id)
        more = [
            *waits.problems,
            *await rows.check_case(conn, case_id, erased),
            *await erasures.check_case(conn, case_id, erased),
            *await ledger_check.check(conn, case_id),
            *await kept_files.check_case(conn, case_id, folders),
            *await proofs.check(conn, keys, case_id),
            *await assertions.check(conn, case_id),
        ]
    about = {**erased.counts(), "unsequenced": waits.number, "oldest_unsequenced_s": waits.oldest_s}
    return found.with_problems(more).model_copy(update=about)

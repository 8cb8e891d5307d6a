"""Give events and seals their positions in the two global orders, and chain them there.

A transaction writes its events and seals without positions. `sequence` then returns the statements that give them
their positions. There is one function and two callers:

- SQLite has one writer at a time. So the transaction itself runs these statements as its last ones.
- On PostgreSQL many transactions write at the same time, and none of them may wait for a row that all others change. So
  a transaction only lists in `unsequenced` what it wrote. Right after its commit, `store.audit.sequencer` runs the
  statements for all listed events and seals together.

Positions have no gaps, and a position that a reader has seen never gets another event. Within a case, events are
sequenced in the order of `seq`: the numbers of the events of a case grow, because writers take the numbers while they
hold the lock of the case.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from store.audit.hashing import canonical, sha256
from store.audit.tree import Tree, leaf_of

AT_ONCE = 1000
"""The maximum number of events, and the maximum number of seals, that the sequencer handles in one transaction."""
HEADS = "SELECT position, peaks, seals, seals_hash FROM chain"

Run = Callable[..., Sequence[Any]]
"""A function that runs an SQL statement, once for each row of values if there is a list of them, and returns its rows.
"""


class Heads(NamedTuple):
    """The heads of both global orders: the row of `chain`."""

    position: int
    peaks: str
    """The peaks of the tree over the events: see `Tree.text`."""
    seals: int
    seals_hash: str


class NewEvent(NamedTuple):
    """An event that has no position yet."""

    number: int
    hash: str


class NewSeal(NamedTuple):
    """A seal that has no position yet."""

    number: int
    case_id: str
    """Empty for rows of no case."""
    digest: str


class Statement(NamedTuple):
    """An SQL statement, and the rows of values for which it must run."""

    sql: str
    rows: list[tuple[Any, ...]]


def sequence(
    heads: Heads, events: Iterable[NewEvent], seals: Iterable[NewSeal], mark: str = "?"
) -> tuple[Heads, list[Statement]]:
    """Return the new heads, and the statements that store the positions of these events and seals in their order.

    `mark` is the placeholder of the database driver. The caller must hold the lock of the row of `chain` that it read
    `heads` from. Without events and seals there are no statements.
    """
    tree, seal_position, seal_hash = Tree.read(heads.position, heads.peaks), heads.seals, heads.seals_hash
    places: list[tuple[Any, ...]] = []
    blocks: list[tuple[Any, ...]] = []
    for event in events:
        block = tree.add(leaf_of(event.hash))
        places.append((tree.size, event.number))
        if block is not None:
            blocks.append((tree.size, block.hex()))
    seal_places: list[tuple[Any, ...]] = []
    for seal in seals:
        seal_position += 1
        seal_hash = seal_hash_of(seal_position, seal.case_id, seal.digest, seal_hash)
        seal_places.append((seal_position, seal.number, seal_hash))
    after = Heads(tree.size, tree.text(), seal_position, seal_hash)
    moved = [tuple(after)] if after != heads else []
    two, three = ", ".join([mark] * 2), ", ".join([mark] * 3)
    statements = [
        Statement(f"INSERT INTO event_positions (position, number) VALUES ({two})", places),
        Statement(f"INSERT INTO event_blocks (position, root) VALUES ({two})", blocks),
        Statement(f"INSERT INTO seal_positions (position, number, hash) VALUES ({three})", seal_places),
        Statement(f"UPDATE chain SET position = {mark}, peaks = {mark}, seals = {mark}, seals_hash = {mark}", moved),
    ]
    return after, [statement for statement in statements if statement.rows]


def seal_hash_of(position: int, case_id: str, digest: str, before: str) -> str:
    """Return the hash of a seal at a position; `before` is the hash of the seal at the previous position."""
    return sha256(canonical([position, case_id, digest, before]))


def sequence_listed(run: Run) -> bool:
    """Give the next events and seals that `unsequenced` lists their positions, on PostgreSQL.

    Handle at most `AT_ONCE` events and `AT_ONCE` seals. Call this in a transaction of its own. If another transaction
    is just sequencing, or the row of `chain` is missing, do nothing and return False. An entry of the list without its
    event or seal, or whose event or seal has a position, is only removed.
    """
    found = run(f"{HEADS} FOR UPDATE SKIP LOCKED")
    if not found:
        return False
    listed = run(_LISTED)
    numbers = {kind: [number for its, number in listed if its == kind] for kind in ("event", "seal")}
    # The numbers of the events of a case, and of the seals of a row, grow in the order in which they were written.
    events = sorted(run(_EVENTS, (numbers["event"],)), key=_number) if numbers["event"] else []
    seals = sorted(run(_SEALS, (numbers["seal"],)), key=_number) if numbers["seal"] else []
    _, statements = sequence(
        Heads(*found[0]),
        [NewEvent(number, hash_) for number, position, hash_ in events if position is None],
        [NewSeal(number, case_id or "", digest) for number, position, case_id, digest in seals if position is None],
        mark="%s",
    )
    for statement in statements:
        run(*statement)
    for kind, those in numbers.items():
        if those:
            run("DELETE FROM unsequenced WHERE kind = %s AND number = ANY(%s)", (kind, those))
    return True


_LISTED = " UNION ALL ".join(
    f"(SELECT kind, number FROM unsequenced WHERE kind = '{kind}' ORDER BY number LIMIT {AT_ONCE})"
    for kind in ("event", "seal")
)
# Two steps and no joins: whatever the statistics of the tables say, rows are found by their keys.
_EVENTS = """
SELECT number, (SELECT position FROM event_positions p WHERE p.number = e.number), hash
FROM events e WHERE number = ANY(%s)
"""
_SEALS = """
SELECT number, (SELECT position FROM seal_positions p WHERE p.number = s.number), case_id, digest
FROM seals s WHERE number = ANY(%s)
"""


def _number(row: Any) -> int:
    number: int = row[0]
    return number


def runner_of(conn: Connection) -> Run:
    """Return a function that runs statements on this connection."""

    def run(sql: str, values: Any = None) -> Sequence[Any]:
        result = conn.exec_driver_sql(sql, values)
        return result.all() if result.returns_rows else []

    return run

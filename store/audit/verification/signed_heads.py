"""Read the signed checkpoints, and compare them with the audit log.

Checkpoints come from the table `checkpoints`, from the folder to which workers export them, and from files that a
person stored elsewhere. A checkpoint states the size and the root of the tree over the events, and the head of the
chain of seals. If the audit log of today does not begin with exactly these events and seals, it was rewritten, or an
older backup was restored.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from store.audit.checkpoints.files import exported, notes_of
from store.audit.checkpoints.keys import trusted
from store.audit.checkpoints.note import Checkpoint, NotSigned, VerifierKey, opened, text_of
from store.audit.verification.result import paged
from store.db.connection import AsyncConnection
from store.tables.audit import checkpoints

_TABLE = "table checkpoints"


class Trust(NamedTuple):
    """What a check of checkpoints relies on."""

    keys: Sequence[VerifierKey] = ()
    """The keys whose checkpoints count. Without keys, signatures are not checked."""
    folder: Path | None = None
    """The folder of exported checkpoints."""
    notes: Mapping[str, Sequence[str]] = {}
    """More notes, by the name of the file that they come from."""

    @classmethod
    def of(cls, public_keys: Path, folder: Path) -> "Trust":
        """Return the trust in the public keys of a file and in the exported checkpoints. Raises WrongKey."""
        return cls(trusted(public_keys), folder)


class _Known(NamedTuple):
    source: str
    checkpoint: Checkpoint

    def __str__(self) -> str:
        return f"the checkpoint of {self.checkpoint.size} events ({self.source})"


class SignedHeads:
    """The checkpoints with which one check compares the audit log. The same checkpoint of two sources counts once."""

    def __init__(self, keys: Sequence[VerifierKey] = ()) -> None:
        """`keys` are the keys whose checkpoints count. Without keys, signatures are not checked."""
        self._keys = keys
        self.roots: dict[int, list[_Known]] = {}
        """By size."""
        self.seals: dict[int, list[_Known]] = {}
        """By the number of seals."""
        self.number = 0
        """How many checkpoints could be read."""
        self._unreadable: list[str] = []
        self._unfit: list[_Known] = []
        self._of_other_seals: list[_Known] = []
        self._cut: list[_Known] = []
        self._fits = 0
        """The size of the largest checkpoint that fits, before the first one that does not."""
        self._length = 0

    @classmethod
    async def read(cls, trust: Trust) -> "SignedHeads":
        """Read the checkpoints in files.

        Call this before the snapshot of the check begins: a worker may export a checkpoint of newer events at any time.
        """
        heads = cls(trust.keys)
        for name, notes in trust.notes.items():
            if not notes:
                heads._unreadable.append(f"there is no checkpoint in {name}")
            for note in notes:
                heads._add(name, note)
        for path in await asyncio.to_thread(exported, trust.folder) if trust.folder is not None else ():
            for note in await asyncio.to_thread(notes_of, path):
                heads._add(str(path), note)
        return heads

    async def read_stored(self, conn: AsyncConnection) -> None:
        """Read the checkpoints of the database, too."""
        async for row in paged(conn, select(checkpoints.c.size, checkpoints.c.note), checkpoints.c.size):
            self._add(f"{_TABLE}, row {row.size}", row.note, row.size)

    def _add(self, source: str, note: Any, size: int | None = None) -> None:
        try:
            checkpoint = Checkpoint.read(opened(note, self._keys) if self._keys else text_of(note))
        except NotSigned as error:
            self._unreadable.append(f"a checkpoint ({source}) was not signed by this installation, or edited: {error}")
            return
        except (ValueError, TypeError, AttributeError) as error:
            self._unreadable.append(f"a checkpoint ({source}) cannot be read: {error}")
            return
        if size not in (None, checkpoint.size):
            self._unreadable.append(f"a checkpoint ({source}) states {checkpoint.size} events: its row was edited")
        same_size = self.roots.setdefault(checkpoint.size, [])
        if any(known.checkpoint == checkpoint for known in same_size):
            return
        self.number += 1
        known = _Known(_TABLE if size is not None else source, checkpoint)
        same_size.append(known)
        if checkpoint.seals:
            self.seals.setdefault(checkpoint.seals, []).append(known)

    def compare_root(self, size: int, root: bytes) -> None:
        """Compare the checkpoints of this size with the root of the tree over so many events."""
        for known in self.roots[size]:
            if known.checkpoint.root != root:
                self._unfit.append(known)
            elif not self._unfit:
                self._fits = size

    def compare_length(self, length: int) -> None:
        """Compare all checkpoints with the number of events that have a position."""
        self._length = length
        for size in sorted(self.roots):
            if size > length:
                self._cut += self.roots[size]

    def compare_seal(self, position: int, hash_: Any) -> None:
        """Compare the checkpoints of so many seals with the hash of the seal at this position."""
        for known in self.seals.get(position, ()):
            if known.checkpoint.seals_hash != hash_:
                self._of_other_seals.append(known)

    def compare_seals(self, last: int) -> None:
        """Compare all checkpoints with the number of seals that have a position."""
        for number in sorted(self.seals):
            if number > last:
                self._of_other_seals += self.seals[number]

    def problems(self) -> list[str]:
        """Return the problems of the checkpoints, one sentence each."""
        found = list(self._unreadable)
        if self._unfit:
            first = self._unfit[0]
            found.append(
                f"{first} does not fit the audit log: events after position {self._fits}, up to position"
                f" {first.checkpoint.size}, were replaced, inserted, removed or changed places since it was signed"
                + _more(self._unfit)
            )
        if self._cut:
            found.append(
                f"{self._cut[0]} covers more than the audit log has, which ends at position {self._length}: its end"
                " was cut off, or an older backup was restored" + _more(self._cut)
            )
        if self._of_other_seals:
            first = self._of_other_seals[0]
            found.append(
                f"{first} does not fit the seals: of the {first.checkpoint.seals} seals that it covers, some were"
                " replaced or removed since it was signed" + _more(self._of_other_seals)
            )
        return found


def _more(those: Sequence[_Known]) -> str:
    return f"; the same is true for {len(those) - 1} more" if len(those) > 1 else ""

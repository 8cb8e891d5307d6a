"""Read the signed checkpoints, and compare them with the audit log.

Checkpoints come from the table `checkpoints`, from the folder to which workers export them, and from files that a
person stored elsewhere. A checkpoint states the size and the root of the tree over the events, and the head of the
chain of seals. If the audit log of today does not begin with exactly these events and seals, it was rewritten, or an
older backup was restored.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from store.audit.checkpoints.files import exported
from store.audit.checkpoints.keys import trusted
from store.audit.checkpoints.note import Checkpoint, NotSigned, VerifierKey, opened, text_of
from store.db.connection import AsyncConnection
from store.tables.audit import checkpoints


class Trust(NamedTuple):
    """What a check of checkpoints relies on."""

    keys: Sequence[VerifierKey] = ()
    """The keys whose checkpoints count. Without keys, signatures are not checked."""
    folder: Path | None = None
    """The folder of exported checkpoints."""
    notes: Mapping[str, Sequence[str]] = {}
    """More notes, by the name of the file that they come from."""

    @classmethod
    def of(cls, key_file: Path, folder: Path) -> "Trust":
        """Return the trust in the public keys beside `key_file` and in the exported checkpoints. Raises WrongKey."""
        return cls(trusted(key_file), folder)


class _Known(NamedTuple):
    name: str
    checkpoint: Checkpoint


class SignedHeads:
    """The checkpoints with which one check compares the audit log."""

    def __init__(self) -> None:
        self.roots: dict[int, list[_Known]] = {}
        """By size."""
        self.seals: dict[int, list[_Known]] = {}
        """By the number of seals."""
        self.number = 0
        """How many checkpoints could be read."""
        self._unreadable: list[str] = []
        self._unfit: list[_Known] = []
        self._of_other_seals: list[_Known] = []
        self._cut: dict[int, _Known] = {}
        self._fits = 0
        """The size of the largest checkpoint that fits."""
        self._length = 0

    @classmethod
    async def read(cls, conn: AsyncConnection, trust: Trust) -> "SignedHeads":
        """Read all checkpoints that the check can reach."""
        heads = cls()
        for row in await conn.execute(select(checkpoints.c.size, checkpoints.c.note).order_by(checkpoints.c.size)):
            heads._add(f"the checkpoint of {row.size} events (table checkpoints)", [row.note], trust.keys, row.size)
        files = dict(trust.notes)
        if trust.folder is not None:
            files |= await asyncio.to_thread(exported, trust.folder)
        for name, notes in files.items():
            heads._add(f"a checkpoint in {name}", notes, trust.keys)
            if not notes:
                heads._unreadable.append(f"there is no checkpoint in {name}")
        return heads

    def _add(self, name: str, notes: Iterable[Any], keys: Sequence[VerifierKey], size: int | None = None) -> None:
        for note in notes:
            try:
                known = _Known(name, Checkpoint.read(opened(note, keys) if keys else text_of(note)))
            except NotSigned as error:
                self._unreadable.append(f"{name} was not signed by this installation, or was edited: {error}")
                continue
            except (ValueError, TypeError, AttributeError) as error:
                self._unreadable.append(f"{name} cannot be read: {error}")
                continue
            if size not in (None, known.checkpoint.size):
                self._unreadable.append(f"{name} states {known.checkpoint.size} events: its row was edited")
            self.number += 1
            self.roots.setdefault(known.checkpoint.size, []).append(known)
            if known.checkpoint.seals:
                self.seals.setdefault(known.checkpoint.seals, []).append(known)

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
                self._cut[size] = self.roots[size][0]

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
                f"{_words(first)} does not fit the audit log: events after position {self._fits}, up to position"
                f" {first.checkpoint.size}, were replaced, inserted, removed or changed places since it was signed"
                + _more(self._unfit[1:])
            )
        if self._cut:
            first = next(iter(self._cut.values()))
            found.append(
                f"{_words(first)} covers more than the audit log has, which ends at position {self._length}: its end"
                " was cut off, or an older backup was restored" + _more(list(self._cut.values())[1:])
            )
        if self._of_other_seals:
            first = self._of_other_seals[0]
            found.append(
                f"{_words(first)} does not fit the seals: of the {first.checkpoint.seals} seals that it covers, some"
                " were replaced or removed since it was signed" + _more(self._of_other_seals[1:])
            )
        return found


def _words(known: _Known) -> str:
    size = f"{known.checkpoint.size} events"
    return known.name if size in known.name else f"{known.name} (of {size})"


def _more(others: Sequence[_Known]) -> str:
    return f"; the same is true for {len(others)} more" if others else ""

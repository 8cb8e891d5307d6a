"""Check the events in one pass in their order, then every row that refers to a case."""

import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import String, exists, select, type_coerce

from domain.case import ChainHead
from store.audit.hashing import digest_of, hash_of
from store.audit.verification.erasures import ERASED, Erased, read_payload
from store.audit.verification.order import Order
from store.audit.verification.result import (
    ROWS_AT_ONCE,
    Told,
    Verification,
    case_words,
    only_row,
    paged,
    stored_moment,
)
from store.audit.verification.signed_heads import SignedHeads
from store.db.connection import AsyncConnection
from store.tables.audit import caseless_head, event_payloads, event_positions, events, unsequenced
from store.tables.cases import batch_rows, cases, decisions, tasks
from store.tables.receivers import entries

_NAMED_BY = {
    "tasks": select(tasks.c.case_id).distinct(),
    "decisions": select(decisions.c.case_id).distinct(),
    "ledger entries": select(entries.c.case_id).distinct().where(entries.c.case_id.is_not(None)),
    "rows of a batch": select(batch_rows.c.case_id).distinct().where(batch_rows.c.outcome == "started"),
}
"""Other tables that refer to cases, with their names for people."""


async def check_all(
    conn: AsyncConnection, signed: SignedHeads, told: Told | None = None
) -> tuple[Verification, Erased]:
    """Check all events, the checkpoints, and the rows that refer to the cases of the events.

    Return the result, and the erasures that the events tell.
    """
    walk = _Walk()
    order = await Order.read(conn, signed, walk.say)
    async for row in paged(conn, _IN_ORDER, event_positions.c.position):
        if row.number is None:
            order.without_event(row.position)
        else:
            order.event(row, walk.event_of_case(row))
        if told and order.position % ROWS_AT_ONCE == 0:
            told(order.position, order.length)
    async for row in paged(conn, _EVENTS.where(event_positions.c.position.is_(None)), events.c.number):
        walk.event_of_case(row)
    order.end()
    await walk.find_payloads_without_events(conn)
    walk.find_gaps()
    walk.find_emptied()
    walk.compare_caseless(await only_row(conn, select(caseless_head.c.count, caseless_head.c.hash)))
    async for row in paged(conn, _CASES, cases.c.case_id):
        walk.case(row)
    await walk.compare_results(conn)
    await walk.find_missing_cases(conn)
    return walk.found().model_copy(update={"head": order.head}), walk.erased


async def check_case(conn: AsyncConnection, case_id: str) -> tuple[Verification, Erased]:
    """Check the chain of one case, and its row. Return the result, and the erasures that the events tell."""
    walk = _Walk(one_case=True)
    async for row in paged(conn, _EVENTS.where(events.c.case_id == case_id), events.c.number):
        walk.event_of_case(row)
    walk.find_gaps()
    if walk.emptied:
        of_no_case = _EVENTS.where(events.c.case_id.is_(None), events.c.kind == ERASED)
        async for row in paged(conn, of_no_case, events.c.number):
            walk.permit(row)
    walk.find_emptied()
    head = walk.head_of(case_id)
    row = (await conn.execute(_CASES.where(cases.c.case_id == case_id))).one_or_none()
    if row is not None:
        walk.case(row)
    elif head is None:
        walk.say(
            f"there is neither a row nor an event of {case_words(case_id)}:"
            " it was never there, or all of it was removed"
        )
    await walk.compare_results(conn)
    if row is None and head is not None:
        walk.say(f"{case_words(case_id)}: its row is missing, though {head.count} events name it")
    return walk.found().model_copy(update={"head": head}), walk.erased


_WAITS = (unsequenced.c.kind == "event") & (unsequenced.c.number == events.c.number)
_EVENT = select(
    event_positions.c.position,
    *(column for column in events.c if column.name != "at"),
    type_coerce(events.c.at, String).label("moment"),
    event_payloads.c.number.label("kept"),
    event_payloads.c.salt,
    event_payloads.c.payload,
    unsequenced.c.number.label("waits"),
)
_IN_ORDER = _EVENT.select_from(
    event_positions.outerjoin(events, events.c.number == event_positions.c.number)
    .outerjoin(event_payloads, event_payloads.c.number == events.c.number)
    .outerjoin(unsequenced, _WAITS)
)
_EVENTS = _EVENT.select_from(
    events.outerjoin(event_positions, event_positions.c.number == events.c.number)
    .outerjoin(event_payloads, event_payloads.c.number == events.c.number)
    .outerjoin(unsequenced, _WAITS)
)
_CASES = select(
    cases.c.case_id, cases.c.head_count, cases.c.head_hash, type_coerce(cases.c.result, String).label("result")
)


@dataclass
class _Seen:
    """The checked part of the chain of one case."""

    last: int = 0
    """Number of the newest event."""
    hash: str = ""
    event_id: str = ""
    position: int = 0
    """Position of the newest event that has one."""
    events: int = 0
    gaps: list[tuple[range, str]] = field(default_factory=list)
    """Skipped numbers, each with the event that followed the gap."""
    late: list[int] = field(default_factory=list)
    """Numbers that came after a higher number."""


class _Walk:
    def __init__(self, *, one_case: bool = False) -> None:
        self._one_case = one_case
        self._problems: list[str] = []
        self._chains: dict[str, _Seen] = {}
        self._results: list[tuple[str, int, str]] = []
        self._events = self._cases = self._erased = 0
        self.emptied: dict[int, tuple[str, str, str]] = {}
        """By `_order_of`: id, name and case of events with a null payload that no later event lists as erased."""
        self._emptied_ids: dict[str, int] = {}
        self.erased = Erased()

    def found(self) -> Verification:
        return Verification(problems=self._problems, events=self._events, cases=self._cases, erased=self._erased)

    def head_of(self, case_id: str) -> ChainHead | None:
        """Return the newest checked event of a case, if the row of the case was not checked yet; None otherwise."""
        seen = self._chains.get(case_id)
        return ChainHead(count=seen.last, hash=str(seen.hash)) if seen else None

    # ------------------------------------------------------------------------------------------------------ each event

    def event_of_case(self, row: Any) -> str:
        """Check the hashes of an event and its place in the chain of its case.

        Return the name of the event for messages.
        """
        self._events += 1
        place = "no position" if row.position is None else f"position {row.position}"
        name = f"event {row.event_id} ({place}, {case_words(row.case_id)})"
        intact = isinstance(row.seq, int) and row.hash == _hash_of(row)
        if not intact:
            self.say(f"{name} was edited: its envelope (id, case, number, time, kind, actor) does not match its hash")
        self._check_payload(row, name)
        self._check_link(row, name, intact)
        if row.position is None and row.waits is None:
            self.say(f"{name} does not wait to be sequenced: it was inserted, or its position was removed")
        return name

    def _check_payload(self, row: Any, name: str) -> None:
        if row.kept is None:
            self.say(f"{name} has lost its payload: the row was removed, not erased")
        elif row.salt is None and row.payload is None:
            self.emptied[_order_of(row)] = (row.event_id, name, row.case_id or "")
            self._emptied_ids[row.event_id] = _order_of(row)
        elif not (isinstance(row.salt, str) and isinstance(row.payload, str)) or (
            digest_of(row.salt, row.payload) != row.digest
        ):
            self.say(f"{name} was edited: its payload (summary, data) does not match its digest")
        elif row.kind == ERASED:
            self.permit(row)

    def permit(self, row: Any) -> None:
        """Accept that the earlier events that this erasure event lists have no content.

        Report what the event lists beyond that. In the check of one case, an event without a case may list events of
        other cases.
        """
        if not (isinstance(row.salt, str) and isinstance(row.payload, str)) or _hash_of(row) != row.hash:
            return
        if digest_of(row.salt, row.payload) != row.digest:
            return
        erasure = read_payload(f"event {row.event_id}", row.case_id or "", row.payload)
        self.erased.add(erasure)
        listed = [(id, self._emptied_ids.get(id, 0)) for id in erasure.event_ids]
        for what, order in [*listed, *((f"at position {place}", place) for place in erasure.positions)]:
            emptied = self.emptied.get(order) if order < _order_of(row) else None
            if emptied is not None and emptied[2] in (erasure.case_id or emptied[2], ""):
                del self.emptied[order]
                self._erased += 1
            elif not (self._one_case and not erasure.case_id):
                self.say(
                    f"{erasure.name} lists event {what} as erased, but no earlier event of its case is empty there:"
                    " the event was restored or replaced"
                )

    def find_emptied(self) -> None:
        """Report events that have no content although no erasure event lists them."""
        for _, name, _ in self.emptied.values():
            self.say(f"{name} was emptied: its payload is null, and no later event says that it was erased")
        self.emptied.clear()

    def _check_link(self, row: Any, name: str, intact: bool) -> None:
        """Check the event's position in the chain of its case."""
        seen = self._chains.setdefault(row.case_id or "", _Seen())
        seen.events += 1
        due = seen.last + 1
        if row.seq != due:
            if not intact:
                return  # already reported as edited: its number proves nothing
            if row.seq < due:
                self.say(
                    f"{name} is out of order: it is number {row.seq} of its case and comes after number {seen.last}"
                )
                seen.late.append(row.seq)
                return
            seen.gaps.append((range(due, row.seq), row.event_id))
        elif intact and row.prev_hash != seen.hash:
            before = f"event {seen.event_id}" if seen.event_id else "the start of its case"
            self.say(f"{name} does not follow from {before}: one of the two was replaced")
        if row.position is not None:
            if row.position <= seen.position:
                self.say(f"{name} is out of order: the event before it in its case has position {seen.position}")
            seen.position = row.position
        seen.last, seen.hash, seen.event_id = row.seq, row.hash, row.event_id

    # --------------------------------------------------------------------------------------------------- after the last

    def compare_caseless(self, head: Any) -> None:
        """Compare the chain of events without a case with its head, which counts events before they have a position."""
        seen = self._chains.get("", _Seen())
        if head is None or (head.count, head.hash) != (seen.last, seen.hash):
            self.say(
                "the head of the events without a case (table caseless_head) does not fit the newest of them, number"
                f" {seen.last}: events were cut off or inserted, or the head was edited"
            )

    def find_gaps(self) -> None:
        """Report gaps in the chains."""
        for case_id, seen in self._chains.items():
            for gap, before in seen.gaps:
                lacking = len(gap) - sum(number in gap for number in set(seen.late))
                if lacking:
                    removed = (
                        f"the event with number {gap[0]} was removed"
                        if len(gap) == 1
                        else f"{lacking} of the events with numbers {gap[0]} to {gap[-1]} were removed"
                    )
                    self.say(f"{case_words(case_id)}: {removed}, before event {before}")

    def case(self, row: Any) -> None:
        """Check the row of one case against the checked events: the head of the chain, and the head in the result."""
        self._cases += 1
        name = case_words(row.case_id)
        seen = self._chains.pop(row.case_id, None)
        if seen is None:
            self.say(f"{name}: its row counts {row.head_count} events and none is stored: they were removed")
            return
        newest = f"number {seen.last} (event {seen.event_id})"
        if row.head_count != seen.last:
            guess = "events were cut off or inserted, or the row was edited"
            self.say(f"{name}: its row counts {row.head_count} events, the newest stored is {newest}: {guess}")
        elif row.head_hash != seen.hash:
            self.say(f"{name}: the hash in its row is not that of {newest}: the event was replaced or the row edited")
        self._note_result(row, seen)

    def _note_result(self, row: Any, seen: _Seen) -> None:
        """If the case has events after its end, keep the head in its result for a check by `compare_results`."""
        try:
            result: Any = json.loads(row.result) if isinstance(row.result, str) else row.result
            if result is None:
                return
            count, hash_ = int(result["audit"]["count"]), str(result["audit"]["hash"])
        except (ValueError, TypeError, LookupError):
            self.say(f"{case_words(row.case_id)}: its result cannot be read: it was edited")
            return
        if (count, hash_) != (seen.last, seen.hash):
            self._results.append((row.case_id, count, hash_))

    async def compare_results(self, conn: AsyncConnection) -> None:
        """Compare the heads that the results of cases contain with the events to which these heads refer."""
        for case_id, count, hash_ in self._results:
            query = select(events.c.hash).where(events.c.case_id == case_id, events.c.seq == count)
            stored = (await conn.execute(query)).scalar_one_or_none()
            if stored is None:
                self.say(f"{case_words(case_id)}: it ended with {count} events and number {count} is not stored")
            elif stored != hash_:
                self.say(
                    f"{case_words(case_id)}: its result names another hash for number {count}: one of them was edited"
                )

    async def find_payloads_without_events(self, conn: AsyncConnection) -> None:
        """Report payloads that belong to no event."""
        orphans = select(event_payloads.c.number).where(~exists().where(events.c.number == event_payloads.c.number))
        for number in (await conn.execute(orphans.order_by(event_payloads.c.number))).scalars():
            self.say(f"the payload with number {number} belongs to no event: it was inserted, or its event was removed")

    async def find_missing_cases(self, conn: AsyncConnection) -> None:
        """Report cases that have no row although rows of other tables refer to them."""
        named = {case_id: [f"{seen.events} events"] for case_id, seen in self._chains.items() if case_id}
        for words, query in _NAMED_BY.items():
            (column,) = query.selected_columns
            orphans = query.where(~exists().where(cases.c.case_id == column))
            for case_id in (await conn.execute(orphans)).scalars():
                named.setdefault(case_id, []).append(words)
        for case_id, by in named.items():
            self.say(f"{case_words(case_id)}: its row is missing, though {' and '.join(by)} name it")

    def say(self, sentence: str) -> None:
        """Add a problem to the result."""
        self._problems.append(sentence)


def _hash_of(row: Any) -> str | None:
    try:
        return hash_of(
            event_id=row.event_id,
            case_id=row.case_id or "",
            seq=row.seq,
            at=stored_moment(row.moment),
            kind=row.kind,
            actor=row.actor,
            digest=row.digest,
            prev_hash=row.prev_hash,
        )
    except TypeError:
        return None  # bytes instead of text


def _order_of(row: Any) -> int:
    """Return a number by which events are ordered: their position; events without a position come after all others."""
    order: int = _AFTER_ALL + row.number if row.position is None else row.position
    return order


_AFTER_ALL = 2**63

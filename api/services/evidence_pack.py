"""Write the evidence of one case or of a period into a ZIP file that people can read years later without Holdgate.

All data of the pack is from the same moment: one snapshot of the database is read, page by page, and each page is
written before the next is read.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, Field

from api.pages.event_words import of_stored
from api.pages.parts.translation import Reader, reader
from api.services.audit_check import shown_to
from domain.moments import moment_text
from domain.proof.keys import KeyRegistry
from domain.scope import EVERYWHERE, Reach
from domain.state_words import decided
from intake.csv_output import BOM, record as line
from store.audit import search
from store.audit.audit_log import StoredEvent
from store.audit.checkpoints.note import Checkpoint, text_of
from store.audit.checkpoints.sign import newest_note
from store.audit.checkpoints.stored_tree import Incomplete, proof
from store.audit.evidence import Attachment
from store.audit.search import EventFilter, HashedEvent
from store.audit.verification import Verification, verify_all, verify_case, waiting
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.db.database import Database
from workflows.registry import shown_input, shown_result

MOST_EVENTS = 100_000
MOST_BYTES = 512 * 1024 * 1024
"""The most bytes of all files of a pack together, before compression."""
PAGE = 200
"""The number of events that are read and written together. The gateway answers other requests in between."""
PATIENCE_S = 2.0
"""The most seconds that the pack of a case waits for the positions of its newest events; milliseconds are usual."""
COVERED_WITHIN = timedelta(seconds=20)
"""A checkpoint usually covers an event after this time. A pack waits so long for the checkpoint of its newest event."""

EVENTS = (
    *("position", "case_id", "seq", "at", "kind", "actor", "summary", "data", "erased"),
    *("event_id", "prev_hash", "hash"),
)
CASES = (
    *("case_id", "process", "reference", "round", "resubmits", "title", "status", "requester", "on_behalf_of"),
    *("asked_for", "priority", "batch_id"),
    *("created_at", "closed_at", "erased_at", "policy_hash", "events", "head_hash", "input", "result"),
)
SIGNATURES = ("case_id", "task_id", "gate", "decision_id", "name", "person", "signed_at", "meaning", "method")
ATTACHMENTS = ("case_id", "attachment_id", "filename", "size", "sha256", "content_type", "person", "at", "note")

_VERIFY = Path(__file__).with_name("verify_pack.py")
_REPORT = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_REPORT.filters["utc"] = lambda at: moment_text(at, seconds=True) if at else ""
_REPORT.filters["sentence"] = of_stored
_REPORT.filters["pretty"] = lambda data: json.dumps(data, indent=2, ensure_ascii=False)


class NothingThere(LookupError):
    """Raised if neither an event nor the row of the case is stored."""


class TooMuch(ValueError):
    """Raised if a case or a period is too large for one pack. The text says what to do."""


class EvidenceScope(BaseModel):
    """The scope of an evidence pack: one case, or a period."""

    case_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The end of the period: events at or after this time are not in the pack."""
    readable: Any = Field(None, exclude=True)
    """The condition that the reader may read an event, from `store.audit.scoped.readable`; None for every event."""
    audits: Reach = Field(EVERYWHERE, exclude=True)
    """The processes whose events the reader may read, so that the check names no case of another process."""

    @property
    def sought(self) -> EventFilter:
        """Return the filter for the query of the events in the scope."""
        return EventFilter(case_id=self.case_id, since=self.since, until=self.until, readable=self.readable)

    def __str__(self) -> str:
        if self.case_id is not None:
            return f"case {self.case_id}"
        since, until = (moment_text(at, seconds=True) if at else "" for at in (self.since, self.until))
        return f"everything from {since} until before {until}"

    @property
    def filename(self) -> str:
        """Return the file name of the pack, in characters that every operating system accepts."""
        what = self.case_id or f"{self.since:%Y%m%dT%H%M}-{self.until:%Y%m%dT%H%M}"
        return f"evidence-{''.join(sign if sign.isalnum() and sign.isascii() else '-' for sign in what)[:80]}.zip"


@dataclass
class _Pack:
    """The ZIP file of a pack while it is written, with the entries of its manifest."""

    zip: ZipFile
    at: datetime
    files: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    @contextmanager
    def file(self, name: str, what: str) -> Iterator["_File"]:
        """Open a new file in the ZIP for writing in pieces. `what` describes the file in the manifest of the pack."""
        info = ZipInfo(name, self.at.timetuple()[:6])
        info.compress_type = ZIP_DEFLATED
        with self.zip.open(info, "w") as into:
            file = _File(self, into)
            yield file
        entry = {"name": name, "what": what, "bytes": file.size, "sha256": file.digest.hexdigest()}
        self.files.append(entry)

    async def put(self, name: str, what: str, text: str) -> None:
        """Write a complete file into the ZIP. `what` describes the file in the manifest of the pack."""
        with self.file(name, what) as file:
            await file.add(str, text)


@dataclass
class _File:
    pack: _Pack
    into: IO[bytes]
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    async def add(self, make: Callable[..., str], *of: Any) -> None:
        """Append the text that `make` returns for the arguments `of`. Raises TooMuch.

        A thread runs `make`, so that the event loop is not blocked.
        """
        await asyncio.to_thread(self._add, make, of)

    def _add(self, make: Callable[..., str], of: tuple[Any, ...]) -> None:
        data = make(*of).encode(errors="replace")
        self.size += len(data)
        self.pack.size += len(data)
        if self.pack.size > MOST_BYTES:
            raise TooMuch(
                f"The evidence pack would exceed {MOST_BYTES // 1024**2} MB. Choose a shorter period or one case."
            )
        self.digest.update(data)
        self.into.write(data)


async def build(
    db: Database,
    scope: EvidenceScope,
    by: str,
    now: datetime,
    into: IO[bytes],
    keys: KeyRegistry | None = None,
) -> Verification:
    """Write the pack of a scope into the open file `into`, and return the result of the audit log check in the pack.

    The check includes the signatures if the registry `keys` is given.

    Raises NothingThere, TooMuch and DatabaseUnavailable.
    """
    await _wait_for_checkpoint(db, scope)
    async with _snapshot(db, scope.case_id) as conn:
        number = await search.count(conn, **scope.sought)
        if scope.case_id is None and number > MOST_EVENTS:  # the evidence of one case is never cut off
            raise TooMuch(
                f"The period has {number:,} events; a pack holds at most {MOST_EVENTS:,}. Choose a shorter period."
            )
        # The row of a case is evidence, too, in case all of its events were removed.
        ids = await search.case_ids(conn, **scope.sought) if scope.case_id is None else [scope.case_id]
        if scope.case_id is not None and not number and not await search.cases_of(conn, ids):
            raise NothingThere(f"there is no case {scope.case_id}")
        checked = await (
            verify_all(conn, keys=keys) if scope.case_id is None else verify_case(conn, scope.case_id, keys=keys)
        )
        checked = shown_to(checked, scope.audits)
        as_before = reader.set(Reader())  # a pack is in English and UTC for every reader
        try:
            with ZipFile(into, "w", ZIP_DEFLATED) as zip:
                await _fill(_Pack(zip, now), conn, scope, ids, by, checked, number)
        finally:
            reader.reset(as_before)
    return checked


async def _wait_for_checkpoint(db: Database, scope: EvidenceScope) -> None:
    """Return when a checkpoint covers the newest event of the scope, or is not to be expected any more."""
    while True:
        async with db.read() as conn:
            _, size = await _checkpoint(conn)
            newest = await search.newest(conn, limit=1, **scope.sought)
        if not size or not newest or newest[0].position <= size:
            return
        if datetime.now(UTC) - newest[0].at > COVERED_WITHIN:
            return
        await asyncio.sleep(COVERED_WITHIN.total_seconds() / 40)


@asynccontextmanager
async def _snapshot(db: Database, case_id: str | None) -> AsyncIterator[AsyncConnection]:
    """Open a snapshot. For one case, first wait until its newest events have positions, by which the pack is ordered.

    Wait at most `PATIENCE_S`. If events have no position then, the check in the pack says how many.
    """
    began = time.monotonic()
    while True:
        async with db.read() as conn:
            waits = case_id is not None and (await waiting.check(conn, case_id)).number
            if not waits or time.monotonic() - began > PATIENCE_S:
                yield conn
                return
        await asyncio.sleep(PATIENCE_S / 40)


async def _fill(
    pack: _Pack,
    conn: AsyncConnection,
    scope: EvidenceScope,
    ids: list[str],
    by: str,
    checked: Verification,
    number: int,
) -> None:
    cases: list[CaseRow] = []
    attached: list[Attachment] = []
    signatures: list[str] = []
    with pack.file("cases.csv", "One line for each case of the events") as file:
        await file.add(_csv, CASES)
        for start in range(0, len(ids), PAGE):
            some = await search.cases_of(conn, ids[start : start + PAGE])
            await file.add(_case_lines, some)
            attached += await search.attachments_of(conn, ids[start : start + PAGE])
            # The report of a period needs only this part of a case.
            cases += some if scope.case_id else [each.model_copy(update={"input": {}, "plan": []}) for each in some]
    with pack.file("events.csv", "One line for each event, in the order of the audit log") as file:
        await file.add(_csv, EVENTS)
        async for page in _events(conn, scope):
            await file.add(_event_lines, page)
            signatures += [line(_signature(event)) for event in page if isinstance(event.data.get("confirmed"), dict)]
    positions = []
    with pack.file(
        "events.ndjson", "The same events as JSON lines, with all that their hashes are computed from"
    ) as file:
        after = 0
        while page_ := await search.hashed(conn, after=after, limit=PAGE, **scope.sought):
            await file.add(_hashed_lines, page_)
            positions += [event.position for event in page_]
            after = positions[-1]
    await _prove(pack, conn, positions)
    what = "One line for each decision that a person confirmed: printed name, time and meaning"
    await pack.put("signatures.csv", what, _csv(SIGNATURES) + "".join(signatures))
    with pack.file(
        "attachments.csv", "One line for each attachment of these cases, with the SHA-256 of its bytes"
    ) as file:
        await file.add(_csv, ATTACHMENTS)
        await file.add(_attachment_lines, attached)
    for hash, text in (await search.policy_texts(conn, {case.policy_hash for case in cases})).items():
        await pack.put(f"policies/{hash}.toml", "A policy that cases were decided by; its SHA-256 is its name", text)
    said = {"scope": str(scope), "intact": not checked.problems, **checked.model_dump(mode="json")}
    await pack.put("verify.json", "Result of the audit log check when the pack was made", _json(said))
    report: Any = _REPORT.get_template("evidence_report.html").module
    with pack.file("report.html", "All data as a page for people; opens in any browser, without a network") as file:
        shown = shown_input(cases[0].process, cases[0].input) if scope.case_id is not None and cases else {}
        await file.add(report.opening, str(scope), pack.at, by, checked, number, cases, attached, shown)
        async for page in _events(conn, scope):
            await file.add(report.events, page)
        await file.add(report.closing, pack.files)
    manifest = {
        "scope": {"words": str(scope), **scope.model_dump(mode="json")},
        "made_at": pack.at.isoformat(),
        "made_by": by,
        "intact": not checked.problems,
        "head": checked.head.model_dump() if checked.head else None,
        "events": number,
        "cases": len(cases),
        "attachments": len(attached),
        "files": pack.files,
    }
    await pack.put("manifest.json", "", _json(manifest))


async def _prove(pack: _Pack, conn: AsyncConnection, positions: list[int]) -> None:
    """Write the newest checkpoint, the proof that it covers the events, and the program that checks both."""
    await pack.put("verify.py", "Checks this pack: python3 verify.py --key VKEY", _VERIFY.read_text("utf-8"))
    note, size = await _checkpoint(conn)
    if not size:
        return
    await pack.put("checkpoint.note", "The newest signed checkpoint of the audit log (c2sp.org/tlog-checkpoint)", note)
    covered = [position - 1 for position in positions if position <= size]
    try:
        nodes = await proof(conn, size, covered) if covered else {}
    except Incomplete:  # the check in the pack says that events are missing
        nodes = {}
    told = [[start, end, root.hex()] for (start, end), root in nodes.items()]
    what = "Roots of subtrees, from which the root of the checkpoint can be computed together with the events"
    await pack.put("proof.json", what, json.dumps(told) + "\n")


async def _checkpoint(conn: AsyncConnection) -> tuple[str, int]:
    """Return the newest checkpoint and how many events it covers; 0 if there is none, or if it cannot be read."""
    note = await newest_note(conn)
    with suppress(ValueError):
        return (note, Checkpoint.read(text_of(note)).size) if note is not None else ("", 0)
    return "", 0


async def _events(conn: AsyncConnection, scope: EvidenceScope) -> AsyncIterator[list[StoredEvent]]:
    page = await search.oldest(conn, limit=PAGE, **scope.sought)
    while page:
        yield page
        page = await search.oldest(conn, after=page[-1].position, limit=PAGE, **scope.sought)


def _csv(heading: Iterable[str]) -> str:
    """Return the start of a CSV file as text: the byte order mark and the heading row."""
    return BOM + line(heading)


def _event_lines(events: list[StoredEvent]) -> str:
    known = (event.model_dump(mode="json") for event in events)
    return "".join(line(each[name] for name in EVENTS) for each in known)


def _hashed_lines(events: list[HashedEvent]) -> str:
    return "".join(json.dumps(event._asdict(), ensure_ascii=False) + "\n" for event in events)


def _signature(event: StoredEvent) -> Iterable[Any]:
    """Return the cells of a decision that a person confirmed."""
    told = event.data["confirmed"]
    known = event.data | {
        "case_id": event.case_id,
        "name": told.get("name"),
        "person": event.actor,
        "signed_at": told.get("at"),
        "meaning": decided(str(event.data.get("verdict"))),
        "method": told.get("method"),
    }
    return [known.get(name) for name in SIGNATURES]


def _case_lines(cases: list[CaseRow]) -> str:
    return "".join(line(_case_cells(case)) for case in cases)


def _attachment_lines(attached: list[Attachment]) -> str:
    known = (each.model_dump(mode="json") for each in attached)
    return "".join(line(each[name] for name in ATTACHMENTS) for each in known)


def _case_cells(case: CaseRow) -> Iterable[Any]:
    result = shown_result(case.process, case.input, case.result)
    known = case.model_dump(mode="json") | {
        "created_at": case.submitted_at.isoformat(),
        "events": case.head_count,
        "input": shown_input(case.process, case.input),
        "result": result.model_dump(mode="json") if result else None,
    }
    return [known[name] for name in CASES]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

"""The durable SQL transactions of a payment with one gate, by hand in sqlite3: no SQLAlchemy, no pydantic.

The transactions write rows of the size and number that Holdgate writes: cases, events with their hash chain, tasks,
effects. The transactions were taken from a trace of Holdgate; a step that only reads does one read here too.
"""

import hashlib
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4


class Writes(NamedTuple):
    """How many rows one transaction writes."""

    events: int = 0
    tasks: int = 0
    effects: int = 0


SUBMIT, STARTED = "submit", "started"
TRANSACTIONS: dict[str, Writes | None] = {
    SUBMIT: Writes(events=1),  # in the gateway, before the Workflow starts
    STARTED: Writes(),  # in the gateway, after that
    "1": Writes(effects=1),  # reserve the funds
    "2": None,  # screen the payment: reads only
    "3": Writes(events=4),
    "4": Writes(events=1, tasks=1),  # open the gate
    "5": Writes(events=3, tasks=1),  # the decision
    "6": Writes(effects=1),  # capture the payment
    "7": Writes(events=3),  # the end
}
"""The transactions of a case, by the number of the step, or the name of the call of the gateway, that writes them."""

_SCHEMA = """
create table if not exists cases (case_id text primary key, process text, status text, input text, head int, hash text);
create index if not exists cases_status on cases (status);
create table if not exists chain (position int, hash text);
insert into chain select 0, '' where not exists (select 1 from chain);
create table if not exists events (position integer primary key, event_id text unique, case_id text, seq int, at text,
  kind text, digest text, hash text);
create index if not exists events_case on events (case_id);
create table if not exists payloads (position integer primary key, salt text, payload text);
create table if not exists tasks (task_id text primary key, case_id text, status text, view text, at text);
create index if not exists tasks_status on tasks (status, at);
create table if not exists candidates (task_id text, kind text, name text, primary key (task_id, kind, name));
create table if not exists effects (key text primary key, case_id text, state text, result text);
create index if not exists effects_case on effects (case_id);
create table if not exists accounts (name text, balance int);
insert into accounts select 'operating', 100000000 where not exists (select 1 from accounts);
"""
_AT = "2026-11-29T22:00:00.000000"


def opened(folder: Path) -> "Transactions | None":
    """Return the database in this folder with `BARE_SQL=1`, otherwise None."""
    return Transactions(folder / "app.db") if os.environ.get("BARE_SQL") == "1" else None


class Transactions:
    """A database that is durable on each commit, as Holdgate's."""

    def __init__(self, path: Path) -> None:
        """Open the database, and create it if it does not exist."""
        self._conn = sqlite3.connect(path, isolation_level=None, timeout=10)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            self._conn.execute(f"PRAGMA {pragma}")
        self._conn.executescript(_SCHEMA)

    def run(self, case_id: str, name: str) -> None:
        """Run one of the `TRANSACTIONS` of a case, and return when it is on the disk."""
        writes = TRANSACTIONS[name]
        if writes is None:
            self._conn.execute("select * from effects where case_id = ?", (case_id,)).fetchall()
            return
        self._take_the_lock()
        if name == SUBMIT:
            fields = json.dumps({"payee": case_id, "amount": "1250.00"})
            self._conn.execute("insert into cases values (?, 'payment', 'starting', ?, 0, '')", (case_id, fields))
        head = self._add_events(case_id, writes.events) if writes.events else ""
        for _ in range(writes.tasks):
            view = json.dumps({"view": "y" * 1500})
            self._conn.execute(
                "insert into tasks values (?, ?, 'open', ?, ?) on conflict do update set status = 'closed'",
                (case_id, case_id, view, _AT),
            )
            self._conn.execute(
                "insert into candidates values (?, 'group', 'managers') on conflict do nothing", (case_id,)
            )
        for _ in range(writes.effects):
            result = json.dumps({"r": "z" * 150})
            # A step may run again after a crash, and takes effect once.
            self._conn.execute(
                "insert into effects values (?, ?, 'done', ?) on conflict do nothing",
                (f"{case_id}/{name}", case_id, result),
            )
            self._conn.execute("update accounts set balance = balance - 1")
        self._conn.execute(
            "update cases set status = ?, head = head + 1, hash = ? where case_id = ?", (name, head, case_id)
        )
        self._conn.execute("COMMIT")

    def _take_the_lock(self) -> None:
        """Poll for the write lock, as Holdgate does: SQLite itself waits up to 100 ms between two attempts."""
        while True:
            try:
                self._conn.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError:
                time.sleep(0.001)

    def _add_events(self, case_id: str, number: int) -> str:
        """Add events to the hash chain and return its head."""
        position, head = self._conn.execute("select position, hash from chain").fetchone()
        for each in range(number):
            payload = json.dumps({"summary": "something happened to the case", "data": {"a": "x" * 200, "n": each}})
            digest = hashlib.sha256(payload.encode()).hexdigest()
            head = hashlib.sha256((head + digest).encode()).hexdigest()
            position += 1
            self._conn.execute(
                "insert into events values (?, ?, ?, ?, ?, 'step_done', ?, ?)",
                (position, uuid4().hex, case_id, each, _AT, digest, head),
            )
            self._conn.execute("insert into payloads values (?, ?, ?)", (position, "0" * 32, payload))
        self._conn.execute("update chain set position = ?, hash = ?", (position, head))
        return str(head)

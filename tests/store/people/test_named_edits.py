"""Each single edit of the database file makes `holdgate audit verify` fail and name the edit."""

import asyncio
import hashlib
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert

from cli import app as command_line
from store.audit import audit_log
from store.cases import batches
from store.db.database import Database
from store.people import people, tokens
from store.receivers.ledger import Ledger
from store.tables.cases import attachments
from tests.store.audit.test_verification import told
from tests.store.cases.test_batches import ROWS, batch
from tests.store.receivers.test_ledger import Payment
from tests.store.sample_cases import MORNING, submitted

FILE = b"the invoice"
HASH = hashlib.sha256(FILE).hexdigest()

EDITS = [
    ("UPDATE decisions SET verdict = 'reject'", "table decisions", "case payment:a", "verdict"),
    ("UPDATE decisions SET person = 'manager-2'", "table decisions", "case payment:a", "person"),
    ("DELETE FROM decisions", "table decisions", "case payment:a", "deleted"),
    ("UPDATE cases SET status = 'rejected' WHERE case_id = 'payment:a'", "table cases", "payment:a", "status"),
    ("""UPDATE cases SET input = '{"amount": "99.00"}' WHERE case_id = 'payment:b'""", "payment:b", "input"),
    ("UPDATE cases SET requester = 'mallory' WHERE case_id = 'payment:b'", "payment:b", "requester"),
    ("UPDATE cases SET policy_hash = 'x' WHERE case_id = 'payment:b'", "payment:b", "policy_hash"),
    ("UPDATE tasks SET title = 'Pay nothing' WHERE case_id = 'payment:b'", "table tasks", "payment:b", "title"),
    ("UPDATE tasks SET status = 'closed' WHERE case_id = 'payment:b'", "table tasks", "payment:b", "status"),
    ("UPDATE candidates SET name = 'thieves' WHERE kind = 'group'", "table candidates", "thieves", "inserted"),
    ("UPDATE memberships SET group_name = 'admins' WHERE person = 'manager-1'", "table memberships", "admins"),
    ("INSERT INTO memberships (person, group_name) VALUES ('mallory', 'admins')", "table memberships", "mallory"),
    ("DELETE FROM memberships WHERE person = 'mallory'", "table memberships", "mallory", "deleted"),
    ("UPDATE tokens SET revoked_at = NULL", "table tokens", "revoked_at"),
    ("UPDATE tokens SET person = 'mallory'", "table tokens", "person"),
    ("UPDATE policies SET text = 'another'", "table policies", "text"),
    ("UPDATE attachments SET sha256 = '" + "0" * 64 + "'", "table attachments", "case payment:b", "sha256"),
    ("UPDATE batch_rows SET outcome = 'valid' WHERE line = 3", "table batch_rows", '["b1",3]', "outcome"),
    ("DELETE FROM batch_rows WHERE line = 8", "table batch_rows", '["b1",8]', "deleted"),
    ("UPDATE lines SET account = 'mallory' WHERE entry_id = 2 AND number = 1", "table lines", "[2,1]", "account"),
    ("UPDATE entries SET payee = 'Mallory' WHERE kind = 'hold'", "table entries", "payee"),
    ("UPDATE accounts SET posted = posted + 1 WHERE name = 'operating'", "table accounts", "operating", "posted"),
    (
        "UPDATE event_payloads SET salt = NULL, payload = NULL"
        " WHERE number = (SELECT number FROM events WHERE event_id = 'payment:b/1')",
        "event payment:b/1 ",
        "was emptied",
    ),
]


async def fill(url: str) -> None:
    """Two payments with all that belongs to them, people and a batch."""
    db = Database(url)
    await told(db)
    ledger = Ledger(db)
    await ledger.fund("fund/operating/GBP", "operating", "GBP", Decimal("1000.00"))
    await submitted(db, "C", policy_hash=hashlib.sha256(b"a policy").hexdigest())
    await Payment(ledger, "payment:c").hold()
    async with db.write() as conn:
        for person, group in (("manager-1", "managers"), ("mallory", "requesters")):
            await people.add(conn, person, person.title(), [group], by="admin-1")
        await tokens.make(conn, "manager-1", "laptop", by="admin-1")
        await tokens.revoke_all(conn, "manager-1", by="admin-1")
        await batches.receive(conn, batch(sha256=HASH, path="f.csv"))
        await batches.add_rows(conn, "b1", ROWS)
        await conn.execute(
            insert(attachments).values(
                attachment_id="a1",
                case_id="payment:b",
                filename="invoice.pdf",
                size=len(FILE),
                sha256=HASH,
                content_type="application/pdf",
                person="requester-1",
                note="",
                at=MORNING + timedelta(minutes=1),
            )
        )
        await audit_log.note(conn, "told", by="admin-1", summary="All was told", data={})
    await db.close()


def test_each_of_23_edits_is_named_by_the_command(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL", "HOLDGATE_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    filled, used = tmp_path / "filled.db", tmp_path / "holdgate.db"
    shutil.copy(sqlite_template, filled)
    asyncio.run(fill(f"sqlite:///{filled}"))
    for folder, name in (("attachments", HASH), ("uploads", "f.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(FILE)

    shutil.copy(filled, used)
    assert (command_line.main(("audit", "verify")), capsys.readouterr().out.split(":")[0]) == (
        0,
        "the audit log is intact",
    )
    assert len(EDITS) == 23
    for edit, *words in EDITS:
        shutil.copy(filled, used)
        with closing(sqlite3.connect(used, isolation_level=None)) as connection:
            assert connection.execute(edit).rowcount, edit
        assert command_line.main(("audit", "verify")) == 1, edit
        output = capsys.readouterr().out.splitlines()
        assert any(all(word in line for word in words) for line in output), (edit, output)

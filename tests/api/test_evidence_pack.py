"""The evidence pack holds what happened, its files match the manifest, and a forged file is named."""

import asyncio
import csv
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest
from sqlalchemy import delete, select, update

from api.services import evidence_pack
from api.services.evidence_pack import EvidenceScope, TooMuch, build
from store.audit import audit_log
from store.audit.sequencer import Sequencer
from store.cases import policies
from store.db.database import Database
from store.tables.audit import event_payloads, event_positions, events
from tests.api.conftest import Gate
from tests.store.sample_cases import MORNING, event, submitted

POLICY = "[payment.gates.approval]\n"
POLICY_HASH = hashlib.sha256(POLICY.encode()).hexdigest()


def opened(data: bytes) -> dict[str, str]:
    """The files of a pack by their names; each must be what the manifest says."""
    with ZipFile(io.BytesIO(data)) as pack:
        assert pack.testzip() is None
        files = {name: pack.read(name) for name in pack.namelist()}
    manifest = json.loads(files["manifest.json"])
    assert {each["name"] for each in manifest["files"]} == set(files) - {"manifest.json"}
    for each in manifest["files"]:
        content = files[each["name"]]
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (each["sha256"], each["bytes"]), each["name"]
    return {name: content.decode("utf-8-sig") for name, content in files.items()}


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_the_pack_of_a_case_waits_for_its_newest_events(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def packed(db: Database) -> tuple[int, int]:
        await build(db, EvidenceScope(case_id=case_id), "auditor-1", MORNING, into := io.BytesIO())
        files = opened(into.getvalue())
        return len(lines(files["events.csv"])), json.loads(files["verify.json"])["unsequenced"]

    database, sequencer = Database(postgres_url), Sequencer(postgres_url)
    case_id = (await submitted(database)).case_id
    monkeypatch.setattr(evidence_pack, "PATIENCE_S", 0.1)
    assert await packed(database) == (0, 2), "nothing gives positions: the event and the seal have none"
    monkeypatch.setattr(evidence_pack, "PATIENCE_S", 2)
    pack = asyncio.create_task(packed(database))
    await asyncio.sleep(0.1)
    await sequencer.catch_up()
    assert await pack == (1, 0)
    await sequencer.close()
    await database.close()


async def test_the_pack_of_a_case_holds_its_record_line_by_line(gate: Gate) -> None:
    case_id = await gate.start(payee="=HYPERLINK(0)<script>alert(1)</script>")
    bill = {"file": ("bill.txt", b"One bill", "text/plain")}
    await gate.as_("requester-1").post(f"/api/v1/cases/{quote(case_id, safe='')}/attachments", files=bill)
    await gate.decide("manager-1", await gate.open_task(case_id), "reject", comment="=1+1")
    case = await gate.until(case_id, lambda case: case["status"] == "rejected")
    answer = await gate.get("auditor-1", "/audit/pack", case_id=case_id)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="evidence-payment-')
    files = opened(answer.content)

    recorded = [json.loads(each) for each in (await gate.get("auditor-1", "/audit", case_id=case_id)).text.splitlines()]
    said = lines(files["events.csv"])
    assert [each["event_id"] for each in said] == [each["event_id"] for each in recorded]
    for line, known in zip(said, recorded, strict=True):
        assert (line["hash"], line["prev_hash"], line["actor"]) == (known["hash"], known["prev_hash"], known["actor"])
        assert line["summary"].removeprefix("'") == known["summary"]
        assert json.loads(line["data"].removeprefix("'") or "{}") == known["data"]
    assert not any(cell.startswith(("=", "+", "@")) for line in said for cell in line.values())

    (about,) = lines(files["cases.csv"])
    assert (about["case_id"], about["status"], about["events"]) == (case_id, "rejected", str(len(recorded)))
    assert json.loads(about["input"])["payee"] == "=HYPERLINK(0)<script>alert(1)</script>"
    assert "GB82WEST12345698765432" not in "".join(files.values()), "whole account numbers are not in the pack"
    (attached,) = lines(files["attachments.csv"])
    assert attached["sha256"] == hashlib.sha256(b"One bill").hexdigest()
    policy = files[f"policies/{case['policy_hash']}.toml"]
    assert hashlib.sha256(policy.encode()).hexdigest() == case["policy_hash"]
    checked = json.loads(files["verify.json"])
    assert checked["intact"] and checked["head"] == {"count": len(recorded), "hash": recorded[-1]["hash"]}

    report = files["report.html"]
    assert "<script" not in report and "&lt;script&gt;" in report
    assert "http://" not in report and "src=" not in report, "it opens without a network"
    assert "<strong>Yes.</strong>" in report and recorded[-1]["hash"] in report
    assert all(each["hash"][:16] in report for each in recorded)


async def test_a_pack_of_nothing_or_of_everything_at_once_is_refused_in_words(stopped: Gate) -> None:
    assert (await stopped.get("auditor-1", "/audit/pack", case_id="payment:none")).status_code == 404
    for wrong in ({}, {"case_id": "payment:x", "from": "2026-11-01"}, {"from": "yesterday"}, {"to": "1969-01-01"}):
        answer = await stopped.get("auditor-1", "/audit/pack", **wrong)
        assert answer.status_code == 422, wrong
        assert answer.json()["errors"][0]["field"] in {"case_id", "from", "to"}


async def packed(db: Database, scope: EvidenceScope) -> dict[str, str]:
    into = io.BytesIO()
    await build(db, scope, "auditor-1", datetime(2026, 11, 26, 9, tzinfo=UTC), into)
    return opened(into.getvalue())


@pytest.fixture
async def year(db: Database) -> Database:
    """Two cases, a day apart, and a change of people, which is of now."""
    async with db.write() as conn:
        await policies.keep(conn, POLICY_HASH, POLICY)
    for number, reference in enumerate(("A", "B")):
        await submitted(db, reference, policy_hash=POLICY_HASH)
        async with db.write() as conn:
            later = MORNING + timedelta(days=number, hours=1)
            await audit_log.append(conn, [event(f"payment:{reference.lower()}", 1).model_copy(update={"at": later})])
    return db


async def test_the_pack_of_a_period_holds_what_happened_in_it_and_checks_the_whole_record(year: Database) -> None:
    second = MORNING + timedelta(days=1)
    files = await packed(year, EvidenceScope(since=second, until=second + timedelta(days=1)))
    assert [(line["case_id"], line["seq"]) for line in lines(files["events.csv"])] == [("payment:b", "2")]
    assert [line["case_id"] for line in lines(files["cases.csv"])] == ["payment:b"]
    checked, manifest = json.loads(files["verify.json"]), json.loads(files["manifest.json"])
    assert (checked["intact"], checked["events"]) == (True, 5)
    assert manifest["head"]["count"] == 5 and manifest["events"] == 1


async def test_an_entry_that_was_tampered_with_is_named_in_the_pack(year: Database) -> None:
    async with year.read() as conn:
        victim = (await audit_log.page(conn, "payment:a"))[-1]
    async with year.write() as conn:
        await conn.execute(update(events).where(events.c.event_id == victim.event_id).values(actor="somebody-else"))
    for scope in (EvidenceScope(case_id="payment:a"), EvidenceScope(since=MORNING, until=MORNING + timedelta(days=9))):
        files = await packed(year, scope)
        checked: dict[str, Any] = json.loads(files["verify.json"])
        assert checked["intact"] is False
        assert any(victim.event_id in problem and "was edited" in problem for problem in checked["problems"])
        assert json.loads(files["manifest.json"])["intact"] is False
        assert "<strong>No." in files["report.html"] and victim.event_id in files["report.html"]
    assert json.loads((await packed(year, EvidenceScope(case_id="payment:b")))["verify.json"])["intact"]


async def test_a_case_all_of_whose_events_were_removed_is_still_evidence(year: Database) -> None:
    async with year.write() as conn:
        its = (await conn.execute(select(events.c.number).where(events.c.case_id == "payment:a"))).scalars().all()
        for table in (event_payloads, event_positions, events):
            await conn.execute(delete(table).where(table.c.number.in_(its)))
    files = await packed(year, EvidenceScope(case_id="payment:a"))
    assert [line["case_id"] for line in lines(files["cases.csv"])] == ["payment:a"]
    assert "none is stored: they were removed" in files["verify.json"]


async def test_a_pack_has_a_limit_and_says_what_to_do(year: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = EvidenceScope(since=MORNING, until=MORNING + timedelta(days=9))
    monkeypatch.setattr(evidence_pack, "MOST_EVENTS", 3)
    with pytest.raises(TooMuch, match=r"has \d events; a pack holds at most 3\. Choose a shorter period"):
        await packed(year, everything)
    monkeypatch.setattr(evidence_pack, "MOST_EVENTS", 5)
    monkeypatch.setattr(evidence_pack, "MOST_BYTES", 1024)
    with pytest.raises(TooMuch, match="Choose a shorter period"):
        await packed(year, everything)

"""An evidence pack is verified by the program in it, in a bare interpreter, and every change of the pack is found."""

import ast
import asyncio
import csv
import hashlib
import io
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from api.services import evidence_pack, verify_pack
from api.services.evidence_pack import EvidenceScope, build
from store.audit import audit_log
from store.audit.checkpoints import sign
from store.audit.checkpoints.note import Checkpoint, SigningKey
from store.audit.checkpoints.sign import Signer
from store.audit.hashing import canonical, sha256
from store.audit.tree import EMPTY
from store.db.database import Database
from store.erasure.content import erase_case
from store.tables.audit import event_payloads
from tests.store.erasure.ended_cases import CANARY, ended, fill as fill_rows, uploaded
from tests.store.sample_cases import MORNING, event, submitted

KEY = SigningKey.new("holdgate.example/record")
VKEY = str(KEY.verifier)
PERIOD = EvidenceScope(since=MORNING - timedelta(days=1), until=MORNING + timedelta(days=9))

Files = dict[str, bytes]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign, "PAUSE", timedelta(0))


@pytest.fixture
async def signed(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """Three cases whose events alternate, texts that are hard to write, and a checkpoint."""
    db = Database(sqlite_url)
    ids = [(await submitted(db, reference)).case_id for reference in ("A", "B", "C")]
    for number in range(1, 8):
        async with db.write() as conn:
            for case_id in ids:
                text = ["=1+1", "'quoted", 'a "b",\r\nc', "\u2028 \u00e4 \U0001f600", "", "+1", "x"][number - 1]
                new = event(case_id, number, text=text, list=[1, 1.5, None])
                await audit_log.append(conn, [new.model_copy(update={"summary": text})])
    await Signer(db, KEY, [], tmp_path / "checkpoints").look()
    yield db
    await db.close()


async def packed(db: Database, scope: EvidenceScope) -> Files:
    await build(db, scope, "auditor-1", datetime(2026, 11, 26, 9, tzinfo=UTC), into := io.BytesIO())
    with ZipFile(into) as pack:
        return {name: pack.read(name) for name in pack.namelist()}


def zipped(files: Files, path: Path) -> Path:
    with ZipFile(path, "w") as pack:
        for name, content in files.items():
            pack.writestr(name, content)
    return path


def with_manifest(files: Files) -> Files:
    """The files with a manifest that fits them: a person who forges a file also forges the manifest."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = [
        {"name": name, "what": "", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "manifest.json"
    ]
    manifest["events"] = len(hashed(files))
    return files | {"manifest.json": json.dumps(manifest).encode()}


def hashed(files: Files) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files["events.ndjson"].decode().split("\n") if line]


def with_events(files: Files, events: list[dict[str, Any]]) -> Files:
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in events)
    return with_manifest(files | {"events.ndjson": text.encode()})


def verified(files: Files, key: str | None = VKEY) -> tuple[int, list[str]]:
    check = verify_pack.Check(files)
    check.run(key)
    return (1 if check.problems else 2 if check.unchecked else 0), check.problems + check.unchecked


@pytest.mark.parametrize("scope", [EvidenceScope(case_id="payment:b"), PERIOD], ids=["a case", "a period"])
async def test_a_pack_is_verified_by_its_own_program_in_a_bare_interpreter(
    signed: Database, tmp_path: Path, scope: EvidenceScope
) -> None:
    files = await packed(signed, scope)
    folder = tmp_path / "pack"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pack = zipped(files, tmp_path / "evidence.zip")
    for arguments in ([str(folder / "verify.py")], [str(folder / "verify.py"), str(pack)]):
        command = [sys.executable, "-I", "-S", *arguments, "--key", VKEY]
        said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd="/")
        assert (said.returncode, said.stderr) == (0, ""), said
        assert "events are in the audit log 'holdgate.example/record', which had 24 events" in said.stdout
        assert said.stdout.endswith(f"everything is right: {len(hashed(files))} events\n")


def test_the_program_is_python_3_8_and_imports_the_standard_library_only() -> None:
    source = Path(verify_pack.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= {*sys.stdlib_module_names}


async def test_a_pack_without_a_trusted_key_or_of_newer_events_is_incomplete(signed: Database, tmp_path: Path) -> None:
    files = await packed(signed, EvidenceScope(case_id="payment:a"))
    assert verified(files, None) == (2, ["the signature of the checkpoint: give the public key with --key"])
    stranger = str(SigningKey.new(KEY.verifier.name).verifier)
    assert verified(files, stranger) == (1, ["the checkpoint was not signed by this key, or was changed"])
    async with signed.write() as conn:
        await audit_log.append(conn, [event("payment:a", 90)])
    code, said = verified(await packed(signed, EvidenceScope(case_id="payment:a")))
    assert code == 2 and said == ["1 events are newer than the checkpoint: make a new pack in a minute"]
    bare = await packed(signed, EvidenceScope(case_id="payment:a"))
    del bare["checkpoint.note"], bare["proof.json"]
    assert verified(with_manifest(bare))[0] == 2


async def test_the_pack_waits_for_the_checkpoint_of_an_event_that_just_happened(
    signed: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_pack, "COVERED_WITHIN", timedelta(seconds=4))
    async with signed.write() as conn:
        now = event("payment:a", 90).model_copy(update={"at": datetime.now(UTC)})
        await audit_log.append(conn, [now])
    pack = asyncio.create_task(packed(signed, EvidenceScope(case_id="payment:a")))
    await asyncio.sleep(0.3)
    assert not pack.done()
    await Signer(signed, KEY, [], tmp_path / "checkpoints").look()
    assert verified(await pack) == (0, [])


async def test_an_erased_event_is_still_proven(signed: Database) -> None:
    async with signed.write() as conn:
        await conn.execute(update(event_payloads).where(event_payloads.c.number == 5).values(salt=None, payload=None))
        await audit_log.note(conn, "erased", by="ada", summary="Erased", data={"positions": [5]})
    case_id = next(
        each["envelope"]["case_id"] for each in hashed(await packed(signed, PERIOD)) if each["position"] == 5
    )
    files = await packed(signed, EvidenceScope(case_id=case_id))
    assert verified(files) == (0, [])


async def test_the_pack_of_an_erased_case_is_verified_and_has_no_content(signed: Database, tmp_path: Path) -> None:
    case_id = await ended(signed, batch_id=await uploaded(signed))
    await fill_rows(signed, case_id)
    async with signed.write() as conn:
        await erase_case(conn, case_id, by="pia", reason="asked", request="erasure:r-1")
    await Signer(signed, KEY, [], tmp_path / "checkpoints").look()
    files = await packed(signed, EvidenceScope(case_id=case_id))
    assert verified(files) == (0, [])
    assert CANARY.encode() not in b"".join(files.values())
    assert json.loads(files["verify.json"])["erased"] == 4


# ------------------------------------------------------------------------------------------------------------ tampering


def rehashed(each: dict[str, Any]) -> dict[str, Any]:
    """The event with hashes that fit its content."""
    envelope = each["envelope"] | {"digest": sha256(each["salt"] + each["payload"])}
    return each | {"envelope": envelope, "hash": sha256(canonical(envelope))}


def edit_payload(events: list[dict[str, Any]], chance: random.Random) -> None:
    each = chance.choice(events)
    each["payload"] = each["payload"].replace("x", "y") if "x" in each["payload"] else each["payload"] + " "


def edit_envelope(events: list[dict[str, Any]], chance: random.Random) -> None:
    chance.choice(events)["envelope"][chance.choice(["actor", "kind", "at", "event_id"])] = "forged"


def edit_and_hash_anew(events: list[dict[str, Any]], chance: random.Random) -> None:
    place = chance.randrange(len(events))
    events[place]["envelope"]["actor"] = "forged"
    events[place] = rehashed(events[place])


def rewrite_the_whole_case(events: list[dict[str, Any]], chance: random.Random) -> None:
    before = ""
    for place, each in enumerate(events):
        each["envelope"] |= {"actor": "forged", "prev_hash": before}
        events[place] = rehashed(each)
        before = events[place]["hash"]


def swap_positions(events: list[dict[str, Any]], chance: random.Random) -> None:
    one, two = chance.sample(events, 2)
    one["position"], two["position"] = two["position"], one["position"]


def swap_events(events: list[dict[str, Any]], chance: random.Random) -> None:
    one, two = chance.sample(range(len(events)), 2)
    events[one], events[two] = events[two], events[one]


def remove(events: list[dict[str, Any]], chance: random.Random) -> None:
    del events[chance.randrange(len(events) - 1)]


def remove_the_first(events: list[dict[str, Any]], chance: random.Random) -> None:
    del events[: chance.randint(1, 3)]


def remove_the_newest(events: list[dict[str, Any]], chance: random.Random) -> None:
    del events[-chance.randint(1, 3) :]


def insert(events: list[dict[str, Any]], chance: random.Random) -> None:
    each = json.loads(json.dumps(chance.choice(events)))
    each["envelope"] |= {"event_id": "forged", "actor": "forged"}
    events.insert(chance.randint(0, len(events)), rehashed(each))


def insert_at_the_same_position(events: list[dict[str, Any]], chance: random.Random) -> None:
    """Of two events at one position, a careless check would prove only the second."""
    place = chance.randrange(len(events))
    each = json.loads(json.dumps(events[place]))
    each["envelope"] |= {"event_id": "forged"}
    events.insert(place, rehashed(each))


def insert_before_the_first_position(events: list[dict[str, Any]], chance: random.Random) -> None:
    each = json.loads(json.dumps(events[0])) | {"position": chance.choice([0, -1, "1", 0.5])}
    each["envelope"] |= {"event_id": "forged"}
    events.insert(0, rehashed(each))


def empty(events: list[dict[str, Any]], chance: random.Random) -> None:
    chance.choice(events)["hash"] = chance.choice(["", "0" * 64])


TAMPERINGS = [
    edit_payload,
    edit_envelope,
    edit_and_hash_anew,
    rewrite_the_whole_case,
    swap_positions,
    swap_events,
    remove,
    remove_the_first,
    remove_the_newest,
    insert,
    insert_at_the_same_position,
    insert_before_the_first_position,
    empty,
]


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
async def test_a_changed_event_is_found_although_the_manifest_was_forged(
    tamper: Callable[[list[dict[str, Any]], random.Random], None], signed: Database
) -> None:
    files, chance = await packed(signed, EvidenceScope(case_id="payment:b")), random.Random(tamper.__name__)
    assert verified(files) == (0, [])
    for _ in range(3):
        events = hashed(files)
        tamper(events, chance)
        forged = with_events(files, events)
        assert verified(forged)[0] == 1
        if tamper is remove_the_newest:  # nothing in the events shows it: only events.csv, and a forger cuts that, too
            continue
        check = verify_pack.Check(forged)
        check.check_table = lambda: None  # type: ignore[method-assign]
        check.run(VKEY)
        assert check.problems, "also without events.csv"


async def test_a_change_of_any_file_is_found(signed: Database) -> None:
    files = await packed(signed, EvidenceScope(case_id="payment:b"))
    for name in files:
        assert verified({other: content for other, content in files.items() if other != name})[0] == 1, name
        if name != "manifest.json":
            assert verified(files | {name: files[name] + b" "})[0] == 1, name
    assert verified(files | {"more.txt": b""}) == (1, ["more.txt was added: the manifest does not list it"])


@pytest.mark.parametrize("column", ["position", "seq", "at", "kind", "actor", "summary", "data", "hash", "case_id"])
async def test_the_table_for_people_must_say_what_the_hashed_events_say(signed: Database, column: str) -> None:
    files = await packed(signed, EvidenceScope(case_id="payment:b"))
    table = list(csv.reader(io.StringIO(files["events.csv"].decode("utf-8-sig"), newline="")))
    table[3][table[0].index(column)] = '{"forged": 1}' if column == "data" else "7777"
    csv.writer(into := io.StringIO()).writerows(table)
    code, said = verified(with_manifest(files | {"events.csv": into.getvalue().encode()}))
    assert code == 1 and any(f"{column} is not what the hashed event says" in each for each in said), said


async def test_another_proof_or_checkpoint_is_found(signed: Database) -> None:
    files = await packed(signed, EvidenceScope(case_id="payment:b"))
    nodes = json.loads(files["proof.json"])
    for wrong in (nodes[1:], [[*nodes[0][:2], "00" * 32], *nodes[1:]]):
        assert verified(with_manifest(files | {"proof.json": json.dumps(wrong).encode()}))[0] == 1
    other = Checkpoint(KEY.verifier.name, 24, EMPTY)
    for note in (KEY.sign(other.text()), KEY.sign(other._replace(origin="another").text()), "rubbish\n"):
        assert verified(with_manifest(files | {"checkpoint.note": note.encode()}))[0] == 1


def test_what_cannot_be_read_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = zipped({"manifest.json": b"[]", "events.ndjson": b"{}"}, tmp_path / "pack.zip")
    assert verify_pack.main([str(pack), "--key", VKEY]) == 1
    assert "a part of the pack cannot be read" in capsys.readouterr().out
    assert verify_pack.main(["--help"]) == 2
    with pytest.warns(UserWarning, match="Duplicate name"), ZipFile(pack, "w") as twice:
        for text in ("one", "another"):
            twice.writestr("events.csv", text)
    assert verify_pack.main([str(pack), "--key", VKEY]) == 1
    assert "two files of the pack have the same name" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------------------- Ed25519


def test_the_signature_of_rfc_8032_is_accepted() -> None:
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert verify_pack.ed25519(public, b"\x72", signature)
    assert not verify_pack.ed25519(public, b"\x73", signature)


def test_signatures_are_judged_as_by_the_library() -> None:
    chance = random.Random(20)
    for _ in range(12):
        key, text = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32)), chance.randbytes(chance.randrange(99))
        public, signature = key.public_key().public_bytes_raw(), bytearray(key.sign(text))
        assert verify_pack.ed25519(public, text, bytes(signature))
        signature[chance.randrange(64)] ^= 1 << chance.randrange(8)
        assert not verify_pack.ed25519(public, text, bytes(signature))
    large = int.from_bytes(signature[32:], "little") + verify_pack.ORDER
    assert not verify_pack.ed25519(public, text, bytes(signature[:32]) + large.to_bytes(32, "little"))
    assert not verify_pack.ed25519(public[:31], text, bytes(signature))

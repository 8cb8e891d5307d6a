"""Signatures of decisions, seen through the gateway: keys are rotated, and what cannot be signed is refused before."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from api.app import create_app
from core.signing_keys import make_private_key, read_registry, write_registry
from domain.batch import BatchAct, BatchInput, BatchOrder
from domain.messages import Actor
from domain.names import TASK_QUEUE
from domain.proof.keys import Role, TrustedKey, key_id_of
from store.audit import audit_log
from store.audit.key_changes import note_changed_keys
from store.audit.verification import verify_case
from store.audit.verification.proofs import check as check_proofs
from store.cases import batches, tasks
from store.db.connection import AsyncConnection
from store.tables.cases import proofs
from tests.api.conftest import API, Gate, Work, eventually
from tests.api.test_batch_orders import order, take, until
from tests.support.signatures import unsigned


@pytest_asyncio.fixture
async def registry(gate: Gate) -> AsyncIterator[dict[str, TrustedKey]]:
    """The keys of the registry; what a test changes is undone."""
    path = gate.settings.trusted_keys
    before = path.read_bytes()
    yield dict(read_registry(path).keys)
    path.write_bytes(before)
    gate.keys.refresh()


def put(gate: Gate, keys: dict[str, TrustedKey]) -> None:
    write_registry(gate.settings.trusted_keys, keys.values())
    gate.keys.refresh()


async def test_everybody_signed_in_can_check_a_decision_with_the_published_keys(gate: Gate) -> None:
    assert (await gate.get(None, "/audit/keys")).status_code == 401
    case_id = await gate.start()
    decided = await gate.decide("manager-1", await gate.open_task(case_id), comment="as agreed")
    await gate.until(case_id, lambda case: case["status"] == "completed")
    async with gate.database.read() as conn:
        row = (await conn.execute(select(proofs).where(proofs.c.case_id == case_id))).one()
    assert row.message_id == decided.json()["decision_id"]
    said = json.loads(row.text.partition("\n")[2])
    assert (said["by"]["id"], said["verdict"], said["comment"]) == ("manager-1", "approve", "as agreed")
    _, key_id, signature = row.proof.split(".")
    keys = {key["kid"]: key for key in (await gate.get("requester-2", "/audit/keys")).json()["keys"]}
    assert {key["role"] for key in keys.values()} == {*Role}
    key = keys[key_id]
    assert (key["kty"], key["crv"], key["state"]) == ("OKP", "Ed25519", "valid")
    raw, signed = (base64.urlsafe_b64decode(each + "==") for each in (key["x"], signature))
    Ed25519PublicKey.from_public_bytes(raw).verify(signed, row.text.encode())
    async with gate.database.read() as conn:
        assert (await verify_case(conn, case_id, keys=gate.keys.registry)).problems == []


@pytest.mark.parametrize(
    ("edits", "fields"),
    [
        ('{"payload": {"price": 9007199254740993}}', ["edits.payload.price"]),
        ('{"payload": {"list": [1, "\\ud800"]}}', ["body"]),
        ('{"payload": {"price": NaN}}', None),
        ('{"payload": {"price": 1e400}}', ["body"]),
    ],
)
async def test_edits_that_cannot_be_signed_are_refused_before(gate: Gate, edits: str, fields: list[str] | None) -> None:
    asked = {"process": "approval", "reference": f"S-{uuid4()}", "input": {"title": "x", "candidates": ["managers"]}}
    case_id = (await gate.post("requester-1", "/cases", asked)).json()["case_id"]
    task = await gate.open_task(case_id)
    body = f'{{"verdict": "approve", "revision": {task["revision"]}, "edits": {edits}}}'
    answer = await gate.as_("manager-1").post(
        f"{API}/tasks/{task['task_id']}/decision", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in ({422} if fields else {400, 422}), answer.text
    if fields:
        assert [error["field"] for error in answer.json()["errors"]] == fields
    assert (await gate.decide("manager-1", task)).status_code == 200


@asynccontextmanager
async def another_gateway(gate: Gate, **settings: Any) -> AsyncIterator[Gate]:
    app = create_app(gate.settings.model_copy(update=settings))
    async with app.router.lifespan_context(app):
        yield replace(gate, app=app, _clients={})


async def test_keys_are_rotated_while_cases_are_open(gate: Gate, registry: dict[str, TrustedKey]) -> None:
    cases = [await gate.start(reference=f"ROT-{uuid4()}") for _ in range(6)]
    open_tasks = [await gate.open_task(case_id) for case_id in cases]
    (old,) = (key_id for key_id, key in registry.items() if key.role is Role.GATEWAY)
    assert (await gate.decide("manager-1", open_tasks[0])).status_code == 200

    new = make_private_key(private := gate.settings.var / f"{uuid4()}.pem")
    added = registry | {new.key_id: new.trusted(Role.GATEWAY, datetime.now(UTC))}
    write_registry(gate.settings.trusted_keys, added.values())
    async with another_gateway(gate, signing_key=private) as second:
        too_early = await second.decide("manager-1", open_tasks[1])
        assert too_early.status_code == 503 and "signature of this gateway" in too_early.json()["detail"]
        gate.keys.refresh()
        assert (await second.decide("manager-1", open_tasks[1])).status_code == 200
        assert (await gate.decide("manager-1", open_tasks[2])).status_code == 200

        put(gate, added | {old: registry[old].model_copy(update={"retired_at": datetime.now(UTC)})})
        refused = await gate.decide("manager-1", open_tasks[3], **{"comment": "with the old key"})
        assert refused.status_code == 503
        async with gate.database.read() as conn:
            task = await tasks.get(conn, open_tasks[3]["task_id"])
        assert task is not None and task.status == "open"
        for task_of in open_tasks[3:]:
            assert (await second.decide("manager-1", task_of)).status_code == 200
    for case_id in cases:
        await gate.until(case_id, lambda case: case["status"] == "completed")
        async with gate.database.read() as conn:
            assert (await verify_case(conn, case_id, keys=gate.keys.registry)).problems == []
    events = await told(gate, "decision_refused", since=open_tasks[0]["opened_at"])
    assert events == [], "a key is no reason to record a refusal of a person"


@pytest.mark.parametrize("number", [6, pytest.param(200, marks=pytest.mark.soak)])
async def test_all_cases_finish_after_a_rotation_also_with_decisions_that_wait_for_a_worker(
    gate: Gate, work: Work, registry: dict[str, TrustedKey], request: pytest.FixtureRequest, number: int
) -> None:
    cases = [await gate.start(reference=f"WAIT-{uuid4()}") for _ in range(number)]
    open_tasks = [await gate.open_task(case_id) for case_id in cases]
    stored, later = open_tasks[: number // 3], open_tasks[number // 3 :]
    await work.stop()
    answers = await asyncio.gather(*(gate.decide("manager-1", task) for task in stored))
    assert {answer.status_code for answer in answers} == {202}

    (old,) = (key_id for key_id, key in registry.items() if key.role is Role.GATEWAY)
    new = make_private_key(private := gate.settings.var / f"{uuid4()}.pem")
    now = datetime.now(UTC)
    retired = registry[old].model_copy(update={"retired_at": now})
    put(gate, registry | {new.key_id: new.trusted(Role.GATEWAY, now), old: retired})
    await work.start(gate, request.session.testsfailed)
    async with another_gateway(gate, signing_key=private) as second:
        for task in later:
            assert (await second.decide("manager-1", task)).status_code in (200, 202)
    for case_id in cases:
        await gate.until(case_id, lambda case: case["status"] == "completed")
        async with gate.database.read() as conn:
            assert (await verify_case(conn, case_id, keys=gate.keys.registry)).problems == []
    async with gate.database.read() as conn:
        used = (await conn.execute(select(proofs.c.proof).where(proofs.c.case_id.in_(cases)))).scalars().all()
    signers = Counter(key_id_of(proof) for proof in used)
    assert signers == {old: len(stored), new.key_id: len(later)}


async def told(gate: Gate, kind: str, since: str) -> list[audit_log.StoredEvent]:
    async with gate.database.read() as conn:
        found = await audit_log.page(conn, limit=100_000)
    return [event for event in found if event.kind == kind and event.at >= datetime.fromisoformat(since)]


async def test_a_changed_registry_is_an_event_at_the_next_start(gate: Gate, registry: dict[str, TrustedKey]) -> None:
    await note_changed_keys(gate.database, gate.keys.registry)
    assert not await note_changed_keys(gate.database, gate.keys.registry)
    (old,) = (key_id for key_id, key in registry.items() if key.role is Role.WORKER)
    at = datetime.now(UTC) - timedelta(seconds=1)
    put(gate, registry | {old: registry[old].model_copy(update={"revoked_at": at})})
    assert await note_changed_keys(gate.database, gate.keys.registry)
    (event,) = (await told(gate, "keys_changed", since=at.isoformat()))[-1:]
    assert (event.actor, event.case_id, event.data["changed"]) == ("holdgate", "", f"{old} (revoked)")
    assert event.data["keys"][old]["revoked_at"] == at.isoformat()


async def test_a_batch_takes_no_order_that_nobody_signed(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 202
    await until(gate, batch_id, status="paused")
    forger = unsigned(gate.client).get_workflow_handle(f"batch:{batch_id}")
    by = Actor(id="operator-1", groups=["operators"])
    cancel = BatchOrder(id="x", act=BatchAct.CANCEL, by=by, reason="because", at=datetime.now(UTC))
    await forger.signal("order", cancel)

    async def look() -> list[audit_log.StoredEvent]:
        await gate.refusals.finish()
        found = await told(gate, "message_refused", since=cancel.at.isoformat())
        return [event for event in found if event.data.get("workflow_id") == forger.id]

    (event,) = await eventually(look, lambda found: len(found) == 1)
    assert (event.actor, event.data["via"], event.data["claimed"]) == ("temporal", "temporal", "operator-1")
    assert event.data["code"] == "Unsigned"
    assert (await order(gate, "operator-1", batch_id, "resume")).status_code == 202
    assert (await until(gate, batch_id, status="completed"))["rows"]["started"] == 30
    async with gate.database.read() as conn:
        assert len(await proofs_of(conn, batch_id)) == 2


async def proofs_of(conn: AsyncConnection, batch_id: str) -> list[Any]:
    """Return the stored orders to a batch."""
    kept = (await conn.execute(select(proofs).where(proofs.c.kind == "batch-order"))).all()
    return [row for row in kept if batch_id in row.text]


async def test_a_start_in_temporal_cannot_bring_an_order_that_nobody_signed(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 2, amount="12.50")
    await until(gate, batch_id, status="completed", cases={"completed": 2})
    async with gate.database.read() as conn:
        batch = await batches.get(conn, batch_id)
    assert batch is not None
    by = Actor(id="operator-1", groups=["operators"])
    asked: dict[str, Any] = {"rollback_started": True, "completed_too": True, "reason": "because", "by": by}
    cancel = BatchOrder(id=uuid4().hex, act=BatchAct.CANCEL, at=datetime.now(UTC), **asked)
    start = BatchInput(**batch.model_dump(include=set(BatchInput.model_fields)), orders=[cancel])
    forger, forged = unsigned(gate.client), f"batch:{batch_id}~cancel"
    await forger.execute_workflow("batch", start, id=forged, task_queue=TASK_QUEUE)
    found = (await gate.get("requester-1", f"/batches/{batch_id}")).json()
    assert (found["status"], found["cases"]) == ("completed", {"completed": 2})
    await gate.refusals.finish()
    refused = await told(gate, "message_refused", since=cancel.at.isoformat())
    (event,) = [event for event in refused if event.data.get("workflow_id") == forged]
    assert (event.actor, event.data["message"], event.data["code"]) == ("temporal", "order", "Unsigned")


async def test_an_order_to_cancel_a_completed_batch_is_signed_in_the_start_of_its_workflow(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 1, amount="12.50")
    await until(gate, batch_id, status="completed", cases={"completed": 1})
    assert (await order(gate, "operator-1", batch_id, "cancel", rollback_started=True)).status_code == 202
    await until(gate, batch_id, status="cancelled", cases={"rolled_back": 1})
    async with gate.database.read() as conn:
        (kept,) = await proofs_of(conn, batch_id)
        problems = await check_proofs(conn, gate.keys.current())
    assert f"batch:{batch_id}~cancel" in kept.text
    assert not [problem for problem in problems if kept.message_id in problem]

"""Receipts of decisions: signed statements that a third party verifies with the published keys."""

import base64
import contextlib
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.exceptions import InvalidSignature

from core.signing_keys import read_registry, write_registry
from domain.proof.keys import Role, SigningKey
from store.audit import audit_log
from tests.api.conftest import Gate, eventually
from tests.api.pages.visits import signed_in
from tests.support.installed_app import ROOT

DOCS = (ROOT / "docs" / "reference" / "receipts.md").read_text()
(PROGRAM,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


async def decided(gate: Gate, **input: Any) -> tuple[dict[str, Any], str]:
    """A payment that a manager has approved: its task, and the id of the decision."""
    case_id = await gate.start(**input)
    task = await gate.open_task(case_id)
    answer = await gate.decide("manager-1", task, comment="As agreed with the supplier")
    assert answer.status_code == 200
    return task, answer.json()["decision_id"]


async def receipt(gate: Gate, task: dict[str, Any], person: str = "requester-1", **query: str) -> httpx2.Response:
    """The answer, as soon as the decision is in the audit log."""
    path = f"/tasks/{task['task_id']}/receipt"
    found: httpx2.Response = await eventually(
        lambda: gate.get(person, path, **query), lambda answer: "not in the audit log yet" not in answer.text
    )
    return found


def content(signed: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    return said


async def verified(gate: Gate, folder: Path, signed: str) -> dict[str, Any]:
    """Run the program of the docs, as it stands there, with the published keys. Return what it prints."""
    (folder / "receipt.jws").write_text(signed + "\n")
    (folder / "keys.json").write_text((await gate.get("auditor-1", "/audit/keys")).text)
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(PROGRAM, {})  # the program of our docs
    said: dict[str, Any] = json.loads(printed.getvalue())
    return said


async def test_the_documented_program_verifies_a_receipt(gate: Gate, tmp_path: Path) -> None:
    assert len([line for line in PROGRAM.splitlines() if line]) == 10
    task, decision_id = await decided(gate)
    answer = await receipt(gate, task)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jose")
    said = await verified(gate, tmp_path, answer.text)
    case = await gate.case(task["case_id"])
    (event,) = [event for event in case["timeline"] if event["kind"] == "decided"]
    (opened,) = [event for event in case["timeline"] if event["kind"] == "gate_opened"]
    assert said == {
        "iss": "http://gateway",
        "iat": said["iat"],
        "installation": said["installation"],
        "process": "payment",
        "case": task["case_id"],
        "task": task["task_id"],
        "gate": "manager-approval",
        "decision": decision_id,
        "verdict": "approve",
        "status": "accepted",
        "by": "manager-1",
        "on_behalf_of": None,
        "requester": "requester-1",
        "asked_for": [],
        "at": said["at"],
        "via": "api",
        "revision": task["revision"],
        "shown": event["data"]["shown"],
        "policy": opened["data"]["policy"],
    }
    assert abs(datetime.now(UTC).timestamp() - said["iat"]) < 60
    assert abs(datetime.fromisoformat(said["at"]).timestamp() - said["iat"]) < 60
    assert (await gate.get("auditor-1", f"/policies/{said['policy']}")).status_code == 200


def edited(signed: str, **changes: Any) -> str:
    header, _, signature = signed.split(".")
    changed = json.dumps(content(signed) | changes).encode()
    return f"{header}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"


async def test_a_changed_receipt_and_one_of_an_unknown_revoked_or_worker_key_is_refused(
    gate: Gate, tmp_path: Path
) -> None:
    task, _ = await decided(gate)
    signed = (await receipt(gate, task)).text
    header, body, signature = signed.split(".")
    named = json.loads(base64.urlsafe_b64decode(header + "==")) | {"alg": "none"}
    of_none = base64.urlsafe_b64encode(json.dumps(named).encode()).decode().rstrip("=")
    for forged in (edited(signed, verdict="reject"), edited(signed, by="manager-2"), f"{of_none}.{body}.{signature}"):
        with pytest.raises((InvalidSignature, AssertionError)):
            await verified(gate, tmp_path, forged)
    path = gate.settings.trusted_keys
    before, keys = path.read_bytes(), dict(read_registry(path).keys)
    key_id = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    now = datetime.now(UTC)

    def registry(**changes: Any) -> None:
        write_registry(path, (keys | {key_id: keys[key_id].model_copy(update=changes)}).values())

    try:
        registry(retired_at=now)
        assert (await verified(gate, tmp_path, signed))["verdict"] == "approve"
        for changes in ({"revoked_at": now}, {"role": Role.WORKER}, {"public_key": SigningKey.generate().public_key}):
            registry(**changes)
            with pytest.raises(ValueError, match="not enough values to unpack"):
                await verified(gate, tmp_path, signed)
    finally:
        path.write_bytes(before)


async def test_who_may_see_the_task_gets_its_receipts(gate: Gate) -> None:
    task, decision_id = await decided(gate)
    await receipt(gate, task)
    path = f"/tasks/{task['task_id']}/receipt"
    statuses = {
        person: (await gate.get(person, path)).status_code
        for person in ("requester-1", "manager-1", "auditor-1", "requester-2", "steward-1", None)
    }
    assert statuses == {
        "requester-1": 200,
        "manager-1": 200,
        "auditor-1": 200,
        "requester-2": 404,
        "steward-1": 404,
        None: 401,
    }
    other, _ = await decided(gate)
    for wrong in ("nothing", "x" * 201, ""):
        assert (await gate.get("requester-1", path, decision_id=wrong)).status_code in (404, 422)
    answer = await gate.get("requester-1", f"/tasks/{other['task_id']}/receipt", decision_id=decision_id)
    assert answer.status_code == 404, "the decision is about another task"


async def test_each_of_several_decisions_has_a_receipt_also_a_withdrawn_one(gate: Gate) -> None:
    case_id = await gate.start(amount="12000.00")
    task = await gate.open_task(case_id)
    assert (await gate.get("requester-1", f"/tasks/{task['task_id']}/receipt")).status_code == 409
    first = (await gate.decide("manager-1", task)).json()["decision_id"]
    if (await gate.open_task(case_id))["task_id"] != task["task_id"]:
        pytest.fail("one decision has closed the task")
    assert (await gate.post("manager-1", f"/tasks/{task['task_id']}/withdraw")).status_code == 200
    second = (await gate.decide("manager-2", task)).json()["decision_id"]
    third = (await gate.decide("manager-3", task)).json()["decision_id"]
    several = await receipt(gate, task)
    assert several.status_code == 422 and second in several.text and third in several.text
    said = [content((await receipt(gate, task, decision_id=each)).text) for each in (first, second)]
    assert [(each["by"], each["status"]) for each in said] == [
        ("manager-1", "withdrawn"),
        ("manager-2", "accepted"),
    ]
    assert said[0]["installation"] == said[1]["installation"]


async def test_a_refused_decision_has_no_receipt(gate: Gate) -> None:
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    assert (await gate.decide("manager-1", task, decision_id="mine")).status_code == 200
    late = await gate.decide("manager-2", task, decision_id="late")
    assert late.status_code == 409
    async with gate.database.read() as conn:
        events = await audit_log.page(conn, case_id=case_id, limit=100)
    (refused,) = [event.data["decision_id"] for event in events if event.kind == "decision_refused"]
    assert (await gate.get("auditor-1", f"/tasks/{task['task_id']}/receipt", decision_id=refused)).status_code == 404


async def test_the_pages_of_task_and_request_link_to_the_receipt(gate: Gate) -> None:
    task, decision_id = await decided(gate)
    await receipt(gate, task)
    link = f"/tasks/{task['task_id']}/receipt?decision_id={decision_id}"
    async with signed_in(gate, "requester-1") as browser:
        for page in (f"/tasks/{task['task_id']}", f"/cases/{task['case_id']}"):
            assert f'href="{link}"' in (await browser.get(page)).text
        downloaded = await browser.get(link)
        assert downloaded.headers["content-disposition"] == 'attachment; filename="receipt.jws"'
        assert content(downloaded.text)["decision"] == decision_id
    async with signed_in(gate, "requester-2") as browser:
        assert (await browser.get(link)).status_code == 404

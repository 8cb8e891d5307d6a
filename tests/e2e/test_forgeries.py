"""The running product and the command line of Temporal: a forged decision changes nothing, and the worker lives on."""

import base64
import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from core.settings import Settings
from core.signing_keys import read_registry
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from domain.proof.keys import Role
from tests.support.in_process_command_line import Run
from tests.support.installed_app import Product
from tests.support.temporal import TEMPORAL


def until(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 30
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def open_task(product: Product, reference: str) -> tuple[str, dict[str, Any]]:
    """Start a payment that a manager must approve; return the id of its case and its task."""
    fields = {"payee": f"{reference} Ltd", "amount": "1250.00", "currency": "GBP", "account": "operating"}
    with product.client("requester-1") as requester, product.client("manager-1") as manager:
        asked = {"process": "payment", "reference": reference, "input": fields}
        case_id = requester.post("/cases", json=asked).json()["case_id"]

        def look() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = manager.get(f"/tasks?mine=true&q={reference}").json()["items"]
            return found

        (task,) = until(look, lambda found: len(found) == 1)
        return case_id, task


def decide(product: Product, task: dict[str, Any]) -> int:
    with product.client("manager-1") as manager:
        decided = {"verdict": "approve", "revision": task["revision"]}
        return manager.post(f"/tasks/{task['task_id']}/decision", json=decided).status_code


def gateway_key(registry: Path) -> str:
    (key_id,) = (key_id for key_id, key in read_registry(registry).keys.items() if key.role is Role.GATEWAY)
    return key_id


def test_a_forged_decision_changes_nothing_and_the_worker_lives_on(product: Product, run: Run) -> None:
    worker = product.up["pids"]["worker"]
    case_id, task = open_task(product, "FORGED-1")
    key_id = gateway_key(Settings(var=product.folder).trusted_keys)
    for number, proof in enumerate((None, "v1.x.y", f"v1.{key_id}.{'A' * 86}")):
        forged = {
            "id": f"forged-{number}",
            "task_id": task["task_id"],
            "verdict": "approve",
            "by": {"id": "manager-1", "groups": ["managers"]},
            "revision": task["revision"],
            "at": datetime.now(UTC).isoformat(),
            "proof": proof,
        }
        assert temporal(product, case_id, "update", "execute", forged, "--name", "decide").returncode == 1
        assert temporal(product, case_id, "signal", forged, "--name", "submit_decision").returncode == 0

    def refused() -> list[dict[str, Any]]:
        with product.client("auditor-1") as auditor:
            lines = auditor.get("/audit", params={"case_id": case_id, "kind": "message_refused"}).text
        return [json.loads(line) for line in lines.splitlines()]

    events = until(refused, lambda found: len(found) == 6)
    assert {(each["actor"], each["data"]["via"], each["data"]["code"]) for each in events} == {
        ("temporal", "temporal", "Unsigned")
    }
    assert product.up["pids"]["worker"] == worker and psutil.pid_exists(worker)
    assert decide(product, task) == 200
    assert run("audit", "verify", "--case", case_id).code == 0
    signed = until(lambda: run("receipt", task["task_id"]).out, lambda text: text != "")
    header = json.loads(base64.urlsafe_b64decode(signed.split(".")[0] + "=="))
    assert header == {"alg": "EdDSA", "kid": key_id, "typ": "holdgate-receipt+jwt"}


def test_a_revoked_key_is_not_believed_after_a_moment_and_its_decisions_are_listed(product: Product, run: Run) -> None:
    registry = Settings(var=product.folder).trusted_keys
    before, key_id = registry.read_bytes(), gateway_key(registry)
    decided, task = open_task(product, "REVOKED-1")
    assert decide(product, task) == 200
    _, task = open_task(product, "REVOKED-2")
    try:
        assert run("keys", "revoke", key_id).code == 0
        found = run("audit", "verify", "--case", decided)
        assert found.code == 1 and f"signed with the key {key_id}, which was revoked" in found.out
        time.sleep(2)  # a worker reads the registry each second
        assert decide(product, task) == 503
    finally:
        registry.write_bytes(before)
    assert until(lambda: decide(product, task), lambda status: status != 503) == 200


def test_an_activity_without_a_workflow_does_nothing(product: Product) -> None:
    case_id, task = open_task(product, "ACTIVITY-1")
    record = {"case_id": case_id, "status": "completed"}
    cancel = {"id": "x", "act": "cancel", "by": {"id": "operator-1"}, "reason": "x", "at": "2026-11-30T12:00:00Z"}
    note = {"batch_id": "b", "workflow_id": "batch:b", "status": "cancelling", "order": cancel}
    for queue, name, sent in ((TASK_QUEUE, "record", record), (BULK_TASK_QUEUE, "roll_back_cases", note)):
        limits = ["--start-to-close-timeout=5s", "--schedule-to-close-timeout=5s", f"--input={json.dumps(sent)}"]
        about = ["--activity-id", name, "--type", name, "--task-queue", queue, *limits]
        done = temporal_cli(product, "activity", "execute", *about)
        assert "No Workflow of Holdgate has started this activity" in done.stdout + done.stderr, done

    def refused() -> set[str]:
        with product.client("auditor-1") as auditor:
            lines = auditor.get("/audit", params={"kind": "message_refused"}).text.splitlines()
        return {each["data"]["message"] for each in map(json.loads, lines) if each["actor"] == "temporal"}

    until(refused, lambda found: found >= {"record", "roll_back_cases"})
    assert decide(product, task) == 200


def temporal(product: Product, case_id: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    words = [each if isinstance(each, str) else f"--input={json.dumps(each)}" for each in arguments]
    return temporal_cli(product, "workflow", *words, "--workflow-id", case_id)


def temporal_cli(product: Product, *words: str) -> subprocess.CompletedProcess[str]:
    command = [TEMPORAL, *words, "--address", product.up["temporal_address"]]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

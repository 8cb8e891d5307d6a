"""The running product and the command line of Temporal: a forged decision changes nothing, and the worker lives on."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil

from core.settings import Settings
from core.signing_keys import read_registry
from domain.proof.keys import Role
from tests.support.installed_app import ROOT, Product
from tests.support.temporal import TEMPORAL


def until(look: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 30
    while not holds(seen := look()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def test_a_forged_decision_changes_nothing_and_a_revoked_key_is_not_believed(product: Product) -> None:
    worker = product.up["pids"]["worker"]
    registry = Settings(var=product.folder).trusted_keys
    (gateway,) = (id for id, key in read_registry(registry).keys.items() if key.role is Role.GATEWAY)
    with product.client("requester-1") as requester, product.client("manager-1") as manager:
        fields = {"payee": "Forged Ltd", "amount": "1250.00", "currency": "GBP", "account": "operating"}
        asked = {"process": "payment", "reference": "FORGED-1", "input": fields}
        case_id = requester.post("/cases", json=asked).json()["case_id"]
        (task,) = until(
            lambda: manager.get("/tasks?mine=true&q=FORGED-1").json()["items"], lambda found: len(found) == 1
        )
        for number, proof in enumerate((None, "v1.x.y", f"v1.{gateway}.{'A' * 86}")):
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
        decided = {"verdict": "approve", "revision": task["revision"]}
        assert manager.post(f"/tasks/{task['task_id']}/decision", json=decided).status_code == 200
    assert holdgate(product, "audit", "verify", "--case", case_id).returncode == 0

    before = registry.read_bytes()
    assert holdgate(product, "keys", "revoke", gateway).returncode == 0
    found = holdgate(product, "audit", "verify", "--case", case_id)
    assert found.returncode == 1 and f"signed with the key {gateway}, which was revoked" in found.stdout
    registry.write_bytes(before)
    time.sleep(1.5)


def temporal(product: Product, case_id: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    words = [each if isinstance(each, str) else f"--input={json.dumps(each)}" for each in arguments]
    address = product.up["temporal_address"]
    command = [TEMPORAL, "workflow", *words, "--workflow-id", case_id, "--address", address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def holdgate(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=product.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

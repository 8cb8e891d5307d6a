"""The sample file, uploaded as a newcomer does: each row reaches the gate or the end that the README promises."""

import json
import time
from typing import Any

from tests.product import ROOT, Product

MANAGERS, FRAUD = "manager-approval", "fraud-review"
WAITS_AT = {
    "INV-1003": (MANAGERS, 1),
    "INV-1005": (MANAGERS, 1),
    "INV-1006": (MANAGERS, 2),
    "INV-1007": (MANAGERS, 2),
    "INV-1009": (FRAUD, 1),
    "INV-1012": (MANAGERS, 1),
}
"""Gate and approvals needed, by reference. INV-1009 changes a payee's bank account."""
ALIKE = ("INV-1004", "INV-1008")
"""Same payee, same amount. Which of them is the second is decided by the order of their holds; exactly one is.
A file's cases begin about in its order, not exactly."""
ENDS = {"INV-1001": "completed", "INV-1002": "completed", "INV-1010": "failed", "INV-1011": "failed"}
"""Two by rule, one to a denied payee, one for more money than there is."""


def settled(cases: list[dict[str, Any]]) -> bool:
    return len(cases) == len(WAITS_AT) + len(ALIKE) + len(ENDS) and not any(
        case["status"] in ("starting", "running", "rolling_back") for case in cases
    )


def test_every_row_of_the_sample_reaches_its_gate_or_its_end(product: Product) -> None:
    sample = (ROOT / "samples" / "payments.csv").read_bytes()
    with product.client("requester-2") as requester, product.client("auditor-1") as auditor:
        files = {"file": ("payments.csv", sample, "text/csv")}
        tried = requester.post("/batches?process=payment&dry_run=true", files=files).json()
        assert (tried["rows"]["total"], tried["rows"]["valid"]) == (12, 12)
        answer = requester.post("/batches?process=payment", files=files)
        assert answer.status_code == 202
        batch = answer.json()["batch_id"]
        deadline = time.monotonic() + 60
        while not settled(cases := auditor.get(f"/cases?batch_id={batch}&limit=50").json()["items"]):
            assert time.monotonic() < deadline, json.dumps(cases, indent=1)
            time.sleep(0.2)
        ended = {case["reference"]: case["status"] for case in cases if case["status"] != "awaiting_approval"}
        waiting = {
            case["reference"]: auditor.get(f"/tasks?status=open&q={case['reference']}").json()["items"]
            for case in cases
            if case["status"] == "awaiting_approval"
        }
        gates = {name: (tasks[0]["gate"], tasks[0]["quorum"]["needed"]) for name, tasks in waiting.items()}
        assert {gates.pop(name) for name in ALIKE} == {(MANAGERS, 1), (FRAUD, 1)}
        if "INV-1002" in gates:  # it came behind INV-1009, so its account is the one that changed
            assert gates.pop("INV-1002") == (FRAUD, 1)
            gates["INV-1009"], ended["INV-1002"] = (FRAUD, 1), "completed"
        assert gates == WAITS_AT and ended == ENDS
        rows = requester.get(f"/batches/{batch}").json()["rows"]
        assert (rows["total"], rows["started"], rows["invalid"], rows["duplicate"], rows["failed"]) == (12, 12, 0, 0, 0)
        again = requester.post("/batches?process=payment&dry_run=true", files=files).json()
        assert (again["rows"]["valid"], again["rows"]["duplicate"]) == (0, 12)

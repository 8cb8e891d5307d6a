"""Every sample file imports as it is, and its cases reach their gates."""

import time
from typing import Any

import httpx2
import pytest

from tests.support.installed_app import ROOT, Product
from workflows.registry import PROCESSES

SEVERAL = ["tasks.csv"]
"""Files whose rows say themselves what they are for."""
OTHER = ["history.csv", "payments-messy.csv", "payments.csv"]
"""The story of payments has tests of its own, and rows that are meant to be wrong or refused. `test_docs_sessions.py`
imports `payments.csv` into the same product.
"""
ASKED_ELSEWHERE = ["erasure.csv"]
"""Rows that show the input of a process which nobody starts from a file: erasures are asked for where their subject is.
"""
IMPORTED = [name for name in PROCESSES if name not in ("payment", "erasure")]
PATIENCE_S = 60


def sample_of(process: str) -> str:
    return f"{process}.csv"


def settled(client: httpx2.Client, batch_id: str) -> list[dict[str, Any]]:
    """The cases of a batch when each waits for people or has ended."""
    until = time.monotonic() + PATIENCE_S
    while True:
        report = client.get(f"/batches/{batch_id}").json()
        found: list[dict[str, Any]] = client.get("/cases", params={"batch_id": batch_id, "limit": 200}).json()["items"]
        moving = [case for case in found if case["status"] in ("starting", "running", "scheduled", "rolling_back")]
        if report["status"] == "completed" and not moving:
            return found
        assert time.monotonic() < until, (report["rows"], [(case["case_id"], case["status"]) for case in moving])
        time.sleep(0.2)


@pytest.mark.timeout(180)
def test_each_sample_imports_and_its_cases_reach_their_gates(product: Product) -> None:
    files = sorted(path.name for path in (ROOT / "docs" / "samples").glob("*.csv"))
    assert files == sorted({*SEVERAL, *OTHER, *ASKED_ELSEWHERE, *map(sample_of, IMPORTED)})
    with product.client("requester-1") as client:
        batches = {}
        for name, params in [(sample_of(each), {"process": each}) for each in IMPORTED] + [
            (each, {}) for each in SEVERAL
        ]:
            content = (ROOT / "docs" / "samples" / name).read_bytes()
            taken = client.post("/batches", params=params, files={"file": (name, content, "text/csv")})
            assert taken.status_code == 202, taken.text
            assert taken.json()["rows"]["invalid"] == 0, (name, taken.json()["errors"])
            batches[name] = taken.json()["batch_id"]
        for name, batch_id in batches.items():
            found = settled(client, batch_id)
            assert found, name
            # Targets in which nothing is found are approved by rule.
            by_rule = {"security_review.csv": {"completed"}}
            wanted = {"awaiting_approval"} | by_rule.get(name, set())
            assert any(case["status"] == "awaiting_approval" for case in found), name
            wrong = [(case["case_id"], case["status"]) for case in found if case["status"] not in wanted]
            assert not wrong, (name, wrong)

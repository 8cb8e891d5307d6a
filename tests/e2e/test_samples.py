"""The sample files, and the story `make demo` tells with them: each row reaches the gate or the end it promises."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.product import ROOT, Product

MANAGERS, FRAUD = "manager-approval", "fraud-review"
WAITS_AT = {
    "INV-1003": (MANAGERS, 1),  # 500.00 exactly
    "INV-1004": (MANAGERS, 1),
    "INV-1006": (MANAGERS, 2),
    "INV-1007": (MANAGERS, 2),  # and then a director
    "INV-1008": (FRAUD, 1),  # the same amount to the same payee as INV-1004
    "INV-1009": (FRAUD, 1),  # changed bank details
    "INV-1013": ("intervention", 1),  # from an account that is locked
}
"""Gate and approvals needed, by reference."""
ENDS = {
    "INV-1001": "completed",
    "INV-1002": "completed",
    "INV-1005": "rejected",
    "INV-1010": "failed",  # a denied payee
    "INV-1011": "failed",  # more money than there is
    "INV-1014": "expired",
}
HISTORY = [f"INV-09{number:02}" for number in range(1, 10)]


def told(product: Product) -> str:
    done = subprocess.run(
        [sys.executable, "holdgate.py", "demo"],
        cwd=ROOT,
        env=product.environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Product, str]]:
    """A product of its own, in which the story was told."""
    with Product(tmp_path_factory.mktemp("demo")) as product:
        yield product, told(product)


def stands(product: Product) -> dict[str, dict[str, Any]]:
    """All cases with their tasks, by reference; not the one that expires meanwhile."""
    with product.client("auditor-1") as auditor:
        found = [case for case in auditor.get("/cases?limit=200").json()["items"] if case["reference"] != "INV-1012"]
        return {case["reference"]: auditor.get(f"/cases/{case['case_id']}").json() for case in found}


def test_within_90_seconds_a_newcomer_has_seen_every_kind_of_end(demo: tuple[Product, str]) -> None:
    product, said = demo
    cases = stands(product)
    assert set(cases) == {*WAITS_AT, *ENDS, *HISTORY}
    assert {name for name in HISTORY if cases[name]["status"] != "completed"} == set()
    assert {name: cases[name]["status"] for name in ENDS} == ENDS
    gates = {}
    for name in WAITS_AT:
        (task,) = [task for task in cases[name]["tasks"] if task["status"] == "open"]
        gates[name] = (task["gate"], task["quorum"]["needed"])
    assert gates == WAITS_AT
    assert cases["INV-1013"]["status"] == "needs_intervention"
    for line in ("completed", "awaiting_approval", "rejected", "expired", "needs_intervention"):
        assert line in said
    assert f"{product.up['gateway_url']}/cases/payment%3Ainv-1005" in said


def test_what_the_sample_promises_to_expire_waits_for_two_minutes_or_has_expired(demo: tuple[Product, str]) -> None:
    product, _ = demo
    with product.client("auditor-1") as auditor:
        (task,) = auditor.get("/cases/payment:inv-1012").json()["tasks"]
    lasts = datetime.fromisoformat(task["expires_at"]) - datetime.fromisoformat(task["opened_at"])
    assert (task["gate"], lasts, task["outcome"] in (None, "expired")) == (MANAGERS, timedelta(minutes=2), True)


def test_telling_the_story_again_changes_nothing(demo: tuple[Product, str]) -> None:
    product, _ = demo
    before = stands(product)
    told(product)
    assert stands(product) == before


def test_an_operator_unlocks_the_account_and_the_payment_goes_through(demo: tuple[Product, str]) -> None:
    product, _ = demo
    for command in (["ledger", "unlock", "petty-cash"], ["decide", "payment:inv-1013", "retry", "--as", "operator-1"]):
        asked = [sys.executable, "holdgate.py", *command]
        done = subprocess.run(asked, cwd=ROOT, env=product.environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    with product.client("auditor-1") as auditor:
        deadline = time.monotonic() + 30
        while (status := auditor.get("/cases/payment:inv-1013").json()["status"]) != "completed":
            assert time.monotonic() < deadline, status
            time.sleep(0.1)
        account = auditor.get("/ledger/accounts/petty-cash?currency=GBP").json()
        assert Decimal(account["balance"]) == Decimal("4964.00") and Decimal(account["held"]) == 0


def test_the_demo_says_what_is_missing_when_nothing_runs(tmp_path: Path) -> None:
    environment = Product(tmp_path).environment
    asked = [sys.executable, "holdgate.py", "demo"]
    done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "run 'make up' first" in done.stderr and "Traceback" not in done.stderr


def test_the_messy_sample_shows_each_mistake_at_its_column(demo: tuple[Product, str]) -> None:
    product, _ = demo
    messy = (ROOT / "samples" / "payments-messy.csv").read_bytes()
    with product.client("requester-2") as requester:
        files = {"file": ("payments-messy.csv", messy, "text/csv")}
        report = requester.post("/batches?process=payment&dry_run=true", files=files).json()
    wrong = {(row["reference"], error["column"]) for row in report["errors"] for error in row["errors"]}
    assert wrong == {
        ("INV-1102", "amount"),
        ("INV-1103", "due_date"),
        ("INV-1104", "currency"),
        ("INV-1105", "amount"),
        ("TOTAL", "payee"),
        ("TOTAL", "currency"),
        ("TOTAL", "account"),
        ("INV-1106", "payee"),
    }
    assert [(row["reference"], row["differs"]) for row in report["duplicates"]] == [("INV-1101", ["amount", "memo"])]
    assert (report["rows"]["total"], report["rows"]["valid"]) == (9, 2)

"""`make demo`: a story for newcomers, told through the public HTTP API of a running demo.

Each case has a reference of its own, so telling the story again finds what is there and changes nothing. The rows of
the sample begin one after the other: of the two like payments to Northwind the second is INV-1008, every time.
"""

import csv
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ops import show
from ops.remote import Denied, Remote, Unusable, part
from settings import ROOT

SAMPLES = ROOT / "samples"
PATIENCE = 80.0
"""Seconds the story waits for the gate that expires after a minute, and for the step that is tried for as long."""
STUCK = 20.0
"""Seconds after which a case that neither waits nor ends is given up."""
MOVING = frozenset({"starting", "running", "rolling_back"})

COUNTED = {
    "reference": "INV-1013",
    "payee": "Juniper Stationers",
    "amount": "36.00",
    "currency": "GBP",
    "account": "petty-cash",
    "memo": "Stamps",
}
"""The account `petty-cash` is locked, so this payment needs an operator."""
FORGOTTEN = {
    "reference": "INV-1014",
    "payee": "Lantern Events Ltd",
    "amount": "615.00",
    "currency": "GBP",
    "account": "operating",
    "memo": "Demo: expires in a minute",
}
BY_RULE, WAITING, REJECTED = "INV-1001", "INV-1004", "INV-1005"

Speaks = Callable[[str], Remote]
"""The gateway as a demo person asks it."""


def tell(speaks: Speaks) -> None:
    """Load the story, show how it stands, and return within 90 s. Raises Denied and Unusable."""
    requester = speaks("requester-1")
    began = time.monotonic()
    show.say("Payments of the last weeks make the payees known ...")
    _pay_history(requester)
    show.say("A payment from an account that is locked, and one that nobody will decide ...")
    counted, forgotten = _start(requester, COUNTED), _start(requester, FORGOTTEN)
    show.say("The twelve payments of samples/payments.csv, one after the other ...")
    cases = {row["reference"]: _settled(requester, _start(requester, row)) for row in _rows("payments.csv")}
    _reject(speaks("manager-2"), cases[REJECTED])
    rejected = _settled(requester, cases[REJECTED])
    show.say("A minute passes: one gate expires, one step is tried again and again ...")
    for case_id, waits in ((forgotten, {"awaiting_approval"}), (counted, set())):
        while requester.get(f"cases/{part(case_id)}")["status"] in MOVING | waits:
            if time.monotonic() - began > PATIENCE:
                break
            time.sleep(0.5)
    _show(
        requester,
        [
            ("Paid by rule, nobody was asked", cases[BY_RULE]),
            ("Waits for a manager", cases[WAITING]),
            ("Rejected by manager-2, rolled back", rejected),
            ("Nobody decided in time, rolled back", forgotten),
            ("Needs an operator", counted),
        ],
    )
    show.say(f"""
See what waits for managers, and approve the one:
  ./holdgate tasks --as manager-1
  ./holdgate decide {cases[WAITING]} approve --as manager-1
See what was undone:
  ./holdgate case {rejected}
Mend what keeps the last one, and let an operator try again:
  ./holdgate ledger unlock petty-cash
  ./holdgate decide {counted} retry --as operator-1""")


def _rows(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pay_history(requester: Remote) -> None:
    batch = requester.upload(
        "batches", "history.csv", (SAMPLES / "history.csv").read_bytes(), process="payment", dry_run=False
    )
    while requester.get(f"batches/{batch['batch_id']}")["status"] in ("starting", "running"):
        time.sleep(0.2)
    for row in _rows("history.csv"):
        _settled(requester, f"payment:{row['reference'].lower()}")


def _start(requester: Remote, row: dict[str, str]) -> str:
    """The id of the case of this row: started now, or before."""
    fields = {name: value for name, value in row.items() if value and name != "reference"}
    try:
        started = requester.post("cases", {"process": "payment", "reference": row["reference"], "input": fields})
    except Denied as no:
        if "case_id" not in no.problem:
            raise
        return str(no.problem["case_id"])
    return str(started["case_id"])


def _settled(requester: Remote, case_id: str) -> str:
    """The same id, once its case waits for somebody or has ended. Raises Unusable when it does not move."""
    deadline = time.monotonic() + STUCK
    while requester.get(f"cases/{part(case_id)}")["status"] in MOVING:
        if time.monotonic() > deadline:
            raise Unusable(f"{case_id} does not move; does a worker run? {requester.url}/health/ready says")
        time.sleep(0.1)
    return case_id


def _reject(manager: Remote, case_id: str) -> None:
    """Unless somebody has decided it before."""
    for task in manager.get(f"cases/{part(case_id)}")["tasks"]:
        if task["status"] == "open":
            answer = {"verdict": "reject", "comment": "We have no contract with them", "decision_id": "demo"}
            manager.post(f"tasks/{part(task['task_id'])}/decision", answer)


def _show(requester: Remote, told: list[tuple[str, str]]) -> None:
    rows: list[tuple[str, ...]] = []
    for what, case_id in told:
        case: dict[str, Any] = requester.get(f"cases/{part(case_id)}")
        page = f"{requester.url}/cases/{quote(case_id, safe='')}"
        rows.append((what, case["title"], case["status"], page))
    show.table_of(("What you see", "Case", "Status", "Its page"), rows)

"""`make demo`: a story for newcomers, told through the public HTTP API of a running demo.

Each case has a reference of its own, so telling the story again finds what is there and changes nothing. The rows of
the sample begin one after the other: of the two like payments to Northwind the second is INV-1008, every time.
"""

import csv
import time
from collections.abc import Callable
from typing import Any

from core.settings import ROOT
from ops import show
from ops.remote import Denied, Remote, Unusable, part

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

TOLD = {
    "completed": "Everything was done",
    "awaiting_approval": "Waits for people",
    "rejected": "Somebody said no, all was undone",
    "expired": "Nobody decided in time, all was undone",
    "needs_intervention": "A step failed, waits for an operator",
}
"""What a newcomer sees, by the status of a case."""

Speaks = Callable[[str], Remote]
"""The gateway as a demo person asks it."""


def tell(speaks: Speaks) -> bool:
    """Load the story, show how it stands within 90 s, and say whether it came to its end. Raises Denied, Unusable."""
    requester = speaks("requester-1")
    deadline = time.monotonic() + PATIENCE
    show.say("A payment from an account that is locked, and one that nobody will decide ...")
    counted, forgotten = _start(requester, COUNTED), _start(requester, FORGOTTEN)
    show.say("Payments of the last weeks make the payees known ...")
    _pay_history(requester)
    show.say("The twelve payments of samples/payments.csv, one after the other ...")
    cases = {row["reference"]: _settled(requester, _start(requester, row)) for row in _rows("payments.csv")}
    _reject(speaks("manager-2"), cases[REJECTED])
    rejected = _settled(requester, cases[REJECTED])
    show.say("A minute passes: one gate expires, one step is tried again and again ...")
    unended = {counted: MOVING, forgotten: MOVING | {"awaiting_approval"}}
    while unended and time.monotonic() < deadline:
        unended = {case_id: before for case_id, before in unended.items() if _status(requester, case_id) in before}
        time.sleep(0.5)
    found = [
        requester.get(f"cases/{part(case_id)}")
        for case_id in (cases[BY_RULE], cases[WAITING], rejected, forgotten, counted)
    ]
    _show(requester.url, found)
    return not unended


def _rows(name: str) -> list[dict[str, str]]:
    with (SAMPLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _pay_history(requester: Remote) -> None:
    """All of it is paid by rule; then what comes after is compared with it."""
    content = (SAMPLES / "history.csv").read_bytes()
    batch = requester.upload("batches", "history.csv", content, {}, process="payment", dry_run=False)
    deadline = time.monotonic() + STUCK
    while requester.get(f"batches/{batch['batch_id']}")["status"] in ("starting", "running"):
        _not_after(deadline, "the upload of samples/history.csv", requester)
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


def _status(requester: Remote, case_id: str) -> str:
    return str(requester.get(f"cases/{part(case_id)}")["status"])


def _settled(requester: Remote, case_id: str) -> str:
    """The same id, once its case waits for somebody or has ended."""
    deadline = time.monotonic() + STUCK
    while _status(requester, case_id) in MOVING:
        _not_after(deadline, case_id, requester)
        time.sleep(0.1)
    return case_id


def _not_after(deadline: float, what: str, requester: Remote) -> None:
    """Raises Unusable when the time is up."""
    if time.monotonic() > deadline:
        raise Unusable(f"{what} does not move; does a worker run? {requester.url}/health/ready says")


def _reject(manager: Remote, case_id: str) -> None:
    """Unless somebody has decided it before."""
    for task in manager.get(f"cases/{part(case_id)}")["tasks"]:
        if task["status"] == "open":
            answer = {
                "verdict": "reject",
                "comment": "We have no contract with them",
                "revision": task["revision"],
                "decision_id": "demo",
            }
            manager.post(f"tasks/{part(task['task_id'])}/decision", answer)


def _show(gateway: str, cases: list[dict[str, Any]]) -> None:
    """How the story stands, and what to type next where there is something to do."""
    show.table_of(
        ("What you see", "Case", "Status", "Its page"),
        [
            (
                TOLD.get(case["status"], "On its way"),
                f"{case['case_id']}: {case['title']}",
                case["status"],
                f"{gateway}/cases/{part(case['case_id'])}",
            )
            for case in cases
        ],
    )
    show.say(f"In the Temporal Web UI each is a Workflow, such as {cases[2]['temporal_url']}")
    for case in cases:
        name = case["case_id"]
        match case["status"]:
            case "awaiting_approval":
                waits = f"  ./holdgate tasks --as manager-1\n  ./holdgate decide {name} approve --as manager-1"
                show.say(f"\nSee what waits for managers, and approve one:\n{waits}")
            case "rejected":
                show.say(f"\nSee what was undone:\n  ./holdgate case {name}")
            case "needs_intervention":
                mend = f"  ./holdgate ledger unlock petty-cash\n  ./holdgate decide {name} retry --as operator-1"
                show.say(f"\nMend what made the step fail, and let an operator try again:\n{mend}")

"""Load the sample story of `make demo`, its example cases and decisions, through the HTTP API of a running demo.

Each case has a fixed reference, so a second run finds the cases and changes nothing. The rows of the sample start one
after the other, so that the second of two similar payments to Northwind is always INV-1008.
"""

import csv
import time
from collections.abc import Callable
from typing import Any

from cli import output
from cli.client import Denied, Remote, Unusable, part
from core.settings import ROOT

SAMPLES = ROOT / "docs" / "samples"
PATIENCE = 80.0
"""Seconds to wait for the end of the story: one gate expires after a minute, and one step is retried for a minute."""
STUCK = 20.0
"""Seconds to wait until a case reaches a gate or its end."""
MOVING = frozenset({"starting", "running", "rolling_back"})

COUNTED = {
    "reference": "INV-1013",
    "payee": "Juniper Stationers",
    "amount": "36.00",
    "currency": "GBP",
    "account": "petty-cash",
    "memo": "Stamps",
}
"""A payment that needs an operator, because its account `petty-cash` is locked."""
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
    "completed": "All steps are done",
    "awaiting_approval": "Waiting for approval",
    "rejected": "A person rejected it, all steps are undone",
    "expired": "Nobody decided in time, all steps are undone",
    "needs_intervention": "A step failed: an operator must decide",
}
"""The text that the story prints about a case, by the status of the case."""

Speaks = Callable[[str], Remote]
"""Returns a client of the gateway with the token of the demo person with this id."""


def tell(speaks: Speaks) -> bool:
    """Load the story and print the state of its cases within 90 s.

    Return True if the payment that becomes blocked and the payment that expires have both got so far in time. Raises
    Denied, Unusable and Away.
    """
    requester = speaks("requester-1")
    deadline = time.monotonic() + PATIENCE
    output.say("A payment from an account that is locked, and one that nobody will decide ...")
    counted, forgotten = _start(requester, COUNTED), _start(requester, FORGOTTEN)
    output.say("Payments of the last weeks make the payees known ...")
    _pay_history(requester)
    output.say("The twelve payments of docs/samples/payments.csv, one after the other ...")
    cases = {row["reference"]: _settled(requester, _start(requester, row)) for row in _rows("payments.csv")}
    _reject(speaks("manager-2"), cases[REJECTED])
    rejected = _settled(requester, cases[REJECTED])
    output.say("A minute passes: one gate expires, one step is tried again and again ...")
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
    """Upload past payments, which the policy approves by rule, so that later payments are compared with them."""
    content = (SAMPLES / "history.csv").read_bytes()
    batch = requester.upload("batches", "history.csv", content, {}, process="payment", dry_run=False)
    deadline = time.monotonic() + STUCK
    while requester.get(f"batches/{batch['batch_id']}")["status"] in ("starting", "running"):
        _not_after(deadline, "the upload of docs/samples/history.csv", requester)
        time.sleep(0.2)
    for row in _rows("history.csv"):
        _settled(requester, f"payment:{row['reference'].lower()}")


def _start(requester: Remote, row: dict[str, str]) -> str:
    """Start the case of this row, unless a case with its reference exists. Return the id of the case."""
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
    """Wait until a case has an open task or has ended, and return the id of the case."""
    deadline = time.monotonic() + STUCK
    while _status(requester, case_id) in MOVING:
        _not_after(deadline, case_id, requester)
        time.sleep(0.1)
    return case_id


def _not_after(deadline: float, what: str, requester: Remote) -> None:
    """Raise Unusable if the deadline has passed. `what` names what the caller waits for."""
    if time.monotonic() > deadline:
        raise Unusable(f"{what} makes no progress: check with {requester.url}/health/ready that a worker is running")


def _reject(manager: Remote, case_id: str) -> None:
    """Reject the open task of a case, if there is one."""
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
    """Print the cases of the story, and the commands that a new user can try next."""
    output.table_of(
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
    output.say(f"In the Temporal Web UI each is a Workflow, such as {cases[2]['temporal_url']}")
    for case in cases:
        name = case["case_id"]
        match case["status"]:
            case "awaiting_approval":
                waits = f"  ./holdgate tasks --as manager-1\n  ./holdgate decide {name} approve --as manager-1"
                output.say(f"\nSee the open tasks of managers, and approve one:\n{waits}")
            case "rejected":
                output.say(f"\nSee the rolled back steps:\n  ./holdgate case {name}")
            case "needs_intervention":
                mend = f"  ./holdgate ledger unlock petty-cash\n  ./holdgate decide {name} retry --as operator-1"
                output.say(f"\nCorrect the cause of the failed step, then let an operator retry the step:\n{mend}")

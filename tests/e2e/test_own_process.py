"""A plugin in a running product: a case by HTTP and cases by CSV pass their gate."""

import time
from typing import Any
from urllib.parse import quote

import httpx2

from tests.support.installed_app import Product


def until(client: httpx2.Client, case_id: str, *statuses: str) -> dict[str, Any]:
    """The case as soon as it has one of the statuses; the test's timeout ends a wait in vain."""
    while (case := client.get(f"/cases/{quote(case_id, safe='')}").json()).get("status") not in statuses:
        time.sleep(0.1)
    return dict(case)


def decide(client: httpx2.Client, case: dict[str, Any], verdict: str) -> None:
    (task,) = [task for task in case["tasks"] if task["status"] == "open"]
    said = {"verdict": verdict, "revision": task["revision"]}
    answer = client.post(f"/tasks/{task['task_id']}/decision", json=said)
    assert answer.status_code == 200, answer.text


def test_its_fields_and_gates_are_in_the_list_of_processes(product: Product) -> None:
    with product.client("requester-1") as asks:
        found = {each["name"]: each for each in asks.get("/processes").json()["items"]}
    assert set(found) > {"payment", "expense_claim"}
    assert found["expense_claim"]["summary"] == "Expense claim, from the request to the booking"


def test_a_case_by_http_comes_through_its_gate(product: Product) -> None:
    claim = {"purpose": "Train to Leeds", "amount": "184.50", "needed_by": "2031-03-17"}
    with product.client("requester-1") as asks, product.client("manager-1") as decides:
        sent = asks.post("/cases", json={"process": "expense_claim", "reference": "H-1", "input": claim})
        assert sent.status_code == 201, sent.text
        waiting = until(decides, "expense_claim:h-1", "awaiting_approval")
        assert waiting["tasks"][0]["summary"] == "May 184.50 be spent on Train to Leeds?"
        decide(decides, waiting, "approve")
        assert until(asks, "expense_claim:h-1", "completed")["result"]["undone"] == []

        wrong = asks.post(
            "/cases", json={"process": "expense_claim", "reference": "H-2", "input": {**claim, "amount": 0}}
        )
        assert wrong.status_code == 422 and "amount" in wrong.text


def test_cases_by_csv_are_decided_by_rule_by_a_yes_and_by_a_no(product: Product) -> None:
    sample = (product.folder / "mine" / "expense_claim" / "sample.csv").read_bytes()
    with product.client("requester-1") as asks, product.client("manager-1") as decides:
        files = {"file": ("sample.csv", sample, "text/csv")}
        taken = asks.post("/batches", params={"process": "expense_claim"}, files=files)
        assert taken.status_code == 202 and taken.json()["rows"]["valid"] == 3, taken.text
        until(asks, "expense_claim:r-1", "completed")
        decide(decides, until(decides, "expense_claim:r-2", "awaiting_approval"), "approve")
        decide(decides, until(decides, "expense_claim:r-3", "awaiting_approval"), "reject")
        until(asks, "expense_claim:r-2", "completed")
        refused = until(asks, "expense_claim:r-3", "rejected")
    assert refused["result"]["undone"] == ["Free the 2,310.00 set aside for A week at the trade fair"]


def test_a_changed_policy_of_its_own_is_in_force_at_once(product: Product) -> None:
    policy = product.folder / "mine" / "expense_claim" / "policy.toml"
    policy.write_text(policy.read_text().replace("amount > 100", "amount > 200"))
    claim = {"purpose": "Train to York", "amount": "150.00", "needed_by": "2031-03-17"}
    with product.client("requester-1") as asks:
        asks.post("/cases", json={"process": "expense_claim", "reference": "H-3", "input": claim})
        assert until(asks, "expense_claim:h-3", "completed", "awaiting_approval")["status"] == "completed"


def test_operators_roll_back_a_case_that_met_a_defect_of_its_process(
    product: Product,
) -> None:
    claim = {"purpose": "A defect", "amount": "18.00", "needed_by": "2031-03-17"}
    with product.client("requester-1") as asks, product.client("operator-1") as operates:
        sent = asks.post("/cases", json={"process": "expense_claim", "reference": "D-1", "input": claim})
        assert sent.status_code == 201, sent.text
        began = time.monotonic()
        while not any(
            "blocked" in warning and "KeyError" in warning
            for warning in operates.get(f"{product.up['gateway_url']}/health/ready").json()["warnings"]
        ):
            assert time.monotonic() - began < 30, "nobody was told"
            time.sleep(0.5)
        (group,) = operates.get("/incidents").json()["items"]
        assert group["step"] == "case" and "KeyError" in group["example"]["facts"]["error"]
        answer = {"verdict": "roll_back", "task_ids": group["task_ids"], "comment": "A defect"}
        (answered,) = operates.post("/incidents/decisions", json=answer).json()["items"]
        assert answered["status"] == "accepted", answered
        ended = until(asks, "expense_claim:d-1", "failed")
        assert len(ended["result"]["undone"]) == 1, "also what no record had known"


def test_payments_go_on_though_the_process_is_gone_after_a_restart(product: Product) -> None:
    payment = {"payee": "Acme Paper Ltd", "amount": "900.00", "currency": "GBP", "account": "operating"}
    with product.client("requester-1") as asks:
        asks.post("/cases", json={"process": "payment", "reference": "P-1", "input": payment})
        until(asks, "payment:p-1", "awaiting_approval")
    product.stop()
    del product.environment["HOLDGATE_PROCESSES"]
    product.start()
    with product.client("requester-1") as asks, product.client("manager-1") as decides:
        decide(decides, until(decides, "payment:p-1", "awaiting_approval"), "approve")
        until(asks, "payment:p-1", "completed")
        gone = asks.post("/cases", json={"process": "expense_claim", "reference": "H-4", "input": {}})
        assert gone.status_code == 422
        assert asks.get("/cases/expense_claim%3Ah-1").json()["status"] == "completed"

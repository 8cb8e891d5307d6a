"""What people write, and errors that quote it, are in no line that the gateway and the worker log, and in no metric.

`tests/privacy/test_canaries.py` does the same with a whole product, in its logs, traces and Temporal's database.
"""

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import pytest
from temporalio.exceptions import ApplicationError

from core import logs
from store.receivers.ledger import Ledger
from tests.api.conftest import Gate, payment

CANARY = "qzcanary-of-ada"


def written(records: list[logging.LogRecord], *, texts: bool) -> str:
    """The log of the product with these records."""
    output = io.StringIO()
    handler = logs._Handler(output)
    handler.setFormatter(logs._formatter("console", texts=texts))
    for record in records:
        with suppress(RuntimeError):  # a line of a Workflow asks for the Workflow that runs here
            handler.handle(record)
    return output.getvalue()


async def test_no_line_of_gateway_and_worker_repeats_what_people_write(
    gate: Gate, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    hold: Callable[..., Any] = Ledger.hold

    async def locked(self: Ledger, **asked: Any) -> Any:
        if CANARY in asked["payee"]:
            raise ApplicationError(f"{asked['payee']} cannot be paid", type="AccountLocked", non_retryable=True)
        return await hold(self, **asked)

    monkeypatch.setattr(Ledger, "hold", locked)
    case_id = await gate.start(payee=f"{CANARY} {uuid4()}", memo=CANARY)
    task = await gate.open_task(case_id)
    assert task["gate"] == "intervention", "the step failed with a message that quotes the payee"
    about = f"/cases/{quote(case_id, safe='')}"
    await gate.post("requester-1", f"{about}/comments", {"text": CANARY})
    await gate.decide("operator-1", task, "roll_back", comment=CANARY)
    await gate.until(case_id, lambda case: case["status"] == "failed")
    wrong = payment(amount=CANARY)
    assert (await gate.post("requester-1", "/cases", wrong)).status_code == 422
    assert (await gate.get("manager-1", "/cases", q=CANARY)).status_code == 200
    for path in (f"/{CANARY}", f"/people/{CANARY}", f"/api/v1/cases/{CANARY}/{CANARY}"):
        await gate.as_("admin-1").get(path)
    with suppress(httpx2.HTTPError):
        await gate.as_("admin-1").request(CANARY.upper(), "/api/v1/cases")
    file = {"file": (f"{CANARY}.csv", f"reference,payee\nR-1,{CANARY}\n".encode(), "text/csv")}
    upload = await gate.as_("requester-1").post("/api/v1/batches", params={"process": "payment"}, files=file)
    assert upload.status_code in (202, 422)

    records = [each for each in caplog.records if not each.name.startswith("httpx2")]  # the client of this test
    said = written(records, texts=False)
    assert "Completing activity as failed" in said and "AccountLocked" in said and case_id in said
    assert said.count("answered") >= 8 and "path=/api/v1/cases/{case_id}" not in said
    assert CANARY not in said.lower()
    assert CANARY in written(records, texts=True), "otherwise this test could not fail"
    assert CANARY not in (await gate.as_(None).get("/metrics")).text

"""`./holdgate` against the running product: one file of payments, from `submit` to `audit verify`."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import holdgate
from tests.product import Product

PAYMENTS = """\
reference,payee,amount,currency,account,memo
CLI-1,Alder Office Ltd,100.00,GBP,operating,below the limit
CLI-2,Birch Timber Ltd,900.00,GBP,operating,[bold]to approve
CLI-3,Cedar Glass Ltd,9000.00,GBP,operating,to reject
CLI-4,Doe Print Ltd,much,GBX,operating,bad
CLI-5,Elm Tools Ltd,700.00,GBP,operating,to cancel
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One of its own: the tests look at all that waits."""
    with Product(tmp_path_factory.mktemp("cli")) as product:
        yield product


@pytest.fixture
def run(product: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Carries out a command line as in a second terminal beside `make up`."""
    for name in ("HOLDGATE_URL", "HOLDGATE_TOKEN", "HOLDGATE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOLDGATE_VAR", str(product.folder))

    def run(*arguments: str) -> Answer:
        code = holdgate.main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Answer(code, said.out, said.err)

    return run


def until(run: Run, case: str, *statuses: str) -> dict[str, Any]:
    """The case as soon as it has one of the statuses; the test's timeout ends a wait in vain."""
    while (found := run("case", case, "--json").json)["status"] not in statuses:
        time.sleep(0.1)
    return dict(found)


def test_a_day_at_the_command_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    file.write_text(PAYMENTS)

    looked_at = run("submit", str(file), "--process", "payment", "--dry-run")
    assert looked_at.code == 1
    assert "dry run, nothing was started" in looked_at.out
    assert "5 total, 4 valid, 0 started, 0 duplicate, 1 invalid" in looked_at.out
    assert "'GBX' is not an ISO 4217 currency code" in looked_at.out
    assert run("cases", "--q", "CLI-").out == "nothing here\n"

    refused = run("submit", str(file), "--process", "payment", "--as", "manager-1")
    assert (refused.code, refused.out) == (1, "")
    assert "requesters" in refused.err

    started = run("submit", str(file), "--process", "payment", "--as", "requester-1", "--json")
    assert started.code == 1
    assert started.json["rows"] == {"total": 5, "valid": 4, "invalid": 1, "started": 4, "duplicate": 0, "failed": 0}
    again = run("submit", str(file), "--process", "payment")
    assert "0 started, 4 duplicate" in again.out and f"the same file was batch {started.json['batch_id']}" in again.out

    until(run, "payment:cli-1", "completed")
    for case in ("payment:cli-2", "payment:cli-3", "payment:cli-5"):
        until(run, case, "awaiting_approval")
    assert "payment:cli-1" in run("cases", "--status", "completed").out
    assert "payment:cli-2" not in run("cases", "--q", "alder").out

    mine = run("tasks", "--as", "manager-1", "--json").json["items"]
    assert {task["case_id"] for task in mine} == {"payment:cli-2", "payment:cli-3", "payment:cli-5"}
    assert run("tasks", "--as", "requester-1").out == "nothing here\n"
    assert "Pay Birch Timber Ltd 900.00 GBP" in run("tasks").out

    task = next(task["task_id"] for task in mine if task["case_id"] == "payment:cli-2")
    own = run("decide", task, "approve", "--as", "requester-1")
    assert (own.code, own.out) == (1, "") and "somebody else must decide" in own.err
    assert run("decide", task, "perhaps", "--as", "manager-1").code == 1
    accepted = run("decide", task, "approve", "--as", "manager-1", "--comment", "ordered in May")
    assert accepted.code == 0 and accepted.out.startswith("accepted: manager-approval is approved")
    until(run, "payment:cli-2", "completed")
    late = run("decide", "payment:cli-2", "approve", "--as", "manager-2")
    assert (late.code, late.err) == (1, "payment:cli-2 has no open task; it is completed\n")

    assert run("decide", "payment:cli-3", "reject", "--as", "manager-2").code == 0
    until(run, "payment:cli-3", "rejected")
    shown = run("case", "payment:cli-3").out
    assert "Release the held 9,000.00 GBP" in shown and "manager-2" in shown

    assert "A rejection would undo" in run("case", "payment:cli-5").out
    assert run("cancel", "payment:cli-5", "--reason", "ordered twice", "--as", "manager-1").code == 1
    assert run("cancel", "payment:cli-5", "--reason", "ordered twice").code == 0
    until(run, "payment:cli-5", "cancelled")
    assert run("cancel", "payment:cli-5", "--reason", "again").code == 1

    assert run("case", "payment:none").err == "There is no such case.\n"
    assert run("audit", "verify").code == 0


def test_a_scheduled_case_is_listed_and_started_early(run: Run, product: Product) -> None:
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    fields = {"payee": "Alder Tools Ltd", "amount": "12.00", "currency": "GBP", "account": "operating"}
    body = {"process": "payment", "reference": "CLI-LATER", "input": fields, "start_at": later}
    with product.client("requester-1") as client:
        assert client.post("/cases", json=body).json()["status"] == "scheduled"
    assert "payment:cli-later" in run("cases", "--status", "scheduled").out
    assert run("start-now", "payment:cli-later", "--as", "requester-2").code == 1
    assert "was started" in run("start-now", "payment:cli-later", "--as", "requester-1").out
    until(run, "payment:cli-later", "completed")
    late = run("start-now", "payment:cli-later")
    assert (late.code, late.err) == (1, "The case has ended already: completed.\n")


def test_a_revoked_token_is_exit_code_2(run: Run, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    run("people", "add", "zoe", "--group", "auditors")
    monkeypatch.setenv("HOLDGATE_TOKEN", run("people", "token", "zoe").out.strip())
    assert run("cases").code == 0
    run("people", "revoke", "zoe")
    assert run("cases").code == 2


def test_an_address_that_is_no_gateway_is_said_so(run: Run, product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDGATE_URL", product.up["temporal_ui_url"])
    answer = run("cases")
    assert answer.code == 2
    assert "HOLDGATE_URL" in answer.err

"""`./holdgate` against the running product: one file of payments, from `submit` to `audit verify`."""

import csv
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from tests.support.in_process_command_line import Run
from tests.support.installed_app import ROOT, Product

PAYMENTS = """\
reference,payee,amount,currency,account,memo
CLI-1,Alder Office Ltd,100.00,GBP,operating,below the limit
CLI-2,Birch Timber Ltd,900.00,GBP,operating,[bold]to approve
CLI-3,Cedar Glass Ltd,9000.00,GBP,operating,to reject
CLI-4,Doe Print Ltd,much,GBX,operating,bad
CLI-5,Elm Tools Ltd,700.00,GBP,operating,to cancel
"""


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
    assert "dry run, no case was started" in looked_at.out
    assert "Fraud review: 0 to 4 tasks for fraud-analysts, known after the screening." in looked_at.out
    assert "5 total, 4 valid, 0 started, 0 duplicate, 1 invalid" in looked_at.out
    assert "'GBX' is not an ISO 4217 currency code" in looked_at.out
    assert run("cases", "--q", "CLI-").out == "no entries\n"

    refused = run("submit", str(file), "--process", "payment", "--as", "manager-1")
    assert (refused.code, refused.out) == (1, "")
    assert "requesters" in refused.err

    started = run("submit", str(file), "--process", "payment", "--as", "requester-1", "--json")
    assert started.code == 1
    assert started.err == ""
    counted = {"total": 5, "valid": 4, "invalid": 1, "started": 4, "duplicate": 0, "failed": 0}
    assert counted.items() <= started.json["rows"].items()
    again = run("submit", str(file), "--process", "payment")
    assert "0 started, 4 duplicate" in again.out and f"same file as batch {started.json['batch_id']}" in again.out

    until(run, "payment:cli-1", "completed")
    for case in ("payment:cli-2", "payment:cli-3", "payment:cli-5"):
        until(run, case, "awaiting_approval")
    assert "payment:cli-1" in run("cases", "--status", "completed").out
    assert "payment:cli-2" not in run("cases", "--q", "alder").out

    mine = run("tasks", "--as", "manager-1", "--json").json["items"]
    assert {task["case_id"] for task in mine} == {"payment:cli-2", "payment:cli-3", "payment:cli-5"}
    assert run("tasks", "--as", "requester-1").out == "no entries\n"
    assert "Pay Birch Timber Ltd 900.00 GBP" in run("tasks").out

    task = next(task["task_id"] for task in mine if task["case_id"] == "payment:cli-2")
    own = run("decide", task, "approve", "--as", "requester-1")
    assert (own.code, own.out) == (1, "") and "somebody else must decide" in own.err
    assert run("decide", task, "perhaps", "--as", "manager-1").code == 1
    accepted = run("decide", task, "approve", "--as", "manager-1", "--comment", "ordered in May")
    assert accepted.code == 0 and accepted.out.startswith("accepted: manager-approval is approved")
    until(run, "payment:cli-2", "completed")
    late = run("decide", "payment:cli-2", "approve", "--as", "manager-2")
    assert (late.code, late.err) == (1, "payment:cli-2 has no open task; the case is completed\n")

    assert run("decide", "payment:cli-3", "reject", "--as", "manager-2").code == 0
    until(run, "payment:cli-3", "rejected")
    shown = run("case", "payment:cli-3").out
    assert "Release the held 9,000.00 GBP" in shown and "manager-2" in shown

    assert "If rejected, rolled back by" in run("case", "payment:cli-5").out
    assert run("cancel", "payment:cli-5", "--reason", "ordered twice", "--as", "manager-1").code == 1
    assert run("cancel", "payment:cli-5", "--reason", "ordered twice").code == 0
    until(run, "payment:cli-5", "cancelled")
    assert run("cancel", "payment:cli-5", "--reason", "again").code == 1

    assert run("case", "payment:none").err == "There is no such case, or you may not see it.\n"
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


def test_two_administrators_open_and_fund_an_account(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("people", "add", "admin-2", "--group", "admins").code == 0
    second = run("people", "token", "admin-2").out.strip()
    opened = run("ledger", "open", "branch", "EUR", "--amount", "20.00", "--reason", "A branch", "--key", "k", "--json")
    change = opened.json["change_id"]
    again = run("ledger", "open", "branch", "EUR", "--amount", "20.00", "--reason", "A branch", "--key", "k", "--json")
    assert again.json["change_id"] == change
    own = run("ledger", "confirm", change)
    assert own.code == 1 and "another administrator must confirm it" in own.err
    monkeypatch.setenv("HOLDGATE_TOKEN", second)
    assert change in run("ledger", "changes", "--status", "waiting").out
    assert run("ledger", "confirm", change).out == f"{change} is confirmed and applied\n"
    asked = run("ledger", "fund", "branch", "30.00", "EUR", "--reason", "More")
    fund = asked.out.split()[0]
    assert asked.code == 0 and f"./holdgate ledger confirm {fund}" in asked.out
    monkeypatch.delenv("HOLDGATE_TOKEN")
    assert run("ledger", "confirm", fund).code == 0
    accounts = {(each["account"], each["currency"]): each for each in run("ledger", "accounts", "--json").json["items"]}
    assert accounts["branch", "EUR"]["available"] == "50.00"
    wrong = run("ledger", "fund", "brunch", "1", "EUR", "--reason", "A slip")
    assert wrong.code == 1 and "open the account first" in wrong.err
    gone = run("ledger", "fund", "branch", "1", "EUR", "--reason", "A slip", "--json").json["change_id"]
    assert run("ledger", "withdraw", gone).code == 0
    late = run("ledger", "confirm", gone)
    assert late.code == 1 and "already withdrawn by admin-1" in late.err


def test_a_task_and_its_case_say_what_an_approval_does(run: Run, tmp_path: Path) -> None:
    file = payments(tmp_path, "CLI-TASK,Fern Paper Ltd,662.37,GBP,operating")
    assert run("submit", str(file), "--process", "payment").code == 0
    case = "payment:cli-task"
    until(run, case, "awaiting_approval")
    for shown in (run("task", case), run("case", case)):
        assert shown.code == 0 and "If manager-approval is approved" in shown.out
        assert "Pay 662.37 GBP to Fern Paper Ltd" in shown.out
        assert "Director approval is not needed: amount 662.37 is under 50,000.00 GBP" in shown.out
    assert run("task", case, "--json").json["if_approved"][-1]["text"] == "Paid 662.37 GBP to Fern Paper Ltd"


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


HEAD = "reference,payee,amount,currency,account\n"


BAD = "LOOK-2,Birch,much,GBP,operating"


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as rows:
        return list(csv.DictReader(rows))


def payments(folder: Path, *rows: str) -> Path:
    file = folder / "some.csv"
    file.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return file


def submitting(product: Product, *arguments: str, **streams: Any) -> subprocess.Popen[str]:
    """`./holdgate submit` in a process of its own."""
    command = [sys.executable, str(ROOT / "cli"), "submit", *arguments]
    return subprocess.Popen(command, env=product.environment, text=True, start_new_session=True, **streams)


def approve(product: Product, case_id: str) -> None:
    with product.client("manager-1") as client:
        (task,) = client.get("/tasks", params={"q": case_id}).json()["items"]
        said = {"verdict": "approve", "revision": task["revision"]}
        assert client.post(f"/tasks/{task['task_id']}/decision", json=said).status_code == 200


def test_a_batch_is_submitted_looked_at_again_and_its_bad_rows_come_back(run: Run, tmp_path: Path) -> None:
    file = payments(tmp_path, "LOOK-1,Linden,101.00,GBP,operating", BAD)
    bad = tmp_path / "bad.csv"
    done = run("submit", str(file), "--process", "payment", "--wait", "--bad-rows", str(bad))
    assert done.code == 1
    assert "\x1b" not in done.out + done.err and "\r" not in done.out + done.err
    assert re.search(r"^completed: 1 of 1 rows started, 0 failed; cases: 1 completed$", done.err, re.MULTILINE)
    assert "1 invalid or failed rows are in " in done.err
    for row in ("rows +invalid +1", "rows +started +1", "cases +completed +1"):
        assert re.search(row, done.out), row
    (batch_id,) = re.findall(r"some.csv: batch (b\w+), completed", done.out)
    assert f"./holdgate batch {batch_id} --bad-rows FILE" in done.out
    assert list(read(bad)[0].items())[1:] == list(zip(HEAD.strip().split(","), BAD.split(","), strict=True))

    assert re.search(rf"{batch_id} +completed +some.csv +payment +2 +requester-1", run("batches").out)
    assert batch_id in run("batches", "--status", "completed", "--process", "payment").out
    assert run("batches", "--status", "paused").out == "no entries\n"
    assert run("batches", "--as", "requester-2").out == "no entries\n"
    for options in ((), ("--follow",), ("--wait",)):
        shown = run("batch", batch_id, *options, "--json")
        assert (shown.code, shown.err, shown.json["cases"]) == (1, "", {"completed": 1})
    assert f"batch {batch_id}, completed" in run("batch", "--follow", batch_id).out
    for answer in (run("batch", batch_id, "--as", "requester-2"), run("batch", "none", "--follow")):
        assert (answer.code, answer.out, answer.err) == (1, "", "There is no such batch, or you may not see it.\n")

    corrected = file.with_name("corrected.csv")
    corrected.write_text(HEAD + "LOOK-2,Birch,20.00,GBP,operating\n")
    assert run("submit", str(corrected), "--process", "payment").code == 0


def test_a_file_that_is_refused_starts_nothing_and_says_why(run: Run, tmp_path: Path) -> None:
    for content in (b"", b"\x00", HEAD.encode()):
        (tmp_path / "refused.csv").write_bytes(content)
        answer = run("submit", str(tmp_path / "refused.csv"), "--process", "payment", "--json")
        assert (answer.code, answer.out) == (1, "") and answer.err
    assert "refused.csv" not in run("batches").out
    assert run("submit", str(tmp_path / "none.csv")).code == 2
    for option in (("--wait",), ("--bad-rows", "x")):
        assert run("submit", str(tmp_path / "refused.csv"), "--dry-run", *option).code == 2


def test_cases_are_exported_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    file = payments(tmp_path, "OUT-1,=cmd(),10.00,GBP,operating", "OUT-2,Oak,31.00,GBP,operating")
    batch_id = run("submit", str(file), "--process", "payment", "--wait", "--json").json["batch_id"]
    out = tmp_path / "cases.csv"
    done = run("export", "--batch", batch_id, "--process", "payment", "--out", str(out))
    assert (done.code, done.out) == (0, f"2 cases are in {out}\n")
    rows = {row["reference"]: row for row in read(out)}
    assert (rows["OUT-1"]["input.payee"], rows["OUT-2"]["status"]) == ("'=cmd()", "completed")
    assert run("export", "--q", "out-2", "--out", str(out)).out.startswith("1 cases")
    assert run("export", "--batch", batch_id, "--as", "requester-2", "--out", str(out)).out.startswith("0 cases")
    before = out.read_bytes()
    assert run("export", "--status", "nonsense", "--out", str(out)).code == 1
    assert out.read_bytes() == before and sorted(tmp_path.glob(".*")) == []
    nowhere = tmp_path / "none" / "cases.csv"
    assert run("export", "--out", str(nowhere)) == (1, "", f"{nowhere} cannot be written: No such file or directory\n")


def test_evidence_is_written_as_a_zip_and_one_case_is_checked(run: Run, tmp_path: Path) -> None:
    file = payments(tmp_path, "PROOF-1,Oak,32.00,GBP,operating")
    assert run("submit", str(file), "--process", "payment", "--wait").code == 0
    out = tmp_path / "evidence.zip"
    done = run("audit", "pack", "--case", "payment:proof-1", "--out", str(out))
    assert (done.code, done.out) == (0, f"the evidence is in {out}\n")
    with ZipFile(out) as pack:
        assert json.loads(pack.read("manifest.json"))["intact"] is True
    before = out.read_bytes()
    assert run("audit", "pack", "--case", "payment:none", "--out", str(out)).code == 1
    assert run("audit", "pack", "--out", str(out)).code == 2
    assert out.read_bytes() == before
    assert run("audit", "verify", "--case", "payment:proof-1").out.startswith("the audit log is intact")
    assert run("audit", "verify", "--case", "payment:none").code == 1
    assert run("people", "unlock", "manager-1").out == "manager-1 may try to sign in again\n"


def test_ctrl_c_in_a_terminal_leaves_the_batch_alone_and_says_how_to_look_again(
    run: Run, product: Product, tmp_path: Path
) -> None:
    file = payments(tmp_path, "CTRL-1,Cress,930.00,GBP,operating")
    terminal, inside = os.openpty()
    submit = submitting(
        product,
        *(str(file), "--process", "payment", "--wait"),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that it is this terminal's Ctrl-C which it hears
    )
    os.close(inside)
    shown = ""
    while "waiting for approval" not in shown:
        shown += os.read(terminal, 65536).decode()
    assert "rows started" in shown and "\x1b[" in shown  # a progress bar, which is redrawn
    os.write(terminal, b"\x03")
    assert submit.wait(10) == 130
    shown += os.read(terminal, 65536).decode()
    os.close(terminal)
    (batch_id,) = set(re.findall(r"'\./holdgate batch (b\w+) --follow' watches it again", shown))
    assert f"batch {batch_id} continues" in shown
    assert run("batch", batch_id, "--json").json["cases"] == {"awaiting_approval": 1}
    approve(product, "payment:ctrl-1")
    assert run("batch", batch_id, "--wait", "--json").json["cases"] == {"completed": 1}


def test_sigint_of_a_script_is_the_same_and_leaves_no_control_codes(product: Product, tmp_path: Path) -> None:
    file = payments(tmp_path, "INT-1,Ivy,910.00,GBP,operating")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    submit = submitting(product, str(file), "--process", "payment", "--wait", "--as", "requester-1", **pipes)
    assert submit.stderr is not None
    first = submit.stderr.readline()
    submit.send_signal(signal.SIGINT)
    out, err = submit.communicate(timeout=10)
    assert (submit.returncode, out) == (130, "")
    assert "--follow' watches it again\n" in err and "\x1b" not in first + err


def test_a_gateway_that_is_killed_meanwhile_is_waited_for(product: Product, tmp_path: Path) -> None:
    file = payments(tmp_path, "KILL-1,Kale,920.00,GBP,operating", "KILL-2,Kiwi,11.00,GBP,operating")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    submit = submitting(product, str(file), "--process", "payment", "--wait", "--as", "requester-1", **pipes)
    assert submit.stderr is not None
    said = submit.stderr.readline()
    product.kill("gateway")
    while "does not answer; trying again" not in (line := submit.stderr.readline()):
        said += line
        assert line, said
    while "waiting for approval" not in (line := submit.stderr.readline()):
        assert line, said
    approve(product, "payment:kill-1")
    out, err = submit.communicate(timeout=60)
    assert submit.returncode == 0, err
    assert re.search("cases +completed +2", out)


def test_a_batch_is_paused_resumed_and_cancelled_with_a_reason(run: Run, product: Product, tmp_path: Path) -> None:
    rows = (f"STEER-{number},Payee {number},{600 + number}.00,GBP,operating" for number in range(200))
    with product.client("requester-1", timeout=60) as client, payments(tmp_path, *rows).open("rb") as file:
        answer = client.post("/batches", params={"process": "payment"}, files={"file": ("steer.csv", file, "text/csv")})
    batch_id = answer.json()["batch_id"]

    def status() -> str:
        return str(run("batch", batch_id, "--json").json["status"])

    def until_it_is(*wanted: str) -> None:
        while status() not in wanted:
            time.sleep(0.1)

    assert run("batch", "pause", batch_id).code == 2  # without a reason
    assert "only" in run("batch", "pause", batch_id, "--reason", "mine", "--as", "auditor-1").err.lower()
    paused = run("batch", "pause", batch_id, "--reason", "wrong month")
    assert (paused.code, paused.out) == (
        0,
        f"pause was requested; './holdgate batch {batch_id}' shows the result\n",
    )
    until_it_is("paused")
    assert batch_id in run("batches", "--status", "paused").out
    assert run("batch", "resume", batch_id, "--reason", "the right one", "--json").json["batch_id"] == batch_id
    until_it_is("running")
    assert run("batch", "cancel", batch_id, "--reason", "sent twice", "--roll-back").code == 0
    ended = run("batch", batch_id, "--wait", "--json")
    assert (ended.code, ended.json["status"]) == (1, "cancelled")
    assert set(ended.json["cases"]) == {"cancelled"}
    assert run("batch", "pause", batch_id, "--reason", "too late").code == 1

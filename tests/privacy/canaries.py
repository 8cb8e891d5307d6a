"""Thirty texts that no one else writes, put everywhere where people write, and a search for them in files."""

import shutil
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from plugins.scaffold import make
from tests.support.installed_app import ROOT, Product

IBAN = "GB21WEST12345698760031"
CANARIES: Mapping[str, str] = {
    **{
        name: f"qzcanary{number:02}x"
        for number, name in enumerate(
            (
                *("payee", "memo", "title", "body", "payload", "full name", "mail", "onboarding note", "rows of data"),
                *("deployment note", "review note", "comment", "change request", "edit", "rejection", "cancellation"),
                *("error of a step", "error of an undo", "defect", "validation error", "upload", "row of an upload"),
                *("attachment", "note of an attachment", "dropped file", "refused file", "search", "question", "path"),
            ),
            start=1,
        )
    },
    "account": IBAN.lower(),
}
HOSTILE = "batch:X~rollback1 ../é <b>"
"""A reference that looks like the id of another Workflow, of a rollback, of a path, and of markup."""
IN_TEMPORAL = (
    *("payee", "memo", "account", "title", "body", "payload", "full name", "mail", "onboarding note"),
    *("deployment note", "review note", "change request", "edit", "rejection", "cancellation", "error of a step"),
    *("error of an undo", "defect", "upload", "dropped file", "question"),
)
"""Canaries that are in Temporal's database without encryption."""
IN_LOGS = ("error of a step", "error of an undo", "defect")
"""Canaries that are in the logs with `HOLDGATE_LOG_TEXTS=on`."""


def environment(folder: Path) -> dict[str, str]:
    """Make what the cases need in a folder, and return the settings for a product that uses it.

    The process `fragile` raises errors that quote its input: in a step, in an undo, and in the Workflow itself.
    """
    _fragile_process(folder / "processes")
    shutil.copytree(ROOT / "docs" / "samples" / "files", folder / "files")
    data = f"name,town\n{CANARIES['rows of data']},Leeds\n"
    (folder / "files" / "members.csv").write_text(data)
    schema = '{"type": "object", "properties": {"name": {"type": "string"}, "town": {"type": "string"}}}'
    (folder / "files" / "members.schema.json").write_text(schema)
    (folder / "drop" / "payment").mkdir(parents=True)
    return {
        "HOLDGATE_PROCESSES": str(folder / "processes"),
        "HOLDGATE_FILES": str(folder / "files"),
        "HOLDGATE_IMPORT_DIR": str(folder / "drop"),
        "HOLDGATE_UNISOLATED_CODE": "accept",
        "HOLDGATE_LOG": "json",
    }


def _fragile_process(folder: Path) -> None:
    made = make("fragile", folder)
    for name, old, new in (
        ("activities.py", "Refused, StepCall", "Refused, StepCall, Trouble"),
        (
            "activities.py",
            '        """Book the amount for good."""\n',
            '        """Book the amount for good."""\n'
            '        if call.input.purpose == "step":\n'
            '            raise ValueError(f"cannot book {call.input.note}")\n',
        ),
        (
            "activities.py",
            '        """Undo `reserve_fragile`."""\n',
            '        """Undo `reserve_fragile`."""\n'
            '        if call.input.purpose == "undo":\n'
            '            raise Trouble(f"cannot free {call.input.note}", permanent=True)\n',
        ),
        (
            "process.py",
            '        await self.gate("approval")\n',
            '        if request.purpose == "defect":\n            raise KeyError(request.note)\n'
            '        await self.gate("approval")\n',
        ),
    ):
        text = (made / name).read_text()
        assert old in text
        (made / name).write_text(text.replace(old, new, 1))
    with (made / "policy.toml").open("a") as policy:
        policy.write('\n[fragile.steps.confirm_fragile]\npermanent = ["ValueError"]\n')


class Drive:
    """Real cases in a running product, with a canary in each text that somebody can write."""

    def __init__(self, product: Product, folder: Path) -> None:
        self._product = product
        self._folder = folder
        self._clients: dict[str, httpx2.Client] = {}

    def run(self) -> None:
        """Drive all cases to where they end or stay. Raises AssertionError if one does not get there."""
        self._payments()
        self._approvals()
        self._others()
        self._fragile()
        self._files()
        self._drop()
        self._searches()

    def end(self) -> None:
        """End the cases that stay where people must do something."""
        for case in ("security_review:sec-1", "deployment:dep-1"):
            self._post("admin-1", f"/cases/{case}/cancel", reason="No longer needed")
        for case, verdict in (("f-1", "roll_back"), ("f-2", "done_by_hand"), ("f-3", "done_by_hand")):
            self._decide("operator-1", self._task(f"fragile:{case}"), verdict, comment="Looked at")
        _wait(lambda: not self._open(), self._open)

    def erase(self) -> list[str]:
        """Erase all uploads and all other cases, and return the ids of the cases."""
        uploads = [each["batch_id"] for each in self._items("/batches")]
        cases = [each for each in self._items("/cases") if each["process"] != "erasure"]
        erased = [f"/batches/{each}" for each in uploads]
        erased += [f"/cases/{quote(each['case_id'], safe='')}" for each in cases if not each["batch_id"]]
        for path in erased:
            request = quote(self._post("admin-1", f"{path}/erase", reason="Ticket 114")["request_id"], safe="")
            self._decide("privacy-1", self._task(request), "approve")
            self._until(request, "completed")
        return [each["case_id"] for each in cases]

    def _open(self) -> list[str]:
        return [each["case_id"] for each in self._items("/cases") if each["closed_at"] is None]

    def _items(self, path: str) -> list[dict[str, Any]]:
        answer = self._as("admin-1").get(path, params={"limit": 100}).json()
        assert answer["next_cursor"] is None
        found: list[dict[str, Any]] = answer["items"]
        return found

    def __enter__(self) -> "Drive":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    def _payments(self) -> None:
        words = {"payee": CANARIES["payee"], "memo": CANARIES["memo"], "payee_account": IBAN}
        case = self._start("payment", "PAY-1", amount="750.00", currency="GBP", account="operating", **words)
        self._post("requester-1", f"/cases/{case}/comments", text=CANARIES["comment"])
        task = self._task(case)
        asked = self._post("manager-1", f"/tasks/{task}/questions", to="requester-1", text=CANARIES["question"])
        question = asked["questions"][-1]["id"]
        self._post("requester-1", f"/tasks/{task}/questions/{question}/answer", text=CANARIES["question"])
        self._decide("manager-1", task, "request_changes", comment=CANARIES["change request"])
        self._until(case, "awaiting_changes")
        self._post("requester-1", f"/cases/{case}/cancel", reason=CANARIES["cancellation"])
        self._until(case, "cancelled")
        wrong = {"process": "payment", "reference": "PAY-2", "input": {"amount": CANARIES["validation error"]}}
        assert self._as("requester-1").post("/cases", json=wrong).status_code == 422

    def _approvals(self) -> None:
        case = self._start(
            "approval",
            "ASK-1",
            title=CANARIES["title"],
            body=CANARIES["body"],
            payload={"said": CANARIES["payload"]},
        )
        self._decide("manager-1", self._task(case), "approve", edits={"payload": {"said": CANARIES["edit"]}})
        self._until(case, "completed")
        case = self._start("approval", HOSTILE, title="Another")
        self._decide("manager-1", self._task(case), "reject", comment=CANARIES["rejection"])
        self._until(case, "rejected")

    def _others(self) -> None:
        cases = [
            self._start(
                "user_onboarding",
                "IT-1",
                full_name=f"Ada {CANARIES['full name']}",
                username="ada",
                email=f"{CANARIES['mail']}@example.org",
                note=CANARIES["onboarding note"],
            ),
            self._start("data_import", "DATA-1", dataset="members"),
            self._start("security_review", "SEC-1", target="reports-job", note=CANARIES["review note"]),
            self._start("deployment", "DEP-1", app="shop", note=CANARIES["deployment note"]),
        ]
        self._decide("manager-1", self._task(cases[0]), "approve")
        self._decide("steward-1", self._task(cases[1]), "approve")
        for case in cases[:2]:
            self._until(case, "completed")
        for case in cases[2:]:
            self._task(case)

    def _fragile(self) -> None:
        about = {"amount": "500.00", "needed_by": "2031-03-17"}
        step = self._start("fragile", "F-1", purpose="step", note=CANARIES["error of a step"], **about)
        undo = self._start("fragile", "F-2", purpose="undo", note=CANARIES["error of an undo"], **about)
        self._start("fragile", "F-3", purpose="defect", note=CANARIES["defect"], **about)
        self._decide("manager-1", self._task(step), "approve")
        self._decide("manager-1", self._task(undo), "reject", comment="No")
        for case in (step, undo):
            self._until(case, "needs_intervention")

    def _files(self) -> None:
        head = "reference,payee,amount,currency,account,memo\n"
        rows = f"{head}ROW-1,Acme,10.00,GBP,operating,{CANARIES['row of an upload']}\n"
        file = (f"{CANARIES['upload']}.csv", rows.encode(), "text/csv")
        answer = self._as("requester-1").post("/batches", params={"process": "payment"}, files={"file": file})
        assert answer.status_code == 202, answer.text
        self._until("payment:row-1", "completed")
        attached = (f"{CANARIES['attachment']}.txt", b"A text", "text/plain")
        note = {"note": CANARIES["note of an attachment"]}
        answer = self._as("requester-1").post("/cases/payment:row-1/attachments", files={"file": attached}, data=note)
        assert answer.status_code == 201, answer.text

    def _drop(self) -> None:
        folder = self._folder / "drop" / "payment"
        row = "reference,payee,amount,currency,account\nDROP-1,Another,31.00,GBP,operating\n"
        (folder / f"{CANARIES['dropped file']}.csv").write_text(row)
        (folder / f"{CANARIES['refused file']}.csv").write_bytes(b"\x00\x01 no table")
        (folder / f"{CANARIES['refused file']}-link.csv").symlink_to(folder / "nowhere")
        self._until("payment:drop-1", "completed")
        refused = self._folder / "drop" / "refused"
        _wait(lambda: refused.exists() and any(refused.iterdir()), refused)

    def _searches(self) -> None:
        client = self._as("manager-1")
        for path in ("/cases", "/tasks", "/incidents"):
            client.get(path, params={"q": CANARIES["search"], CANARIES["search"]: "1"})
        for path in ("", "/people", "/cases", "/batches"):
            assert client.get(f"{path}/{CANARIES['path']}/{CANARIES['path']}").status_code == 404
        client.request(CANARIES["path"].upper(), "/cases")

    # ------------------------------------------------------------------------------------------------- small parts

    def _as(self, person: str) -> httpx2.Client:
        return self._clients.setdefault(person, self._product.client(person))

    def _post(self, person: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self._as(person).post(path, json=body)
        assert answer.status_code < 300, (path, answer.status_code, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def _start(self, process: str, reference: str, **input: Any) -> str:
        person = "hr-1" if process == "user_onboarding" else "requester-1"
        case: str = self._post(person, "/cases", process=process, reference=reference, input=input)["case_id"]
        return quote(case, safe="")

    def _case(self, case: str) -> dict[str, Any]:
        found: dict[str, Any] = self._as("admin-1").get(f"/cases/{case}").json()
        return found

    def _task(self, case: str) -> str:
        """The id of the task at which the case waits, as soon as it does."""

        def open_task() -> list[str]:
            return [task["task_id"] for task in self._case(case).get("tasks", []) if task["status"] == "open"]

        _wait(open_task, case)
        return open_task()[0]

    def _decide(self, person: str, task: str, verdict: str, **more: Any) -> None:
        revision = self._as("admin-1").get(f"/tasks/{task}").json()["revision"]
        self._post(person, f"/tasks/{task}/decision", verdict=verdict, revision=revision, **more)

    def _until(self, case: str, status: str) -> None:
        _wait(lambda: self._case(case).get("status") == status, lambda: self._case(case))


def _wait(holds: Any, about: Any) -> None:
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline, about() if callable(about) else about
        time.sleep(0.2)


def found_in(text: bytes) -> set[str]:
    """Return the names of the canaries in a text, in small or large letters."""
    small = text.lower()
    return {name for name, canary in CANARIES.items() if canary.encode() in small}


def hits(files: Iterable[Path]) -> dict[str, set[str]]:
    """Return the canaries in the bytes of files, and in the values of SQLite databases, by name of the file.

    A long value of SQLite is in several pieces, so that the bytes alone do not show every canary.
    """
    found: dict[str, set[str]] = {}
    for path in files:
        seen = found_in(path.read_bytes())
        if path.suffix == ".db":
            seen |= found_in(_values(path))
        if seen:
            found[path.name] = seen
    return found


def _values(path: Path) -> bytes:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        db.text_factory = bytes
        tables = [name.decode() for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = (row for table in tables for row in db.execute(f'SELECT * FROM "{table}"'))
        return b"\n".join(value for row in rows for value in row if isinstance(value, bytes))

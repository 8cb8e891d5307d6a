"""A log line names the type and place of an error and ids, but never a text that somebody wrote."""

import ast
import asyncio
import io
import logging
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import aiosmtplib
import psycopg
import pytest
import sqlalchemy.exc
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError
from temporalio.runtime import LogForwardingConfig
from temporalio.service import RPCError, RPCStatusCode

from api.oidc.errors import NotAccepted, ProviderDown
from channels.channel import RefusedForGood
from core import library_logs, logs
from core.exception_places import described, trace
from core.settings import WrongSettings
from domain.errors import Refused, Trouble
from domain.refusals import Refusal, RefusalCode
from plugins.errors import WrongProcess
from store.db.database import DatabaseUnavailable
from tests.test_architecture import PRODUCT, ROOT

CANARY = "canary-of-ada-lovelace"


class _Model(BaseModel):
    amount: int


def _validation() -> BaseException:
    try:
        _Model.model_validate({"amount": CANARY, CANARY: 1})
    except ValueError as error:
        return error
    raise AssertionError


ERRORS: dict[str, tuple[Callable[[], BaseException], str]] = {
    "a builtin": (lambda: ValueError(CANARY), "ValueError"),
    "a key": (lambda: KeyError(CANARY), "KeyError"),
    "a file": (lambda: OSError(28, CANARY, f"/uploads/{CANARY}.csv"), "OSError (No space left on device)"),
    "a host": (lambda: socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
    "Pydantic": (_validation, "(int_parsing)"),
    "SQLite": (lambda: _of_sqlite(f"select {CANARY!r} from nowhere"), "(SQLITE_ERROR)"),
    "SQLAlchemy": (
        lambda: sqlalchemy.exc.IntegrityError(CANARY, {"payee": CANARY}, psycopg.errors.UniqueViolation(CANARY)),
        "IntegrityError (23505)",
    ),
    "Temporal's answer": (lambda: RPCError(CANARY, RPCStatusCode.UNAVAILABLE, b""), "(UNAVAILABLE)"),
    "a step": (lambda: Trouble(CANARY, about=CANARY), "Trouble (Trouble)"),
    "a refusal of a step": (lambda: Refused(CANARY), "(Refused)"),
    "a failure": (lambda: ApplicationError(CANARY, CANARY, type="BankClosed"), "(BankClosed)"),
    "a refusal": (lambda: Refusal(RefusalCode.NOT_ALLOWED, CANARY), "(NOT_ALLOWED)"),
    "a mail": (lambda: RefusedForGood(f"550 {CANARY}", 550), "(550)"),
    "a mail server": (lambda: aiosmtplib.SMTPDataError(554, CANARY), "(554)"),
    "a sign-in": (lambda: NotAccepted("nonce", CANARY), "(nonce)"),
    "notes": (lambda: _noted(ValueError("x")), "ValueError"),
    "a group": (lambda: ExceptionGroup(CANARY, [ValueError(CANARY)]), "ExceptionGroup"),
}
"""Each kind of exception that can quote what somebody wrote, and what the log says instead."""


def _of_sqlite(statement: str) -> BaseException:
    try:
        sqlite3.connect(":memory:").execute(statement)
    except sqlite3.Error as error:
        return error
    raise AssertionError


def _noted(error: BaseException) -> BaseException:
    error.add_note(CANARY)
    return error


class Written:
    """A logger of the given name whose lines can be read."""

    def __init__(self, form: logs.Format = "console", *, texts: bool = False) -> None:
        self.output = io.StringIO()
        self.handler = logs._Handler(self.output)
        self.handler.setFormatter(logs._formatter(form, texts=texts))

    def logger(self, name: str) -> logging.Logger:
        found = logging.Logger(name)
        found.addHandler(self.handler)
        return found

    @property
    def text(self) -> str:
        return self.output.getvalue()


def raised(error: BaseException) -> BaseException:
    """The error as a step raises it, after another error that also quotes the canary."""
    try:
        try:
            raise LookupError(CANARY)
        except LookupError:
            raise error  # noqa: B904  # the context must be left out, too
    except BaseException as seen:
        return seen


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("form", ["console", "json"])
def test_an_exception_is_logged_by_type_code_and_place(kind: str, form: logs.Format) -> None:
    make, said = ERRORS[kind]
    written, error = Written(form), raised(make())
    written.logger("holdgate.cases").error("it failed: %s", error, exc_info=error, extra={"case_id": "payment:x"})
    assert said in written.text and "test_log_lines.py" in written.text and "in raised" in written.text
    assert "payment:x" in written.text and "LookupError" in written.text
    assert CANARY not in written.text


def test_for_developers_nothing_is_left_out() -> None:
    """Otherwise no test here could fail."""
    written, error = Written(texts=True), raised(ValueError(CANARY))
    written.logger("holdgate.cases").error("it failed: %s", error, exc_info=error)
    assert written.text.count(CANARY) >= 3


@pytest.mark.parametrize("kind", [WrongSettings, WrongProcess, DatabaseUnavailable, ProviderDown])
def test_what_an_operator_must_correct_stays_in_words(kind: type[Exception]) -> None:
    said = "HOLDGATE_PORT=x: must be a number"
    assert described(kind(said)) == said
    assert said in trace(raised(kind(said)))


def test_an_exception_in_a_mapping_of_arguments_is_described() -> None:
    written = Written()
    written.logger("holdgate").error("it failed: %(error)s", {"error": ValueError(CANARY)})
    assert "it failed: ValueError" in written.text and CANARY not in written.text


async def test_an_exception_that_no_task_waits_for_has_no_message(caplog: pytest.LogCaptureFixture) -> None:
    """Asyncio puts the representation of the task, and so of its exception, into the text of the line."""
    written, loop = Written(), asyncio.get_running_loop()
    caplog.set_level(logging.ERROR)
    loop.default_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError(CANARY), "future": CANARY}
    )
    (record,) = caplog.records
    assert CANARY in record.getMessage()
    written.handler.handle(record)
    assert "Task exception was never retrieved" in written.text and "ValueError" in written.text
    assert CANARY not in written.text


@pytest.mark.parametrize(
    "said",
    [
        f"Completing as failure during heartbeat with error of type <class 'ValueError'>: {CANARY}",
        f"Exception handling failed, original error: {CANARY}\nand more: {CANARY}",
        f"Failed converting activation exception: {CANARY}",
    ],
)
def test_a_line_of_the_temporal_sdk_ends_before_the_message_of_an_exception(said: str) -> None:
    written = Written()
    written.logger("temporalio.activity").warning(said)
    assert said.partition(":")[0][:30] in written.text and CANARY not in written.text


def test_a_line_of_the_core_of_the_sdk_keeps_only_its_ids() -> None:
    written = Written()
    forwarding = LogForwardingConfig(written.logger("temporalio"), append_log_fields_to_message=False)
    fields = {
        "run_id": "run-1",
        "failure": f'Failure {{ message: "{CANARY}" }}',
        "error": f'Status {{ code: Unavailable, message: "{CANARY}" }}',
    }
    core: Any = SimpleNamespace(level=30, target="worker", message="Failing workflow task", fields=fields, time=1.0)
    forwarding._on_logs([core])
    assert "Failing workflow task run_id=run-1 status=Unavailable" in written.text and CANARY not in written.text


def test_an_http_client_logs_no_urls() -> None:
    for name in ("httpx", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    library_logs.quieten()
    assert not logging.getLogger("httpx2").isEnabledFor(logging.INFO)


def test_a_line_that_cannot_be_written_does_not_show_its_arguments() -> None:
    written = Written()
    written.logger("holdgate").error("%d cases", CANARY)
    assert "could not be written" in written.text and "test_log_lines.py" in written.text
    assert CANARY not in written.text


UNCAUGHT = f"""
import gc, logging, sys, threading, warnings
from core import logs
logs.configure("console", texts="texts" in sys.argv)
logs.take_uncaught()
def fail():
    raise ValueError("{CANARY}")
class Late:
    def __del__(self):
        fail()
thread = threading.Thread(target=fail)
thread.start(); thread.join()
Late(); gc.collect()
warnings.warn("{CANARY}")
fail()
"""


@pytest.mark.parametrize(("option", "times"), [("texts", 4), ("none", 0)])
def test_what_nobody_catches_is_logged_without_its_message(option: str, times: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT, option], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1 and done.stderr.count(f"{CANARY}") >= times
    if not times:
        assert CANARY not in done.stdout + done.stderr
        assert done.stderr.count("ValueError") == 3 and "UserWarning at " in done.stderr


# ------------------------------------------------------------------------------------------------------- all log calls

LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS = {"log", "_log", "logger", "logging"}
EXCEPTIONS = {"error", "cause", "away", "why", "wrong", "warning"}
"""Variables with an exception, of which the formatter writes type and place. In the drop folder `wrong` is our text."""
IDS = {
    *("row.case_id", "case.case_id", "batch.batch_id", "workflow_id", "each.workflow_id", "execution.id"),
    *(
        "decision.id",
        "due.message_id",
        "message.message_id",
        "reader",
        "entry.inode()",
        "process",
        "process.pid",
        "self._policy.hash",
    ),
    *("subject or 'a Workflow'", "self._keys.current"),
}
OUR_OWN = {
    *(
        "server.must_stop",
        "line",
        "said",
        "changed",
        "self._path",
        "self.path",
        "where",
        "self.issuer",
        "provider.issuer",
    ),
    *("self._client.namespace", "own", "had", "own.database", "place", "refusal.message", "template", "missing"),
    *("kinds", "latest.status", "answer.status_code", "response.status", "count", "len(failed)", "len(connections)"),
    *("len(going)", "name", "_ending(code)", "delay", "self._program.name", "self._program.grace", "pause", "what"),
    *("channel.name", "TASK_QUEUE", "BULK_TASK_QUEUE", "type(wrong).__name__", "type(error.__cause__).__name__"),
    *("error.strerror", "'sends them now' if self._holding else 'leaves them to another'", "level"),
    *("*(AFTER_ERROR_S, error)", "*(changed, var)", "filename", "lineno"),
}
"""Names, numbers, settings, and texts that this code makes. `cause` of a blocked case is such a text, too."""
TEMPLATES = {"self.found", "failed", "f'Failed deserializing signal input for {name}'"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    for path in PRODUCT:
        if path.relative_to(ROOT).parts[0] == "scripts":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            function = node.func if isinstance(node, ast.Call) else None
            if isinstance(node, ast.Call) and isinstance(function, ast.Attribute) and function.attr in LEVELS:
                logger = ast.unparse(function.value).rpartition(".")[2]
                yield from [(f"{path.relative_to(ROOT)}:{node.lineno}", node)] if logger in LOGGERS else []


def test_each_log_call_writes_only_ids_exceptions_and_texts_of_this_code() -> None:
    """Look at what a new argument can hold, and then add it to the set it belongs to."""
    unknown, seen = [], set()
    for where, call in calls():
        first, *others = [each for each in call.args if ast.unparse(each) != "level"]
        if not isinstance(first, ast.Constant) and ast.unparse(first) not in TEMPLATES:
            unknown.append(f"{where}: {ast.unparse(first)} as the text")
        for argument in map(ast.unparse, others):
            seen.add(argument)
            if argument not in EXCEPTIONS | IDS | OUR_OWN:
                unknown.append(f"{where}: {argument}")
    assert not unknown, "\n".join(unknown)
    assert not (stale := (EXCEPTIONS | IDS | OUR_OWN) - seen - {"level"}), f"no log call uses {stale} any more"

"""Write logs: one line for each event, as text or JSON, with the id of the case that the event belongs to.

All modules log with the `logging` module of Python. This module adds the format and the id of the case: in the worker,
Temporal's context has the id; in the gateway, `about()` sets the id.

Logs hold ids, and no texts from people: an exception is written as its type and its places, see
`core/exception_places.py`. What libraries write is shortened in `core/library_logs.py`. With `HOLDGATE_LOG_TEXTS=on`,
for developers, nothing is left out.
"""

import copy
import logging
import sys
import threading
import warnings
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.types import Processor
from temporalio import activity, workflow

from core import library_logs
from core.exception_places import described, trace
from domain.strict_json import escape_control

Format = Literal["console", "json"]
FIELDS = ("person", "method", "path", "status", "ms", "case_id", "batch_id", "task_id")
"""The fields that a log call can add with `extra`.

Any other field is dropped, so that no request body or token is logged.
"""
_CONTROL = {code: repr(chr(code))[1:-1] for code in [*range(32), *range(127, 160), 0x2028, 0x2029]}
"""Each character with which text from people could start a new line or control a terminal, with its escaped form."""

log = logging.getLogger("holdgate.logs")


def configure(form: Format, *, texts: bool = False) -> None:
    """Write all logs of this program to stderr, as text (`console`) or as JSON (`json`).

    With `texts`, logs also hold the messages of exceptions and the texts of libraries, which can quote what people
    wrote.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(_formatter(form, texts=texts))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    library_logs.quieten()
    if texts:
        log.warning("HOLDGATE_LOG_TEXTS is on: logs hold texts of people. Do not use this setting in production")


def take_uncaught() -> None:
    """Log what Python itself would print to stderr with its message: exceptions that nobody catches, and warnings."""

    def stopped(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return sys.__excepthook__(kind, error, where)
        return log.critical("the program stops because of an error", exc_info=error.with_traceback(where))

    def unraisable(wrong: "sys.UnraisableHookArgs") -> None:
        log.error("an error that no caller can get", exc_info=wrong.exc_value)

    def in_thread(wrong: threading.ExceptHookArgs) -> None:
        log.error("a thread ended because of an error", exc_info=wrong.exc_value)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        warning = category(message) if isinstance(message, str) else message  # Pydantic quotes values in its warnings
        log.warning("%s at %s:%d", warning, filename, lineno)

    sys.excepthook, sys.unraisablehook, threading.excepthook = stopped, unraisable, in_thread
    warnings.showwarning = warned


def about(**fields: str) -> None:
    """Add `case_id`, `task_id` or `batch_id` to all further log lines of this HTTP request."""
    bind_contextvars(**fields)


def begin() -> None:
    """Remove the ids that `about` added for the previous HTTP request from further log lines."""
    clear_contextvars()


class _Handler(logging.StreamHandler[Any]):
    def handleError(self, record: logging.LogRecord) -> None:
        """Name the log call that could not be written. Python would print its arguments."""
        self.stream.write(f"a line of the log could not be written: {record.pathname}:{record.lineno}\n")


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Formats a log record without the messages of exceptions, unless `texts` is set."""

    def __init__(self, *, texts: bool, **options: Any) -> None:
        super().__init__(**options)
        self._texts = texts

    def format(self, record: logging.LogRecord) -> str:
        if not self._texts:
            record = library_logs.shortened(copy.copy(record))
            if isinstance(record.args, tuple):
                record.args = tuple(map(_without_message, record.args))
            elif record.args:
                record.args = {name: _without_message(value) for name, value in record.args.items()}
        return super().format(record)


def _without_message(argument: object) -> object:
    return described(argument) if isinstance(argument, BaseException) else argument


def _formatter(form: Format, *, texts: bool = False) -> logging.Formatter:
    renderer: list[Processor]
    if form == "json":
        renderer = [_json]
    else:
        colours = sys.stderr.isatty()
        renderer = [_one_line, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)]
    # As plain text: a rich stack trace shows local variables, which can hold tokens.
    renderer.insert(0, structlog.processors.format_exc_info if texts else _places)
    return _Formatter(
        texts=texts,
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ExtraAdder(FIELDS),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _of_temporal,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def _places(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the exception of a log line by its types and places."""
    found = line.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        line["exception"] = trace(error)
    return line


def _of_temporal(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the id of the case or batch to a log line of a Workflow or an activity."""
    if activity.in_activity():
        about_id = activity.info().workflow_id
    elif workflow.in_workflow():
        about_id = workflow.info().workflow_id
    else:
        return line
    process, _, rest = (about_id or "").partition(":")
    name, value = ("batch_id", rest) if process == "batch" else ("case_id", about_id)
    line.setdefault(name, value)
    return line


_as_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def _json(logger: Any, method: str, line: MutableMapping[str, Any]) -> str:
    """Return a log line as JSON with the letters of all languages, in which control characters are escaped."""
    return escape_control(str(_as_json(logger, method, line)))


def _one_line(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape line breaks and control characters in the values of a log line in text form.

    `_json` does the same for log lines in JSON form.
    """
    for name, value in line.items():
        if name == "exception":
            line[name] = "\n".join(f"    {part.translate(_CONTROL)}" for part in value.split("\n"))
        elif isinstance(value, str):
            line[name] = value.translate(_CONTROL)
    return line

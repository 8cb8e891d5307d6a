"""Write logs: one line for each event, as text or JSON, with the id of the case that the event belongs to.

All modules log with the `logging` module of Python. This module adds the format and the id of the case: in the worker,
Temporal's context has the id; in the gateway, `about()` sets the id.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.types import Processor
from temporalio import activity, workflow

from domain.strict_json import escape_control

Format = Literal["console", "json"]
FIELDS = ("person", "method", "path", "status", "ms", "case_id", "batch_id", "task_id")
"""The fields that a log call can add with `extra`.

Any other field is dropped, so that no request body or token is logged.
"""
_CONTROL = {code: repr(chr(code))[1:-1] for code in [*range(32), *range(127, 160), 0x2028, 0x2029]}
"""Each character with which text from people could start a new line or control a terminal, with its escaped form."""


def configure(form: Format) -> None:
    """Write all logs of this program to stderr, as text (`console`) or as JSON (`json`)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def about(**fields: str) -> None:
    """Add `case_id`, `task_id` or `batch_id` to all further log lines of this HTTP request."""
    bind_contextvars(**fields)


def begin() -> None:
    """Remove the ids that `about` added for the previous HTTP request from further log lines."""
    clear_contextvars()


def _formatter(form: Format) -> logging.Formatter:
    renderer: list[Processor]
    if form == "json":
        renderer = [_json]
    else:
        colours = sys.stderr.isatty()
        renderer = [_one_line, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)]
    # As plain text: a rich stack trace shows local variables, which can hold tokens.
    renderer.insert(0, structlog.processors.format_exc_info)
    return structlog.stdlib.ProcessorFormatter(
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

"""Logs: one line for each thing, as text or as JSON, with the case on every line that concerns one.

Everybody logs through the standard library. Here the lines get their form, and the case they are about: in the worker
from Temporal's own context, in the gateway by `about()`.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.types import Processor
from temporalio import activity, workflow

Format = Literal["console", "json"]
FIELDS = ("person", "method", "path", "status", "ms", "case_id", "batch_id", "task_id")
"""What a log call may add by `extra`; anything else of it is dropped, so that no body or token comes along."""
_CONTROL = {code: repr(chr(code))[1:-1] for code in [*range(32), *range(127, 160), 0x2028, 0x2029]}
"""Characters by which text of other people could look like a line of its own, or steer a terminal."""


def configure(form: Format) -> None:
    """Write all logs of this process to stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(form))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def about(**fields: str) -> None:
    """Say what the lines of this request are about from here on: `case_id`, `task_id`, `batch_id`."""
    bind_contextvars(**fields)


def begin() -> None:
    """A request begins: what the one before was about is forgotten."""
    clear_contextvars()


def _formatter(form: Format) -> logging.Formatter:
    renderer: list[Processor]
    if form == "json":
        renderer = [structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        colours = sys.stderr.isatty()
        renderer = [_one_line, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0, pad_level=False)]
    # As plain text: a pretty trace shows local variables, and those hold tokens.
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
    """The case, or the batch, whose Workflow or activity writes the line."""
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


def _one_line(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Text of other people must not look like a line of its own. JSON escapes it anyway."""
    for name, value in line.items():
        if name == "exception":
            line[name] = "\n".join(f"    {part.translate(_CONTROL)}" for part in value.split("\n"))
        elif isinstance(value, str):
            line[name] = value.translate(_CONTROL)
    return line

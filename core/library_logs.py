"""Shorten what libraries log, so that their lines hold ids, types and places but no texts from people.

Most lines of libraries need no rule: their texts are fixed, and `core/logs.py` writes exceptions without messages. This
module has the rules for lines whose text itself contains the message of an exception, a URL, or a payload.
"""

import logging
import re

IN_URLS = ("httpx", "httpx2", "httpcore", "httpcore2")
"""Loggers that write the URL of each request, with its query."""
WHOLE_CONTEXT = ("asyncio", "temporalio.worker._workflow_instance")
"""Loggers that add the representation of tasks, and so of their exceptions, below the first line of their text."""
_QUOTED = re.compile(r"(?P<kept>error of type <class '[\w.]+'>|original error|activation exception): .*", re.DOTALL)
"""The messages of exceptions inside texts of the Temporal SDK."""
FIELDS_OF_CORE = ("run_id", "workflow_id", "workflow_type", "activity_id", "activity_type", "task_queue", "attempt")
"""The fields that a line of the core of the Temporal SDK keeps. Others hold whole failures and commands."""
_STATUS = re.compile(r"code: '?(\w[\w ]*)")


def quieten() -> None:
    """Write only warnings of libraries that would otherwise log the URL of each request."""
    for name in IN_URLS:
        logging.getLogger(name).setLevel(logging.WARNING)


def concerns(record: logging.LogRecord) -> bool:
    """Return True if there is a rule for the logger of this record."""
    return record.name.startswith(("temporalio", "asyncio"))


def shortened(record: logging.LogRecord) -> logging.LogRecord:
    """Change a log record of a library so that it holds no text from people, and return it."""
    if (core := getattr(record, "temporal_log", None)) is not None:
        record.msg, record.args = _of_core(core.message, core.fields), ()
    elif record.name in WHOLE_CONTEXT and isinstance(record.msg, str) and not record.args:
        record.msg = record.msg.partition("\n")[0]
    elif record.name.startswith("temporalio") and isinstance(record.msg, str):
        record.msg = _QUOTED.sub(r"\g<kept>", record.msg)
    return record


def _of_core(message: str, fields: dict[str, object]) -> str:
    """Return a line of the core of the SDK with those of its fields that are ids, and the status of a failed call."""
    kept = {name: fields[name] for name in FIELDS_OF_CORE if name in fields}
    if status := _STATUS.search(str(fields.get("error", ""))):
        kept["status"] = status[1]
    return " ".join([message.partition("\n")[0], *(f"{name}={value}" for name, value in kept.items())])

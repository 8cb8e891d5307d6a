"""Log lines: no foreign text makes a line of its own, and no variable value is shown."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from core import logs

CONTROL = "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029]))
FORGED = f"bad\n2026-11-24T00:00:00Z [info] forged\x1b[2J{CONTROL} in Zürich"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    yield io.StringIO()


def logger(form: logs.Format, output: io.StringIO) -> logging.Logger:
    handler = logging.StreamHandler(output)
    handler.setFormatter(logs._formatter(form))
    found = logging.Logger("holdgate.test")
    found.addHandler(handler)
    return found


def fail(log: logging.Logger) -> None:
    secret = "hg_a-token-in-a-variable"
    try:
        raise ValueError(FORGED if secret else "")
    except ValueError:
        log.exception("it failed: %s", FORGED, extra={"case_id": FORGED, "token": secret})


def test_on_a_console_nothing_forges_a_line_and_no_variable_is_shown(written: io.StringIO) -> None:
    fail(logger("console", written))
    first, *more = written.getvalue().splitlines()
    assert "it failed: bad\\n2026" in first and "case_id" in first
    assert more and all(line.startswith("    ") for line in more), "a trace is set in"
    assert "hg_" not in written.getvalue() and not set(CONTROL) - {"\n"} & set(written.getvalue())


def test_as_json_a_failure_is_one_object_with_its_trace(written: io.StringIO) -> None:
    fail(logger("json", written))
    (line,) = written.getvalue().splitlines()
    assert not set(CONTROL) & set(line) and "Zürich" in line
    found = json.loads(line)
    assert (found["level"], found["case_id"]) == ("error", FORGED)
    assert "ValueError" in found["exception"] and "hg_" not in line

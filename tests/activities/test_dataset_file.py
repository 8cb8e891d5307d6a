"""A data file is read literally: no reference is followed, and no number is guessed."""

import json
import threading
import time
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from activities.data_import import row_schema
from activities.data_import.dataset_file import DatasetFile
from activities.shared.files_folder import Folder
from domain.errors import Refused


@pytest.fixture
def spy() -> Iterator[tuple[str, list[str]]]:
    """A server that answers with a schema, and what it was asked for."""
    asked: list[str] = []

    class Spy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "integer"}')

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with HTTPServer(("127.0.0.1", 0), Spy) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}/schema.json", asked
        server.shutdown()
        serving.join()


def rows(folder: Path, part: Any, content: str, name: str = "a.csv") -> list[dict[str, Any]]:
    (folder / "s.json").write_text(json.dumps({"type": "object", "properties": {"n": part}}))
    (folder / name).write_text(content)
    return list(DatasetFile(Folder(folder), name, "s.json").rows())


def test_a_reference_to_another_document_is_refused_and_nobody_is_asked_for_it(
    tmp_path: Path, spy: tuple[str, list[str]]
) -> None:
    url, asked = spy
    (tmp_path / "other.json").write_text('{"type": "integer"}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in production: here a warning would be an error, and hide the request
        for elsewhere in (url, (tmp_path / "other.json").as_uri()):
            with pytest.raises(Refused, match="not in the schema"):
                rows(tmp_path, {"$ref": elsewhere}, '{"n": 1}\n', "a.jsonl")
    assert asked == []


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", cell) for cell in ("007", "5_000", " 5 ", "+5", "\u0665", "1" * 30)]
    + [("number", cell) for cell in ("1e999", "1_0.5", " nan ", "infinity", ".5", "1,5", "0x10")],
)
def test_a_cell_that_json_would_not_write_so_is_no_number(tmp_path: Path, kind: str, cell: str) -> None:
    with pytest.raises(Refused, match="line 2, n: "):
        rows(tmp_path, {"type": kind}, f'n\n"{cell}"\n')


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [("integer", "0", 0), ("integer", "-12", -12), ("number", "2.50", 2.5), ("number", "1e3", 1000.0)],
)
def test_a_number_is_read(tmp_path: Path, kind: str, cell: str, value: float) -> None:
    assert rows(tmp_path, {"type": kind}, f"n\n{cell}\n") == [{"n": value}]


def test_a_number_of_json_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="Line 1 cannot be read: 1e999 is too large a number"):
        rows(tmp_path, {"type": "number"}, '{"n": 1e999}\n', "a.jsonl")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"n": 1, "n": 2}', "Line 1 cannot be read: 'n' appears twice in one object"),
        ('{"n": {"a": 1, "a": 1}}', "Line 1 cannot be read: 'a' appears twice in one object"),
        ('{"n": "\\ud800"}', "Line 1 cannot be read: it contains half of a character"),
        ('{"\\udc00": 1}', "Line 1 cannot be read: it contains half of a character"),
    ],
)
def test_a_line_that_readers_of_json_take_differently_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        rows(tmp_path, {}, f"{line}\n", "a.jsonl")


def test_a_pair_of_surrogates_is_one_character(tmp_path: Path) -> None:
    assert rows(tmp_path, {"type": "string"}, '{"n": "\\ud83d\\ude00"}\n', "a.jsonl") == [{"n": "😀"}]


NESTED = '{"type": "object", "not": ' * 2000 + "{}" + "}" * 2000


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{"type": "object", "type": "object"}', "The schema cannot be read: 'type' appears twice in one object"),
        ('{"type": "object", "title": "\\ud800"}', "The schema cannot be read: it contains half of a character"),
        ('{"type": "object", "minProperties": NaN}', "The schema cannot be read: NaN is not allowed"),
        ('{"title": "\xe9"}'.encode("latin-1"), "The schema is not UTF-8"),
        (NESTED, "The schema is nested too deeply"),
        ('{"properties": {"n": {"pattern": "(?=a)b"}}}', r"pattern that cannot be used, '\(\?=a\)b': look-around"),
        ('{"properties": {"n": {"pattern": "("}}}', r"pattern that cannot be used, '\(': unclosed group"),
        ('{"properties": {"n": {"pattern": "((a{100}){100}){100}"}}}', "cannot be used.*exceeds size limit"),
        ('{"$ref": "#/examples/0", "examples": [{"pattern": "(a)\\\\1"}]}', "backreferences are not supported"),
        (
            '{"patternProperties": {"(a+)+$": {}}}',
            "'patternProperties', which Holdgate does not support",
        ),
        ('{"properties": {"n": {"$schema": "http://json-schema.org/draft-07/schema#"}}}', "allowed only at the top"),
        (
            '{"properties": {"n": {"format": "hostname"}}}',
            "the format 'hostname', which Holdgate does not know. Known formats are: date",
        ),
    ],
    ids=range(12),
)
def test_a_schema_that_could_mislead_or_take_for_ever_is_refused(
    tmp_path: Path, schema: str | bytes, said: str
) -> None:
    (tmp_path / "s.json").write_bytes(schema if isinstance(schema, bytes) else schema.encode())
    with pytest.raises(Refused, match=said):
        DatasetFile(Folder(tmp_path), "a.csv", "s.json")


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(.*a){20}$", r"^(\w+\s?)*$"])
def test_no_pattern_takes_long_whatever_the_text(tmp_path: Path, pattern: str) -> None:
    began = time.monotonic()
    with pytest.raises(Refused, match="does not match"):
        rows(tmp_path, {"type": "string", "pattern": pattern}, f"n\n{'a' * 50_000}!\n")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("pattern", "cell"), [("^[A-Z]{2}$", "GB"), ("b", "abc"), (r"^\p{L}+$", "Zoë"), (r"^\d+\/x$", "1/x")]
)
def test_a_pattern_is_looked_for_anywhere_in_the_text(tmp_path: Path, pattern: str, cell: str) -> None:
    assert rows(tmp_path, {"type": "string", "pattern": pattern}, f"n\n{cell}\n") == [{"n": cell}]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date", "2026-02-28", "2026-02-30"),
        ("date-time", "2026-02-28T23:59:59.5+01:00", "2026-02-28 23:59"),
        ("date-time", "2026-02-28T23:59:59Z", "2026-02-30T23:59:59Z"),
        ("email", "a@b.example", "a.b.example"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8::x"),
        ("uuid", "2f1e6a34-9a0e-4a86-8d0a-0e3a5e5f2c11", "2f1e6a34"),
    ],
)
def test_a_format_is_held(tmp_path: Path, kind: str, good: str, bad: str) -> None:
    part = {"type": "string", "format": kind}
    assert rows(tmp_path, part, f"n\n{good}\n") == [{"n": good}]
    with pytest.raises(Refused, match=f"line 2, n: '{bad}' is not a '{kind}'"):
        rows(tmp_path, part, f"n\n{bad}\n")


def test_a_schema_that_refers_to_itself_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"$ref": "#"}')
    (tmp_path / "a.csv").write_text("n\n1\n")
    with pytest.raises(Refused, match="without end"):
        list(DatasetFile(Folder(tmp_path), "a.csv", "s.json").rows())


def test_a_schema_whose_references_multiply_is_refused_once_its_checks_are_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_schema, "MAX_CHECKS", 10_000)
    parts = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {}}
    (tmp_path / "s.json").write_text(json.dumps({"$ref": "#/$defs/d0", "$defs": parts}))
    (tmp_path / "a.csv").write_text("n\n1\n")
    with pytest.raises(Refused, match="More than 10,000 checks would be needed"):
        list(DatasetFile(Folder(tmp_path), "a.csv", "s.json").rows())

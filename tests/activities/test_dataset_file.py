"""A file of data is read as it stands: no reference is followed, and no number is guessed."""

import json
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from activities.dataset_file import DatasetFile
from activities.folder import Folder
from workflows.models import Refused


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
            with pytest.raises(Refused, match="another document"):
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

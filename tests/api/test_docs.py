"""The API documentation is complete, has examples, and loads only files of Holdgate."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.app import STATIC
from tests.api.conftest import Gate

VENDOR = STATIC / "vendor"
TESTS = Path(__file__).parent.parent


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for branch in tree.values():
            yield from nodes(branch)
    elif isinstance(tree, list):
        for branch in tree:
            yield from nodes(branch)


@pytest.mark.parametrize("folder", [VENDOR, TESTS / "browser" / "vendor"])
def test_vendored_files_are_the_ones_the_manifest_names(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    files.pop("manifest.json")
    assert files == {name: sha256 for package in manifest for name, sha256 in package["sha256"].items()}
    for package in manifest:
        assert package["package"] and re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["licence"] in ("Apache-2.0", "MIT", "0BSD", "MPL-2.0")


def test_every_reference_of_the_document_leads_somewhere(stopped: Gate) -> None:
    schema = stopped.app.openapi()
    for node in nodes(schema):
        if isinstance(reference := node.get("$ref"), str):
            assert reference.removeprefix("#/components/schemas/") in schema["components"]["schemas"], reference


def test_every_route_says_what_it_does_and_how_it_fails(stopped: Gate) -> None:
    schema = stopped.app.openapi()
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            assert operation.get("description"), f"{method} {path}"
            errors = {status for status in operation["responses"] if status >= "400"}
            if path.startswith("/api/"):
                assert {"401", "503"} <= errors, f"{method} {path}"
                assert operation["security"] == [{"token": []}], f"{method} {path}"
            assert ("404" in errors) >= bool(re.search(r"\{", path)), f"{method} {path}"
            for status in errors:
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"]


def test_bodies_have_examples_that_are_valid(stopped: Gate) -> None:
    paths = stopped.app.openapi()["paths"]
    for path in ("/api/v1/cases", "/api/v1/tasks/{task_id}/decision"):
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert all(example["value"] for example in examples.values())


async def test_the_docs_page_loads_nothing_from_elsewhere(stopped: Gate) -> None:
    page = (await stopped.as_(None).get("/docs")).text
    used = re.findall(r'(?:src|href)="([^"]+)"', page)
    for address in used:
        if address != "data:,":
            assert (await stopped.as_(None).get(address)).status_code == 200
            assert address.startswith("/static/")
    assert not re.search(r"https?://", page)


def test_our_own_static_files_load_nothing_from_elsewhere() -> None:
    for file in STATIC.rglob("*.*"):
        if VENDOR not in file.parents:
            used = file.read_text().replace("http://www.w3.org/2000/svg", "")  # a name, which nobody loads
            assert not re.search(r"https?://", used), file

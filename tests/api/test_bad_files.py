"""A bad file gets an answer that says what is wrong, and starts nothing."""

from typing import Any

import httpx2
import pytest

from tests.api.conftest import Gate
from tests.intake.bad_files import GOOD, HEAD, INVALID, REFUSED

SLOW = {"one text in 20,000 cells"}
"""Files that take five seconds until they are refused. A dry run reads a file in the same way."""


async def upload(gate: Gate, data: bytes, *, dry_run: bool) -> httpx2.Response:
    params: dict[str, Any] = {"process": "payment", "dry_run": dry_run}
    file = ("payments.csv", data, "application/octet-stream")
    return await gate.as_("requester-1").post("/api/v1/batches", params=params, files={"file": file})


async def started(gate: Gate) -> list[str]:
    """Return the references of cases that a bad file started. A search also finds the ids of other cases."""
    found = (await gate.get("requester-1", "/cases", q="BAD-")).json()["items"]
    return [case["reference"] for case in found if case["reference"].startswith("BAD-")]


def test_there_are_many_bad_files() -> None:
    assert len(REFUSED) + len(INVALID) >= 60


@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_file_is_refused_with_a_reason_and_starts_nothing(gate: Gate, name: str) -> None:
    data, words = REFUSED[name]
    for dry_run in (False,) if name in SLOW else (True, False):
        answer = await upload(gate, data, dry_run=dry_run)
        assert answer.status_code in (413, 422), answer.text
        assert words in answer.json()["detail"]
        assert answer.json()["errors"][0]["message"] == answer.json()["detail"]
    assert await started(gate) == []


@pytest.mark.parametrize("name", INVALID)
async def test_each_row_of_a_bad_file_says_what_is_wrong_with_it(gate: Gate, name: str) -> None:
    data, words = INVALID[name]
    answer = await upload(gate, data, dry_run=True)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert report["rows"]["invalid"] == report["rows"]["total"] == report["lines_read"] >= 1
    for row in report["errors"]:
        assert row["line"] >= 2 and row["errors"]
    said = [f"{each['column']}: {each['message']}" for row in report["errors"] for each in row["errors"]]
    assert any(words in each for each in said), said


async def test_a_file_of_one_byte_too_many_is_refused(gate: Gate) -> None:
    limit = gate.settings.max_upload_bytes
    data = HEAD + GOOD
    answer = await upload(gate, data + b"\n" * (limit + 1 - len(data)), dry_run=False)
    assert answer.status_code == 413
    assert f"{limit:,} bytes" in answer.json()["detail"]
    assert await started(gate) == []

"""Results of processes over HTTP: published data page by page, and accepted risks with their state."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from store.receivers.accepted_risks import Risks
from store.receivers.datasets import Datasets
from tests.api.conftest import Gate


async def chunks() -> AsyncIterator[list[dict[str, int]]]:
    yield [{"number": number} for number in range(1, 4)]
    yield [{"number": number} for number in range(4, 6)]


async def test_a_published_dataset_is_read_page_by_page_and_nothing_of_one_that_is_only_loaded(gate: Gate) -> None:
    datasets = Datasets(gate.database)
    profile = {"columns": [{"name": "number"}]}
    await datasets.stage("api/stage", "data_import:api", "numbers", "a" * 64, profile, chunks())
    assert (await gate.get("steward-1", "/datasets/numbers")).status_code == 404
    await datasets.publish("api/publish", "data_import:api", "numbers", None)
    first = (await gate.get("steward-1", "/datasets/numbers", limit=3)).json()
    assert (first["version"], first["rows"], first["case_id"]) == (1, 5, "data_import:api")
    assert first["profile"] == profile and [row["number"] for row in first["items"]] == [1, 2, 3]
    rest = (await gate.get("steward-1", "/datasets/numbers", limit=3, cursor=first["next_cursor"])).json()
    assert [row["number"] for row in rest["items"]] == [4, 5] and rest["next_cursor"] is None
    assert "numbers" in [each["dataset"] for each in (await gate.get("steward-1", "/datasets")).json()["items"]]


async def test_accepted_risks_say_whether_they_still_are(gate: Gate) -> None:
    risks, now = Risks(gate.database), datetime.now(UTC)
    about: dict[str, Any] = {
        "target": "job",
        "digest": "b" * 64,
        "severity": "high",
        "findings": [],
        "accepted_by": ["security-1"],
        "reason": "in a box",
        "accepted_at": now - timedelta(days=2),
    }
    for key, days in (("r1", 1), ("r2", -1), ("r3", 1)):
        await risks.accept(key, "security_review:api", **about, expires_at=now + timedelta(days=days))
    await risks.withdraw("r3/undo", "r3", "security_review:api")
    page = (await gate.get("security-1", "/risks", target="job", limit=2)).json()
    assert [each["status"] for each in page["items"]] == ["accepted", "withdrawn"]
    rest = (await gate.get("auditor-1", "/risks", target="job", cursor=page["next_cursor"])).json()
    assert [each["status"] for each in rest["items"]] == ["expired"] and rest["next_cursor"] is None
    elsewhere = await gate.get("security-1", "/risks", target="another", cursor=page["next_cursor"])
    assert elsewhere.json()["items"] == []
    foreign = await gate.get("security-1", "/risks", cursor="99999")  # of another list
    assert foreign.status_code == 422 and foreign.json()["errors"][0]["field"] == "cursor"
    assert (await gate.get("requester-1", "/risks")).status_code == 404

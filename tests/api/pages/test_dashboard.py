"""The dashboard over HTTP: its figures are current, and each person sees only their own part."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from api.pages.dashboard import duration
from api.services.dashboard import KEPT, Dashboards
from store.people.people import Person
from tests.api.conftest import Gate


async def figures(gate: Gate, person: str, zone: str, period: str = "24h") -> dict[str, Any]:
    """What the person sees; another zone is another question, which is counted afresh."""
    answer = await gate.get(person, "/dashboard", period=period, zone=zone)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_approval_and_a_later_rollback_change_the_figures(gate: Gate) -> None:
    before = await figures(gate, "admin-1", "Africa/Abidjan")
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    stands = await figures(gate, "admin-1", "Africa/Accra")
    assert stands["total"]["open"] == before["total"]["open"] + 1
    assert (await gate.decide("manager-1", task)).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "completed")
    after = await figures(gate, "admin-1", "Africa/Bamako")
    assert done(after) == done(before) + 1
    for name in ("approved", "kept"):
        assert after[name]["number"] == before[name]["number"] + 1
    assert sum(sum(part["ended"].values()) for part in after["parts"]) == sum(after["whole"]["ended"].values())
    assert 0 < after["whole"]["waiting"]["mean_s"] < after["whole"]["cycle"]["mean_s"]
    assert after["health"]["temporal"] and any(worker["alive"] for worker in after["health"]["workers"])
    body = {"reason": "Paid twice"}
    assert (await gate.post("operator-1", f"/cases/{case_id}/rollback", body)).status_code == 202
    await gate.until(case_id, lambda case: case["status"] == "rolled_back")
    later = await figures(gate, "admin-1", "Africa/Banjul")
    assert later["whole"]["ended"] == after["whole"]["ended"]  # as it was; that it was undone is told beside it
    assert later["whole"]["taken_back"] == after["whole"]["taken_back"] + 1
    assert later["overturned"]["number"] == after["overturned"]["number"] + 1


def done(found: dict[str, Any]) -> int:
    return int(found["whole"]["ended"].get("completed", 0))


async def test_whose_figures_they_are_goes_by_role(gate: Gate) -> None:
    seen = {
        person: await figures(gate, person, "UTC") for person in ("admin-1", "operator-1", "auditor-1", "manager-1")
    }
    assert {person: found["everything"] for person, found in seen.items()} == {
        "admin-1": True,
        "operator-1": False,  # requests about people belong to HR
        "auditor-1": False,
        "manager-1": False,
    }
    parts = ("reviewers", "incidents", "health")
    assert {person: [name for name in parts if found[name] is None] for person, found in seen.items()} == {
        "admin-1": [],
        "operator-1": ["reviewers"],
        "auditor-1": ["reviewers", "incidents"],
        "manager-1": ["reviewers", "incidents", "health"],
    }
    assert {group["name"] for group in seen["manager-1"]["groups"]} <= {"managers"}


async def test_those_who_see_alike_share_what_was_counted_and_nobody_else_does(gate: Gate) -> None:
    first, second = [await figures(gate, "operator-1", "Africa/Lome", "30d") for _ in range(2)]
    assert second == first
    auditor, manager = [await figures(gate, person, "Africa/Lome", "30d") for person in ("auditor-1", "manager-1")]
    assert auditor["at"] != first["at"] and auditor["incidents"] is None
    assert manager["at"] != first["at"] and not manager["everything"]


async def test_the_cache_has_at_most_a_hundred_dashboards_and_none_that_is_being_counted_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unused: Any = None
    cache = Dashboards(unused, unused, unused)
    counted: list[str] = []
    turn = asyncio.Event()

    async def count(_person: Any, _scope: Any, _period: Any, zone: ZoneInfo, _now: Any) -> Any:
        counted.append(zone.key)
        if zone.key == "UTC":
            await turn.wait()
        return zone.key

    monkeypatch.setattr(cache, "_count", count)
    person = Person(id="operator-1", name="Olga", groups=["operators"])

    async def of(zone: str) -> object:
        return await cache.of(person, "24h", ZoneInfo(zone), datetime.now(UTC))

    slow = [asyncio.create_task(of("UTC")) for _ in range(2)]
    zones = [zone for zone in sorted(available_timezones()) if zone.startswith(("Africa/", "America/"))][:130]
    for zone in zones:
        assert await of(zone) == zone
    assert len(cache._kept) == KEPT
    turn.set()
    assert await asyncio.gather(*slow) == ["UTC", "UTC"] and counted.count("UTC") == 1
    await of(zones[-1])
    assert counted.count(zones[-1]) == 1, "the newest are kept"


async def test_a_period_or_zone_that_does_not_exist_is_said(gate: Gate) -> None:
    answer = await gate.get("admin-1", "/dashboard", period="1y")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "period")
    answer = await gate.get("admin-1", "/dashboard", zone="Europe/Atlantis")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "zone")


async def test_the_page_shows_the_figures_with_a_table_beside_each_plot(gate: Gate) -> None:
    case_id = await gate.start("requester-2")
    await gate.decide("manager-1", await gate.open_task(case_id))
    await gate.until(case_id, lambda case: case["status"] == "completed")
    page = (await gate.as_("admin-1").get("/dashboard?period=30d")).text
    found = await figures(gate, "admin-1", "UTC", "30d")
    assert page.count('role="img"') == 3 == page.count("<caption")
    values = [int(value) for value in re.findall(r'data-value="(\d+)"', page)]
    assert sum(values) == sum(found["whole"]["ended"].values())  # durations have a point
    assert '<a href="/cases?status=completed">' in page
    assert "Reviewers" in page and "SQLite" in page and "style=" not in page
    own = (await gate.as_("requester-2").get("/dashboard?period=24h")).text
    assert '<a href="/cases?status=completed&amp;requester=requester-2">' in own
    assert "your requests, your uploads" in own and "Reviewers" not in own and "SQLite" not in own
    assert (await gate.as_("admin-1").get("/dashboard?period=1y")).status_code == 422


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (8040, "2 h 14 min"),
        (51 * 3600, "2 days 3 h"),
        (10 * 86400, "10 days"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words

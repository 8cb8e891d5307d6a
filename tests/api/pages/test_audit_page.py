"""The Audit log page: search, the check while other people work, and the evidence pack."""

import io
import re
from zipfile import ZipFile

from store.people import people
from tests.api.conftest import Gate, eventually
from tests.api.pages.visits import signed_in


async def test_an_auditor_finds_what_somebody_did_to_a_case(gate: Gate) -> None:
    case_id = await gate.start(payee="<svg onload=alert(1)>")
    await gate.decide("manager-1", await gate.open_task(case_id), "reject", comment='Not "ours" <b>&')
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    auditor = gate.as_("auditor-1")
    page = (await auditor.get("/audit", params={"case_id": case_id, "actor": "manager-1"})).text
    assert page.count('<tr id="event-') == 1 and "Not &#34;ours&#34; &lt;b&gt;&amp;" in page
    everything = (await auditor.get("/audit", params={"case_id": case_id})).text
    assert "<svg onload" not in everything and "&lt;svg onload" in everything
    assert page.count("<time") < everything.count("<time")
    by_words = (await auditor.get("/audit", params={"q": 'NOT "OURS" <b>&', "kind": "decided"})).text
    assert case_id.replace("%", "%25") in by_words or case_id in by_words
    nothing = (await auditor.get("/audit", params={"case_id": case_id, "to": "2001-01-01"})).text
    assert "No events found" in nothing


async def test_pages_of_the_audit_log_follow_each_other_to_the_first_event(stopped: Gate) -> None:
    async with stopped.database.write() as conn:
        for number in range(60):
            await people.set_time_zone(conn, "steward-1", ("UTC", "Europe/London")[number % 2], by="admin-1")
    auditor, seen, address = stopped.as_("auditor-1"), list[int](), "/audit?kind=time_zone_set"
    while address:
        page = (await auditor.get(address)).text
        seen += [int(number) for number in re.findall(r'<tr id="event-(\d+)"', page)]
        following = re.search(r'href="([^"]+)" rel="next"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) >= 60


async def test_a_period_that_cannot_be_is_said_beside_what_was_typed(stopped: Gate) -> None:
    for sought, said in (
        ({"from": "yesterday"}, "write a day"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "must come after"),
    ):
        answer = await stopped.as_("auditor-1").get("/audit", params={**sought, "actor": "manager-1"})
        assert answer.status_code == 422
        assert said in answer.text and 'value="manager-1"' in answer.text


async def test_the_whole_record_is_checked_beside_other_work_and_one_case_at_once(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.open_task(case_id)
    async with signed_in(gate, "auditor-1") as client:
        assert (await client.post("/audit/check")).status_code == 303
        page = await eventually(lambda: client.get("/audit/check"), lambda page: "refresh" not in page.headers)
        assert re.findall("<li><bdi>(.*?)</bdi>", page.text) == []
        assert "Nothing was changed." in page.text and "Checked <time" in page.text
        one = (await client.get("/audit/check", params={"case_id": case_id})).text
        assert "events of 1 request are unchanged" in one
        none = (await client.get("/audit/check", params={"case_id": "payment:<none>"})).text
        assert "neither a row nor an event of case payment:&lt;none&gt;" in none


async def test_evidence_is_downloaded_from_the_page_and_a_refusal_stands_in_it(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.open_task(case_id)
    auditor = gate.as_("auditor-1")
    assert "Evidence of a period" in (await auditor.get("/audit/pack")).text
    got = await auditor.get("/audit/pack", params={"case_id": case_id})
    with ZipFile(io.BytesIO(got.content)) as pack:
        assert "report.html" in pack.namelist()
    refused = await auditor.get("/audit/pack", params={"from": "2026-13-01", "to": "2026-12-31"})
    assert refused.status_code == 422 and "does not exist" in refused.text and 'value="2026-13-01"' in refused.text
    assert (await auditor.get("/audit/pack", params={"case_id": "payment:none"})).status_code == 404


async def test_other_people_do_not_find_the_audit_log(stopped: Gate) -> None:
    for path in ("/audit", "/audit/check", "/audit/pack"):
        for person, status in (("manager-1", 404), ("requester-1", 404), ("operator-1", 200), ("admin-1", 200)):
            assert (await stopped.as_(person).get(path)).status_code == status
    assert (await stopped.as_("manager-1").post("/audit/check")).status_code == 404

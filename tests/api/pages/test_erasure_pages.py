"""The pages of erasure: who sees the forms, what a form needs, and the page of legal holds."""

import re
from urllib.parse import quote

from store.people import leavers, people
from tests.api.conftest import Gate
from tests.api.pages.visits import signed_in
from tests.api.test_erasure import REASON, completed

SURE = {**REASON, "sure": "yes"}


def page_of(case_id: str) -> str:
    return f"/cases/{quote(case_id, safe='')}"


def forms(page: str) -> set[str]:
    """The addresses of the forms of the part about erasure."""
    part = page.partition('id="erasure"')[2].partition("</section>")[0]
    return {re.sub(r"h[0-9a-f]{16}", "HOLD", each) for each in re.findall(r'action="([^"]+)"', part)}


async def test_who_may_ask_and_who_may_hold_sees_the_forms_of_an_ended_request(gate: Gate) -> None:
    case_id, waiting = await completed(gate), await gate.start()
    await gate.open_task(waiting)
    erase = f"{page_of(case_id)}/erase"
    seen = {
        "requester-1": set[str](),
        "operator-1": {erase},
        "auditor-1": {"/legal-holds"},
        "admin-1": {erase, "/legal-holds"},
    }
    for person, offered in seen.items():
        assert forms((await gate.as_(person).get(page_of(case_id))).text) == offered, person
    assert forms((await gate.as_("operator-1").get(page_of(waiting))).text) == set()


async def test_the_form_needs_a_confirmation_and_leads_to_the_request(gate: Gate) -> None:
    case_id = await completed(gate)
    async with signed_in(gate, "operator-1") as client:
        for wrong in ({"reason": "Request 1"}, {"reason": "no", "sure": "yes"}, {"reason": "a\u202eb", "sure": "yes"}):
            answer = await client.post(f"{page_of(case_id)}/erase", data=wrong)
            assert answer.status_code == 422 and 'role="alert"' in answer.text
        answer = await client.post(f"{page_of(case_id)}/erase", data=SURE)
        assert answer.status_code == 303
        request = answer.headers["location"]
        page = (await client.get(page_of(case_id))).text
        assert f'href="{request}"' in page and forms(page) == set()
        assert (await client.get(request)).status_code == 200
        again = await client.post(f"{page_of(case_id)}/erase", data=SURE)
        assert again.headers["location"] == request


async def test_a_hold_is_placed_and_lifted_on_the_page_and_the_list_shows_it(gate: Gate) -> None:
    case_id = await completed(gate)
    new = {"kind": "case", "subject": case_id, "reason": "Matter 21", "back": page_of(case_id)}
    async with signed_in(gate, "auditor-1") as client:
        placed = await client.post("/legal-holds", data=new)
        assert (placed.status_code, placed.headers["location"]) == (303, page_of(case_id))
        page = (await client.get(page_of(case_id))).text
        assert "Matter 21" in page and forms(page) == {"/legal-holds", "/legal-holds/HOLD/lift"}
        assert "Matter 21" in (await client.get("/legal-holds")).text
        for wrong in ({**new, "subject": "payment:nobody"}, {**new, "reason": "   "}):
            answer = await client.post("/legal-holds", data=wrong)
            assert answer.status_code == 422 and wrong["subject"] in answer.text
        refused = await gate.as_("operator-1").get(page_of(case_id))
        assert "It refuses the erasure." in refused.text and forms(refused.text) == set()
        (hold,) = re.findall(r'action="(/legal-holds/h[0-9a-f]{16}/lift)"', page)
        lifted = await client.post(hold, data={"reason": "Closed", "back": "https://elsewhere.example"})
        assert (lifted.status_code, lifted.headers["location"]) == (303, "/")
        assert (await client.post(hold, data={"reason": "Closed"})).status_code == 409
        assert "Matter 21" not in (await client.get("/legal-holds")).text
        assert "Matter 21" in (await client.get("/legal-holds?lifted=true")).text


async def test_an_administrator_asks_to_erase_somebody_who_has_left(gate: Gate) -> None:
    async with gate.database.write() as conn:
        await people.add(conn, "left-2", "Left Person", [], by="holdgate")
    async with signed_in(gate, "admin-1") as client:
        assert forms((await client.get("/people/left-2")).text) == {"/legal-holds"}, "the person is active"
        async with gate.database.write() as conn:
            await leavers.deactivate(conn, "left-2", "Another job", by="admin-1")
        assert "/people/left-2/erase" in forms((await client.get("/people/left-2")).text)
        assert (await client.post("/people/left-2/erase", data=REASON)).status_code == 422
        asked = await client.post("/people/left-2/erase", data={**SURE, "value": "cases"})
        assert asked.status_code == 200 and "The erasure is requested: erasure:person-" in asked.text
        assert "/people/left-2/erase" not in forms((await client.get("/people/left-2")).text)

"""The Incidents page: operators resolve a group, or a part of a group, with one result for each task."""

import re
from decimal import Decimal
from uuid import uuid4

from store.receivers.ledger import Ledger
from tests.api.conftest import Gate, eventually
from tests.api.pages.visits import hidden, signed_in


async def stuck(gate: Gate, count: int, **input: str) -> tuple[str, list[str]]:
    """So many cases that wait for operators, because an account of their own is locked; and the name of their group."""
    account = f"locked-{uuid4().hex[:8]}"
    await Ledger(gate.database).fund(f"fund/{account}", account, "GBP", Decimal(1_000_000), locked=True)
    started = [await gate.start(account=account, amount=f"{20 + number}.00", **input) for number in range(count)]
    for case_id in started:
        await gate.until(case_id, lambda case: case["status"] == "needs_intervention")
    groups = (await gate.get("operator-1", "/incidents")).json()["items"]
    return next(group["group"] for group in groups if account in group["cause"]), started


async def test_an_operator_goes_on_without_a_step_for_some_of_a_group_and_must_say_why(gate: Gate) -> None:
    group, started = await stuck(gate, 3, payee="<img src=x onerror=alert(1)>")
    address = f"/incidents/{group}"
    async with signed_in(gate, "operator-1") as client:
        page = (await client.get(address)).text
        assert "<img" not in page and "&lt;img" in page
        boxes = re.findall(r'name="task" value="([^"]+)"', page)
        assert len(boxes) == 3
        assert 'value="skip">Skip step' in page, "no class of another thing hides it"
        form = {**hidden(page), "task": boxes[:2], "verdict": "done_by_hand"}
        refused = await client.post(address, data=form)
        assert refused.status_code == 422
        assert "Say in the comment what was done by hand" in refused.text
        assert len(re.findall(r" checked>", refused.text)) == 2, "what was ticked stays ticked"
        nothing = await client.post(address, data={**hidden(page), "verdict": "retry", "comment": "It is fixed"})
        assert nothing.status_code == 422
        assert "Select at least one" in nothing.text and "It is fixed</textarea>" in nothing.text
        done = await client.post(address, data={**form, "verdict": "roll_back", "comment": "Not wanted"})
        for _again in range(2):  # the result is a page of its own: it can be read again
            assert "2 of 2 incidents decided" in (await client.get(done.headers["location"])).text
        # The oldest task need not be of the case that was started first.
        of_case = [await gate.get("operator-1", f"/tasks/{box.rpartition('.')[0]}") for box in boxes[:2]]
        chosen = [answer.json()["case_id"] for answer in of_case]
        for case_id in chosen:
            await gate.until(case_id, lambda case: case["status"] == "failed")
        (other,) = set(started) - set(chosen)
        assert (await gate.case(other))["status"] == "needs_intervention"
        left = hidden((await client.get("/incidents")).text)["decision_id"]
        form = {"group": group, "verdict": "roll_back", "decision_id": left, "comment": "This one neither"}
        done = await client.post("/incidents", data=form)
        await gate.until(other, lambda case: case["status"] == "failed")
        again = await client.post("/incidents", data=form)
        assert again.headers["location"] == done.headers["location"], "the same form, sent twice"
        assert "1 of 1 incidents decided" in (await client.get(done.headers["location"])).text, (
            "though its group is gone"
        )
        async with signed_in(gate, "admin-1") as other_person:
            assert "of 1 incidents decided" not in (await other_person.get(done.headers["location"])).text
        gone = await eventually(lambda: client.get(address), lambda answer: answer.status_code == 404)
        assert "There is no such group of incidents, or you may not see it." in gone.text, "it is dealt with"


async def test_each_answer_has_its_own_result(gate: Gate) -> None:
    group, (case_id, _) = await stuck(gate, 2)
    async with signed_in(gate, "operator-1") as client:
        page = (await client.get(f"/incidents/{group}")).text
        boxes = re.findall(r'name="task" value="([^"]+)"', page)
        form = {**hidden(page), "task": [*boxes, "none"], "verdict": "roll_back", "comment": "Not wanted"}
        done = (await client.post(f"/incidents/{group}", data=form, follow_redirects=True)).text
        assert "2 of 3 incidents decided" in done
        assert "There is no such task, or you may not see it." in done
    await gate.until(case_id, lambda case: case["status"] == "failed")


async def test_without_incidents_the_page_says_so_and_others_do_not_find_it(stopped: Gate) -> None:
    for person in ("manager-1", "auditor-1"):
        assert (await stopped.as_(person).get("/incidents")).status_code == 404
        assert (await stopped.as_(person).get("/incidents/none")).status_code == 404
    page = await stopped.as_("admin-1").get("/incidents")
    assert page.status_code == 200

"""Pages of a case whose Workflow does not answer show the stored state and say so."""

from urllib.parse import quote

from tests.api.conftest import Gate, payment
from tests.api.pages.visits import hidden, signed_in


async def test_a_case_that_does_not_answer_claims_neither_a_missing_worker_nor_that_nothing_was_done(
    stopped: Gate,
) -> None:
    async with stopped.worker():
        body = payment() | {"process": "approval", "input": {"title": "May we?", "candidates": ["managers"]}}
        case_id = (await stopped.post("requester-1", "/cases", body)).json()["case_id"]
        task = await stopped.open_task(case_id)
    for person, address in (
        ("manager-1", f"/tasks/{task['task_id']}"),
        ("requester-1", f"/cases/{quote(case_id, safe='')}"),
    ):
        async with signed_in(stopped, person) as client:
            page = (await client.get(address)).text
        assert "This page shows the last stored state, because the request does not respond now." in page
        for untrue in ("no worker answers", "Nothing has to be undone", "Nothing was done yet"):
            assert untrue not in page, (address, untrue)
    async with signed_in(stopped, "manager-1") as client:
        form = hidden((await client.get(f"/tasks/{task['task_id']}")).text)
        sent = await client.post(f"/tasks/{task['task_id']}/act", data=form | {"act": "claim"}, follow_redirects=True)
        assert "Your decision is stored." in sent.text

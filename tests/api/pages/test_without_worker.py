"""Pages while no worker or no Temporal answers, and once they do again."""

from dataclasses import replace

from api.app import create_app
from tests.api.conftest import Gate
from tests.api.pages.test_task_page import form, opened, seen
from tests.api.pages.visits import parsed, signed_in
from tests.support.installed_app import free_port


async def test_without_temporal_an_error_leads_back_with_the_filters_and_keeps_what_was_typed(stopped: Gate) -> None:
    async with stopped.worker():
        _, address = await opened(stopped)
    app = create_app(stopped.settings.model_copy(update={"temporal_port": free_port()}))
    async with app.router.lifespan_context(app):
        cut_off = replace(stopped, app=app, _clients={})
        async with signed_in(cut_off, "manager-1") as client:
            sent = form(await seen(client, address)) | {
                "comment": "Half a thought",
                "verdict": "approve",
                "draft": "d1",
            }
            wrong = await client.post(f"{address}/decide", data=sent)
            assert wrong.status_code == 503 and "set-cookie" not in wrong.headers
            assert "Half a thought" in wrong.text
            task = address.removeprefix("/tasks/")
            bulk = {"task": f"{task}.1", "verdict": "approve", "decision_id": "b", "sure": "yes"}
            assert (await client.post("/bulk", data=bulk)).status_code == 303
        (stopped.settings.var / "holdgate.db").rename(stopped.settings.var / "away.db")
        try:
            page = await cut_off.as_("manager-1").get("/?q=x&sort=priority", headers={"Accept": "text/html"})
        finally:
            (stopped.settings.var / "away.db").rename(stopped.settings.var / "holdgate.db")
        assert page.status_code == 503
        assert parsed(page.text).one("main").one("a").attrs["href"] == "/?q=x&sort=priority"
    # What still saw to the decisions would open the database that was closed, and leave the connection open.
    assert not app.state.services.gateway._decisions._background


async def test_what_is_decided_is_not_said_to_be_stored_as_well(stopped: Gate) -> None:
    async with stopped.worker():
        _, address = await opened(stopped)
    async with signed_in(stopped, "manager-1") as client:
        sent = form(await seen(client, address)) | {"verdict": "approve"}
        stored = await client.post(f"{address}/decide", data=sent)
        assert stored.headers["location"] == f"{address}?sent=stored"
        assert "Your decision is stored" in (await client.get(stored.headers["location"])).text
        async with stopped.worker():
            case_id = (await stopped.get("manager-1", f"{address}")).json()["case_id"]
            await stopped.until(case_id, lambda case: case["status"] == "completed")
        page = (await client.get(stored.headers["location"])).text
        assert "Decision:" in page and "Your decision is stored" not in page

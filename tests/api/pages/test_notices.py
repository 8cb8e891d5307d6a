"""The choice of notifications, on its page and as JSON."""

from tests.api.conftest import Gate
from tests.api.pages.visits import signed_in


async def test_people_choose_what_they_are_told(gate: Gate) -> None:
    async with signed_in(gate, "director-2") as client:
        assert (await client.get("/notices")).headers["location"] == "/settings#notices", "where mails lead"
        assert (await client.get("/settings")).text.count("<select") == 11
        form = {"task_opened": "digest", "case_ended": "off"}
        assert (await client.post("/settings/notices", data=form)).status_code == 200
        assert (await client.post("/settings/notices", data={"task_opened": "sometimes"})).status_code == 422
        assert (
            await client.post("/settings/notices", data=form, headers={"Origin": "http://elsewhere"})
        ).status_code == 403
    chosen = (await gate.get("director-2", "/me/notices")).json()["choices"]
    assert (chosen["task_opened"], chosen["case_ended"], chosen["task_reminded"]) == ("digest", "off", "at_once")
    put = gate.as_("director-2").put
    answer = await put("/api/v1/me/notices", json={"choices": {"task_opened": "at_once"}})
    assert answer.json()["choices"] == chosen | {"task_opened": "at_once"}
    for wrong in ({"task_opened": "sometimes"}, {"task_oponed": "off"}):
        answer = await put("/api/v1/me/notices", json={"choices": wrong})
        assert answer.status_code == 422 and "task_o" in str(answer.json()["errors"])

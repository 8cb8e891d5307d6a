"""Refusals and comments, however many, never hide the decisions of a case or push them out of its history."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from domain.case import CaseEvent
from store.audit import audit_log, evidence
from store.audit.refusal_counts import LISTED, CountedRefusals
from tests.api.conftest import API, Gate


async def comments(gate: Gate, case_id: str, number: int, by: str = "requester-2") -> None:
    """As many comments as somebody may have made."""
    async with gate.database.write() as conn:
        for _ in range(number):
            event = CaseEvent(
                event_id=f"comment/{case_id}/{uuid4().hex}",
                case_id=case_id,
                at=datetime.now(UTC),
                kind=evidence.COMMENT,
                actor=by,
                summary=f"{by}: noise",
                data={"comment_id": "x", "text": "noise"},
            )
            await audit_log.append(conn, [event])


async def whole(gate: Gate, case_id: str, person: str) -> list[dict[str, Any]]:
    """The timeline, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        answer = await gate.get(person, f"/cases/{quote(case_id, safe='')}/timeline", **params)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
    return found


async def test_refusals_and_comments_hide_no_decision_from_the_case_and_its_page(gate: Gate) -> None:
    case_id = await gate.start(amount="700.00")
    task = await gate.open_task(case_id)
    for _ in range(LISTED + 15):
        assert (await gate.decide("requester-1", task)).status_code == 403
    await comments(gate, case_id, 600)
    assert (await gate.decide("manager-1", task)).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "completed")
    await comments(gate, case_id, 700)
    job = CountedRefusals(gate.database, timedelta(0), timedelta(0))
    while await job.look():
        pass
    await gate.refusals.finish()  # what the gateway has counted is not listed by the worker

    case = await gate.case(case_id, "requester-1")
    kinds = [event["kind"] for event in case["timeline"]]
    for kind in ("case_submitted", "gate_opened", "decided", "gate_closed", "case_closed"):
        assert kind in kinds
    everything = await whole(gate, case_id, "requester-1")
    assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
    assert case["timeline_left_out"] + len(case["timeline"]) == len(everything) > 1_300
    refused = [event for event in everything if event["kind"] in ("decision_refused", "message_refused")]
    counted = [event["data"]["count"] for event in everything if event["kind"] == "refusals_counted"]
    assert (len(refused), counted) == (LISTED, [15])

    manager = gate.as_("manager-1")
    page = (await manager.get(f"/cases/{quote(case_id, safe='')}")).text
    assert "manager-1 approved" in page.lower() or "approved" in page
    assert f"/cases/{quote(case_id, safe='')}/history" in page and page.count("noise") <= 700
    history = await manager.get(f"/cases/{quote(case_id, safe='')}/history")
    assert history.status_code == 200 and 'rel="next"' in history.text
    assert (await gate.as_("manager-3").get(f"{API}/cases/nothing/timeline")).status_code == 404


async def test_one_person_comments_on_a_case_a_bounded_number_of_times(gate: Gate) -> None:
    case_id = await gate.start(amount="700.00")
    await comments(gate, case_id, evidence.MOST_COMMENTS - 1, "requester-1")
    path = f"/cases/{quote(case_id, safe='')}/comments"
    assert (await gate.post("requester-1", path, {"text": "one"}, Idempotency_Key="last")).status_code == 201
    assert (await gate.post("requester-1", path, {"text": "one"}, Idempotency_Key="last")).status_code == 201
    more = await gate.post("requester-1", path, {"text": "one more"})
    assert (more.status_code, more.json()["type"]) == (409, "urn:holdgate:too-many-comments")
    assert (await gate.post("operator-1", path, {"text": "of somebody else"})).status_code == 201
    first = (await gate.get("requester-1", path, limit=200)).json()
    assert len(first["items"]) == 200 and first["next_cursor"]

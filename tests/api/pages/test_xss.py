"""Fifty hostile texts in every field of a task and of a case stay text."""

from typing import Any
from urllib.parse import quote

import httpx2
import pytest_asyncio

from tests.api.conftest import Gate
from tests.api.pages.visits import parsed, signed_in
from tests.api.xss import PAYLOADS, dangers, shape

WHOLE = "\n".join(PAYLOADS)
ONE_LINE = 200
"""Characters of a title."""


def lines() -> list[str]:
    """All payloads, as many to a line as a title takes."""
    made = [""]
    for payload in PAYLOADS:
        if len(made[-1]) + len(payload) >= ONE_LINE:
            made.append("")
        made[-1] += payload
    return made


async def asked(gate: Gate, title: str, body: str, payload: Any, reference: str = "") -> tuple[str, dict[str, Any]]:
    """A question to managers, waiting."""
    input = {"title": title, "body": body, "payload": payload, "candidates": ["managers"]}
    new = {"process": "approval", "reference": (reference or title)[:120], "input": input}
    answer = await gate.post("requester-1", "/cases", new)
    assert answer.status_code == 201, answer.text
    case_id: str = answer.json()["case_id"]
    return case_id, await gate.open_task(case_id)


async def told(gate: Gate, case_id: str, task: dict[str, Any], text: str, name: str) -> None:
    """Everything that people can write to a case, with this text."""
    case, of_task = f"/cases/{quote(case_id, safe='')}", f"/tasks/{task['task_id']}"
    await gate.post("manager-1", f"{of_task}/questions", {"to": "requester-1", "text": text})
    (question,) = (await gate.get("manager-1", of_task)).json()["questions"]
    await gate.post("requester-1", f"{of_task}/questions/{question['id']}/answer", {"text": text})
    await gate.post("requester-1", f"{case}/comments", {"text": text})
    files, data = {"file": (name, b"Plain text", "text/plain")}, {"note": text[:1000]}
    answer = await gate.as_("requester-1").post(f"/api/v1{case}/attachments", files=files, data=data)
    assert answer.status_code == 201, answer.text
    await gate.decide("manager-3", task, "abstain", comment=text)
    await gate.decide("requester-1", task, "approve", comment=text)  # refused, and in the timeline
    answer = await gate.decide("manager-1", task, "request_changes", comment=text)
    assert answer.status_code == 200, answer.text


async def pages(client: httpx2.AsyncClient, case_id: str, tasks: list[str]) -> list[str]:
    found = [
        await client.get(f"/cases/{quote(case_id, safe='')}"),
        *[await client.get(f"/tasks/{task}") for task in tasks],
    ]
    assert [each.status_code for each in found] == [200] * len(found)
    return [each.text for each in found]


async def written(gate: Gate, title: str, text: str, name: str) -> list[str]:
    """The pages of a case in whose every field somebody has written this, and of a form that comes back with it."""
    payload = {"a": text, "b": [text, {"c": text}]}
    case_id, task = await asked(gate, title, "", payload)
    await told(gate, case_id, task, text, name)
    changes = await gate.open_task(case_id)
    async with signed_in(gate, "requester-1") as client:
        seen = await pages(client, case_id, [task["task_id"], changes["task_id"]])
        wrong = {"decision_id": "x", "revision": "1", "verdict": "resubmit", "comment": text, "input.title": ""}
        answer = await client.post(f"/tasks/{changes['task_id']}/decide", data=wrong | {"input.body": text})
        assert answer.status_code == 422
        return [*seen, answer.text]


async def test_what_people_write_stays_text_in_every_field_of_a_task_and_a_case(gate: Gate) -> None:
    wild = await written(gate, lines()[0], WHOLE, "<img src=x onerror=alert(1)>.txt")
    calm = await written(gate, "Calm" * 40, "\n".join(["calm"] * len(PAYLOADS)), "calm.txt")
    for of_wild, of_calm in zip(wild, calm, strict=True):
        assert not dangers(of_wild)
        assert shape(of_wild) == shape(of_calm), "no text has made an element or an attribute"
    comments = parsed(wild[0]).section("Comments").all("bdi")
    assert WHOLE in [each.raw for each in comments], "it is shown as it was written"
    assert parsed(wild[3]).one("textarea", name="comment").raw == f"\n{WHOLE}"


@pytest_asyncio.fixture(scope="module")
async def titled(gate: Gate) -> dict[str, tuple[str, str]]:
    """Return a case and its task for each title, which is also in the reference. One of them has a hostile body."""
    made = {}
    for number, title in enumerate(lines()):
        case_id, task = await asked(gate, title, "" if number else WHOLE, None, f"XSS-{number} {title}")
        made[title] = (case_id, task["task_id"])
    return made


async def test_each_payload_stays_text_in_what_names_a_case_and_in_its_markdown(
    gate: Gate, titled: dict[str, tuple[str, str]]
) -> None:
    async with signed_in(gate, "manager-1") as client:
        for title, (case_id, task_id) in titled.items():
            for page in await pages(client, case_id, [task_id]):
                assert not dangers(page)
                assert parsed(page).one("h1").raw == title, "all of it is shown, as it was written"


async def test_each_payload_stays_text_in_the_lists(gate: Gate, titled: dict[str, tuple[str, str]]) -> None:
    for person, path in (
        ("manager-1", "/?q=xss-"),
        ("manager-1", "/?q=xss-&by=payee"),
        ("manager-1", "/cases?q=xss-"),
        ("requester-1", "/requests"),
        ("auditor-1", "/audit"),
    ):
        async with signed_in(gate, person) as client:
            answer = await client.get(path)
            assert answer.status_code == 200 and not dangers(answer.text), path
    async with signed_in(gate, "manager-1") as client:
        shown = [each.raw for each in parsed((await client.get("/?q=xss-")).text).all("bdi")]
        assert set(titled) <= set(shown), "all of it is shown, as it was written"

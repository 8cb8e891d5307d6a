"""Names of people: unknown names in requests are refused, and names in actions on tasks are understood."""

import json
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from store.people import leavers, people, tokens
from tests.api.conftest import Gate
from tests.api.pages.visits import hidden, parsed, signed_in


@pytest_asyncio.fixture(scope="module")
async def named(gate: Gate) -> Gate:
    """The gateway with people who have names."""
    async with gate.database.write() as conn:
        for id, name, groups in (
            ("berg", "Anna Berg", ["managers"]),
            ("garcia-1", "José García", ["managers"]),
            ("garcia-2", "Jose Garcia", ["managers"]),
            ("hidden-1", "Hidden Hannah", ["archivists"]),
        ):
            await people.add(conn, id, name, groups, by="t", email=f"{id}@example.org")
            gate.tokens[id] = await tokens.make(conn, id, "test", by="t")
    return gate


def question(**input: Any) -> dict[str, Any]:
    return {"process": "approval", "reference": f"ASK-{uuid4()}", "input": {"title": "Rent the hall?"} | input}


async def test_a_request_that_names_nobody_is_refused_with_whom_it_may_mean(named: Gate) -> None:
    sent = question(candidates=["Manager-1"])
    refused = await named.post("requester-1", "/cases", sent)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["field"] == "candidates.0" and "did you mean manager-1?" in error["message"]
    assert (await named.get("requester-1", "/cases", q=sent["reference"])).json()["items"] == []
    taken = await named.post("requester-1", "/cases", sent | {"input": {"title": "T", "candidates": ["manager-1"]}})
    assert taken.status_code == 201


async def test_a_repeat_and_a_duplicate_are_told_as_such_though_whom_they_name_has_left(named: Gate) -> None:
    id = f"leaver-{uuid4().hex[:6]}"
    async with named.database.write() as conn:
        await people.add(conn, id, id, ["managers"], by="t")
    sent, key = question(candidates=[id]), uuid4().hex
    first = await named.post("requester-1", "/cases", sent, idempotency_key=key)
    assert first.status_code == 201
    async with named.database.write() as conn:
        await leavers.replace(conn, id, "berg", "left", by="t")
    assert (await named.post("requester-1", "/cases", sent, idempotency_key=key)).json() == first.json()
    assert (await named.post("requester-1", "/cases", sent)).status_code == 409


async def test_rows_that_name_nobody_are_invalid_with_a_suggestion_and_start_nothing(named: Gate) -> None:
    mark = uuid4().hex[:8]
    rows = [f'A-{mark},One,"managers, Manager-1"', f"B-{mark},Two,manager-1", f"C-{mark},Three,GHOSTS"]
    body = "reference,title,candidates\n" + "\n".join(rows) + "\n"
    files = {"file": ("asks.csv", body.encode(), "text/csv")}
    client = named.as_("requester-1")
    for dry_run in ("true", "false"):
        answer = await client.post(f"/api/v1/batches?process=approval&dry_run={dry_run}", files=files)
        report = answer.json()
        assert (report["rows"]["valid"], report["rows"]["invalid"]) == (1, 2), report
        (first,), (third,) = (each["errors"] for each in report["errors"])
        assert first["column"] == "candidates" and "did you mean manager-1?" in first["message"]
        assert "nor a group" in third["message"]
    mapped = "Ref;Question;Who is asked\n" + f"D-{mark};Four;Manager-1\n"
    columns = {"reference": "Ref", "title": "Question", "candidates": "Who is asked"}
    answer = await client.post(
        "/api/v1/batches?process=approval&dry_run=true",
        files={"file": ("asks.csv", mapped.encode(), "text/csv")},
        data={"mapping": json.dumps({"columns": columns})},
    )
    (row,) = answer.json()["errors"]
    assert row["errors"][0]["column"] == "Who is asked" and "manager-1" in row["errors"][0]["message"]


async def test_the_form_says_it_beside_the_field_and_keeps_what_was_typed(named: Gate) -> None:
    async with signed_in(named, "requester-1") as client:
        page = (await client.get("/new/approval")).text
        form = hidden(page) | {"reference": f"F-{uuid4().hex[:8]}", "input.title": "T", "input.candidates": "Manager-1"}
        answer = await client.post("/new/approval", data=form)
        assert answer.status_code == 422
        error = parsed(answer.text).one(id="input-candidates-error")
        assert "did you mean manager-1?" in error.text and "Manager-1" in answer.text


async def test_edits_that_name_nobody_are_refused_as_the_request_would_be(named: Gate) -> None:
    case_id = (await named.post("requester-1", "/cases", question(candidates=["manager-1"]))).json()["case_id"]
    task = await named.open_task(case_id)
    await named.decide("manager-1", task, "request_changes", comment="Ask somebody else", revision=task["revision"])
    case = await named.until(case_id, lambda case: case["status"] == "awaiting_changes")
    changes = next(each for each in case["tasks"] if each["status"] == "open")
    about = {"revision": changes["revision"], "edits": {"candidates": ["Manager-2"]}}
    refused = await named.decide("requester-1", changes, "resubmit", **about)
    assert refused.status_code == 422, refused.text
    (error,) = refused.json()["errors"]
    assert error["field"] == "edits.candidates.0" and "did you mean manager-2?" in error["message"]
    taken = await named.decide("requester-1", changes, "resubmit", **about | {"edits": {"candidates": ["manager-2"]}})
    assert taken.status_code == 200, taken.text


async def waiting(gate: Gate) -> dict[str, Any]:
    return await gate.open_task(await gate.start())


@pytest.mark.parametrize(
    ("person", "act", "text"),
    [
        *(("manager-1", "delegate", text) for text in ("berg", "BERG", "anna  berg", "Anna Berg (berg)")),
        *(("admin-1", "reassign", text) for text in ("Anna Berg", "Berg@Example.org")),
        *(("manager-1", "questions", text) for text in ("Anna Berg", "Berg@Example.org")),
    ],
)
async def test_a_colleague_is_meant_by_id_name_or_address(named: Gate, person: str, act: str, text: str) -> None:
    task = await waiting(named)
    body = {"to": text} | ({"text": "Which one?"} if act == "questions" else {})
    answer = await named.post(person, f"/tasks/{task['task_id']}/{act}", body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["questions"][-1]["to"] if act == "questions" else found["assignee"]) == "berg"


@pytest.mark.parametrize("act", ["delegate", "questions"])
async def test_several_are_listed_and_nobody_is_met_with_those_who_are_close(named: Gate, act: str) -> None:
    task = await waiting(named)
    body = {"text": "Which one?"} if act == "questions" else {}
    path = f"/tasks/{task['task_id']}/{act}"
    several = await named.post("manager-1", path, body | {"to": "jose garcia"})
    assert several.status_code == 422 and several.json()["suggestions"] == ["garcia-1", "garcia-2"]
    assert "means 2 people" in several.json()["detail"] and several.json()["errors"][0]["field"] == "to"
    nobody = await named.post("manager-1", path, body | {"to": "Ana Berg"})
    assert nobody.status_code == 422 and nobody.json()["suggestions"] == ["berg"]
    unseen = await named.post("manager-1", path, body | {"to": "Hiden Hannah"})
    assert unseen.status_code == 422 and unseen.json()["suggestions"] == [] and "hidden-1" not in unseen.text


async def test_many_tasks_are_handed_to_whom_a_name_means_also_those_of_a_leaver(named: Gate) -> None:
    task = await waiting(named)
    assert (await named.post("manager-1", f"/tasks/{task['task_id']}/claim", {})).status_code == 200
    body = {"to": "Anna Berg", "filter": {"assignee": "MANAGER-1", "task_ids": [task["task_id"]]}}
    done = await named.post("admin-1", "/tasks/reassign", body)
    assert [each["status"] for each in done.json()["items"]] == ["done"], done.text
    found = (await named.get("auditor-1", f"/tasks/{task['task_id']}")).json()
    assert found["assignee"] == "berg"
    for wrong in ({"to": "Ana Berg"}, {"filter": {"assignee": "nobody at all"}}):
        assert (await named.post("admin-1", "/tasks/reassign", body | wrong)).status_code == 422


async def test_substitute_manager_and_successor_are_meant_by_name(named: Gate) -> None:
    client = named.as_("manager-2")
    days = {"from": "2031-01-01", "to": "2031-01-02"}
    away = await client.put("/api/v1/me/absence", json=days | {"substitute": "ANNA BERG"})
    assert away.json()["items"][0]["substitute"] == "berg", away.text
    wrong = await client.put("/api/v1/me/absence", json=days | {"substitute": "Ana Berg"})
    assert wrong.status_code == 422 and wrong.json()["suggestions"] == ["berg"]
    assert wrong.json()["errors"][0]["field"] == "substitute"
    own = await client.put("/api/v1/me/absence", json=days | {"substitute": "MANAGER-2"})
    assert own.status_code == 422 and "own substitute" in own.text
    await client.delete("/api/v1/me/absence")
    admin = named.as_("admin-1")
    changed = await admin.patch("/api/v1/people/requester-2", json={"manager": "berg@EXAMPLE.org"})
    assert changed.json()["manager"] == "berg"
    assert (await admin.patch("/api/v1/people/requester-2", json={"manager": None})).json()["manager"] is None
    refused = await admin.patch("/api/v1/people/requester-2", json={"manager": "José Garcia"})
    assert refused.status_code == 422 and refused.json()["suggestions"] == ["garcia-1", "garcia-2"]
    leaver = f"leaver-{uuid4().hex[:6]}"
    await named.post("admin-1", "/people", {"id": leaver, "name": leaver, "groups": ["managers"]})
    after = await named.post("admin-1", f"/people/{leaver}/replace", {"by": "anna berg", "reason": "left"})
    assert after.status_code == 200, after.text


async def test_a_new_group_is_a_question_over_the_api_and_on_the_page(named: Gate) -> None:
    group, id = f"club-{uuid4().hex[:6]}", f"p-{uuid4().hex[:6]}"
    new = {"id": id, "name": "P", "groups": [group]}
    asked = await named.post("admin-1", "/people", new)
    assert asked.status_code == 422 and asked.json()["new_group"] == group and "confirm=true" in asked.json()["detail"]
    assert asked.json()["errors"][0]["field"] == "groups"
    slip = await named.post("admin-1", "/people", new | {"groups": ["manager"]})
    assert slip.status_code == 422 and slip.json()["suggestions"] == ["managers"]
    assert (await named.get("admin-1", f"/people/{id}")).status_code == 404
    assert (await named.post("admin-1", "/people?confirm=true", new)).status_code == 201
    client = named.as_("admin-1")
    assert (await client.put(f"/api/v1/people/berg/groups/{group}")).status_code == 200  # somebody is in it now
    for known in ("directors", "operators"):  # which a policy names, or which is a role
        assert (await client.put(f"/api/v1/people/{id}/groups/{known}")).status_code == 200
    other = f"{group}-2"
    assert (await client.put(f"/api/v1/people/berg/groups/{other}")).status_code == 422
    async with signed_in(named, "admin-1") as page:
        asked = await page.post("/people/berg/join", data={"value": other})
        assert (
            asked.status_code == 422
            and "Create the group" in asked.text
            and f'name="confirm" value="{other}"' in asked.text
        )
        elsewhere = await page.post("/people/berg/join", data={"value": other, "confirm": "another"})
        assert elsewhere.status_code == 422
        assert (await page.post("/people/berg/join", data={"value": other, "confirm": other})).status_code == 200
        form = {"id": f"{id}-2", "name": "P", "groups": f"{other}-3", "email": ""}
        asked = await page.post("/people", data=form)
        assert asked.status_code == 422 and f'name="confirm" value="{other}-3"' in asked.text
        assert (await page.post("/people", data=form | {"confirm": f"{other}-3"})).status_code == 303


async def test_who_comes_back_is_put_into_groups_as_everybody_is(named: Gate) -> None:
    id, group = f"p-{uuid4().hex[:6]}", f"club-{uuid4().hex[:6]}"

    async def gone() -> None:
        assert (await named.post("admin-1", f"/people/{id}/deactivate", {"reason": "left"})).status_code == 204

    assert (await named.post("admin-1", "/people", {"id": id, "name": "P", "groups": []})).status_code == 201
    await gone()
    asked = await named.post("admin-1", f"/people/{id}/reactivate", {"groups": ["managers", group]})
    assert asked.status_code == 422 and asked.json()["new_group"] == group
    assert asked.json()["errors"][0]["field"] == "groups"
    assert (await named.get("admin-1", f"/people/{id}")).json()["active"] is False, "a question changes nothing"
    back = await named.post("admin-1", f"/people/{id}/reactivate?confirm=true", {"groups": ["Managers", group]})
    assert back.status_code == 204, back.text
    assert (await named.get("admin-1", f"/people/{id}")).json()["groups"] == [group, "managers"]
    await gone()
    async with signed_in(named, "admin-1") as page:
        form = {"value": f"managers, {group}-2"}
        asked = await page.post(f"/people/{id}/reactivate", data=form)
        assert asked.status_code == 422 and f'name="confirm" value="managers, {group}-2"' in asked.text
        done = await page.post(f"/people/{id}/reactivate", data=form | {"confirm": form["value"]})
        assert done.status_code == 200 and "The person is active again." in done.text
    assert (await named.get("admin-1", f"/people/{id}")).json()["groups"] == [f"{group}-2", "managers"]


async def test_the_task_says_what_its_approval_does_in_json_and_on_the_page(named: Gate) -> None:
    task = await named.open_task(await named.start(payee="Foreseen Ltd", amount="662.37"))
    told = (await named.get("manager-1", f"/tasks/{task['task_id']}")).json()["if_approved"]
    assert [each["kind"] for each in told] == ["not_needed", "step", "end"]
    assert told[0]["text"] == "Director approval is not needed: amount 662.37 is under 50,000.00 GBP"
    assert told[1] == {
        "kind": "step",
        "name": "capture_payment",
        "text": "Pay 662.37 GBP to Foreseen Ltd",
        "certain": True,
    }
    async with signed_in(named, "manager-1") as client:
        page = parsed((await client.get(f"/tasks/{task['task_id']}")).text)
    assert "Pay 662.37 GBP to Foreseen Ltd" in page.section("If you approve").text
    assert "Director approval: not needed: amount 662.37 is under 50,000.00 GBP" in page.section("Progress").text
    assert "Director approval: upcoming" not in page.text

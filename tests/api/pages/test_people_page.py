"""The People page: each change is in the audit log, secrets are shown once, and hostile names do no harm."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2

from store.audit import search
from store.people import passwords, people, tokens
from tests.api.conftest import API, Gate
from tests.api.pages.visits import signed_in
from tests.api.xss import PAYLOADS, dangers

PASSWORD = "correct horse battery"
HOSTILE = '"><script>alert(1)</script>'


async def add(client: httpx2.AsyncClient, **more: str) -> str:
    id = f"new-{uuid4().hex[:8]}"
    answer = await client.post("/people", data={"id": id, "name": f"Person {id}", "groups": "managers", **more})
    assert (answer.status_code, answer.headers.get("location")) == (303, f"/people/{id}"), answer.text
    return id


async def told(gate: Gate, person: str) -> list[str]:
    """Return the kinds of the audit events about a person."""
    async with gate.database.read() as conn:
        return [each.kind for each in await search.oldest(conn, case_id="", text=person)]


async def test_an_admin_adds_somebody_and_changes_all_of_them_on_their_page(stopped: Gate) -> None:
    async with signed_in(stopped, "admin-1") as client:
        id = await add(client, name=HOSTILE, groups="managers, requesters", email=f"{uuid4().hex}@example.org")

        async def change(act: str, **form: str) -> str:
            answer = await client.post(f"/people/{id}/{act}", data=form)
            assert answer.status_code == 200, answer.text
            return answer.text

        await change("manager", value="manager-1")
        await change("zone", value="Europe/London")
        await change("email", value="")
        await change("join", value="directors")
        await change("leave", value="requesters")
        await change("away", **{"from": "2033-12-21", "to": "2033-12-31", "substitute": "manager-2"})
        page = await change("unlock")
        no_address = "<dt>E-mail address</dt><dd>no</dd>"
        for shown in ("manager-1", "Europe/London", "directors", "manager-2", "31 Dec 2033"[3:], no_address):
            assert shown in page, shown
        assert "<script>alert" not in page and "&lt;script&gt;" in page
        await change("back")
        everybody = (await client.get("/people", params={"q": id})).text
        # This Holdgate sends no mail: the list names the address and does not say whether mail is sent.
        assert '<td data-label="Address">no</td>' in everybody and "Mail<" not in everybody
        assert everybody.count("<tr>") == 2 and "<script>alert" not in everybody
        assert "directors" in (await client.get("/groups")).text
    assert await told(stopped, id) == [
        *("person_added", "manager_set", "time_zone_set", "email_changed", "group_joined", "group_left"),
        *("absence_set", "sign_in_unlocked", "absence_ended"),
    ]


async def test_what_cannot_be_is_said_beside_it_and_what_was_typed_is_kept(stopped: Gate) -> None:
    async with signed_in(stopped, "admin-1") as client:
        wrong = {"id": "no id", "name": "Kept Name", "groups": "managers"}
        answer = await client.post("/people", data=wrong)
        assert answer.status_code == 422
        assert 'value="Kept Name"' in answer.text and 'id="id-error"' in answer.text
        id = await add(client)
        for act, value, said in (
            ("zone", "Middle-earth/Shire", "is not a time zone"),
            ("manager", "nobody-at-all", "no active person"),
            ("join", "No Group!", "is not valid as a group"),
            ("email", "not an address", "not an e-mail address"),
        ):
            answer = await client.post(f"/people/{id}/{act}", data={"value": value})
            assert answer.status_code == 422
            assert said in answer.text and f'value="{value}"' in answer.text, act
        assert (await client.post("/people/nobody-at-all/unlock")).status_code == 404


async def test_an_admin_revokes_tokens_and_sees_none(stopped: Gate) -> None:
    async with signed_in(stopped, "admin-1") as client:
        id = await add(client)
        async with stopped.database.write() as conn:
            token = await tokens.make(conn, id, HOSTILE, by=id)
        as_them = {"Authorization": f"Bearer {token}"}
        assert (await stopped.as_(None).get(f"{API}/me", headers=as_them)).json()["id"] == id
        page = (await client.get(f"/people/{id}")).text
        assert token not in page and "<script>alert" not in page
        hash = re.search(r'name="value" value="([0-9a-f]{12})"', page)
        assert hash is not None
        await client.post(f"/people/{id}/revoke", data={"value": hash[1]})
        assert (await stopped.as_(None).get(f"{API}/me", headers=as_them)).status_code == 401


async def test_who_has_mistyped_too_often_is_let_in_again_by_an_admin(stopped: Gate) -> None:
    now = datetime.now(UTC)
    async with signed_in(stopped, "admin-1") as client:
        id = await add(client)
        async with stopped.database.write() as conn:
            for _ in range(passwords.FREE + 1):
                await passwords.take_try(conn, f"name:{id}", now)
        form = {"name": id, "password": "not the password"}
        assert "Too many failed sign-ins" in (await client.post("/sign-in", data=form)).text
        await client.post(f"/people/{id}/unlock")
        assert "name or the password is wrong" in (await client.post("/sign-in", data=form)).text


async def test_the_last_admin_cannot_be_taken_from_the_admins(stopped: Gate) -> None:
    async with signed_in(stopped, "admin-1") as client:
        answer = await client.post("/people/admin-1/leave", data={"value": "admins"})
        assert answer.status_code == 409
        assert "is the last member of admins. Add another administrator first." in answer.text
        second = await add(client, groups="admins")
        assert (await client.post(f"/people/{second}/leave", data={"value": "admins"})).status_code == 200
    answer = await stopped.as_("admin-1").delete(f"{API}/people/admin-1/groups/admins")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:holdgate:last-admin")
    async with stopped.database.read() as conn:
        assert "admins" in (await people.get(conn, "admin-1")).groups


async def test_auditors_read_and_change_nothing_and_others_find_nothing(stopped: Gate) -> None:
    auditor = stopped.as_("auditor-1")
    page = (await auditor.get("/people/steward-1")).text
    pressed = re.findall(r'<form method="post" action="([^"]+)"', page.split("<main")[1])
    assert pressed == ["/legal-holds"], "an auditor changes nothing about a person"
    assert (await auditor.post("/people/steward-1/unlock")).status_code == 403
    assert (await auditor.post("/people", data={"id": "x", "name": "X"})).status_code == 403
    for path in ("/people", "/people/steward-1", "/groups"):
        assert (await auditor.get(path)).status_code == 200
        assert (await stopped.as_("operator-1").get(path)).status_code == 404


async def test_the_list_is_the_same_over_json_page_by_page(stopped: Gate) -> None:
    seen, cursor = list[str](), None
    while True:
        more: dict[str, Any] = {"cursor": cursor} if cursor else {}
        page = (await stopped.get("auditor-1", "/people", limit=5, **more)).json()
        seen += [each["id"] for each in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(set(seen)) and {"admin-1", "steward-1"} <= set(seen)
    assert "email" in page["items"][0] and page["items"][0]["email"] in (True, False), "never the address itself"


async def test_everybody_changes_what_is_theirs_and_only_that(stopped: Gate) -> None:
    async with signed_in(stopped, "director-1") as client:
        page = (await client.get("/settings")).text
        assert 'data-theme="system"' in page and 'data-shortcuts="on"' in page and "this browser" in page
        await client.post("/settings/look", data={"theme": "dark", "shortcuts": "off"})
        page = (await client.get("/settings")).text
        assert 'data-theme="dark"' in page and 'data-shortcuts="off"' in page
        assert (await client.post("/settings/look", data={"theme": "loud"})).status_code == 422
        await client.post("/settings/zone", data={"value": "Asia/Tokyo"})
        assert "JST" in (await client.get("/settings")).text
        assert "is not a time zone" in (await client.post("/settings/zone", data={"value": "Nowhere"})).text
        await client.post("/settings/zone", data={"value": ""})

        wrong = {"from": "2033-12-31", "to": "2033-12-21", "substitute": "director-2"}
        answer = await client.post("/settings/away", data=wrong)
        assert answer.status_code == 422 and 'value="2033-12-31"' in answer.text and 'value="director-2"' in answer.text
        assert "Substitute" in (await client.post("/settings/away", data={**wrong, "to": "2100-01-01"})).text
        assert "Your absence has ended" in (await client.post("/settings/back")).text

        assert (await client.post("/settings/token", data={"value": "nightly import"})).status_code == 403
        async with stopped.database.write() as conn:
            await passwords.put(conn, "director-1", passwords.hash_of(PASSWORD), datetime.now(UTC), by="director-1")
        wrong_one = {"value": "nightly import", "password": "not this one"}
        assert (await client.post("/settings/token", data=wrong_one)).status_code == 422
        right = {"value": "nightly import", "password": PASSWORD}
        made = (await client.post("/settings/token", data=right)).text
        token = re.search(r"hg_[\w-]+", made)
        assert token is not None
        mine = (await stopped.get("director-1", "/me/tokens")).json()["items"]
        assert [each["label"] for each in mine] == ["nightly import", "test"]
        theirs = (await stopped.get("admin-1", "/me/tokens")).json()["items"][0]["id"]
        assert (await client.post("/settings/revoke", data={"value": theirs})).status_code == 404
        assert (await client.post("/settings/revoke", data={"value": mine[0]["id"]})).status_code == 200
        answer = await stopped.as_(None).get(f"{API}/me", headers={"Authorization": f"Bearer {token[0]}"})
        assert answer.status_code == 401


async def test_fifty_hostile_names_labels_and_searches_stay_text(stopped: Gate) -> None:
    async with stopped.database.write() as conn:
        await people.add(conn, "xss", "Named by nobody", [], by="admin-1")
        for number, hostile in enumerate(PAYLOADS):
            await people.add(conn, f"xss-{number}", hostile[:200], [], by="admin-1")
            await tokens.make(conn, "xss", hostile[:60], by=hostile[:200])
    admin = stopped.as_("admin-1")
    paths = ["/people?q=xss-&limit=50", "/people/xss", "/people/xss-0", "/audit?q=xss", "/audit?kind=token_made"]
    for path in paths:
        page = await admin.get(path)
        assert page.status_code == 200 and dangers(page.text) == [], path
    searches = (("/audit", "q"), ("/audit", "from"), ("/audit/check", "case_id"), ("/people", "group"))
    for place, (path, name) in enumerate(searches):
        for hostile in PAYLOADS[place :: len(searches)]:
            assert dangers((await admin.get(path, params={name: hostile})).text) == [], (path, hostile)
    for hostile in PAYLOADS[::4]:
        typed = (await admin.post("/people", data={"id": hostile, "name": hostile, "groups": hostile})).text
        assert dangers(typed) == [], hostile

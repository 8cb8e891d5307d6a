"""The pages of service accounts: secrets are shown once, and a request says for whom it was made."""

import re
from urllib.parse import quote
from uuid import uuid4

from domain.token_scopes import TokenScope
from tests.api.conftest import API, Gate, payment
from tests.api.pages.visits import signed_in

HOSTILE = '"><script>alert(1)</script>'
TOKEN = re.compile(r'<code class="secret">(hg_[\w-]+)</code>')


async def test_an_account_is_created_used_revoked_and_deactivated(stopped: Gate) -> None:
    id = f"bot-{uuid4().hex[:6]}"
    form = {"id": id, "name": HOSTILE, "owners": "manager-1, requester-1", "scopes": ["cases:ask", "cases:read"]}
    async with signed_in(stopped, "admin-1") as client:
        wrong = await client.post("/service-accounts", data=form | {"owners": "nobody", "scopes": []})
        assert wrong.status_code == 422 and f'value="{id}"' in wrong.text and 'role="alert"' in wrong.text
        made = await client.post("/service-accounts", data=form | {"expires": "2028-12-31"})
        assert made.status_code == 201 and "<script>alert" not in made.text, made.text
        token = TOKEN.search(made.text)
        assert token and "31 Dec 2028" in made.text
        assert token[1] not in (await client.get(f"/service-accounts/{id}")).text
        assert id in (await client.get("/service-accounts")).text and id in (await client.get("/groups")).text
        assert id not in (await client.get("/people")).text
        stopped.tokens[id] = token[1]
        assert (await stopped.get(id, "/me")).json()["id"] == id
        changed = await client.post(f"/service-accounts/{id}/owners", data={"value": "manager-1"})
        assert changed.status_code == 200 and "The owners are changed" in changed.text
    async with signed_in(stopped, "requester-1") as client:  # no owner any more
        assert (await client.get(f"/service-accounts/{id}")).status_code == 404
        assert id not in (await client.get("/service-accounts")).text
    async with signed_in(stopped, "manager-1") as owner:
        page = (await owner.get(f"/service-accounts/{id}")).text
        assert 'id="token"' in page and 'id="owners"' not in page and "All people" not in page
        assert (await owner.post(f"/service-accounts/{id}/owners", data={"value": "requester-1"})).status_code == 404
        more = TOKEN.search((await owner.post(f"/service-accounts/{id}/token", data={"value": "more"})).text)
        assert more
        gone = await owner.post(
            f"/service-accounts/{id}/revoke", data={"value": re.findall(r'value="(\w{12})"', page)[0]}
        )
        assert gone.status_code == 200 and (await stopped.get(id, "/me")).status_code == 401
        stopped.tokens[f"{id}-2"] = more[1]
        assert (await stopped.get(f"{id}-2", "/me")).status_code == 200
        assert (await owner.post(f"/service-accounts/{id}/deactivate")).status_code == 200
        assert (await stopped.get(f"{id}-2", "/me")).status_code == 401
        assert (await owner.post(f"/service-accounts/{id}/reactivate")).status_code == 404  # admins only
    async with signed_in(stopped, "auditor-1") as auditor:
        page = (await auditor.get(f"/service-accounts/{id}")).text
        assert "deactivated" in page and '<form method="post" action="/service-accounts' not in page


async def test_pages_say_for_whom_a_service_account_asks(gate: Gate) -> None:
    id = f"bot-{uuid4().hex[:6]}"
    new = {"id": id, "name": "Invoice system", "owners": ["manager-2"], "scopes": [*TokenScope]}
    gate.tokens[id] = (await gate.post("admin-1", "/service-accounts", new)).json()["token"]
    started = await gate.post(id, "/cases", payment(amount="700.00") | {"on_behalf_of": "requester-1"})
    case_id = started.json()["case_id"]
    task = await gate.open_task(case_id)
    where = f"/cases/{quote(case_id, safe='')}"
    async with signed_in(gate, "requester-1") as client:
        page = (await client.get(where)).text
        assert "on behalf of" in page and "requester-1" in page and "Count as requester" in page
        assert f"Requested by {id} on behalf of requester-1" in (await client.get(f"{where}/history")).text
        assert case_id in (await client.get("/requests")).text.replace("%3A", ":")
        assert (await client.post(f"{where}/cancel", data={"reason": "not needed"})).status_code in (200, 303)
    async with signed_in(gate, "manager-1") as client:
        assert "on behalf of" in (await client.get(f"/tasks/{task['task_id']}")).text
    rows = (await gate.as_("auditor-1").get(f"{API}/cases", params={"q": case_id}, headers={"Accept": "text/csv"})).text
    assert ",on_behalf_of," in rows and ",requester-1," in rows

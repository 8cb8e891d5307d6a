"""Accounts of the ledger over the API and on its page: one administrator asks, another one confirms."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from store.people import people, tokens
from tests.api.conftest import Gate
from tests.api.pages.visits import hidden, parsed, signed_in


@pytest_asyncio.fixture(scope="module")
async def office(gate: Gate) -> AsyncIterator[Gate]:
    """The gateway with a second administrator, who is none afterwards: other tests look at the only one."""
    async with gate.database.write() as conn:
        await people.add(conn, "admin-2", "Second Admin", ["admins"], by="t")
        gate.tokens["admin-2"] = await tokens.make(conn, "admin-2", "test", by="t")
    yield gate
    async with gate.database.write() as conn:
        await people.leave(conn, "admin-2", "admins", by="t")


def account() -> dict[str, Any]:
    return {"account": f"acc-{uuid4().hex[:8]}", "currency": "GBP", "reason": "A new office"}


async def confirmed(office: Gate, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    done = await office.post("admin-2", f"/ledger/changes/{answer.json()['change_id']}/confirm")
    assert done.status_code == 200, done.text
    found: dict[str, Any] = done.json()
    return found


async def test_the_first_payment_is_paid_from_an_account_that_two_administrators_opened_and_funded(
    office: Gate,
) -> None:
    new = account()
    name = new["account"]
    refused = await office.start(account=name, amount="10.00")
    assert (await office.until(refused, lambda case: case["closed_at"]))["status"] == "failed"
    await confirmed(office, await office.post("admin-1", "/ledger/accounts", new))
    funds = {"currency": "GBP", "amount": "100.00", "reason": "For rent"}
    asked = await office.post("admin-1", f"/ledger/accounts/{name}/funds", funds)
    assert asked.headers["Location"] == f"/api/v1/ledger/changes/{asked.json()['change_id']}"
    await confirmed(office, asked)
    paid = await office.start(account=name, amount="10.00")
    assert (await office.until(paid, lambda case: case["closed_at"]))["status"] == "completed"
    balance = (await office.get("auditor-1", f"/ledger/accounts/{name}", currency="GBP")).json()
    assert (balance["balance"], balance["available"]) == ("90.00", "90.00")
    listed = (await office.get("operator-1", "/ledger/accounts")).json()["items"]
    assert balance in listed
    told = (await office.get("auditor-1", "/audit")).text
    assert told.count(f'"account":"{name}"') >= 4 and "ledger_change_confirmed" in told


async def test_nobody_confirms_what_they_asked_for_and_others_only_read(office: Gate) -> None:
    change = (await office.post("admin-1", "/ledger/accounts", account())).json()
    path = f"/ledger/changes/{change['change_id']}"
    own = await office.post("admin-1", f"{path}/confirm")
    assert own.status_code == 403 and "another administrator" in own.json()["detail"]
    for person, status in (("operator-1", 403), ("auditor-1", 403), ("requester-1", 404), (None, 401)):
        assert (await office.post(person, f"{path}/confirm")).status_code == status
        assert (await office.post(person, "/ledger/accounts", account())).status_code == status
        assert (await office.get(person, path)).status_code == (200 if status == 403 else status)
    waiting = (await office.get("auditor-1", "/ledger/changes", status="waiting")).json()["items"]
    assert change in waiting
    assert (await office.post("admin-2", "/ledger/changes/nowhere/confirm")).status_code == 404
    assert (await office.post("admin-1", f"{path}/withdraw")).status_code == 200
    late = await office.post("admin-2", f"{path}/confirm")
    assert late.status_code == 409 and late.json()["outcome"] == "withdrawn"


async def test_a_repeat_asks_once_and_confirms_once(office: Gate) -> None:
    new, key = account() | {"amount": "5.00"}, uuid4().hex
    first = await office.post("admin-1", "/ledger/accounts", new, idempotency_key=key)
    again = await office.post("admin-1", "/ledger/accounts", new, idempotency_key=key)
    assert first.json() == again.json()
    other = await office.post("admin-1", "/ledger/accounts", new | {"amount": "6.00"}, idempotency_key=key)
    assert other.status_code == 422 and other.json()["errors"][0]["field"] == "idempotency_key"
    assert await confirmed(office, first) == await confirmed(office, first)
    balance = (await office.get("auditor-1", f"/ledger/accounts/{new['account']}", currency="GBP")).json()
    assert balance["balance"] == "5.00"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-5"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"amount": "1e999"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "1000000000001"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"currency": "gbp"}, "currency"),
        ({"currency": "XXX"}, "currency"),
        ({"account": "capital"}, "account"),
        ({"account": "operating"}, "account"),
        ({"account": "OPERATING"}, "account"),
        ({"account": "a\u202eb"}, "account"),
        ({"account": "a" * 121}, "account"),
        ({"reason": " "}, "reason"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_cannot_be_is_refused_by_its_field(office: Gate, changes: dict[str, Any], field: str) -> None:
    refused = await office.post("admin-1", "/ledger/accounts", account() | changes)
    assert refused.status_code == 422, refused.text
    assert [each["field"] for each in refused.json()["errors"]] == [field]


async def test_money_for_an_account_that_is_not_there_is_refused_with_those_there_are(office: Gate) -> None:
    funds = {"currency": "GBP", "amount": 100, "reason": "x"}
    refused = await office.post("admin-1", "/ledger/accounts/Operatingg/funds", funds)
    assert refused.status_code == 422 and "open the account first" in refused.text and "operating" in refused.text


async def test_the_list_goes_on_page_by_page(office: Gate) -> None:
    made = [(await office.post("admin-1", "/ledger/accounts", account())).json()["change_id"] for _ in range(3)]
    seen, cursor = [], None
    for _ in range(4):
        page = (
            await office.get("admin-1", "/ledger/changes", limit=1, **({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [each["change_id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert seen[:3] == made[::-1]
    assert (await office.get("admin-1", "/ledger/changes", cursor="made-up")).status_code == 422


async def test_two_administrators_do_it_on_the_page(office: Gate) -> None:
    new = account()
    async with signed_in(office, "admin-1") as client:
        page = (await client.get("/ledger")).text
        form = hidden(page) | new | {"amount": "7.00", "key": uuid4().hex}
        wrong = await client.post("/ledger/open", data=form | {"currency": "XXX"})
        assert wrong.status_code == 422 and parsed(wrong.text).one(id="open-currency-error").text
        assert f'value="{new["account"]}"' in wrong.text
        wrong = await client.post("/ledger/open", data=form | {"amount": "1,000"})
        said = parsed(wrong.text).one(id="open-amount-error").text
        assert wrong.status_code == 422 and said.startswith("write the amount as a plain number such as 2640.00")
        for _ in range(2):  # a form that is sent twice asks once
            asked = await client.post("/ledger/open", data=form)
            assert (asked.status_code, asked.headers["location"]) == (303, "/ledger?done=asked")
        page = (await client.get("/ledger?done=asked")).text
        assert page.count(new["account"]) == 1 and "Another administrator must confirm the change" in page
    changes = (await office.get("admin-1", "/ledger/changes", status="waiting")).json()["items"]
    change = next(each["change_id"] for each in changes if each["account"] == new["account"])
    assert f"/ledger/changes/{change}/confirm" not in page and f"/ledger/changes/{change}/withdraw" in page
    async with signed_in(office, "admin-2") as client:
        assert f"/ledger/changes/{change}/confirm" in (await client.get("/ledger")).text
        done = await client.post(f"/ledger/changes/{change}/confirm", data={})
        assert (done.status_code, done.headers["location"]) == (303, "/ledger?done=confirm")
        page = (await client.get("/ledger?done=confirm")).text
        assert "7.00 GBP" in page
        late = await client.post(f"/ledger/changes/{change}/withdraw", data={})
        assert late.status_code == 409 and "was already confirmed" in late.text
    async with signed_in(office, "auditor-1") as client:
        read = await client.get("/ledger")
        assert read.status_code == 200 and '<form method="post" action="/ledger' not in read.text
    async with signed_in(office, "requester-1") as client:
        assert (await client.get("/ledger")).status_code == 404

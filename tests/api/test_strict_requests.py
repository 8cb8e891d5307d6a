"""Requests with parts that nobody reads are refused: unknown parameters, repeated parameters, duplicate keys."""

from typing import Any

import pytest

from tests.api.conftest import API, Gate, payment


async def test_every_route_refuses_a_parameter_that_it_does_not_have_and_takes_those_it_has(stopped: Gate) -> None:
    """Over the whole contract: a new route is looked at as soon as it is there."""
    looked_at = 0
    for path, operations in stopped.app.openapi()["paths"].items():
        if not path.startswith(API):
            continue
        address = path.replace("{", "").replace("}", "")
        for method in sorted(set(operations) & {"get", "post", "put", "delete", "patch"}):
            answer = await stopped.as_("admin-1").request(method.upper(), address, params={"limitt": "1"})
            wrong = [each for each in answer.json().get("errors", []) if each["field"] == "limitt"]
            assert (answer.status_code, len(wrong)) == (422, 1), (method, path, answer.text)
            looked_at += 1
    assert looked_at > 70


@pytest.mark.parametrize(
    ("path", "params", "field", "said"),
    [
        ("/tasks", {"stauts": "open"}, "stauts", "is 'status' meant?"),
        ("/cases", {"requestor": "requester-1"}, "requestor", "is 'requester' meant?"),
        ("/cases", {"Status": "running"}, "Status", "is 'status' meant?"),
        ("/cases", [("status", "running"), ("status", "completed")], "status", "twice"),
        ("/tasks", {"mine ": "true"}, "mine ", "is 'mine' meant?"),
    ],
)
async def test_a_misspelt_parameter_is_named_with_what_was_meant(
    stopped: Gate, path: str, params: Any, field: str, said: str
) -> None:
    answer = await stopped.as_("admin-1").get(API + path, params=params)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["field"]) == (422, field)
    assert said in error["message"]


@pytest.mark.parametrize(
    "twice",
    [
        '{"verdict": "reject", "revision": 1, "verdict": "approve"}',
        '{"verdict": "approve", "revision": 1, "edits": {"amount": "1.00", "amount": "9.00"}}',
        '{"verdict": "approve", "revision": 1, "edits": {"list": [{"a": 1, "a": 2}]}}',
        '{"verdict": "approve", "revision": 1, "edits": {"\\u0061mount": 1, "amount": 2}}',
        '{"verdict": "approve", "revision": NaN}',
    ],
)
async def test_a_body_with_a_key_twice_is_refused_wherever_it_stands(stopped: Gate, twice: str) -> None:
    for path in ("/tasks/none/decision", "/cases", "/tasks/decisions"):
        for kind in ("application/json", "application/json; charset=utf-8", "application/merge-patch+json"):
            answer = await stopped.as_("manager-1").post(API + path, content=twice, headers={"Content-Type": kind})
            assert answer.status_code in (403, 422), answer.text
            if answer.status_code == 422:
                (error,) = answer.json()["errors"]
                assert error["field"] == "body" and "is not JSON" not in error["message"], answer.text


async def test_a_mapping_with_a_column_twice_is_refused(stopped: Gate) -> None:
    mapping = '{"columns": {"payee": "Company", "payee": "Supplier"}}'
    files = {"file": ("rows.csv", b"reference,Company,Supplier,amount,currency,account\n", "text/csv")}
    answer = await stopped.as_("requester-1").post(
        f"{API}/batches?process=payment&dry_run=true", files=files, data={"mapping": mapping}
    )
    assert answer.status_code == 422
    assert "'payee' appears twice" in answer.json()["errors"][0]["message"]


async def test_a_payload_as_text_with_a_key_twice_is_refused(stopped: Gate) -> None:
    body = payment() | {"process": "approval", "input": {"title": "Buy it?", "payload": '{"price": 1, "price": 2}'}}
    answer = await stopped.post("requester-1", "/cases", body)
    assert answer.status_code == 422
    assert "'price' appears twice" in answer.text

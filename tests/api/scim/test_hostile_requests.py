"""Requests without the token, and requests that try to break or to slow down the endpoint."""

import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.conftest import Gate
from tests.api.scim.conftest import PATCH, TOKEN, USER, Provider, client_of, scim_on

ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
PATHS = ("/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/Users", "/Groups", "/Users/x", "/Me", "/none", "")
HEADERS: list[dict[str, str]] = [
    {},
    {"Authorization": TOKEN},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": "Bearer "},
    {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
    {"Authorization": "Bearer " + "x" * 5_000},
]


async def test_without_the_setting_every_address_says_which_setting_turns_scim_on(stopped: Gate) -> None:
    async with client_of(stopped.app) as client:
        for path in PATHS:
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            assert "HOLDGATE_SCIM_TOKEN" in answer.json()["detail"]


@pytest.mark.parametrize("headers", HEADERS)
async def test_without_the_token_nothing_is_answered(stopped: Gate, headers: dict[str, str]) -> None:
    with scim_on(stopped):
        async with client_of(stopped.app, token=None) as client:
            for path in PATHS:
                for method in ("GET", "POST", "PATCH", "DELETE", "PUT"):
                    answer = await client.request(method, path, headers=headers, content=b"{}")
                    said = (answer.status_code, answer.headers["www-authenticate"], answer.json()["schemas"])
                    assert said == (401, 'Bearer realm="SCIM"', [ERROR]), (method, path)


async def test_a_token_of_a_person_is_no_token_of_a_provider_and_the_other_way_round(
    of_gateway: Provider, stopped: Gate
) -> None:
    assert (await of_gateway.client.get("http://gateway/api/v1/me")).status_code == 401
    assert "<h1>Sign in</h1>" in (await of_gateway.client.get("http://gateway/people")).text
    of_person = {"Authorization": f"Bearer {stopped.tokens['admin-1']}"}
    assert (await of_gateway.client.get("/Users", headers=of_person)).status_code == 401


async def test_the_answer_names_the_public_address_and_not_the_host_of_the_request(of_gateway: Provider) -> None:
    answer = await of_gateway.client.get("/ServiceProviderConfig", headers={"Host": "evil.example"})
    assert answer.status_code == 200
    assert answer.json()["meta"]["location"] == "http://gateway/scim/v2/ServiceProviderConfig"
    assert "evil.example" not in answer.text + str(answer.headers)


def deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


BODIES: list[tuple[str, bytes, int]] = [
    ("not JSON", b"{", 400),
    ("not UTF-8", b'{"userName": "\xff"}', 400),
    ("a list", b"[]", 400),
    ("a number", b"1e999", 400),
    ("nothing", b"", 400),
    ("a key twice", b'{"schemas": ["%b"], "userName": "x1", "active": true, "active": false}' % USER.encode(), 400),
    ("deep", deep(5_000).encode(), 400),
    ("no name", b'{"schemas": ["%b"]}' % USER.encode(), 400),
    ("an empty name", b'{"schemas": ["%b"], "userName": ""}' % USER.encode(), 400),
    ("spaces as a name", b'{"schemas": ["%b"], "userName": "   "}' % USER.encode(), 400),
    ("a NUL", b'{"schemas": ["%b"], "userName": "x\\u0000"}' % USER.encode(), 400),
    ("an invisible name", b'{"schemas": ["%b"], "userName": "a\\u202e"}' % USER.encode(), 400),
    ("a long name", json.dumps({"schemas": [USER], "userName": "x" * 300}).encode(), 400),
    ("a long part", json.dumps({"schemas": [USER], "userName": "x2", "name": {"formatted": "x" * 300}}).encode(), 400),
    ("active as a word", json.dumps({"schemas": [USER], "userName": "x3", "active": "perhaps"}).encode(), 400),
    ("another schema", json.dumps({"schemas": ["urn:x"], "userName": "x4"}).encode(), 400),
]


@pytest.mark.parametrize(("what", "body", "status"), BODIES)
async def test_a_bad_body_gets_an_error_and_creates_nobody(
    of_gateway: Provider, what: str, body: bytes, status: int
) -> None:
    answer = await of_gateway.client.post("/Users", content=body)
    assert (answer.status_code, answer.json()["schemas"]) == (status, [ERROR]), (what, answer.text)
    assert answer.json()["detail"], what


@pytest.mark.parametrize("announced", [True, False])
async def test_a_huge_body_is_refused_as_a_scim_error(of_gateway: Provider, announced: bool) -> None:
    size = 3 * 1024 * 1024

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size // 65_536):
            yield b" " * 65_536

    content: Any = b" " * size if announced else parts()
    answer = await of_gateway.client.post("/Users", content=content)
    assert (answer.status_code, answer.json()["schemas"]) == (413, [ERROR]), answer.text


NESTED = "(" * 400 + 'userName eq "x"' + ")" * 400
FILTERS: list[tuple[str, int]] = [
    ("", 400),
    ("userName", 400),
    ('userName eq "x', 400),
    ('userName eq "x" or', 400),
    (NESTED, 200),
    ("not (" * 100 + 'userName eq "x"' + ")" * 100, 400),
    (" or ".join(['userName co "x"'] * 60), 400),
    ('userName eq "' + "x" * 2_000 + '"', 400),
    ('userName eq "\\u0000"', 200),
    ('active eq "perhaps"', 400),
    ('password eq "x"', 400),
    ("userName eq 1e400", 400),
    ('userName eq "%"', 200),
    ('meta.created gt "0000-13-45"', 400),
]


@pytest.mark.parametrize(("wanted", "status"), FILTERS)
async def test_a_hostile_filter_is_refused_or_answered_in_a_moment(
    of_gateway: Provider, wanted: str, status: int
) -> None:
    began = time.process_time()
    answer = await of_gateway.client.get("/Users", params={"filter": wanted})
    assert answer.status_code == status, answer.text
    posted = await of_gateway.send("POST", "/Users/.search", {"schemas": [SEARCH], "filter": wanted})
    assert posted.status_code == status, posted.text
    assert time.process_time() - began < 2


SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


async def test_a_filter_that_names_nobody_is_compared_with_a_limited_number(
    of_gateway: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.scim import storage

    monkeypatch.setattr(storage, "MOST_COMPARED", 1)
    for number in range(2):
        user = await of_gateway.create(f"limited-{number}")
    answer = await of_gateway.client.get("/Users", params={"filter": 'userName co "limited"'})
    assert (answer.status_code, answer.json()["scimType"]) == (400, "tooMany")
    for wanted in ('userName eq "LIMITED-1"', f'id eq "{user["id"]}"', 'userName eq "limited-1" and active eq true'):
        assert (await of_gateway.client.get("/Users", params={"filter": wanted})).json()["totalResults"] == 1, wanted


@pytest.mark.parametrize(
    "query", ["startIndex=99999999999999999999", "startIndex=-5", "count=0", "count=-1", "count=99999999999", "count=x"]
)
async def test_pages_out_of_range_are_answered(of_gateway: Provider, query: str) -> None:
    answer = await of_gateway.client.get(f"/Users?{query}")
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        assert len(answer.json().get("Resources", [])) <= 200


async def test_many_operations_and_odd_patches_are_refused(of_gateway: Provider) -> None:
    user = await of_gateway.create("patched")
    path = f"/Users/{user['id']}"
    replace = {"op": "replace", "path": "displayName", "value": "x"}
    for operations in (
        [replace] * 1_001,
        [{"op": "destroy", "path": "displayName"}],
        [{"op": "remove"}],
        [{"op": "remove", "path": "userName"}],
        [{"op": "replace", "path": "x" * 3_000 + "[", "value": 1}],
        [{"op": "replace", "path": "emails[" + "(" * 500, "value": 1}],
        [{"op": "replace", "path": "active", "value": [1]}],
        [],
    ):
        answer = await of_gateway.send("PATCH", path, {"schemas": [PATCH], "Operations": operations})
        assert answer.status_code == 400, (operations[:1], answer.text)
    assert (await of_gateway.send("GET", path)).json() == user


async def test_odd_addresses_and_methods_are_answered(of_gateway: Provider) -> None:
    for method, path, status in (
        ("GET", "/Users/%00", 404),
        ("GET", "/Users/..%2f..%2fetc", 404),
        ("GET", "/Users/" + "x" * 3_000, 404),
        ("PUT", "/Users", 405),
        ("OPTIONS", "/Users", 405),
        ("POST", "/Bulk", 501),
        ("GET", "/Me", 501),
        ("GET", "/Users?sortBy=userName", 501),
        ("GET", "/Unknown", 404),
        ("GET", "/Users?attributes=" + "a," * 500, 200),
    ):
        answer = await of_gateway.client.request(method, path)
        assert answer.status_code == status, (method, path, answer.text)


async def test_no_log_line_has_the_token_an_address_or_the_query(
    of_gateway: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await of_gateway.create("logged@example.org", emails=[{"value": "secret-address@example.org"}])
    await of_gateway.send("POST", "/Users", {"schemas": [USER], "userName": "logged@example.org"})
    await of_gateway.client.get("/Users", params={"filter": 'userName eq "logged@example.org"'})
    text = "\n".join(
        f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name.startswith("holdgate")
    )
    assert "/scim/v2/Users" in text
    assert not [word for word in (TOKEN, "logged@", "secret-address") if word in text]

"""The requests that Okta and Entra send, each answered as they expect."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from store.people import people
from tests.api.scim.conftest import ENTERPRISE, GROUP, PATCH, USER, Provider

Body = dict[str, Any] | None


class Sent(NamedTuple):
    """A request of a provider, and what is answered."""

    what: str
    method: str
    path: str
    body: Body
    status: int
    holds: Callable[[dict[str, Any]], bool] = lambda _: True
    after: Callable[[dict[str, Any]], bool] = lambda _: True
    """What holds of the resource afterwards."""


def patch(*operations: dict[str, Any]) -> Body:
    return {"schemas": [PATCH], "Operations": list(operations)}


def member_ids(group: dict[str, Any]) -> set[str]:
    return {each["value"] for each in group.get("members", [])}


OKTA_USER = {
    "schemas": [USER],
    "userName": "anna@example.org",
    "name": {"givenName": "Anna", "familyName": "A"},
    "emails": [{"primary": True, "value": "anna@example.org", "type": "work"}],
    "displayName": "Anna A",
    "locale": "en-US",
    "externalId": "00u1",
    "groups": [],
    "password": "x",
    "active": True,
}
ENTRA_USER = {
    "schemas": [USER, ENTERPRISE],
    "externalId": "e1",
    "userName": "Bob@example.org",
    "active": True,
    "displayName": "Bob",
    "emails": [{"primary": True, "type": "work", "value": "bob@example.org"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "Bob", "familyName": "B", "givenName": "Bob"},
    "roles": [],
    ENTERPRISE: {"manager": {"value": "unknown"}, "department": "x"},
}


def one(answer: dict[str, Any]) -> bool:
    return bool(answer["totalResults"] == 1 and len(answer["Resources"]) == 1)


REQUESTS = [
    Sent(
        "Okta tests the connection", "GET", "/Users?startIndex=1&count=2", None, 200, lambda a: a["totalResults"] == 0
    ),
    Sent(
        "Okta asks for an unknown user",
        *("GET", '/Users?filter=userName eq "anna@example.org"&startIndex=1&count=100', None, 200),
        lambda a: (a["totalResults"] == 0 and "Resources" not in a) or a["Resources"] == [],
    ),
    Sent("Okta creates a user with attributes that are not kept", "POST", "/Users", OKTA_USER, 201),
    Sent("Entra creates a user with the enterprise extension", "POST", "/Users", ENTRA_USER, 201),
    Sent(
        "the same userName in capitals",
        *("POST", "/Users", {"schemas": [USER], "userName": "ANNA@example.org"}, 409),
        lambda a: a["scimType"] == "uniqueness",
    ),
    Sent("a filter in other capitals", "GET", '/Users?filter=userName eq "BOB@EXAMPLE.ORG"', None, 200, one),
    Sent("Entra filters by externalId", "GET", '/Users?filter=externalId eq "e1"', None, 200, one),
    Sent(
        "Entra filters by address",
        *("GET", '/Users?filter=emails[type eq "work"].value eq "bob@example.org"', None, 200),
        one,
    ),
    Sent(
        "Okta deactivates without a path",
        *("PATCH", "/Users/{anna}", patch({"op": "replace", "value": {"active": False}}), 204),
        after=lambda user: user["active"] is False,
    ),
    Sent(
        "Okta reactivates by PUT",
        *("PUT", "/Users/{anna}", {**OKTA_USER, "id": "{anna}", "meta": {"resourceType": "User"}}, 200),
        lambda user: user["active"] is True,
    ),
    Sent(
        "Entra deactivates with capitals and a string",
        *("PATCH", "/Users/{bob}", patch({"op": "Replace", "path": "active", "value": "False"}), 204),
        after=lambda user: user["active"] is False,
    ),
    Sent(
        "Entra reactivates with a string",
        *("PATCH", "/Users/{bob}", patch({"op": "Add", "path": "active", "value": "True"}), 204),
        after=lambda user: user["active"] is True,
    ),
    Sent(
        "Entra changes several, by a path with a filter",
        "PATCH",
        "/Users/{bob}",
        patch(
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "bob2@example.org"},
            {"op": "Replace", "path": "displayName", "value": "Bobby"},
            {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "y"},
        ),
        204,
        after=lambda user: (user["displayName"], user["emails"][0]["value"]) == ("Bobby", "bob2@example.org"),
    ),
    Sent(
        "Entra sends a path whose filter matches nothing",
        "PATCH",
        "/Users/{bob}",
        patch({"op": "Add", "path": 'emails[type eq "home"].value', "value": "bob3@example.org"}),
        204,
        after=lambda user: {each["value"] for each in user["emails"]} == {"bob2@example.org", "bob3@example.org"},
    ),
    Sent(
        "Entra sends dotted keys without a path",
        "PATCH",
        "/Users/{bob}",
        patch(
            {
                "op": "replace",
                "value": {"displayName": "Bob B", "name.givenName": "Bobb", 'emails[type eq "work"].value': "b@x.org"},
            }
        ),
        204,
        after=lambda user: (user["displayName"], user["name"]["givenName"]) == ("Bob B", "Bobb"),
    ),
    Sent(
        "a group without members",
        "POST",
        "/Groups",
        {"schemas": [GROUP], "displayName": "Finance Approvers", "externalId": "g1", "members": []},
        201,
    ),
    Sent(
        "Entra adds a member",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "Add", "path": "members", "value": [{"$ref": None, "value": "{anna}"}]}),
        204,
        after=lambda group: len(member_ids(group)) == 1,
    ),
    Sent(
        "Okta adds a member without a path",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "add", "value": {"members": [{"value": "{bob}", "display": "bob@example.org"}]}}),
        204,
        after=lambda group: len(member_ids(group)) == 2,
    ),
    Sent(
        "Entra removes a member by value",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "Remove", "path": "members", "value": [{"$ref": None, "value": "{anna}"}]}),
        204,
        after=lambda group: [each.get("display") for each in group["members"]] == ["bob@example.org"],
    ),
    Sent(
        "Okta removes a member by a filter",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "remove", "path": 'members[value eq "{bob}"]'}),
        204,
        after=lambda group: not member_ids(group),
    ),
    Sent(
        "Okta replaces all members",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "replace", "path": "members", "value": [{"value": "{anna}"}, {"value": "{bob}"}]}),
        204,
        after=lambda group: len(member_ids(group)) == 2,
    ),
    Sent(
        "Okta pushes an empty group",
        *("PATCH", "/Groups/{group}", patch({"op": "replace", "path": "members", "value": []}), 204),
        after=lambda group: not member_ids(group),
    ),
    Sent(
        "Okta renames a group, with its id in the value",
        "PATCH",
        "/Groups/{group}",
        patch({"op": "replace", "value": {"id": "{group}", "displayName": "Finance 2"}}),
        204,
        after=lambda group: group["displayName"] == "Finance 2",
    ),
    Sent(
        "Entra lists groups without members",
        *("GET", '/Groups?excludedAttributes=members&filter=displayName eq "Finance 2"', None, 200),
        one,
    ),
    Sent("a user is deleted", "DELETE", "/Users/{bob}", None, 204),
    Sent("a deleted user is gone", "GET", "/Users/{bob}", None, 404, lambda a: a["status"] == "404"),
]


def filled(value: Any, ids: dict[str, str]) -> Any:
    """Return the value with ids in the place of names such as `{anna}`."""
    match value:
        case str():
            for name, id in ids.items():
                value = value.replace(f"{{{name}}}", id)
            return value
        case dict():
            return {name: filled(each, ids) for name, each in value.items()}
        case list():
            return [filled(each, ids) for each in value]
    return value


@pytest.mark.both_databases
async def test_requests_of_okta_and_entra_are_answered_as_they_expect(provider: Provider) -> None:
    assert len(REQUESTS) == 26
    ids: dict[str, str] = {}
    names = iter(("anna", "bob", "group"))
    async with provider.db.write() as conn:
        await people.add(conn, "root", "Root", ["admins"], by="cli:test")
    for sent in REQUESTS:
        path = filled(sent.path, ids)
        answer = await provider.send(sent.method, path, filled(sent.body, ids))
        assert answer.status_code == sent.status, (sent.what, answer.text)
        said = answer.json() if answer.content else {}
        assert sent.holds(said), (sent.what, said)
        if sent.status == 201:
            ids[next(names)] = said["id"]
        if sent.method in ("PATCH", "PUT"):
            now = (await provider.send("GET", path)).json()
            assert sent.after(now), (sent.what, now)
    anna, bob = await provider.person("anna"), await provider.person("bob")
    assert (anna[0].name, anna[0].email, anna[1]) == ("Anna A", "anna@example.org", True)
    assert (bob[0].name, bob[1]) == ("Bob B", False)

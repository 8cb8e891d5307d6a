"""What the claims of a provider mean: groups, names and ids."""

from typing import Any

import pytest

from api.oidc import claims


@pytest.mark.parametrize(
    ("claim", "sources", "values"),
    [
        ("groups", [{"groups": ["a", "b"]}], ["a", "b"]),
        ("groups", [{"groups": []}, {"groups": ["a"]}], []),
        ("groups", [{}, {"groups": ["a"]}], ["a"]),
        ("groups", [{"groups": "a"}], ["a"]),
        ("groups", [{"groups": ""}], []),
        ("groups", [{"groups": ["a", 5]}, {}], None),
        ("groups", [{"groups": None}], None),
        ("groups", [{"_claim_names": {"groups": "src1"}}], None),
        ("realm_access.roles", [{"realm_access": {"roles": ["a"]}}], ["a"]),
        ("realm_access.roles", [{"realm_access": ["roles"]}], None),
        ("https://x.example/groups", [{"https://x.example/groups": ["a"]}], ["a"]),
        ("groups", [], None),
    ],
)
def test_groups_are_read_from_the_first_source_that_has_them(
    claim: str, sources: list[dict[str, Any]], values: list[str] | None
) -> None:
    assert claims.groups_in(claim, *sources) == values


def test_a_table_decides_alone_and_without_one_no_value_gives_admins() -> None:
    known = {"managers", "admins", "auditors"}
    assert claims.groups_of(["managers", "admins", "x"], {}, known) == {"managers"}
    table = {"x": ("admins", "directors"), "y": ("auditors",)}
    assert claims.groups_of(["managers", "admins", "x"], table, known) == {"admins", "directors"}


@pytest.mark.parametrize(
    ("said", "verified"),
    [(True, True), ("true", True), (False, False), ("false", False), (1, False), (None, False), ("True", False)],
)
def test_an_address_is_verified_only_if_the_provider_says_so(said: Any, verified: bool) -> None:
    found = claims.verified_email_of({"email": "a@example.org", "email_verified": said})
    assert (found is not None) == verified


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"name": " Ana  "}, "Ana"),
        ({"given_name": "Ana", "family_name": "Berg"}, "Ana Berg"),
        ({"preferred_username": "ana"}, "ana"),
        ({"name": "An\u202ea"}, "Ana"),
        ({"name": "\u3164"}, "the-id"),
        ({"name": ["Ana"]}, "the-id"),
        ({"name": "x" * 500}, "x" * 200),
    ],
)
def test_a_name_is_one_readable_line(said: dict[str, Any], name: str) -> None:
    assert claims.name_of(said, "the-id") == name

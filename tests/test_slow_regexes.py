"""No regular expression of the product takes long on any text. Each is tried as the code uses it."""

import pytest

from tests.support.regexes import slow, used_in

ROOMS = [
    "domain",
    "core",
    "cases",
    "intake",
    "policy",
    "channels",
    "activities",
    "api",
    "store",
    "workflows",
    "plugins",
    "cli",
]
USED = used_in(ROOMS)


def test_patterns_are_found_with_their_uses() -> None:
    assert len(USED) > 80
    assert {use for uses in USED.values() for use in uses} == {"search", "match", "fullmatch", "finditer"}
    assert slow(r"(?:[\w.\s-]|'[^']*')+?\s*=", 0, "match"), "of an earlier version: the square of the length"


@pytest.mark.parametrize(("pattern", "flags"), USED, ids=[str(number) for number in range(len(USED))])
def test_an_expression_takes_no_long_on_any_text(pattern: str | bytes, flags: int) -> None:
    assert {use: found for use in USED[pattern, flags] if (found := slow(pattern, flags, use))} == {}, pattern

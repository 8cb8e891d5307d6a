"""No regular expression of the product takes long on any text. Each is tried as the code uses it."""

import pytest

from tests.support.regexes import slow, used_in

FOLDERS = [
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


def test_patterns_are_found_with_their_uses() -> None:
    used = [each for folder in FOLDERS for each in used_in(folder).items()]
    assert len(used) > 80
    assert {use for _, uses in used for use in uses} == {"search", "match", "fullmatch", "finditer"}
    assert slow(r"(?:[\w.\s-]|'[^']*')+?\s*=", 0, "match"), "of an earlier version: the square of the length"


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_expression_takes_long_on_any_text(folder: str) -> None:
    found = {
        (pattern, use): texts
        for (pattern, flags), uses in used_in(folder).items()
        for use in uses
        if (texts := slow(pattern, flags, use))
    }
    assert found == {}

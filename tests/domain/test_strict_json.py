"""JSON that programs read differently, or cannot read, is refused before it is stored."""

import pytest

from domain import strict_json

REFUSED = [
    '{"a": 1, "a": 2}',
    "NaN",
    "[Infinity]",
    "-Infinity",
    "1e999",
    "-1e400",
    "9" * 41,
    "-" + "9" * 5000,
    '"\\u0000"',
    '{"a\\u0000": 1}',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '{"\\ud800": 1}',
    '[[["x", {"y": "\\udfff"}]]]',
]
TOO_DEEP = ["[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101, "[" * 100_000, "[" * 100_000 + "]" * 100_000]
TAKEN = ['{"a": [1, 2.5, "\\ud83d\\ude00", null, true]}', "9" * 40, "[" * 99 + "]" * 99, '"' + "x" * 100_000 + '"']


@pytest.mark.parametrize("text", REFUSED)
def test_what_has_no_single_meaning_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        strict_json.loads(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", TOO_DEEP)
def test_nesting_ends_somewhere(text: str) -> None:
    with pytest.raises(RecursionError):
        strict_json.loads(text)


@pytest.mark.parametrize("text", TAKEN)
def test_what_people_mean_is_taken(text: str) -> None:
    strict_json.loads(text)

"""Cursors are opaque, and a cursor that Holdgate did not make is refused with one error."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from store.db import cursor
from tests.api.odd_values import CURSORS

pytestmark = pytest.mark.both_databases

SHAPES: list[tuple[type, ...]] = [
    (datetime, str),
    (int, int),
    (datetime, int, int),
    (float, str, datetime, bool),
    (str,),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_cursor_is_read_within_bounds_or_refused(shape: tuple[type, ...]) -> None:
    for given_one in CURSORS:
        try:
            parts = cursor.decode(given_one, *shape)
        except ValueError as refused:
            assert str(refused) == "not a cursor of this list"
            continue
        for part in parts:
            assert not isinstance(part, int) or abs(part) <= cursor.MOST
            assert not isinstance(part, str) or ("\0" not in part and part.encode() is not None)
            assert not isinstance(part, float) or abs(part) < float("inf")


@given(st.binary(max_size=200) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_cursor_or_one_error(data: bytes) -> None:
    for shape in SHAPES:
        try:
            cursor.decode(base64.urlsafe_b64encode(data).decode().rstrip("="), *shape)
        except ValueError as refused:
            assert str(refused) == "not a cursor of this list"


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        ((datetime(2027, 1, 1, tzinfo=UTC), "payment:x"), (datetime, str)),
        ((2**31 - 1, 0), (int, int)),
        ((1.5, "\u00e9\U0001f600", datetime(2027, 1, 1, tzinfo=UTC), True), (float, str, datetime, bool)),
    ],
)
def test_what_we_gave_out_comes_back(key: tuple[Any, ...], shape: tuple[type, ...]) -> None:
    assert cursor.decode(cursor.encode(*key), *shape) == list(key)

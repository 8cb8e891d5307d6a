"""The setting of the rate limits, and the arithmetic of one bucket."""

import pytest
from hypothesis import given, strategies as st

from core.settings import WrongSettings, load
from domain.rate_limits import DEFAULTS, Rate, RequestKind, parse, taken

Kind = RequestKind


@pytest.mark.parametrize("text", [None, "", "  ", ","])
def test_without_a_setting_the_defaults_hold(text: str | None) -> None:
    assert parse(text) == DEFAULTS
    assert set(DEFAULTS) == set(RequestKind)


@pytest.mark.parametrize("text", ["off", " OFF "])
def test_off_limits_nothing(text: str) -> None:
    assert parse(text) == {}


@pytest.mark.parametrize(
    "text, changed",
    [
        ("decisions=60/m", {Kind.DECISIONS: Rate(60, 60)}),
        ("decisions=60/m, uploads=6/m", {Kind.DECISIONS: Rate(60, 60), Kind.UPLOADS: Rate(6, 60)}),
        (" Sign-In = 5/s ,scim=500/H,", {Kind.SIGN_IN: Rate(5, 1), Kind.SCIM: Rate(500, 3600)}),
        ("searches=off", {Kind.SEARCHES: None}),
    ],
)
def test_a_table_changes_the_defaults_that_it_names(text: str, changed: dict[Kind, Rate | None]) -> None:
    wanted = {**DEFAULTS, **changed}
    assert parse(text) == {kind: rate for kind, rate in wanted.items() if rate is not None}


@pytest.mark.parametrize(
    "wrong, says",
    [
        ("decision=60/m", "must be one of decisions, starts, uploads, searches, sign-in, scim, codec, other"),
        ("decisions", "must be one of"),
        ("60/m", "must be one of"),
        ("decisions=off=on", "must be a number of requests"),
        ("decisions=60", "such as 5/s, 60/m or 500/h, or off"),
        ("decisions=0/m", "must be a number"),
        ("decisions=-1/m", "must be a number"),
        ("decisions=1.5/m", "must be a number"),
        ("decisions=60/d", "must be a number"),
        ("decisions=9999999/m", "must be a number"),
        ("decisions=\u0663/m", "must be a number"),
        ("on", "must be one of"),
    ],
)
def test_a_wrong_part_is_named(wrong: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        parse(f"uploads=6/m, {wrong}")
    assert repr(wrong) in str(error.value) and says in str(error.value)


def test_a_kind_is_named_once() -> None:
    with pytest.raises(ValueError, match="'uploads=7/m': uploads is there twice"):
        parse("uploads=6/m, uploads=7/m")


def test_the_message_names_the_setting() -> None:
    with pytest.raises(WrongSettings, match=r"HOLDGATE_RATE_LIMITS=uploads=many: 'uploads=many'"):
        load(_env_file=None, rate_limits="uploads=many")


@given(
    rate=st.builds(Rate, st.integers(1, 50), st.sampled_from([1, 60, 3600])),
    waits=st.lists(st.floats(0, 2), min_size=1, max_size=80),
)
def test_no_interval_has_more_than_the_limit_allows(rate: Rate, waits: list[float]) -> None:
    now, full_at = 1e9, 0.0
    let_in = []
    for wait in waits:
        now += wait * rate.cost
        after = taken(full_at, now, rate)
        if after is not None:
            full_at = after
            let_in.append(now)
    for first, begin in enumerate(let_in):
        for number, end in enumerate(let_in[first:], 1):
            assert number <= rate.number + (end - begin) / rate.cost + 0.15


@given(rate=st.builds(Rate, st.integers(1, 500), st.sampled_from([1, 60, 3600])))
def test_a_full_bucket_lets_all_in_at_once_and_then_one_each_cost(rate: Rate) -> None:
    now, full_at = 1e9, 0.0
    for _ in range(rate.number):
        after = taken(full_at, now, rate)
        assert after is not None
        full_at = after
    assert taken(full_at, now, rate) is None
    assert taken(full_at, now + rate.cost * 0.5, rate) is None
    assert taken(full_at, now + rate.cost * 1.001, rate) is not None


@pytest.mark.parametrize("back", [0.5, 61, 3600, 1e8])
def test_a_clock_that_goes_back_keeps_nobody_out(back: float) -> None:
    rate, ahead = Rate(60, 60), 1e9
    full_at = ahead + rate.seconds  # an empty bucket
    now = ahead - back
    if back > 1:
        full_at = taken(full_at, now, rate) or 0.0
        assert full_at == now + rate.cost
    else:
        assert taken(full_at, now, rate) is None
    assert taken(full_at, now + back + rate.cost * 1.001, rate) is not None

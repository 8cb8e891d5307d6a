"""How templates format values."""

from api.pages.parts import formatting


def test_a_stored_moment_is_shown_in_the_readers_zone_and_without_fractions() -> None:
    told = str(formatting.as_shown("2026-11-30T00:35:54.307138Z"))
    assert "30 Nov 2026, 00:35 UTC" in told and "307138" not in told
    assert [formatting.as_shown(each) for each in ("20261130", "2026-11-30", 7, None)] == [
        "20261130",
        "2026-11-30",
        7,
        None,
    ]

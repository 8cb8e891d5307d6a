"""To whom a Temporal namespace belongs, as a table."""

import pytest

from domain.installation import Installation, Mark, Standing, owner, standing

OURS = Installation(id="1", database="sqlite:///a.db")
MOVED = Installation(id="1", database="postgresql://db/holdgate")
OTHER = Installation(id="2", database="sqlite:///a.db")


@pytest.mark.parametrize(
    ("marked", "is_open", "expected"),
    [
        (OURS, True, Standing.OURS),
        (OURS, False, Standing.FREE),
        (MOVED, True, Standing.OURS),
        (MOVED, False, Standing.FREE),
        (OTHER, True, Standing.FOREIGN),
        (OTHER, False, Standing.FOREIGN),
        (None, True, Standing.FOREIGN),
        (None, False, Standing.FOREIGN),
    ],
)
@pytest.mark.parametrize("strangers", [True, False])
def test_a_mark_says_to_whom_the_namespace_belongs(
    marked: Installation | None, is_open: bool, expected: Standing, strangers: bool
) -> None:
    assert standing(OURS, Mark(installation=marked, open=is_open), strangers=strangers) is expected


@pytest.mark.parametrize(("strangers", "expected"), [(False, Standing.FREE), (True, Standing.FOREIGN)])
def test_without_a_mark_the_running_cases_say_it(strangers: bool, expected: Standing) -> None:
    assert standing(OURS, None, strangers=strangers) is expected


def test_the_owner_is_named_by_id_and_database() -> None:
    assert owner(Mark(installation=MOVED, open=True)) == "installation 1 (database postgresql://db/holdgate)"
    assert owner(Mark(installation=None, open=True)) == "a program that Holdgate does not know"
    assert owner(None) == "nobody"

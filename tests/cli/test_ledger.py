"""The commands of the ledger of the demo."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, text

from store.tables.receivers import accounts
from tests.support.in_process_command_line import Run


@pytest.fixture
def operating(run: Run, tmp_path: Path) -> None:
    """An account `operating` with no money in it."""
    run("migrate")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.begin() as connection:
        row = {"name": "operating", "currency": "GBP", "open": True, "funded": True, "posted": 0, "pending": 0}
        connection.execute(insert(accounts).values(row))
    engine.dispose()


def test_an_account_is_locked_and_unlocked_and_its_books_are_closed(run: Run, operating: None, tmp_path: Path) -> None:
    assert run("ledger", "lock", "operating").out.startswith("operating is locked: ")
    assert run("ledger", "unlock", "operating").out.startswith("operating is unlocked: ")
    rest = ": payments up to that moment can no longer be undone\n"
    for until, closed in (
        ("2024-11-30T19:30:00+01:00", "30 Nov 2024, 18:30 UTC"),
        ("2024-11-30", "30 November 2024"),
        ("2024-12-01T00:00Z", "1 Dec 2024, 00:00 UTC"),
    ):
        answer = run("ledger", "close-books", "operating", "--until", until)
        assert answer == (0, f"the books of operating are closed up to {closed}{rest}", "")
    engine = create_engine(f"sqlite:///{tmp_path}/holdgate.db")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT closed_until FROM accounts")) == "2024-12-01 00:00:00.000000"
        recorded = connection.execute(text("SELECT kind FROM events WHERE actor LIKE 'cli:%' ORDER BY number"))
        assert list(recorded.scalars()) == ["account_locked", "account_unlocked", *["books_closed"] * 3]
    engine.dispose()


@pytest.mark.parametrize(
    ("account", "until", "says"),
    [
        ("nowhere", "2024-11-30", "there is no account 'nowhere'"),
        ("operating", "2024-11-31", "'2024-11-31' is no day such as 2026-11-30, and no moment such as"),
        ("operating", "2024-11-30T18:00", "'2024-11-30T18:00' is no day such as"),
        (
            "operating",
            "2999-12-31",
            "books can be closed only up to a moment in the past, and 31 December 2999 is in the future",
        ),
        ("operating", "2024-09-30", "the books of account 'operating' are closed up to 31 October 2024 already"),
    ],
)
def test_books_that_cannot_be_closed_are_one_line_and_exit_code_1(
    run: Run, operating: None, account: str, until: str, says: str
) -> None:
    run("ledger", "close-books", "operating", "--until", "2024-10-31")
    answer = run("ledger", "close-books", account, "--until", until)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(says) and answer.err.count("\n") == 1

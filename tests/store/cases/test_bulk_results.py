"""Results of bulk decisions: the person who sent the form reads them again for a day."""

from datetime import UTC, datetime, timedelta

import pytest

from store.cases import bulk_results
from store.db.database import Database

pytestmark = pytest.mark.both_databases
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


async def test_results_are_read_for_a_day_by_the_person_who_sent_the_form(db: Database) -> None:
    results = [{"task_id": "t1", "status": "accepted"}]
    async with db.write() as conn:
        await bulk_results.keep(conn, "r1", "mia", results, NOW)
    day = timedelta(days=1)
    async with db.read() as conn:
        assert await bulk_results.kept(conn, "r1", "mia", NOW + day) == results
        assert await bulk_results.kept(conn, "r1", "max", NOW) is None
        assert await bulk_results.kept(conn, "r1", "mia", NOW + day + timedelta(seconds=1)) is None
    async with db.write() as conn:  # the same form, sent again after its results were forgotten
        await bulk_results.keep(conn, "r1", "mia", [], NOW + 2 * day)
        assert await bulk_results.kept(conn, "r1", "mia", NOW + 2 * day) == []

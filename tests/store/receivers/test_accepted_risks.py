"""Accepted risks on both databases: each once, listed with the valid ones first, page by page."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import Refused
from store.db.database import Database
from store.receivers.accepted_risks import Risks

NOW = datetime.now(UTC)


async def accepted(risks: Risks, key: str, days: int) -> int:
    return await risks.accept(
        key,
        "security_review:store",
        target="job",
        digest="c" * 64,
        severity="medium",
        findings=[],
        accepted_by=["sam"],
        reason="in a box",
        accepted_at=NOW - timedelta(days=9),
        expires_at=NOW + timedelta(days=days),
    )


@pytest.mark.both_databases
async def test_risks_that_stand_come_first_and_no_page_loses_or_repeats_one(db: Database) -> None:
    risks = Risks(db)
    numbers = [await accepted(risks, f"k{number}", days) for number, days in enumerate((5, -1, 5, -1, 5, 5))]
    await risks.withdraw("k4/undo", "k4", "security_review:store")
    expected = [numbers[each] for each in (5, 2, 0, 4, 3, 1)]
    page, cursor = await risks.page("job", limit=2)
    seen = [each.risk_id for each in page]
    # What is withdrawn while somebody reads on stays in its place; otherwise the third that stands would be skipped.
    await risks.withdraw("k2/undo", "k2", "security_review:store")
    while cursor:
        page, cursor = await risks.page("job", cursor=cursor, limit=2)
        seen += [each.risk_id for each in page]
    assert seen == expected
    assert await risks.listed("other") == []


@pytest.mark.undoes("withdraw_accepted_risk")
async def test_a_risk_counts_until_it_ends_or_is_withdrawn_and_for_nothing_worse(db: Database) -> None:
    risks = Risks(db)
    await accepted(risks, "k", 5)
    assert await risks.accepted("c" * 64, NOW) and not await risks.accepted("d" * 64, NOW)
    assert not await risks.accepted("c" * 64, NOW, ["high"])
    assert not await risks.accepted("c" * 64, NOW + timedelta(days=5))
    assert [await risks.withdraw("k/undo", "k", "security_review:store") for _ in range(2)] == [True, True]
    assert not await risks.accepted("c" * 64, NOW)
    with pytest.raises(Refused, match="undone before it was done"):
        await accepted(risks, "k", 5)

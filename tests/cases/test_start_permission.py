"""Who may start a case of a process: one function for requests, files, child cases and next rounds."""

from pathlib import Path

import pytest

from cases.start_permission import NotARequester, check_may_start, scope_now
from domain.scope import Scope
from policy.parse import parse
from store.db.database import Database
from store.people import leavers, people
from workflows.registry import INPUTS

SHIPPED = (Path(__file__).parents[2] / "config" / "policy.toml").read_text(encoding="utf-8")
POLICY = parse(f'{SHIPPED}\n[deployment]\nrequesters = ["developers"]\n', inputs=INPUTS)
WORLD = {
    "rita": ["requesters"],
    "dev": ["developers"],
    "hana": ["hr"],
    "mia": ["managers"],
    "ada": ["admins"],
    "bot": ["requesters", "developers"],
}


@pytest.fixture
async def house(db: Database) -> Database:
    async with db.write() as conn:
        for person, groups in WORLD.items():
            kind = "service" if person == "bot" else "person"
            await people.add(conn, person, person.title(), groups, by="t", kind=kind)
    return db


STARTS = [
    ("rita", None, {"payment", "approval", "user_onboarding"}),
    ("dev", None, {"deployment"}),
    ("hana", None, {"user_onboarding"}),
    ("mia", None, set()),
    ("ada", None, {"payment", "approval", "user_onboarding", "deployment"}),
    ("nobody", None, set()),
    ("bot", None, {"payment", "approval", "user_onboarding", "deployment"}),
    ("bot", "rita", {"payment", "approval", "user_onboarding"}),
    ("bot", "mia", set()),
    ("bot", "nobody", set()),
]


@pytest.mark.parametrize(("person", "behalf", "starts"), STARTS)
async def test_a_person_starts_the_cases_of_their_processes(
    house: Database, person: str, behalf: str | None, starts: set[str]
) -> None:
    scope = await scope_now(house, POLICY, person, behalf)
    for process in ("payment", "approval", "user_onboarding", "deployment"):
        if process in starts:
            check_may_start(POLICY, process, scope)
        else:
            with pytest.raises(NotARequester, match=f"'{process}'"):
                check_may_start(POLICY, process, scope)


async def test_the_groups_that_may_are_named_only_to_people_who_know_the_process(house: Database) -> None:
    for person, process, rule in (
        ("mia", "payment", "members of requesters or admins"),
        ("hana", "deployment", "requesters of the process"),
    ):
        with pytest.raises(NotARequester) as no:
            check_may_start(POLICY, process, await scope_now(house, POLICY, person))
        assert no.value.rule == rule
    assert await scope_now(house, POLICY, "nobody") == Scope()


async def test_cases_of_a_person_who_left_go_on_by_the_rights_of_the_successor(house: Database) -> None:
    async with house.write() as conn:
        await leavers.replace(conn, "dev", "hana", "left", by="ada")
        await people.add(conn, "gone", "Gone", ["requesters"], by="t")
        await leavers.deactivate(conn, "gone", "left", by="ada")
    assert "deployment" in (await scope_now(house, POLICY, "gone")).starts, "nobody could ask in this name any more"
    heir = await scope_now(house, POLICY, "dev")
    assert ("user_onboarding" in heir.starts, "payment" in heir.starts) == (True, False)

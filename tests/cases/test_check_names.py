"""Names of people and groups in requests must exist, for shipped processes and for plugins."""

from typing import Any

import pytest
from pydantic import BaseModel

from cases.check_names import NamesCheck
from domain.named_fields import PersonId, PersonOrGroup
from policy.model import Policy
from policy.parse import parse
from store.db.database import Database
from store.people import people
from tests.support.installed_app import ROOT
from workflows.registry import INPUTS

POLICY: Policy = parse((ROOT / "config" / "policy.toml").read_text(), source="policy.toml", inputs=INPUTS)


class OwnRequest(BaseModel):
    """The input of a plugin."""

    sponsor: PersonId | None = None
    reviewers: list[PersonOrGroup] = []
    note: str = ""


async def furnished(db: Database) -> None:
    async with db.write() as conn:
        for id, groups in {
            "rita": ["requesters"],
            "manager-1": ["managers"],
            "anna@example.org": ["chess-club"],
            "audra": ["auditors"],
        }.items():
            await people.add(conn, id, id.capitalize(), groups, by="t", email=f"{id.partition('@')[0]}@mail.example")


async def told(db: Database, process: str, request: BaseModel, by: str = "rita") -> list[tuple[str | None, str]]:
    (problems,) = await NamesCheck(db, POLICY, by).problems(process, [request])
    return [(each.column, each.message) for each in problems]


@pytest.mark.parametrize(
    ("process", "input", "field", "said"),
    [
        ("approval", {"candidates": ["Manager-1"]}, "candidates.0", "did you mean manager-1?"),
        ("approval", {"candidates": ["manager-1", "MANAGERS"]}, "candidates.1", "did you mean managers?"),
        ("approval", {"candidates": "Anna@Example.org"}, "candidates.0", "did you mean anna@example.org?"),
        ("approval", {"candidates": ["manager-1@mail.example"]}, "candidates.0", "did you mean manager-1?"),
        ("approval", {"candidates": ["manager-1 "]}, None, ""),
        ("approval", {"candidates": ["ghosts"]}, "candidates.0", "nor a group"),
        ("approval", {"candidates": ["managers", "directors"]}, "candidates.1", "nor a group that has members"),
        ("approval", {"candidates": ["manager-1", "anna@example.org", "managers", "chess-club"]}, None, ""),
        ("user_onboarding", {"manager": "Manager-1"}, "manager", "did you mean manager-1?"),
        ("user_onboarding", {"manager": "Manager 1"}, "manager", "is not the id of an active person"),
        ("user_onboarding", {"manager": "managers"}, "manager", "is not the id of an active person"),
        ("user_onboarding", {"manager": ""}, None, ""),
        ("user_onboarding", {"manager": "manager-1"}, None, ""),
    ],
)
async def test_a_request_of_a_shipped_process_names_who_there_is(
    db: Database, process: str, input: dict[str, Any], field: str | None, said: str
) -> None:
    await furnished(db)
    about = {"title": "T"} if process == "approval" else {"full_name": "Ada Lovelace"}
    found = await told(db, process, INPUTS[process].model_validate(about | input))
    assert [each for each, _ in found] == ([field] if field else [])
    assert all(said in message for _, message in found)


async def test_a_request_of_a_plugin_is_checked_by_its_types(db: Database) -> None:
    await furnished(db)
    request = OwnRequest(sponsor="Manager-1", reviewers=["managers", "nobody"], note="ghosts")
    assert [field for field, _ in await told(db, "payment", request)] == ["sponsor", "reviewers.1"]
    assert await told(db, "payment", OwnRequest(sponsor="manager-1", note="ghosts")) == []


async def test_only_readers_of_the_list_of_people_get_names_that_decide_nothing(db: Database) -> None:
    await furnished(db)
    request = OwnRequest(sponsor="audr", reviewers=["chess-clubb", "manager-2"])
    ((_, sponsor), (_, club), (_, manager)) = await told(db, "approval", request)
    assert "did you mean" not in sponsor + club
    assert "did you mean manager-1 or managers?" in manager  # who decides such requests stands on the page of each
    ((_, sponsor), (_, club), _) = await told(db, "approval", request, by="audra")
    assert "did you mean audra?" in sponsor and "did you mean chess-club?" in club


async def test_of_a_list_only_the_named_fields_are_looked_at(db: Database) -> None:
    await furnished(db)
    request = OwnRequest(sponsor="left-since", reviewers=["nobody"])
    (found,) = await NamesCheck(db, POLICY, "rita").problems("payment", [request], ["reviewers"])
    assert [each.column for each in found] == ["reviewers.0"]


@pytest.mark.both_databases
async def test_a_file_of_wrong_names_is_told_row_by_row_and_asks_for_few_suggestions(db: Database) -> None:
    await furnished(db)
    requests = [OwnRequest(sponsor=f"Manager-{number}") for number in range(1_000)]
    found = await NamesCheck(db, POLICY, "rita").problems("payment", requests)
    assert all(len(problems) == 1 for problems in found)
    assert found[1][0].expected == "manager-1" and found[999][0].expected == "an existing person"

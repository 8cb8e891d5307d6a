"""The types of a model alone say which fields of a request name people or groups."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from domain.named_fields import GroupName, Named, Names, PersonId, PersonOrGroup, names_any, names_in
from workflows.registry import PROCESSES


class Place(BaseModel):
    owner: PersonId | None = None
    note: str = ""


class Asked(BaseModel):
    plain: str = "plain"
    one: PersonId = ""
    maybe: PersonId | None = None
    described: Annotated[PersonId, Field(max_length=20)] = ""
    group: GroupName = ""
    several: list[PersonOrGroup] = []
    marked: Annotated[list[str], Names("group")] = []
    pair: tuple[PersonId, str] | None = None
    by_role: dict[str, PersonId] = {}
    nested: Place | None = None
    places: list[Place] = []
    either: int | PersonId = 0
    anything: Any = None


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"one": "anna"}, [("one", "anna", "person")]),
        ({"one": " "}, []),
        ({"maybe": "anna"}, [("maybe", "anna", "person")]),
        ({"described": "anna"}, [("described", "anna", "person")]),
        ({"group": "legal"}, [("group", "legal", "group")]),
        ({"several": ["a", "b"]}, [("several.0", "a", "person or group"), ("several.1", "b", "person or group")]),
        ({"marked": ["a"]}, [("marked.0", "a", "group")]),
        ({"pair": ("anna", "not a name")}, [("pair.0", "anna", "person")]),
        ({"by_role": {"chair": "anna"}}, [("by_role.chair", "anna", "person")]),
        ({"nested": {"owner": "anna", "note": "bert"}}, [("nested.owner", "anna", "person")]),
        (
            {"places": [{"owner": "a"}, {"owner": "b"}]},
            [("places.0.owner", "a", "person"), ("places.1.owner", "b", "person")],
        ),
        ({"either": "anna"}, [("either", "anna", "person")]),
        ({"either": 3, "plain": "x", "anything": {"owner": "x"}}, []),
    ],
)
def test_names_are_found_wherever_the_type_says_so(given: dict[str, Any], named: list[Any]) -> None:
    assert names_in(Asked(**given)) == [Named(*each) for each in named]


def test_of_the_shipped_processes_two_name_people() -> None:
    assert {name for name, process in PROCESSES.items() if names_any(process.input)} == {"approval", "user_onboarding"}


class Endless(BaseModel):
    again: "Endless | None" = None
    name: str = ""


class EndlessNames(BaseModel):
    again: "EndlessNames | None" = None
    who: PersonId = ""


def test_models_that_hold_themselves_have_an_end() -> None:
    assert not names_any(Endless) and names_any(EndlessNames)
    deep = EndlessNames(who="a", again=EndlessNames(who="b"))
    assert [each.field for each in names_in(deep)] == ["again.who", "who"]

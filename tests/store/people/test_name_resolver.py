"""People are found by id, name or address, in any case, with or without accents and spaces."""

import unicodedata

import pytest
from hypothesis import example, given, strategies as st

from store.db.database import Database
from store.people import leavers, people
from store.people.name_resolver import (
    KnownPerson,
    NameResolver,
    UnknownName,
    existing_names,
    folded,
    id_meant,
    new_group,
)

ANNA = KnownPerson("anna.berg", "Anna Berg", "anna@example.org", {"managers"})
SOEREN = KnownPerson("soren", "Søren Åström", "S.Astrom@example.org", {"managers", "legal"})
JOSE = KnownPerson("jose-1", "José  García", None, {"directors"})
JOSE_TOO = KnownPerson("jose-2", "Jose Garcia", "jg@example.org", {"directors"})
MANAGER = KnownPerson("manager-1", "Manager 1", "manager-1@example.org", {"managers"})
WIDE = "".join(chr(ord(char) + 0xFEE0) for char in "Manager-1")
"""The same in full width letters."""
ALL = NameResolver([ANNA, SOEREN, JOSE, JOSE_TOO, MANAGER])


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("anna.berg", "anna.berg"),
        (" ANNA.BERG ", "anna.berg"),
        ("anna berg", "anna.berg"),
        ("Anna   Berg", "anna.berg"),
        ("AnnaBerg", "anna.berg"),
        ("Anna@Example.ORG", "anna.berg"),
        ("Anna Berg <anna@example.org>", "anna.berg"),
        ("Anna Berg (anna.berg)", "anna.berg"),
        ("\u200bAnna Berg", "anna.berg"),
        ("soren astrom", "soren"),
        ("SØREN ÅSTRÖM", "soren"),
        ("So\u0308ren Astro\u0308m", "soren"),
        (WIDE, "manager-1"),
        ("MANAGER-1", "manager-1"),
        ("jg@example.org", "jose-2"),
    ],
)
def test_a_person_who_is_named_clearly_is_found(text: str, id: str) -> None:
    assert ALL.person(text).id == id


def test_of_several_all_are_named_and_none_is_chosen() -> None:
    with pytest.raises(UnknownName) as no:
        ALL.person("josé garcia")
    assert no.value.many and no.value.suggestions == ["jose-1", "jose-2"]
    assert "means 2 people" in str(no.value) and "jg@example.org" not in str(no.value)


@pytest.mark.parametrize("text", ["Ana Berg", "anna.bergg", "berg", "Anna B"])
def test_for_nobody_those_who_are_close_are_suggested(text: str) -> None:
    with pytest.raises(UnknownName) as no:
        ALL.person(text)
    assert not no.value.many and no.value.suggestions[0] == "anna.berg"
    assert "did you mean Anna Berg (anna.berg)" in str(no.value)


@pytest.mark.parametrize("text", ["Ana Berg", "berg", "anna@example.com", "anna"])
def test_nobody_is_suggested_whom_the_asker_does_not_see(text: str) -> None:
    with pytest.raises(UnknownName) as no:
        ALL.person(text, seen={"soren"})
    assert "anna.berg" not in str(no.value) and no.value.suggestions == []


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "zzz", "x" * 5000, "%", "_", "\0"])
def test_what_means_nobody_is_refused_in_words(text: str) -> None:
    with pytest.raises(UnknownName) as no:
        ALL.person(text)
    assert str(no.value).startswith("there is no active person") and len(str(no.value)) < 400


def test_an_exact_id_wins_over_the_name_of_another() -> None:
    both = NameResolver([KnownPerson("bert", "Anna"), KnownPerson("anna", "Carla")])
    assert both.person("anna").id == "anna"
    with pytest.raises(UnknownName, match="means 2 people"):
        both.person("ANNA")


@pytest.mark.parametrize(
    ("text", "kind", "seen", "suggested"),
    [
        ("Manager-1", "person or group", {"legal"}, ["manager-1"]),
        ("Managers", "person or group", set(), ["managers"]),
        ("manager", "group", None, ["managers"]),
        ("manager", "group", {"legal"}, []),
        ("ANNA@EXAMPLE.ORG", "person", set(), ["anna.berg"]),
        ("Managers", "person", set(), []),
    ],
)
def test_suggestions_for_a_name_in_a_request(text: str, kind: str, seen: set[str] | None, suggested: list[str]) -> None:
    assert ALL.suggestions(text, kind, seen) == suggested  # type: ignore[arg-type]


@example("\u00b5\u00c0")  # a micro sign is a Greek letter, which a Latin one beside it makes a Latin one
@example("\u0101\u03ac")
@given(st.text(max_size=20))
def test_folding_again_changes_nothing_and_composed_and_decomposed_letters_are_one(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(unicodedata.normalize("NFC", text))
    assert folded(f"  {text}\u200b ") == folded(text)


@given(st.sampled_from([ANNA, SOEREN, MANAGER]), st.data())
def test_whatever_is_written_of_a_person_in_other_capitals_and_blanks_means_them(
    who: KnownPerson, data: st.DataObject
) -> None:
    written = data.draw(st.sampled_from(list(who.written)))
    letters = [data.draw(st.sampled_from([char, char.upper(), char.lower()])) for char in written]
    text = data.draw(st.sampled_from(["", " "])) + "".join(letters).replace(
        " ", data.draw(st.sampled_from([" ", "  "]))
    )
    assert ALL.person(text).id == who.id


async def test_people_who_have_left_are_not_meant_and_their_groups_are_empty(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "anna", "Anna Berg", ["legal"], by="t", email="anna@example.org")
        await people.add(conn, "bert", "Bert", ["managers"], by="t")
        assert await id_meant(conn, "ANNA@example.org") == "anna"
        await leavers.replace(conn, "anna", "bert", "left", by="t")
        await people.leave(conn, "bert", "legal", by="t")
        with pytest.raises(UnknownName):
            await id_meant(conn, "anna")
        assert await existing_names(conn, {"anna", "bert", "legal", "managers", "x"}) == ({"bert"}, {"managers"})


@pytest.mark.both_databases
async def test_only_a_group_that_nobody_is_in_and_no_policy_names_is_a_question(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "bert", "Bert", ["managers"], by="t")
    async with db.read() as conn:
        assert await new_group(conn, ["Managers", "LEGAL", "admins", "operators"], {"legal"}) is None
        for wanted, suggested in (("manager", ["managers"]), ("leggal", ["legal"]), ("chess-club", [])):
            new = await new_group(conn, ["managers", wanted], {"legal"})
            assert new and (new.group, new.suggestions) == (wanted, suggested)

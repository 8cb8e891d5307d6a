"""The input of an onboarding, the username made from a name, and the error messages."""

import string
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from activities.user_onboarding.request import OnboardingRequest, username_of
from domain.normalization import identity_key


def asked(**fields: Any) -> OnboardingRequest:
    return OnboardingRequest.model_validate({"full_name": "Ada Lovelace", **fields})


@pytest.mark.parametrize(
    ("full_name", "username"),
    [
        ("Ada Lovelace", "ada.lovelace"),
        ("  ADA   King\u00a0Lovelace ", "ada.king.lovelace"),
        ("Søren Æbelø", "soren.aebelo"),
        ("Łukasz Żółć", "lukasz.zolc"),
        ("Jürgen Groß", "jurgen.gross"),
        ("İpek I\u015f\u0131k", "ipek.isik"),
        ("Conan O\u2019Brien", "conan.obrien"),
        ("Jean-Luc Picard", "jean-luc.picard"),
        ("Ａｄａ Ｌｏｖｅｌａｃｅ", "ada.lovelace"),  # noqa: RUF001
        ("Martin Luther King, Jr.", "martin.luther.king.jr"),
        ("3 Ada", "ada"),
        ("a" * 80 + " b", "a" * 64),
        ("a" * 63 + " b", "a" * 63),
    ],
)
def test_a_username_is_made_of_the_full_name(full_name: str, username: str) -> None:
    assert username_of(full_name) == username == asked(full_name=full_name).username


@pytest.mark.parametrize("full_name", ["李雷", "Ж", "X", "7 8 9"])
def test_where_nothing_is_left_of_a_name_a_username_must_be_given(full_name: str) -> None:
    with pytest.raises(ValueError, match=r"enter a username with letters a to z, such as ada\.lovelace"):
        username_of(full_name)
    if full_name[0].isalpha():
        assert asked(full_name=full_name, username="lei.li").username == "lei.li"


@given(st.text(max_size=200))
def test_a_name_makes_a_valid_username_or_none_and_always_the_same(full_name: str) -> None:
    try:
        made = username_of(full_name)
    except ValueError:
        return
    assert 2 <= len(made) <= 64 and made[0] in string.ascii_lowercase
    assert set(made) <= set(string.ascii_lowercase + string.digits + "._-")
    assert made == username_of(full_name) == identity_key(made)
    assert asked(username=made).username == made


@pytest.mark.parametrize("given", ["Ada.L", "ＡＤＡ.l", " ada.l "])  # noqa: RUF001
def test_a_username_is_compared_without_case_and_look_alike_forms(given: str) -> None:
    assert asked(username=given).username == "ada.l"


def test_blank_cells_of_a_csv_are_what_was_not_given() -> None:
    blank = asked(username=" ", role="", manager="", email=" ", start_date="", note="")
    assert blank == asked()
    assert (blank.username, blank.role, blank.manager, blank.email, blank.start_date) == (
        "ada.lovelace",
        "employee",
        None,
        None,
        None,
    )


def test_the_same_comes_out_of_json_and_of_what_was_stored() -> None:
    first = asked(role="Engineer", manager="manager-1", email="ada@example.org", start_date="2031-03-17", note="a\nb")
    assert first.role == "engineer" and first.note == "a\nb"
    assert OnboardingRequest.model_validate(first.model_dump(mode="json")) == first


@pytest.mark.parametrize(
    ("fields", "where", "said"),
    [
        ({"full_name": ""}, "full_name", "at least 1"),
        ({"full_name": "A" * 201}, "full_name", "at most 200"),
        ({"full_name": "Ada\r\nBcc: all@example.org"}, "full_name", "line breaks"),
        ({"full_name": "Ada\u2028Lovelace"}, "full_name", "line breaks"),
        ({"full_name": "Ada\x00"}, "full_name", "control characters"),
        ({"full_name": "Ada \u202eecalevoL"}, "full_name", "control characters"),
        ({"full_name": "Ada \u202eecalevoL"}, "full_name", "direction marks"),
        ({"full_name": "Ada\u200b"}, "full_name", "(U+200B, zero width space) at position 4"),
        ({"full_name": "1234"}, "full_name", "letters"),
        ({"full_name": 12}, "full_name", "string"),
        ({"full_name": "李雷"}, "username", "enter a username with letters a to z"),
        ({"username": "a"}, "username", "2 to 64"),
        ({"username": "a" * 65}, "username", "2 to 64"),
        ({"username": "1ada"}, "username", "begins with a letter"),
        ({"username": ".ada"}, "username", "begins with a letter"),
        ({"username": "ada lovelace"}, "username", "2 to 64"),
        ({"username": "ada@example.org"}, "username", "2 to 64"),
        ({"username": "\u0430da"}, "username", "2 to 64"),  # a Cyrillic letter that looks like an a
        ({"username": "ada\nroot"}, "username", "2 to 64"),
        ({"username": "../ada"}, "username", "2 to 64"),
        ({"username": 7}, "username", "string"),
        ({"role": "engineer; DROP"}, "role", "one word"),
        ({"role": "r" * 61}, "role", "one word"),
        ({"manager": "mia\nmax"}, "manager", "line breaks"),
        ({"manager": "m" * 101}, "manager", "at most 100 characters"),
        ({"email": "ada"}, "email", "one address"),
        ({"email": "Ada <ada@example.org>"}, "email", "one address"),
        ({"email": "ada@example.org\nBcc: all@example.org"}, "email", "one address"),
        ({"email": "ada@example.org, eve@example.org"}, "email", "one address"),
        ({"email": "a@" + "b" * 60 + ".c" * 100}, "email", "at most 254"),
        ({"start_date": "17/03/2031"}, "start_date", "year-month-day"),
        ({"start_date": "2031-02-30"}, "start_date", "year-month-day"),
        ({"note": "n" * 501}, "note", "at most 500"),
        ({"note": "a\x1bb"}, "note", "control characters"),
        ({"password": "secret"}, "password", "not permitted"),
    ],
)
def test_a_mistake_is_named_at_its_field_and_nowhere_else(fields: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        asked(**fields)
    assert [error["loc"] for error in wrong.value.errors()] == [(where,)]
    assert said in wrong.value.errors()[0]["msg"]

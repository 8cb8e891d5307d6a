"""Masked fields show at most the last four characters of their values, and nothing else tells more."""

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, ValidationError, field_validator

from domain.input_errors import masked_values, problems_of
from domain.masking import HIDDEN, Masking, hidden_values, left_masked, masked, without
from domain.wording import Words

IBAN = "GB82WEST12345698765432"


class Account(BaseModel):
    iban: str
    bank: str = "A bank"

    @field_validator("iban")
    @classmethod
    def _known(cls, iban: str) -> str:
        if "9999" in iban:
            raise ValueError(f"no bank has {iban}")
        return iban


class Transfer(BaseModel):
    payee: str = "Acme"
    pin: str = ""
    beneficiary: Account | None = None
    parts: list[Account] = []


MASKING = Masking(frozenset({"pin", "beneficiary.iban", "parts.iban"}))
WORDS = Words(
    summary="Transfer money",
    title="Pay {payee} {beneficiary}",
    key_fields=("payee", "parts"),
    labels={"payee": "Payee", "beneficiary": "Beneficiary"},
    steps={},
    undos={},
    gates={},
    masked=MASKING.fields,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        *[(None, None), ("", ""), ("  ", ""), ("1234567", "…"), ("12345678", "…5678"), (f" {IBAN} ", "…5432")],
        *[(12345678, "…"), (True, "…"), ([IBAN, "x"], ["…5432", "…"]), ({"a": IBAN}, {"a": "…5432"}), ([], [])],
        (Account(iban=IBAN, bank="x"), {"iban": "…5432", "bank": "…"}),
    ],
)
def test_a_mask_shows_at_most_the_last_four_characters(value: Any, shown: Any) -> None:
    assert masked(value) == shown


@given(st.text(min_size=1).filter(lambda text: not text.strip().startswith(HIDDEN)))
def test_no_more_than_four_characters_of_any_text_are_readable(text: str) -> None:
    shown = masked(text)
    assert masked(shown) == shown
    assert len(shown.removeprefix(HIDDEN)) <= (4 if len("".join(text.split())) >= 8 else 0)


def test_parts_of_fields_are_masked_also_in_lists_and_in_models() -> None:
    whole = Transfer(beneficiary=Account(iban=IBAN), parts=[Account(iban=IBAN), Account(iban="12345678")])
    shown = {
        "payee": "Acme",
        "pin": "",
        "beneficiary": {"iban": "…5432", "bank": "A bank"},
        "parts": [{"iban": "…5432", "bank": "A bank"}, {"iban": "…5678", "bank": "A bank"}],
    }
    assert MASKING.input(whole.model_dump()) == shown
    assert IBAN not in WORDS.title_of(whole) + str(WORDS.key_fields_of(whole))
    assert MASKING.found(whole.model_dump(), "beneficiary.iban") == IBAN
    assert MASKING.found(whole.model_dump(), "parts.iban") == [IBAN, "12345678"]
    assert MASKING.found({"beneficiary": None}, "beneficiary.iban") is None
    assert WORDS.label_of("beneficiary.iban") == "Beneficiary: iban"


@pytest.mark.parametrize("odd", [IBAN, [IBAN], {"iban": [IBAN]}, [[{"iban": IBAN}]], {"iban": {"x": IBAN}}])
def test_a_value_of_another_form_than_the_name_says_is_masked_whole(odd: Any) -> None:
    assert IBAN not in str(MASKING.input({"beneficiary": odd}))


def test_values_that_a_rule_has_read_are_masked_by_their_names() -> None:
    read = {"beneficiary.iban": IBAN, "beneficiary": {"iban": IBAN, "bank": "x"}, "payee": IBAN, "facts.score": 3}
    shown = {"beneficiary.iban": "…5432", "beneficiary": {"iban": "…5432", "bank": "x"}}
    assert MASKING.values(read) == read | shown


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{IBAN} is closed", "…5432 is closed"),
        ("gb82 west 1234 5698 7654 32, and GB82WEST12345698765432", "…5432, and …5432"),
        ({"a": [IBAN, 3, None], "b": f"x{IBAN}x"}, {"a": ["…5432", 3, None], "b": "x…5432x"}),
        ("GB82WEST12345698765433", "GB82WEST12345698765433"),
        ("0000", "…"),
        ("code 0000", "code 0000"),
    ],
)
def test_what_steps_say_holds_no_masked_value(said: Any, told: Any) -> None:
    whole = {"pin": "0000", "beneficiary": {"iban": IBAN}}
    hidden = list(hidden_values(whole, MASKING.input(whole)))
    assert sorted(hidden) == sorted(["0000", IBAN])
    assert without(said, hidden) == told


def test_an_error_of_a_model_repeats_no_masked_value() -> None:
    sent = {"pin": 7, "beneficiary": {"iban": f"9999{IBAN}"}, "parts": [{"iban": [IBAN]}]}
    with pytest.raises(ValidationError) as wrong:
        Transfer.model_validate(sent)
    found = problems_of(wrong.value, MASKING.input(sent))
    assert [each.column for each in found] == ["pin", "beneficiary.iban", "parts.0.iban"]
    assert "12345698765432" not in str([each.model_dump() for each in found])


def test_a_masked_value_that_is_sent_back_is_found() -> None:
    parts = [{"iban": IBAN}, {"iban": "…5678", "bank": "…"}]
    sent = {"pin": "…5432", "payee": "…and Sons", "beneficiary": {"iban": "…"}, "parts": parts}
    assert left_masked(sent, MASKING.input) == ["pin", "beneficiary.iban", "parts.1.iban"]
    (problem, *_others) = masked_values(sent, MASKING.input)
    assert str(problem) == "pin: is masked: enter the whole value, because only its end is shown"
    assert [name for name in Transfer.model_fields if MASKING.touches(name)] == ["pin", "beneficiary", "parts"]

"""Names that look equal are equal, invisible characters are refused, and searches ignore accents."""

import sys
import unicodedata

import pytest
from hypothesis import given, strategies as st

from domain.ids import case_id_for, normalise_reference, reference_key
from domain.money import payee_key
from domain.normalization import check_visible, fold, identity_key, search_key, search_terms
from domain.permissions import same

SAME = {
    "small letters": "inv-1",
    "blanks around": "  INV-1\t",
    "full width": "\uff29\uff2e\uff36\uff0d\uff11",
    "a full width digit": "INV-\uff11",
    "a raised digit": "INV-\u00b9",
    "a digit in a circle": "INV-\u2460",
    "an Arabic digit": "INV-\u0661",
    "mathematical letters": "\U0001d408\U0001d40d\U0001d415-1",
    "a non-breaking dash": "INV\u20111",
    "an en dash": "INV\u20131",
    "a minus": "INV\u22121",
    "a dotless i": "\u0131nv-1",
    "a dotted I": "\u0130NV-1",
    "a Cyrillic letter among Latin ones": "\u0406NV-1",
    "a Greek letter among Latin ones": "I\u039dV-1",
}
UNSEEN = {
    "a zero width space": "\u200b",
    "a zero width joiner": "\u200d",
    "a zero width non-joiner": "\u200c",
    "a word joiner": "\u2060",
    "a byte order mark": "\ufeff",
    "a soft hyphen": "\u00ad",
    "a grapheme joiner": "\u034f",
    "a variation selector": "\ufe0f",
    "a far variation selector": "\U000e0100",
    "a tag": "\U000e0041",
    "a left-to-right mark": "\u200e",
    "a right-to-left mark": "\u200f",
    "an override": "\u202e",
    "an isolate": "\u2066",
    "an Arabic mark": "\u061c",
    "an invisible plus": "\u2064",
    "a Hangul filler": "\u3164",
    "a half width filler": "\uffa0",
    "a blank of Braille": "\u2800",
    "a Mongolian separator": "\u180e",
    "a Khmer vowel": "\u17b4",
    "a control character": "\x07",
    "a delete": "\x7f",
    "a file separator": "\x1c",
    "a control character of Latin-1": "\x9b",
    "a line separator": "\u2028",
    "a private character": "\ue000",
    "half a pair": "\ud800",
    "a replacement": "\ufffd",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_spellings_that_people_read_as_one_reference_are_one(text: str) -> None:
    assert reference_key(text) == "inv-1" and case_id_for("payment", text) == "payment:inv-1"
    assert payee_key(text) == "inv-1" and same(text, "INV-1")


@pytest.mark.parametrize("char", UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_seen_is_refused_with_its_position(char: str) -> None:
    for text, position in ((f"INV-1{char}", 6), (f"IN{char}V-1", 3), (f"{char}INV-1", 1)):
        with pytest.raises(ValueError, match=rf"U\+{ord(char):04X}, .* at position {position}: remove it"):
            normalise_reference(text)
    if unicodedata.category(char) != "Cs":
        assert payee_key(f"Ac{char}me") in ("acme", "ac me", f"ac{char}me"), "of old rows it goes where it is ignorable"
    if unicodedata.category(char) in ("Cc", "Cf"):
        assert fold(f"Ac{char}me") == "acme" and fold(f"\u00c4c{char}me") == "\u00e4cme"


def test_names_of_payees_keep_the_joiners_that_their_letters_need() -> None:
    name = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert check_visible(name, joiners=True) == name
    for wrong in ("Ac\u200cme", "1\u200d2", "\u0645\u200c", "\u200c\u0645"):
        with pytest.raises(ValueError, match="cannot be seen"):
            check_visible(wrong, joiners=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stra\u00dfe 1", "STRASSE 1"),
        ("\ufb01sh", "FISH"),
        ("M\u00fcller", "Mu\u0308ller"),
        ("A\u00a0 \u3000B", "a b"),
        ("O\u2019Neil", "O'NEIL"),
        ("\u2121 7", "tel 7"),
        ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3"),
        ("\u0410\u0411\u0412-1", "\u0430\u0431\u0432-1"),
    ],
)
def test_forms_of_one_name_are_one(one: str, other: str) -> None:
    assert identity_key(one) == identity_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("INV-1", "INV-2"),
        ("INV-1", "INV1"),
        ("M\u00fcller", "Muller"),
        ("INV-O1", "INV-01"),
        ("A B", "AB"),
        ("\u0421\u041e\u0420-1", "COP-1"),  # a word of Cyrillic letters alone may be one
    ],
)
def test_other_names_stay_others(one: str, other: str) -> None:
    assert identity_key(one) != identity_key(other)


@given(st.text(st.characters(max_codepoint=0x2FFFF), max_size=12))
def test_a_key_is_its_own_key_and_does_not_depend_on_composition(text: str) -> None:
    key = fold(text)
    assert fold(key) == key
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert payee_key(key) == key
    try:
        reference = normalise_reference(text)
    except ValueError:
        return
    assert reference_key(reference) == reference_key(reference_key(reference))
    assert case_id_for("p", reference) == case_id_for("p", reference_key(reference))
    assert len(case_id_for("p", reference)) <= 900 and len(reference_key(reference)) <= 240


def test_every_character_is_refused_or_keeps_a_visible_part_in_the_key() -> None:
    """No character of Unicode can make a second reference that looks like the first, and none makes an empty key."""
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        try:
            check_visible(char)
        except ValueError:
            continue
        assert unicodedata.category(char) in ("Zs", "Cc") or fold(char), f"U+{code:04X}"


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("Pay M\u00fcller", "muller", True),
        ("Pay Mu\u0308ller", "M\u00dcLLER", True),
        ("Pay Muller", "m\u00fcller", True),
        ("S\u00f8ren \u00c6bel\u00f8", "soren aebelo", True),
        ("Stra\u00dfe", "strasse", True),
        ("\u0141\u00f3d\u017a", "lodz", True),
        ("Pay Acme 1,250.00 GBP", "1250", True),
        ("Pay Acme 1,250.00 GBP", "1250.00", True),
        ("Pay Acme 1,250.00 GBP", "1,250", True),
        ("Pay Acme 1,250.00 GBP", "1.250,00", True),
        ("Pay Acme 1,250.00 GBP", "1.250", True),
        ("Pay Acme 1,250.00 GBP", "1 250,00", True),
        ("Pay Acme 1,250.00 GBP", "1'250.00", True),
        ("Pay Acme 1,250.00 GBP", "acme 1250 gbp", True),
        ("Pay Acme 1,250.00 GBP", "acme 1251", False),
        ("Pay Acme 1,250.50 GBP", "1250.5", True),
        ("Pay Acme 1,250.50 GBP", "1250.60", False),
        ("Miete 1.250,00 EUR", "1250", True),
        ("Miete 1 250,00 EUR", "1250.00", True),
        ("1,234,567.89", "1234567.89", True),
        ("INV-2024.10.001", "2024.10", True),
        ("INV-0042", "0042", True),
        ("100% sure", "100%", True),
    ],
)
def test_searches_mind_neither_accents_nor_the_marks_of_numbers(text: str, query: str, found: bool) -> None:
    terms = search_terms(query)
    assert all(any(reading in search_key(text) for reading in term) for term in terms) is found


@given(st.text(max_size=20))
def test_a_text_is_found_by_itself(text: str) -> None:
    kept = search_key(text)
    assert all(any(reading in kept for reading in term) for term in search_terms(text))

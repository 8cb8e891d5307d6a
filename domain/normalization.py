"""Keys by which texts are compared: strict keys for identity, and loose keys for search.

*Identity* (`identity_key`): references, ids, names of groups, accounts, payees. Two spellings that people read as the
same name have the same key: capitals, widths, ligatures, repeated spaces, the kinds of dashes and quotation marks, and
the scripts of digits do not matter. Invisible characters are refused: `INV-1` with a zero width space would be a second
invoice, and would be paid twice.

*Search* (`search_key` of the stored text, `search_terms` of the query): accents are ignored, and a number is found by
its value: `1250` finds `1,250.00`.
"""

import re
import unicodedata
from urllib.parse import unquote

# ----------------------------------------------------------------------------------------------------------- invisible

_IGNORABLE = (
    *("\x00-\x08", "\x0e-\x1f", "\x7f-\x9f"),
    *("\u00ad", "\u034f", "\u061c", "\u115f-\u1160", "\u17b4-\u17b5", "\u180b-\u180f", "\u200b-\u200f"),
    *("\u202a-\u202e", "\u2060-\u206f", "\u2800", "\u3164", "\ufe00-\ufe0f", "\ufeff", "\uffa0", "\ufff0-\uffff"),
    *("\U0001bca0-\U0001bca3", "\U0001d173-\U0001d17a", "\U000e0000-\U000e0fff"),
)
"""Invisible characters: control characters except those that count as spaces, Default_Ignorable_Code_Point of Unicode,
and others that show nothing or look like a space."""
_UNSEEN = re.compile(f"[{''.join(_IGNORABLE)}]")
_LAID_OUT = "\t\n\v\f\r"
"""Control characters that count as spaces, such as tabs and line breaks in cells that were copied from a table."""
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"
_NEVER_JOINED = ("LATIN", "GREEK", "CYRILLIC", "DIGIT")


def check_visible(text: str, *, joiners: bool = False) -> str:
    """Return the text. Raises ValueError, with the position, for an invisible character.

    With `joiners`, the invisible joiners that Persian or Hindi need between two letters are allowed. Set `joiners` for
    names of people.
    """
    if text.isascii() and text.isprintable():
        return text
    for number, char in enumerate(text, 1):
        hidden = unicodedata.category(char) in _NO_TEXT and char not in _LAID_OUT
        if (hidden or _UNSEEN.match(char)) and not (joiners and _joins(text, number - 1)):
            name = unicodedata.name(char, "control character").lower()
            raise ValueError(
                f"has a character that cannot be seen (U+{ord(char):04X}, {name}) at position {number}: remove it"
            )
    return text


def _joins(text: str, at: int) -> bool:
    if text[at] not in _JOINERS or not 0 < at < len(text) - 1:
        return False
    return all(
        unicodedata.category(char)[0] in "LM" and not unicodedata.name(char, "").startswith(_NEVER_JOINED)
        for char in (text[at - 1], text[at + 1])
    )


# ------------------------------------------------------------------------------------------------------------ identity

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d"
_ALIKE = str.maketrans(
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys("\u2018\u2019\u201b\u2032\u02bc\u00b4\u0060", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2044\u2215\u29f8", "/")
    | {"\u0131": "i"}  # A Turkish keyboard makes this character from I.
)
_WORD = re.compile(r"[^\W\d_]+")
# Cyrillic letters that look like Latin ones, small or capital; then Greek ones.
_OTHERS = (
    "\u0430\u0432\u0435\u0451\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u051b\u0455\u0442\u0443\u0445\u051d\u04bb\u0475\u0501\u04cf"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7"
)
_LOOK_ALIKES = str.maketrans(_OTHERS, "abeeijkmhopcqstyxwhvdl" + "abezhikmnoptyx")


def identity_key(text: str) -> str:
    """Return the key by which names are compared. Raises ValueError if the text has an invisible character."""
    return fold(check_visible(text))


def fold(text: str, *, one_script: bool = True) -> str:
    """Return the text in a form in which spellings of the same name are equal. Invisible characters are removed.

    With `one_script`, a word that mixes Latin letters with look-alikes from other scripts becomes Latin letters only.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().replace("`", "'").split())
    folded, before = _UNSEEN.sub("", text).translate(_ALIKE), None
    while folded != before:  # Compatibility forms may contain capitals, and capitals may contain compatibility forms.
        before = folded
        folded = unicodedata.normalize("NFKC", folded).casefold()
        folded = _UNSEEN.sub("", folded.replace("i\u0307", "i").translate(_ALIKE))
        folded = " ".join("".join(map(_digit, folded)).split())
        folded = _WORD.sub(_in_latin, folded) if one_script else folded
    return folded


def _digit(char: str) -> str:
    return char if char.isascii() or not char.isdecimal() else str(unicodedata.decimal(char))


def _in_latin(word: re.Match[str]) -> str:
    """Return a word that mixes Latin letters and look-alikes in Latin letters only. Return any other word unchanged."""
    text = word[0]
    if text.isascii() or not any(map(_is_latin, text)):
        return text
    latin = text.translate(_LOOK_ALIKES)
    return latin if all(map(_is_latin, latin)) else text


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


# -------------------------------------------------------------------------------------------------------------- search

ACCENTS = "\u0300-\u036f"
LETTERS = {
    **{"\u00e6": "ae", "\u0153": "oe", "\u00f8": "o", "\u0142": "l", "\u0111": "d", "\u00f0": "d", "\u00fe": "th"},
    **{"\u0127": "h", "\u0167": "t", "\u0131": "i", "\u00df": "ss"},
}
"""Small letters that Unicode does not decompose into a letter and an accent."""
_MARKS = re.compile(f"[{ACCENTS}]")
_LETTERS = _ALIKE | str.maketrans(LETTERS)
_MARKED = re.compile(r"\d[,' ]\d")
_NUMBER = re.compile(r"\d(?<![\d.,'].)[\d.,' ]*\d(?![\d.,']*\d)")
_THOUSANDS = re.compile(r"(\d{1,3}(?:([,' ])\d{3})(?:\2\d{3})*)(\.\d+)?")
_WITH_COMMA = re.compile(r"(\d{1,3}(?:([.' ])\d{3})*|\d+),(\d{1,2})")
_GROUPING = re.compile(r"[.,' ]")
MOST_TERMS = 8
"""Maximum number of words of a search query. Further words are ignored."""


def without_accents(text: str) -> str:
    """Return the text without accents: `muller` for `Müller`, in both Unicode forms (composed and decomposed)."""
    if text.isascii():
        return text.lower()
    apart = _MARKS.sub("", unicodedata.normalize("NFKD", text))
    if apart.isascii():
        return apart.lower()
    return unicodedata.normalize("NFKC", _UNSEEN.sub("", apart).casefold()).translate(_LETTERS)


def search_key(text: str) -> str:
    """Return the text to search in: without accents, with numbers as `1250.00`."""
    plain = " ".join(without_accents(text).split())
    # Few texts have such numbers, and this check is ten times as fast as the replacement.
    return _NUMBER.sub(lambda number: plain_number(number[0]), plain) if _MARKED.search(plain) else plain


def search_words(case_id: str, title: str) -> str:
    """Return the text of a case in which searches of the lists of cases and tasks look: its id and title."""
    return search_key(f"{unquote(case_id)} {title}")


def search_terms(query: str) -> list[tuple[str, ...]]:
    """Return the terms of a search query. Each term is a tuple of its readings: `1.250` can be 1.25 or 1250.

    A text matches if its `search_key` contains at least one reading of every term.
    """
    words = without_accents(query).split()
    found = dict.fromkeys(_readings(word) for word in words)
    return list(found)[:MOST_TERMS]


def _readings(word: str) -> tuple[str, ...]:
    plain = search_key(word)
    if "%" in word and (told := search_key(unquote(word))) != plain:
        return plain, told  # An id in its URL-encoded form.
    if not re.fullmatch(r"\d+\.\d+", plain):
        return (plain,)
    # 1250.00 is 1250. As a part of a text this also finds longer numbers, such as 1250.50.
    value = plain.rstrip("0").rstrip(".")
    # For people who write 1.250,00, 1.250 may be more than a thousand.
    return (value, plain.replace(".", "")) if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", word) else (value,)


def plain_number(text: str) -> str:
    """Return a number such as `1,250.00` or `1.250,00` as `1250.00`.

    Return other texts and ambiguous numbers unchanged.
    """
    if written := _THOUSANDS.fullmatch(text):
        return _GROUPING.sub("", written[1]) + (written[3] or "")
    if written := _WITH_COMMA.fullmatch(text):
        return f"{_GROUPING.sub('', written[1])}.{written[3]}"
    return text

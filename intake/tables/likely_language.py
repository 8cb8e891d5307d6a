"""Estimate how unlikely a text is in any language: a wrong encoding turns names into letters that form no words.

The estimate also works for a few words, in which the frequency of letters says little. The estimate checks pairs of
letters, vowels in each word, and whether all letters are of one alphabet.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

_WORD = re.compile(r"[^\s,;|\"/()+&.:_\-]+")
_WORDS = 2_000

_LATIN: Mapping[str, tuple[str, ...]] = {
    "cp1252": (
        *("àâæçéèêëîïôœùûüÿ", "äöüßéàè", "áéíñóúüªº", "áâãàçéêíóôõúªº", "àèéìíîòóùúªº", "éëïóöüèáí", "åäöéü", "æøåéö"),
        *("áðéíóúýþæö", "àçèéíïòóúü"),
    ),
    "cp1250": ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "ăâîşţ", "čćđšž", "äöüßé"),
    "cp1254": ("çğıiöşüâîû",),
    "cp1257": ("āčēģīķļņšūž", "ąčęėįšųūž", "äöõüšž"),
}
ALPHABETS: Mapping[str, tuple[str, ...]] = {
    **_LATIN,
    "iso8859_2": _LATIN["cp1250"],
    **dict.fromkeys(("iso8859_15", "cp850", "mac_roman"), _LATIN["cp1252"]),
}
"""By codec for a Latin script: the letters other than a to z in the languages that are written with this codec."""
_VOWELS = {"CYRILLIC": "аеёиоуыэюяіїєў", "GREEK": "αεηιουωάέήίόύώϊϋΐΰ"}
_FREQUENT = {"HEBREW": "יוהלאמרתבשנחק", "ARABIC": "اليمنرتوبةدسع"}
_CYRILLIC = frozenset("абвгдеёжзийклмнопрстуфхцчшщъыьэюяіїєґўђјљњћџѓќѕ")
_ALONE = frozenset("àáâèéêíóòôúùåäöæøŷавикосуяєїізηοήωτªº")
"""Letters that are a whole word in some language."""
_COMMON_CODECS = frozenset(("cp1250", "cp1251", "cp1252", "cp1253"))
_MARKS = frozenset("’‘“”„–—…«»€£™®©№§°ªº·\u00a0´")
"""Signs that appear before or after words in any language."""
_ASIDE = frozenset("£€™®©№§°")
"""Signs that never appear inside a word, although they may appear before or after a word."""
_FIRST_BYTES = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5": ("big5", 0xA4, 0xC6)} | dict.fromkeys(
    ("cp932", "euc_jp"), ("cp932", 0x88, 0x97)
)
"""By codec: the range of first bytes of the most frequent Chinese characters."""
_HINTS: Mapping[str, str] = {
    "gb18030": "公司 有限 北京 上海 中国 供应商 金额 发票 名称 银行",
    "big5": "公司 有限 台灣 供應商 金額 發票 名稱 銀行",
    **dict.fromkeys(("cp932", "euc_jp"), "会社 株式 金額 支払 請求 商店 銀行 名称 取引"),
    "cp949": "회사 주식 금액 은행 상호 번호",
    **dict.fromkeys(("cp1251", "koi8_r", "cp866", "iso8859_5"), "ооо сумма номер банк поставщик получатель"),
}
"""By codec: words that are frequent in files of payments."""


def oddness(text: str, codec: str) -> float:
    """Return how unlikely the words with letters beyond ASCII are in any language; less is likelier.

    The result is about 0 for a likely text, below 0 for a text with words that are frequent in files of payments, about
    1 for a text without likely words.
    """
    words = list(dict.fromkeys(word for word in _WORD.findall(text) if not word.isascii()))[:_WORDS]
    if not words:
        return 0.0
    odd = sum(_odd(word, codec) for word in words)
    latin = [word for word in words if any(_script(char) == "LATIN" and not char.isascii() for char in word)]
    if latin and codec in ALPHABETS:
        # A file is mostly in one language. Letters outside every alphabet mean another encoding.
        odd += min(sum(not _fits(word, known) for word in latin) for known in ALPHABETS[codec])
    elif latin:
        odd += 0.5 * len(latin)
    hint = any(each in text.casefold() for each in _HINTS.get(codec, "").split())
    return odd / len(words) - 0.3 * hint


def _fits(word: str, alphabet: str) -> bool:
    return all(char.isascii() or char in alphabet or not char.isalpha() for char in word.casefold())


def _odd(word: str, codec: str) -> float:
    scripts = [_script(char) if char.isalpha() else "" for char in word]
    there = {script for script in scripts if script}
    if there & {"HAN", "HANGUL", "KANA", "HALFWIDTH"}:
        return _odd_asian(word, there, codec)
    for one, other, first, second in zip(word, word[1:], scripts, scripts[1:], strict=False):
        if first and second and first != second:
            return 1.0  # letters of two scripts in one word
        if one.islower() and other.isupper() and not (one + other).isascii():
            return 1.0
    if any(word[place] in _ASIDE and scripts[place - 1] and scripts[place + 1] for place in range(1, len(word) - 1)):
        return 1.0
    for char, script in zip(word, scripts, strict=True):
        # A sign inside a word. Marks above and below letters belong to some scripts.
        sign = not script and not char.isascii() and char not in _MARKS
        if sign and (unicodedata.category(char) not in ("Mn", "Mc") or "LATIN" in there or not there):
            return 1.0
    if not there:
        return 0.0
    if sum(map(bool, scripts)) == 1:
        likely = codec in _COMMON_CODECS and any(char in _ALONE for char in word.casefold())
        return 0.0 if likely else 0.6
    (script, *_) = there
    return _odd_word(word.casefold(), script)


def _odd_word(word: str, script: str) -> float:
    """Return how unlikely a lower-case word of one script is in any language."""
    letters = [char for char in word if char.isalpha()]
    if script == "LATIN":
        # No language has three letters with marks in a row.
        return float(re.search(r"[^\W\d_a-z]{3}", word) is not None)
    if script == "CYRILLIC" and not set(letters) <= _CYRILLIC:
        return 0.7
    if script in _VOWELS:
        vowels = sum(char in _VOWELS[script] for char in letters)
        return float(len(letters) > 3 and not 0.15 <= vowels / len(letters) <= 0.75)
    if script in _FREQUENT:
        return 0.6 * (sum(char in _FREQUENT[script] for char in letters) * 2 < len(letters))
    return 0.0


def _odd_asian(word: str, there: set[str], codec: str) -> float:
    after = re.search(r"[^\x00-\x7f][a-z]", word)
    if after or there - {"HAN", "KANA", "HANGUL", "LATIN"} or codec not in ("cp949", *_FIRST_BYTES):
        return 1.0
    if "HANGUL" in there:
        return 0.0 if codec == "cp949" and there <= {"HANGUL", "LATIN"} and _encodes(word, "euc_kr") else 1.0
    if "KANA" in there:
        return 0.0 if codec in ("cp932", "euc_jp") else 0.8
    if codec == "cp949":
        return 0.8
    encoding, first, last = _FIRST_BYTES[codec]
    han = [char for char in word if _script(char) == "HAN"]
    return sum(not first <= char.encode(encoding, "replace")[0] <= last for char in han) / max(1, len(han))


def _encodes(word: str, encoding: str) -> bool:
    try:
        word.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


_SCRIPTS = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "FEMININE": "LATIN", "MASCULINE": "LATIN"}


@lru_cache(8192)
def _script(char: str) -> str:
    first = unicodedata.name(char, "?").partition(" ")[0].partition("-")[0]
    return _SCRIPTS.get(first, first)

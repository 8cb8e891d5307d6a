"""Recognise currencies by code, by sign, and in the heading of a column.

A sign of several currencies, such as `$`, rules out all other currencies, but never decides between the currencies that
it stands for.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from iso4217 import Currency

SIGNS: Mapping[str, str] = {
    **{"£": "GBP", "€": "EUR", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "₫": "VND", "฿": "THB"},
    **{"₴": "UAH", "₦": "NGN", "₱": "PHP", "₸": "KZT", "₾": "GEL", "₡": "CRC", "₵": "GHS", "₲": "PYG"},
    **{"US$": "USD", "A$": "AUD", "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "NZ$": "NZD", "HK$": "HKD", "S$": "SGD"},
    **{"R$": "BRL", "NT$": "TWD", "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "CN¥": "CNY", "JP¥": "JPY"},
}
"""Signs that stand for exactly one currency, each with its code."""

_DOLLARS = "USD AUD CAD NZD HKD SGD MXN ARS CLP COP TWD BBD BMD BND BSD BZD FJD GYD JMD KYD LRD NAD SBD SRD TTD XCD"
SHARED: Mapping[str, frozenset[str]] = {
    "$": frozenset(_DOLLARS.split()),
    **dict.fromkeys(("¥", "￥"), frozenset(("JPY", "CNY"))),
    **dict.fromkeys(("kr", "kr."), frozenset(("SEK", "NOK", "DKK", "ISK"))),
}
"""Signs that stand for several currencies, each with the codes of these currencies."""

_MAJOR = """
    EUR USD GBP CHF JPY CNY AUD CAD NZD SEK NOK DKK PLN CZK HUF RON BGN INR BRL MXN ZAR SGD HKD KRW RUB UAH ILS AED SAR
    THB TWD MYR IDR PHP VND ARS CLP COP NGN KES EGP ISK
    """.split()  # noqa: SIM905 - read as a table
MAJOR = frozenset(_MAJOR)
"""Codes that are taken as a currency in any heading. Other codes, such as ALL and TOP, are also words."""

WORDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("euro", "euros", "evro", "евро"), frozenset(("EUR",))),
    **dict.fromkeys(("sterling", "pounds", "pfund"), frozenset(("GBP",))),
    **dict.fromkeys(("dollar", "dollars", "dólares", "dolares"), SHARED["$"]),
    **dict.fromkeys(("franken", "sfr"), frozenset(("CHF",))),
    **dict.fromkeys(("yen",), frozenset(("JPY",))),
    **dict.fromkeys(("rupees", "rupee"), frozenset(("INR",))),
    **dict.fromkeys(("zloty", "złoty", "zlotych", "złotych"), frozenset(("PLN",))),
    **dict.fromkeys(("rub", "руб", "рублей", "рубли"), frozenset(("RUB",))),
    **dict.fromkeys(("円",), frozenset(("JPY",))),
    **dict.fromkeys(("元", "人民币"), frozenset(("CNY",))),
}


@lru_cache(1024)
def is_currency(code: str) -> bool:
    """Return True if a text is an ISO 4217 code in capitals."""
    try:
        Currency(code)
    except ValueError:
        return False
    return True


_TOKEN = re.compile(r"[^\W\d_]+|[^\w\s]")
_IN_HEADINGS = sorted({*SIGNS, *SHARED} - {"Ft", "kr", "kr."}, key=lambda sign: (-len(sign), sign))
_SIGNED = re.compile("|".join(map(re.escape, _IN_HEADINGS)))


@lru_cache(4096)
def currencies_in(heading: str, more: tuple[tuple[str, str], ...] = ()) -> tuple[frozenset[str], ...]:
    """Return the possible currencies for each sign, code or word in a heading.

    `Amount (EUR)` returns one set of one; `Net $` one set of several; `EUR/USD` two sets; `Amount` none. `more` has
    further signs, which a mapping defines.
    """
    text = heading[:200]
    found: list[frozenset[str]] = []
    for sign, code in more:
        if sign in text:
            found.append(frozenset((code,)))
            text = text.replace(sign, " ")
    for sign in _SIGNED.findall(text):
        found.append(frozenset((SIGNS[sign],)) if sign in SIGNS else SHARED[sign])
    words = _TOKEN.findall(_SIGNED.sub(" ", text))
    loud = not any(char.islower() for char in text)
    for place, word in enumerate(words):
        code = word.upper()
        if word.casefold() in WORDS:
            found.append(WORDS[word.casefold()])
        elif code in MAJOR or (
            # In a heading in capitals a rare code only counts alone or in brackets.
            len(word) == 3
            and word.isascii()
            and word.isupper()
            and is_currency(word)
            and (not loud or len(words) == 1 or (place and words[place - 1] in "(["))
        ):
            found.append(frozenset((code,)))
    return tuple(dict.fromkeys(found))


def joined(codes: Iterable[str]) -> str:
    """Return currency codes as text for a sentence. Of more than three codes, only the first three are named."""
    listed = sorted(codes, key=lambda code: (_MAJOR.index(code) if code in MAJOR else len(_MAJOR), code))
    return " or ".join(listed[:3]) + (" or another" if len(listed) > 3 else "")


_PLACES: Mapping[int, str] = {
    **{0x409: "USD", 0x1009: "CAD", 0xC0C: "CAD", 0xC09: "AUD", 0x1409: "NZD", 0x4809: "SGD", 0x1004: "SGD"},
    **{0xC04: "HKD", 0x404: "TWD", 0x80A: "MXN", 0x2C0A: "ARS", 0x340A: "CLP", 0x240A: "COP", 0x540A: "USD"},
    **{0x411: "JPY", 0x804: "CNY", 0x414: "NOK", 0x814: "NOK", 0x41D: "SEK", 0x406: "DKK", 0x40F: "ISK"},
}


def of_format(symbol: str, place: str) -> str:
    """Return the currency that `[$symbol-place]` in a cell format means: its code, or the symbol if the code is not
    clear.
    """
    sign = symbol.strip()
    if sign.upper() in MAJOR or (sign.isupper() and len(sign) == 3 and is_currency(sign)):
        return sign.upper()
    if sign in SIGNS:
        return SIGNS[sign]
    if sign in SHARED and re.fullmatch("[0-9A-Fa-f]{1,8}", place):
        code = _PLACES.get(int(place, 16) & 0xFFFF, "")
        return code if code in SHARED[sign] else sign
    return sign

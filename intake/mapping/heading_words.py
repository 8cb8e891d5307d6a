"""Normalise headings for comparison: no case, accents, marks, units and small words; abbreviations written out.

`Rechnungs-Nr.`, `RECHNUNGSNUMMER` and `Rechnungsnr` become equal, and so do `Société`, `SOCIETE` and `societe`.
"""

import difflib
import re
import unicodedata
from functools import lru_cache

from intake.cells.currencies import MAJOR, WORDS, currencies_in

_CLOSE = 0.85
_LONGEST = 80
"""The longest text that can be a heading, in characters."""

_SHORT = {
    **dict.fromkeys(("number", "num", "nr", "numb", "nro", "numero", "nummer", "numer", "n", "nos", "#"), "no"),
    **dict.fromkeys(("trans", "tran", "txn", "trx"), "transaction"),
    **{"amt": "amount", "ref": "reference", "inv": "invoice", "doc": "document", "desc": "description"},
    **{
        "supp": "supplier",
        "benef": "beneficiary",
        "pymt": "payment",
        "pmt": "payment",
        "dt": "date",
        "emp": "employee",
    },
    **{"dept": "department", "mgr": "manager", "cur": "currency", "curr": "currency", "fact": "facture"},
    **{"rech": "rechnung", "empf": "empfanger", "lief": "lieferant", "imp": "importe", "prov": "proveedor"},
}
_SMALL = frozenset(
    [
        "of",
        "the",
        "a",
        "an",
        "de",
        "du",
        "des",
        "la",
        "le",
        "les",
        "l",
        "d",
        "del",
        "della",
        "delle",
        "dei",
        "degli",
        "di",
        "da",
        "do",
        "dos",
        "das",
        "der",
        "die",
        "den",
        "dem",
        "von",
        "vom",
        "im",
        "e",
        "y",
        "et",
        "und",
        "en",
        "el",
        "los",
        "las",
        "al",
        "au",
        "aux",
        "van",
        "het",
        "een",
        "für",
        "fur",
        "fuer",
        "for",
        "per",
        "by",
    ]
)
_NUMBERS = ("nummer", "numer", "nr", "no")
_VAT = re.compile(
    r"\b(?:ex|exc|excl|excluding|inc|incl|including|net of|less|before|after|inkl|exkl|zzgl|ohne|mit|hors|avec|sin|con)"
    r"\.? ?(?:vat|tax|taxes|mwst|ust|tva|iva|btw)\b"
)
_CURRENCIES = {"£", "€", "$", "¥", "₹", "in", "en", "w", *WORDS, *(code.lower() for code in MAJOR)}


def words_of(heading: str) -> str:
    """Return a heading as words in lower case."""
    text = re.sub(r"\b[nN][°º.]", " no ", heading.replace("№", " no "))
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<=[a-z])['\u2019](?=s\b)", "", text)
    text = re.sub(r"(?<=\b[dlns])['\u2019]", " ", text)  # date d'échéance
    return " ".join(re.findall(r"[^\W_]+|[£€$¥₹#]", text))


def plain(words: str) -> str:
    """Return the words without accents and other marks on letters."""
    return unicodedata.normalize(
        "NFC", "".join(char for char in unicodedata.normalize("NFD", words) if not unicodedata.combining(char))
    ).translate(_LETTERS)


_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa"})


def _in_full(words: str) -> str:
    return " ".join(part for word in words.split() for part in _parts(word))


def _parts(word: str) -> list[str]:
    """Return the words that a word means: an abbreviation in full, and a compound such as `Belegnummer` as its two
    parts.
    """
    if word in _SHORT:
        return [_SHORT[word]]
    for ending in _NUMBERS[:3]:
        if word.endswith(ending) and len(word) > len(ending) + 3:
            stem = word.removesuffix(ending)
            return [*_parts(stem.removesuffix("s") if len(stem) > 5 else stem), "no"]
    return [word]


def _without_small(words: str) -> str:
    return " ".join(word for word in words.split() if word not in _SMALL)


@lru_cache(8192)
def forms_of(heading: str) -> tuple[str, ...]:
    """Return the names that a heading can mean, the full heading first: with and without the text in brackets."""
    if len(heading) > _LONGEST:
        return ()
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", heading)  # SupplierName
    outside = re.sub(r"\([^()]*\)|\[[^\[\]]*\]", " ", heading)
    inside = " ".join(re.findall(r"[(\[]([^()\[\]]*)[)\]]", heading))
    forms = [words_of(each) for each in (heading, split, outside, inside)]
    forms += [" ".join(_VAT.sub(" ", form).split()) for form in list(forms)]
    forms += [" ".join(word for word in form.split() if word not in _CURRENCIES) for form in list(forms)]
    if forms and set(forms[0].split()) <= _CURRENCIES and currencies_in(heading):
        forms.append("euro")  # `EUR` alone means the amounts, as `Euro` does
    forms += [form.removeprefix("sum of ") for form in list(forms)]  # a pivot table
    forms += [plain(form) for form in list(forms)]
    forms += [_in_full(form) for form in list(forms)]
    forms += [_without_small(form) for form in list(forms)]
    return tuple(dict.fromkeys(form for form in forms if form))


@lru_cache(8192)
def spellings(name: str) -> frozenset[str]:
    """Return the spellings in which a heading can write the name of a field."""
    words = words_of(name)
    found = {words, words.translate(_UMLAUTS), plain(words)}
    found |= {_in_full(each) for each in list(found)}
    found |= {_without_small(each) for each in list(found)}
    return frozenset(found | {each.replace(" ", "") for each in found})


def meant_of(names: frozenset[str]) -> str:
    """Return the longest of the spellings of a name. Misspelt headings are compared with this spelling."""
    return max(names, key=lambda each: (len(each), each))


_IDENTIFIERS = {"id", "no", "code", "key", "type", "nr", "number"}


def slip(form: str, alias: str) -> bool:
    """Return True if a heading equals an alias, except for one or two wrong letters in a word.

    Words are compared one by one, so that an ID never matches a name.
    """
    said, meant = form.split(), alias.split()
    if len(said) == len(meant):
        return all(one == other or _near(one, other) for one, other in zip(said, meant, strict=True))
    if set(said) & _IDENTIFIERS or set(meant) & _IDENTIFIERS:
        return False
    return _near("".join(said), "".join(meant))


def _near(one: str, other: str) -> bool:
    if min(len(one), len(other)) < 5 or one[0] != other[0] or abs(len(one) - len(other)) > 1:
        return False
    if not (one.isascii() and other.isascii()):
        return False
    return difflib.SequenceMatcher(None, one, other).ratio() >= _CLOSE

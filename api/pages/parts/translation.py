"""The texts of the pages and who reads them: in which language, and in which time zone.

English stands in the code; other languages are message catalogues in `api/locales/<language>/messages.po`. What a case
says (titles, questions, the record) is said by its process, in the words that are recorded.
"""

import gettext
import io
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALES = Path(__file__).parents[2] / "locales"
PSEUDO = "en-XA"
"""English with accents and brackets: what is not in them on a page cannot be translated."""


@dataclass(frozen=True)
class Reader:
    """Who reads the page that is being made."""

    locale: str = "en"
    zone: tzinfo = field(default=UTC)
    texts: gettext.NullTranslations = field(default_factory=gettext.NullTranslations)


reader: ContextVar[Reader] = ContextVar("reader", default=Reader())  # noqa: B039 - frozen


def _(message: str, **values: Any) -> str:
    """The text in the reader's language, `%(name)s` filled in."""
    text = reader.get().texts.gettext(message)
    return text % values if values else text


def ngettext(one: str, many: str, number: int, **values: Any) -> str:
    """The text for this number; `%(num)s` is the number."""
    return reader.get().texts.ngettext(one, many, number) % {"num": number, **values}


@cache
def catalogue(locale: str) -> gettext.NullTranslations:
    """The texts of a language. Raises LookupError for one that is not here."""
    if locale == "en":
        return gettext.NullTranslations()
    if locale == PSEUDO:
        return _Pseudo()
    path = LOCALES / locale / "messages.po"
    if not path.is_file():
        raise LookupError(f"there is no language '{locale}': {path} is missing")
    binary = io.BytesIO()
    with path.open("rb") as file:
        write_mo(binary, read_po(file, locale=locale.replace("-", "_")))
    binary.seek(0)
    return gettext.GNUTranslations(binary)


class _Pseudo(gettext.NullTranslations):
    _ACCENTS = str.maketrans("aeiouyAEIOU", "áéíóúýÁÉÍÓÚ")

    def gettext(self, message: str) -> str:
        parts = message.split("%(")
        first, rest = parts[0], [part.partition(")") for part in parts[1:]]
        told = first.translate(self._ACCENTS) + "".join(
            f"%({name}){text[:1]}{text[1:].translate(self._ACCENTS)}" for name, _close, text in rest
        )
        return f"⟦{told}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)

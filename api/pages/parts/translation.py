"""Translate the texts of the pages into the language of their reader, and keep the reader's time zone.

The code contains the English texts; the texts of another language are in `api/locales/<language>/messages.po`. Titles,
questions and recorded texts of a case come from its process and are not translated.
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
from babel.messages.pofile import PoFileError, read_po

from core.settings import PREFIX, WrongSettings

LOCALES = Path(__file__).parents[2] / "locales"
PSEUDO = "en-XA"
"""A test language: English with accents and brackets.

A text without accents on a page cannot be translated yet: the code does not pass it to `_` or `ngettext`.
"""


@dataclass(frozen=True)
class Reader:
    """The language and the time zone of the reader of the page that is being rendered."""

    locale: str = "en"
    zone: tzinfo = field(default=UTC)
    texts: gettext.NullTranslations = field(default_factory=gettext.NullTranslations)


reader: ContextVar[Reader] = ContextVar("reader", default=Reader())  # noqa: B039 - frozen


def _(message: str, **values: Any) -> str:
    """Return the text in the reader's language, with `%(name)s` filled in."""
    text = reader.get().texts.gettext(message)
    return text % values if values else text


def ngettext(one: str, many: str, number: int, **values: Any) -> str:
    """Return the singular or plural text for this number, in the reader's language. `%(num)s` stands for the number."""
    return reader.get().texts.ngettext(one, many, number) % {"num": number, **values}


@cache
def catalogue(locale: str) -> gettext.NullTranslations:
    """Return the translated texts of a language.

    Raises WrongSettings, which names the setting, if the language has no catalogue that can be read.
    """
    if locale == "en":
        return gettext.NullTranslations()
    if locale == PSEUDO:
        return _Pseudo()
    path = LOCALES / locale / "messages.po"
    wrong = f"{PREFIX}LOCALE={locale}: set a language of which there are translated texts, such as en"
    binary = io.BytesIO()
    try:
        with path.open("rb") as file:
            write_mo(binary, read_po(file, locale=locale.replace("-", "_")))
    except OSError as error:
        raise WrongSettings(f"{wrong}; {path} cannot be read ({error.strerror})") from None
    except (ValueError, PoFileError) as error:
        raise WrongSettings(f"{wrong}; {path} has an error ({error})") from None
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

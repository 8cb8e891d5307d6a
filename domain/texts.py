"""The interface of translations.

Functions that make texts for pages, logs and messages get an object with this interface as an argument.

Pages pass the translations into the language of their reader. Stored texts are in English, which is the default.
"""

from typing import Protocol


class Texts(Protocol):
    """Translations, such as `gettext.NullTranslations`."""

    def gettext(self, message: str, /) -> str:
        """Return the text in the language of these translations."""

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        """Return the text in the language of these translations, in the singular or plural form for the number `n`."""


class _English:
    """Return the English texts of the code unchanged."""

    def gettext(self, message: str, /) -> str:
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        return msgid1 if n == 1 else msgid2


ENGLISH: Texts = _English()

"""The language of a text: what a function takes that words something for pages as well as for logs and messages.

Pages pass the translations of their reader. Everything that is recorded is in English, which is the default.
"""

from typing import Protocol


class Texts(Protocol):
    """Translations, such as `gettext.NullTranslations`."""

    def gettext(self, message: str, /) -> str:
        """Return a text in the language."""

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        """Return the one of two texts that fits the number, in the language."""


class _English:
    """The texts as they stand in the code."""

    def gettext(self, message: str, /) -> str:
        return message

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        return msgid1 if n == 1 else msgid2


ENGLISH: Texts = _English()

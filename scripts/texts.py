"""Collect the texts of the pages into `api/locales/messages.pot` (`make texts`). Translators start from this file."""

import io
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.pofile import write_po

from core.settings import ROOT
from domain import state_words

PAGES = ROOT / "api"
TEMPLATE = PAGES / "locales" / "messages.pot"
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_OPTIONS = {"templates/**.html": {"silent": "false", "trimmed": "true", "newstyle_gettext": "true"}}
_SHARED = ("policy/explain.py", "policy/wording.py", "domain/durations.py")
"""Modules with texts that pages share with messages and logs.

Messages and logs are always in English: see `domain.texts`.
"""
_KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
_WORDINGS = (state_words.__file__,)
"""Further modules whose texts the pages translate."""


def collected() -> str:
    """Return the text of `messages.pot` for the present code: each text once, with the files that use the text."""
    catalogue = Catalog(project="Holdgate", version="", msgid_bugs_address="", charset="utf-8")
    found = [*extract_from_dir(PAGES, _METHODS, _OPTIONS, _KEYWORDS), *_of_wordings()]
    for file, _line, message, comments, context in sorted(found, key=lambda each: (each[0], each[1])):
        catalogue.add(message, locations=[(Path(file).as_posix(), 0)], auto_comments=comments, context=context)
    for path in _SHARED:
        for _line, message, comments, context in extract_from_file("python", ROOT / path, _KEYWORDS):
            catalogue.add(message, locations=[(f"../{path}", 0)], auto_comments=comments, context=context)
    text = io.BytesIO()
    write_po(text, catalogue, width=120, omit_header=True, include_lineno=False, sort_output=True)
    return text.getvalue().decode()


def _of_wordings() -> Iterator[tuple[str, int, str | tuple[str, ...], list[str], str | None]]:
    """Yield the texts of the modules in `_WORDINGS`, in the form of `extract_from_dir`, with paths from the root."""
    for name in _WORDINGS:
        path = Path(name)
        for found in extract_from_file("python", path, _KEYWORDS):
            yield (path.relative_to(ROOT).as_posix(), *found)


if __name__ == "__main__":
    TEMPLATE.write_text(collected(), encoding="utf-8")

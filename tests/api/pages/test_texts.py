"""Every text of a page can be translated: the catalogue has it, and a pseudo-language reaches it."""

from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from api.pages.parts import translation
from core.settings import WrongSettings
from scripts.texts import TEMPLATE, collected
from tests.api.conftest import Gate

DATA = {"bdi", "time", "code", "kbd", "style", "script", "title"}
"""Elements whose text is data, or the same in all languages."""
NAMES = {"Holdgate", "holdgate"}


class Shown(HTMLParser):
    """The texts of a page that a person sees or hears, and that are not data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within: list[str] = []
        self._open = 0
        """Within how many texts: one may hold elements, and these texts of their own."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("input", "meta", "link", "br", "img", "hr"):
            self._within.append("bdi" if ("data-said", None) in attrs else tag)
        self.found += [value for name, value in attrs if name in ("aria-label", "placeholder", "alt") and value]

    def handle_endtag(self, _tag: str) -> None:
        if self._within:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        text = data.strip(" \n,.:;()·+/-⚑\u00d7▾")
        if any(letter.isalpha() for letter in text) and DATA.isdisjoint(self._within) and not self._open:
            self.found.append(text)
        self._open += data.count("⟦") - data.count("⟧")


def untranslated(page: str) -> list[str]:
    shown = Shown()
    shown.feed(page)
    return [text for text in shown.found if "⟦" not in text and "⟧" not in text and text not in NAMES]


def test_the_catalogue_for_translators_is_up_to_date() -> None:
    assert TEMPLATE.read_text(encoding="utf-8") == collected(), "run 'make texts'"


def test_placeholders_survive_the_pseudo_language_and_unknown_languages_are_refused() -> None:
    pseudo = translation.catalogue(translation.PSEUDO)
    assert pseudo.gettext("You are %(name)s, 100%%") % {"name": "Ada"} == "⟦Yóú áré Ada, 100%⟧"
    assert pseudo.ngettext("%(num)s day", "%(num)s days", 2) % {"num": 2} == "⟦2 dáýs⟧"
    with pytest.raises(WrongSettings, match=r"^HOLDGATE_LOCALE=xx: .*/xx/messages.po cannot be read \(No such file"):
        translation.catalogue("xx")


PAGES = {
    "/": "manager-1",
    "/dashboard": "admin-1",
    "/requests": "requester-1",
    "/requests?ended=true": "requester-1",
    "/new": "requester-1",
    "/upload": "requester-1",
    "/batches": "requester-1",
    "/cases": "requester-1",
    "{task}": "manager-1",
    "{case}": "manager-1",
    "/settings": "manager-1",
    "/incidents": "operator-1",
    "/people": "admin-1",
    "/people/manager-1": "admin-1",
    "/groups": "admin-1",
    "/mappings": "requester-1",
    "/audit": "auditor-1",
    "/audit/check": "auditor-1",
    "/audit/pack": "auditor-1",
    "/password": "manager-1",
    "/sign-in": "manager-1",
    "/link": "manager-1",
}


@pytest.mark.parametrize("path", PAGES)
async def test_every_text_of_a_page_can_be_translated(gate: Gate, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = await gate.open_task(await gate.start(payee="Datum"))
    address = path.format(task=f"/tasks/{task['task_id']}", case=f"/cases/{quote(task['case_id'], safe='')}")
    monkeypatch.setitem(gate.settings.__dict__, "locale", translation.PSEUDO)  # frozen, for everybody else
    assert untranslated((await gate.as_(PAGES[path]).get(address)).text) == []
    monkeypatch.setitem(gate.settings.__dict__, "locale", "en")
    assert "⟦" not in (await gate.as_(PAGES[path]).get(address)).text

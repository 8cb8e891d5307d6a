"""What a page offers its reader: the forms and links in its HTML, as rows of the tables."""

import html
import re
from collections.abc import Iterator
from functools import cache

from tests.authorization.permissions import TABLE, Answer, Role
from tests.authorization.rows import Place, Rows

_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL)
_ACT = re.compile(r'name="act" value="([^"]*)"')
_LINK = re.compile(r'<a\b[^>]*\bhref="(/[^"]*)"')


def offered(page: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield the method, the address and the `act` of each form, and the address of each link, of a page at `path`."""
    for attributes, inside in _FORM.findall(page):
        post = 'method="post"' in attributes or "hx-post=" in attributes
        action = _attribute(attributes, "hx-post") or _attribute(attributes, "action") or path
        for address in {action, *re.findall(r'formaction="([^"]*)"', inside)}:
            for act in _ACT.findall(inside) or [""]:
                yield "POST" if post else "GET", _bare(address), act
    for address in _LINK.findall(page):
        yield "GET", _bare(address), ""


def refused(page: str, path: str, role: Role, rows: Rows) -> set[str]:
    """Return the forms and links of a page which this reader may not use, and those that no row knows."""
    wrong = set()
    for offer in set(offered(page, path)):
        name = _row(offer, rows)
        if name is None:
            wrong.add(f"{offer}: no row")
        elif TABLE[rows[name].what][role] is not Answer.YES:
            wrong.add(f"{name}: {rows[name].what}")
    return wrong


def _row(offer: tuple[str, str, str], rows: Rows) -> str | None:
    """Return the name of the row with this address: an address without names in braces comes before others."""
    if offer not in _known:
        method, address, act = offer
        fits = []
        for name in rows:
            place = Place.named(name)
            if place.method == method and place.act in ("", act) and _pattern(place.path).fullmatch(address):
                fits.append((place.path.count("{"), name))
        _known[offer] = min(fits)[1] if fits else None
    return _known[offer]


_known: dict[tuple[str, str, str], str | None] = {}


@cache
def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"({\w+})", path)
    return re.compile("".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts))


def _attribute(attributes: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', attributes)
    return found[1] if found else ""


def _bare(address: str) -> str:
    """Return an address without its query and its fragment."""
    return re.split(r"[?#]", html.unescape(address))[0]

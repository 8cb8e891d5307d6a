"""Open pages without a browser: sign in, and read the parsed page."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2

from tests.api.conftest import Gate

VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


def browser(gate: Gate) -> httpx2.AsyncClient:
    """A browser in which nobody has signed in."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(gate.app), base_url="http://gateway")


@asynccontextmanager
async def signed_in(gate: Gate, person: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which the person has signed in."""
    async with browser(gate) as client:
        assert (await client.post("/sign-in", data={"token": gate.tokens[person]})).status_code == 303
        client.headers["X-CSRF"] = secret((await client.get("/")).text)
        yield client


def secret(page: str) -> str:
    """What scripts send along, as the page says it."""
    found = re.search(r'data-csrf="(\w+)"', page)
    assert found is not None
    return found[1]


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the forms of a page."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attrs: dict[str, str] = field(default_factory=dict)
    parts: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What it says, blanks collapsed."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for part in self.parts:
            yield part if isinstance(part, str) else f" {part.raw} " if part.tag in BLOCKS else part.raw

    @property
    def raw(self) -> str:
        """What it says, as it stands there."""
        return "".join(self._texts())

    def all(self, tag: str = "", **attrs: str) -> list["Element"]:
        """The elements in it of this tag with these attributes; a class may be one of several."""
        return [each for each in self.walk() if (not tag or each.tag == tag) and each.has(**attrs)]

    def one(self, tag: str = "", **attrs: str) -> "Element":
        """The only such element."""
        found = self.all(tag, **attrs)
        assert len(found) == 1, f"{len(found)} of <{tag} {attrs}>: {[each.text[:80] for each in found]}"
        return found[0]

    def has(self, **attrs: str) -> bool:
        named = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return all(value in [*self.attrs.get(name, "").split(), self.attrs.get(name)] for name, value in named.items())

    def walk(self) -> Iterator["Element"]:
        for part in self.parts:
            if isinstance(part, Element):
                yield part
                yield from part.walk()

    def section(self, heading: str) -> "Element":
        """The section with this heading."""
        for each in self.all("section"):
            if any(part.tag in ("h2", "h3") and part.text == heading for part in each.walk()):
                return each
        raise AssertionError(f"no section '{heading}': {[each.text for each in self.all('h2')]}")


BLOCKS = frozenset({"p", "li", "dt", "dd", "div", "section", "h1", "h2", "h3", "option", "button", "summary", "label"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("document")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].parts.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].parts.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        places = [place for place, each in enumerate(self._open) if each.tag == tag]
        if places:
            del self._open[places[-1] :]

    def handle_data(self, data: str) -> None:
        self._open[-1].parts.append(data)


def parsed(page: str) -> Element:
    """The page as a tree."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.root

"""An address in another spelling, and another method, open nothing that the address itself does not open."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.api.odd_values import Answer as Answered, call
from tests.authorization.conftest import Product
from tests.authorization.permissions import TABLE, Answer, Role
from tests.authorization.rows import Place
from tests.authorization.test_matrix import ROWS
from tests.authorization.things import path_of

READS = [name for name in ROWS if name.startswith("GET ")]
HIDDEN = [name for name in READS if TABLE[ROWS[name].what][Role.ANYBODY] is Answer.HIDDEN]
SHAPES = [*{(ROWS[name].what, Place.named(name).of_api): name for name in HIDDEN}.values()]
"""A route of the API and a page for each line of the permissions."""
METHODS = ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST", "PROPFIND", "get")
CLOSED = {400, 401, 403, 404, 405, 421, 422}
CONDITIONAL = {"If-None-Match": "*", "If-Modified-Since": "Thu, 31 Dec 2037 00:00:00 GMT", "Range": "bytes=0-10"}


def spellings(path: str) -> Iterator[str]:
    """Yield other spellings of an address, all of which some server or proxy reads as the same address."""
    first, _, tail = path.lstrip("/").partition("/")
    yield f"{path}/"
    yield f"/{path}"
    yield f"{path}//"
    yield f"/.{path}"
    yield f"/x/..{path}"
    yield f"/x/%2e%2e{path}"
    yield f"/static/..{path}"
    yield f"/static/%2e%2e{path}"
    yield f"/health/live/..{path}"
    yield f"{path};a=b"
    yield f"{path}%20"
    yield f"{path}%00"
    yield f"{path}%0a"
    yield f"{path}.json"
    yield f"{path}%3Fx"
    yield f"{path}%23x"
    yield f"/{first.upper()}/{tail}"
    yield f"/%{ord(first[0]):02x}{first[1:]}/{tail}" if first else "/%2f"
    yield path.replace("/", "/%2f")
    yield path.replace("/", "\\")
    yield path.upper()


def opened(answer: Answered) -> bool:
    """Return True if the answer is anything but a refusal, or the form to sign in."""
    return answer.status not in CLOSED and b'action="/sign-in"' not in answer.body


async def shown(
    product: Product, name: str, person: str | None, *, itself: bool = False
) -> list[tuple[str, str, int, bytes]]:
    """Return each spelling and method to which this person, or nobody, is answered with more than a refusal."""
    place, row = Place.named(name), ROWS[name]
    ids = await row.ids(product.things, "stranger-1")
    if person is None:
        client = product.callers.ended["no credential"]
    else:
        client = product.callers.program(person) if place.of_api else await product.callers.browser(person)
    own = [(name, value) for name, value in client.headers.items() if name in ("authorization", "cookie", "x-csrf")]
    path, query = path_of(place.path, ids), str(httpx2.QueryParams(row.request(ids)["params"]))
    found = []
    odd: list[tuple[str, str, dict[str, str]]] = [
        *(("GET", spelling, {}) for spelling in spellings(path)),
        *((method, path, {}) for method in METHODS),
    ]
    for method, target, headers in [("GET", path, {})] if itself else [*odd, ("GET", path, CONDITIONAL)]:
        answer = await call(product.gate.app, method, f"{target}?{query}", [*own, *headers.items()])
        if opened(answer):
            found.append((method, target, answer.status, answer.body[:300]))
    return found


@pytest.mark.parametrize("name", SHAPES)
async def test_no_spelling_and_no_method_shows_what_is_hidden(product: Product, name: str) -> None:
    assert not await shown(product, name, "stranger-1")
    assert not await shown(product, name, None)


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in HIDDEN if name not in SHAPES])
async def test_no_spelling_and_no_method_shows_what_is_hidden_elsewhere(product: Product, name: str) -> None:
    await test_no_spelling_and_no_method_shows_what_is_hidden(product, name)


async def test_the_address_itself_is_opened_by_those_who_may(product: Product) -> None:
    """Otherwise the tests above would refuse everything."""
    for name in SHAPES:
        assert await shown(product, name, "admin-1", itself=True), name

"""An address in another spelling, and another method, open nothing that the address itself does not open."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.authorization.conftest import Product
from tests.authorization.permissions import TABLE, Answer, Role
from tests.authorization.rows import Place
from tests.authorization.test_matrix import ROWS
from tests.authorization.things import Ids, path_of

READS = [name for name in ROWS if name.startswith("GET ")]
HIDDEN = [name for name in READS if TABLE[ROWS[name].what][Role.ANYBODY] is Answer.HIDDEN]
METHODS = ("HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST", "PROPFIND", "get", "CONNECT")
CLOSED = {400, 401, 403, 404, 405, 421, 422}
CONDITIONAL = {"If-None-Match": "*", "If-Modified-Since": "Thu, 31 Dec 2037 00:00:00 GMT", "Range": "bytes=0-10"}


def spellings(path: str) -> Iterator[str]:
    """Yield other spellings of an address, all of which some server or proxy reads as the same address."""
    first, *rest = path.lstrip("/").split("/")
    tail = "/".join(rest)
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


async def raw(client: httpx2.AsyncClient, method: str, path: str, **headers: str) -> httpx2.Response:
    """Send a request with the address exactly as it stands."""
    url = client.base_url.copy_with(raw_path=path.encode())
    answer = await client.request(method, url, headers=headers)
    client.cookies.clear()
    return answer


def opened(answer: httpx2.Response) -> bool:
    """Return True if the answer is anything but a refusal, or the form to sign in."""
    return answer.status_code not in CLOSED and 'action="/sign-in"' not in answer.text


@pytest.mark.parametrize("name", HIDDEN)
async def test_no_spelling_and_no_method_shows_what_is_hidden(product: Product, name: str) -> None:
    place, row = Place.named(name), ROWS[name]
    ids: Ids = await row.ids(product.things, "stranger-1")
    path = path_of(place.path, ids)
    query = str(httpx2.QueryParams(row.request(ids)["params"]))
    program, browser = product.callers.program("stranger-1"), await product.callers.browser("stranger-1")
    wrong = []
    for client in [program if place.of_api else browser, product.callers.ended["no credential"]]:
        for spelling in spellings(path):
            answer = await raw(client, "GET", f"{spelling}?{query}")
            if opened(answer):
                wrong.append((spelling, answer.status_code, answer.text[:300]))
        for method in METHODS:
            answer = await raw(client, method, f"{path}?{query}")
            if opened(answer) or (method == "HEAD" and answer.content):
                wrong.append((method, answer.status_code, answer.text[:300]))
        answer = await raw(client, "GET", f"{path}?{query}", **CONDITIONAL)
        if opened(answer):
            wrong.append(("conditional", answer.status_code, answer.text[:300]))
    assert not wrong, name

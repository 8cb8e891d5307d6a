"""A page of another site can send a form to Holdgate with the cookie of the session, and nothing happens."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from tests.authorization.callers import ROLES, URL
from tests.authorization.conftest import Product
from tests.authorization.permissions import TABLE, Answer, Role
from tests.authorization.rows import Place, Row, met, send
from tests.authorization.rows_of_pages import ROWS
from tests.authorization.things import Ids, path_of

NOT_HERE = {"POST /sign-out/oidc", "POST /sign-in/oidc/connect"}
"""Forms that need an identity provider: the provider itself sends the first one, and signs what it sends."""
FORMS = [name for name in ROWS if not Place.named(name).safe and name not in NOT_HERE]
FIRST = [Role.ADMIN, Role.OPERATOR, Role.REQUESTER, Role.CANDIDATE]
"""Who sends a form: the first of these who may."""
FOREIGN: dict[str, dict[str, str]] = {
    "from another origin": {"Origin": "https://evil.example"},
    "from an opaque origin": {"Origin": "null"},
    "across sites, with our origin": {"Sec-Fetch-Site": "cross-site", "Origin": URL},
}
"""Headers of browsers. They count even with the right secret, which may have leaked. More are in test_origins.py."""
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


@pytest_asyncio.fixture(scope="module")
async def others(product: Product) -> dict[str, str]:
    """The secrets of other sessions of those who send forms, and of a person who sends none, by person."""
    people = ["stranger-1", *(ROLES[role] for role in FIRST)]
    return {person: (await product.callers.new_browser(person)).headers["X-CSRF"] for person in people}


def secrets(of_same_person: str, of_another: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the ways in which a form has no secret of this session."""
    yield "without a secret", {}
    yield "with an invented secret", {"X-CSRF": "0" * 64}
    yield "with the secret of another session of the person", {"X-CSRF": of_same_person}
    yield "with the secret of another person", {"X-CSRF": of_another}


def simple_bodies(place: Place, row: Row, ids: Ids) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield bodies of content types that a page of another site may send without asking."""
    fields = row.request(ids).get("data", {}) | ({"act": place.act} if place.act else {})
    plain = urlencode(fields, doseq=True).encode()
    yield "as text", {"content": plain, "headers": {"Content-Type": "text/plain"}}
    yield "without a content type", {"content": plain}
    yield "in parts", {"data": fields, "files": {"more": ("more.txt", b"More", "text/plain")}}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_of_another_site_is_refused_and_changes_nothing(
    product: Product, others: dict[str, str], name: str
) -> None:
    place, row = Place.named(name), ROWS[name]
    person = ROLES[next(role for role in FIRST if TABLE[row.what][role] is Answer.YES)]
    browser, ids = await product.callers.browser(person), await row.ids(product.things, person)
    path, wrong = path_of(place.path, ids), {}
    before, secret = await product.newest_event(), browser.headers.pop("X-CSRF")
    try:
        for why, headers in [
            *secrets(others[person], others["stranger-1"]),
            *((why, {"X-CSRF": secret, **headers}) for why, headers in FOREIGN.items()),
        ]:
            answer = await send(browser, place, row, ids, headers={"Accept": "application/json", **headers})
            if answer.status_code != 403:
                wrong[why] = answer.status_code, answer.text
        for why, body in simple_bodies(place, row, ids):
            answer = await browser.post(path, **body)
            if answer.status_code != 403:
                wrong[why] = answer.status_code, answer.text
        overriding = dict.fromkeys(OVERRIDES, "POST") | {"X-CSRF": secret}
        fields = {"_method": "POST", **row.request(ids).get("data", {})}
        answer = await browser.get(path, params=fields, headers=overriding)
        if answer.status_code >= 500:
            wrong["as a GET"] = answer.status_code, answer.text
        changed = await product.changes_by(person, before)
    finally:
        browser.headers["X-CSRF"] = secret
        browser.cookies.clear()
    assert not wrong, name
    assert not changed, f"{name} changed something"
    ours = {"Origin": URL, "Sec-Fetch-Site": "same-origin"}
    answer = await send(browser, place, row, ids, headers=ours)
    assert met(answer, place, row) is Answer.YES, f"{name}: the request of its row is wrong: {answer.text}"
    await product.used(place, row, person, answer)

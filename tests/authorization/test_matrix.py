"""Each route and each page answers each person as the table of permissions says."""

from collections.abc import Sequence

import httpx2
import pytest

from tests.authorization import rows_of_api, rows_of_pages
from tests.authorization.callers import ROLES, Ended
from tests.authorization.conftest import Product
from tests.authorization.offers import refused as refused_offers
from tests.authorization.permissions import TABLE, WHERE, Answer, Role, What
from tests.authorization.rows import Place, Row, met, send

ROWS = {**rows_of_api.ROWS, **rows_of_pages.ROWS}
HTML: dict[str, str] = {}
SCRIPT = {"Accept": "application/json"}
ONLY_AT_THE_API: set[Ended] = {"the session of a page, at the API"}


def test_every_route_of_the_api_has_a_row(product: Product) -> None:
    paths = product.gate.app.openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    told = f"Add a row with its line of {WHERE} to tests/authorization/rows_of_api.py, or remove the row, for:"
    assert routes == set(rows_of_api.ROWS), f"{told} {routes ^ set(rows_of_api.ROWS)}"


def test_every_page_and_action_of_a_page_has_a_row(product: Product) -> None:
    pages = set(rows_of_pages.places_of_pages(product.gate.app))
    told = f"Add a row with its line of {WHERE} to tests/authorization/rows_of_pages.py, or remove the row, for:"
    assert pages == set(rows_of_pages.ROWS), f"{told} {pages ^ set(rows_of_pages.ROWS)}"


def test_the_rows_and_the_table_in_the_docs_name_the_same_lines() -> None:
    assert {*What} == set(TABLE), f"`What` in tests/authorization/permissions.py and {WHERE} name other lines"
    assert {row.what for row in ROWS.values()} == {*What}, f"a line of {WHERE} has no route and no page"


@pytest.mark.parametrize("name", ROWS)
async def test_it_answers_each_person_as_the_table_says(product: Product, name: str) -> None:
    place, row = Place.named(name), ROWS[name]
    wrong: dict[str, object] = {}
    # Those who may not come first: what they asked about is used up only by those who may.
    for role in sorted(ROLES, key=lambda role: TABLE[row.what][role] is Answer.YES):
        person, may = ROLES[role], TABLE[row.what][role] is Answer.YES
        client = product.callers.program(person) if place.of_api else await product.callers.browser(person)
        before = await product.newest_event()
        answer = await _ask(product, client, place, row, person, HTML if may else SCRIPT)
        if told := _wrong(answer, place, row, role):
            wrong[role] = told
        if not may and (changed := await product.changes_by(person, before)):
            wrong[f"{role}, who changed something"] = changed
    assert not wrong, f"{name}: {row.what}"


@pytest.mark.parametrize("name", ROWS)
async def test_it_answers_ended_credentials_as_nobody(product: Product, name: str) -> None:
    """Each route is asked without a credential and with two others, in turn. The next test asks with all of them."""
    others, number = [*product.callers.ended][1:], [*ROWS].index(name)
    await _ask_as_nobody(product, name, ["no credential", *(others[(number + n) % len(others)] for n in (0, 1))])


@pytest.mark.soak
@pytest.mark.parametrize("name", ROWS)
async def test_it_answers_every_ended_credential_as_nobody(product: Product, name: str) -> None:
    await _ask_as_nobody(product, name, [*product.callers.ended])


async def _ask_as_nobody(product: Product, name: str, credentials: Sequence[Ended]) -> None:
    place, row = Place.named(name), ROWS[name]
    wrong: dict[str, object] = {}
    for why in credentials:
        if place.of_api or why not in ONLY_AT_THE_API:
            # A script is answered in few words, which tells nothing else and takes less time than a page.
            headers = SCRIPT if why != "no credential" and row.what is not What.PUBLIC else HTML
            answer = await _ask(product, product.callers.ended[why], place, row, "admin-2", headers)
            if told := _wrong(answer, place, row, Role.NOBODY):
                wrong[why] = told
    assert not wrong, f"{name}: {row.what}"


async def _ask(
    product: Product, client: httpx2.AsyncClient, place: Place, row: Row, person: str, headers: dict[str, str]
) -> httpx2.Response:
    answer = await send(client, place, row, await row.ids(product.things, person), headers=headers)
    await product.used(place, row, person, answer)
    return answer


def _wrong(answer: httpx2.Response, place: Place, row: Row, role: Role) -> object:
    """Return what is wrong with an answer; None if it is as the table says, is kept by no cache, and offers no more."""
    if met(answer, place, row) is not TABLE[row.what][role]:
        return answer.status_code, answer.text
    kept = {name: answer.headers[name] for name in ("etag", "last-modified") if name in answer.headers}
    if kept or answer.headers["cache-control"] != "no-store":
        return "a cache may keep this answer", dict(answer.headers)
    is_page = answer.status_code == 200 and answer.headers.get("content-type", "").startswith("text/html")
    if is_page and role is not Role.NOBODY and (more := refused_offers(answer.text, str(answer.url.path), role, ROWS)):
        return "the page offers what its reader may not use", more
    return None


async def test_lists_hold_only_what_the_caller_may_see(product: Product) -> None:
    ids = await product.things.case()
    sees = {"requester-1": True, "manager-2": True, "auditor-1": True, "requester-2": False, "stranger-1": False}
    for person, seen in sees.items():
        for path, name in (("/cases", "case_id"), ("/tasks", "task_id")):
            found = (await product.gate.get(person, path, q=ids["case_id"])).json()["items"]
            assert [each[name] for each in found] == [ids[name]] * seen, (person, path)


@pytest.mark.parametrize("token", ["", " ", "hg_invented", "x" * 100_000, "hg_\xff", "hg_a hg_b"])
async def test_an_odd_token_is_nobody(product: Product, token: str) -> None:
    client = product.callers.ended["no credential"]
    headers = [(b"authorization", f"Bearer {token}".encode("latin-1"))]
    answer = await client.get("/api/v1/me", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    page = await client.get("/settings", headers=headers)
    assert 'action="/sign-in"' in page.text

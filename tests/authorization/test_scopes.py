"""A token with a scope, of a person or of a service account, does only what the scope covers and its owner may do."""

import httpx2
import pytest

from api.http.token_scopes import NEEDED
from domain.names import AUDITORS, REQUESTERS
from domain.token_scopes import TokenScope
from store.people import people, service_accounts, tokens
from tests.authorization.conftest import Product
from tests.authorization.permissions import TABLE, Answer, Role, What
from tests.authorization.rows import Place, Row, met, send
from tests.authorization.rows_of_api import ROWS

BELOW = "/api/v1"
ROUTES = {name: row for name, row in ROWS.items() if Place.named(name).path.startswith(BELOW)}
CHANGES = {What.START, What.CANCEL, What.ORDER_BATCH}
"""What the scopes let a program change."""
OF_REQUESTERS = {What.START, What.REQUEST_TYPE}


def covered(place: Place) -> frozenset[TokenScope]:
    return NEEDED.get((place.method, place.path.removeprefix(BELOW)), frozenset())


def of_account(row: Row, groups: list[str]) -> Answer:
    """Return what an account with these groups is answered, which asked for nothing that the tests ask about."""
    if REQUESTERS in groups and row.what in OF_REQUESTERS:
        return Answer.YES
    return TABLE[row.what][Role.AUDITOR if AUDITORS in groups else Role.ANYBODY]


def test_no_scope_covers_another_change_than_starts_and_cancellations() -> None:
    for name, row in ROUTES.items():
        place = Place.named(name)
        assert place.safe or not covered(place) or row.what in CHANGES, f"{name}: {row.what}"


@pytest.mark.parametrize("scope", TokenScope)
async def test_a_token_with_one_scope_does_only_what_the_scope_covers(product: Product, scope: TokenScope) -> None:
    id = f"bot-{scope.replace(':', '-')}"
    async with product.gate.database.write() as conn:
        made = await service_accounts.create(
            conn, id, "A bot", owners=["admin-2"], scopes=[scope], expires_at=None, by="admin-1"
        )
        groups = (await people.get(conn, id)).groups
        of_admin = await tokens.make(conn, "admin-1", str(scope), by="admin-1", scopes=[scope])
    wrong = {}
    for token, person in ((made, id), (of_admin, "admin-1")):
        client = product.callers.with_token(token)
        for name, row in ROUTES.items():
            place = Place.named(name)
            expected = TABLE[row.what][Role.ADMIN] if person == "admin-1" else of_account(row, groups)
            if scope not in covered(place):
                expected = Answer.NO
            answer = await _asked(product, client, place, row, person)
            if met(answer, place, row) is not expected:
                wrong[f"{name}, by {person}"] = expected, answer.status_code, answer.text
    assert not wrong


async def _asked(product: Product, client: httpx2.AsyncClient, place: Place, row: Row, person: str) -> httpx2.Response:
    answer = await send(client, place, row, await row.ids(product.things, "admin-2"))
    await product.used(place, row, person, answer)
    return answer

"""Applications of the tests share their prepared routes."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.app import create_app
from core.settings import Settings
from tests.support import route_cache


def test_a_second_application_has_the_prepared_routes_of_the_first(tmp_path: Path) -> None:
    one, two = (_prepared(create_app(Settings(var=tmp_path, demo=False))) for _ in range(2))
    assert len(one) > 150 and one == two, f"FastAPI moved {'.'.join(route_cache.PREPARES)}"


def test_an_application_with_another_limit_of_bodies_has_routes_of_its_own_where_it_matters(tmp_path: Path) -> None:
    settings = [Settings(var=tmp_path, demo=False, max_upload_bytes=n * 1024 * 1024) for n in (1, 2)]
    one, two = (_prepared(create_app(each)) for each in settings)
    assert 0 < len({*one} ^ {*two}) < 40


def _prepared(app: FastAPI) -> list[int]:
    """Return the identity of what FastAPI prepared for each route."""
    return [id(route.dependant) for route in iter_route_contexts(app.routes) if hasattr(route, "dependant")]

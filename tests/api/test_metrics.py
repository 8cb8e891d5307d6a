"""/metrics while a dependency is down, and the labels of its metrics."""

import shutil
from pathlib import Path

import httpx2

from api.app import create_app
from core.settings import Settings
from core.signing_keys import make_missing_keys
from tests.api.conftest import Gate
from tests.support.installed_app import free_port
from tests.support.migrated_database import migrated_copy


async def test_without_the_database_its_numbers_are_left_out_and_come_back(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path, temporal_port=free_port())
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    app = create_app(settings)
    file, away = tmp_path / "holdgate.db", tmp_path / "away.db"
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client,
    ):
        shutil.move(file, away)
        text = (await client.get("/metrics")).text
        assert "holdgate_database_up 0.0" in text and "holdgate_temporal_up 0.0" in text
        assert "holdgate_workers" not in text
        shutil.move(away, file)
        text = (await client.get("/metrics")).text
        assert "holdgate_database_up 1.0" in text and "holdgate_workers 0.0" in text


async def test_what_nobody_serves_is_one_label_however_it_is_called(gate: Gate) -> None:
    for person, path in (
        ("requester-1", "/api/v1/nothing"),
        (None, "/nothing"),
        ("requester-1", "/api/v1/cases/a/b/c"),
    ):
        assert (await gate.as_(person).get(path)).status_code == 404
    text = (await gate.as_(None).get("/metrics")).text
    assert 'route="none",status="404"' in text and "nothing" not in text

"""Every error is a problem document, and no error shows internals."""

import logging
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api.app import create_app
from core import logs
from core.settings import Settings
from core.signing_keys import make_missing_keys
from store.db.database import Database
from store.people import people, tokens
from tests.api.conftest import Gate, payment
from tests.support.installed_app import ROOT, free_port
from tests.support.migrated_database import migrated_copy


def check(answer: httpx2.Response, status: int) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"]) == (status, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail"} <= set(body)
    assert "Traceback" not in answer.text
    return body


async def test_unknown_addresses_and_methods_are_problems(stopped: Gate) -> None:
    client = stopped.as_("admin-1")
    check(await client.get("/api/v1/nothing"), 404)
    assert check(await client.get("/nothing"), 404)["detail"] == "This address does not exist. Check the address."
    check(await client.delete("/api/v1/cases"), 405)
    check(await client.get("/api/v1/cases/"), 404)


async def test_bodies_that_are_not_what_was_asked_for_are_problems(stopped: Gate) -> None:
    client, json_type = stopped.as_("admin-1"), {"Content-Type": "application/json"}
    for body in (b"{", b"[]", b"null", b'"text"', b"{}", b"7"):
        problem = check(await client.post("/api/v1/cases", content=body, headers=json_type), 422)
        assert all(error["field"] and error["message"] for error in problem["errors"])
    check(await client.post("/api/v1/cases", content=b"{}", headers={"Content-Type": "text/plain"}), 422)
    for body in (b"\xff\xfe", b"1" * 5000, b"[" * 100_000):
        answer = await client.post("/api/v1/cases", content=body, headers=json_type)
        assert answer.status_code in {415, 422}
        check(answer, answer.status_code)
    check(await client.post("/api/v1/cases", json=payment() | {"reference": "a\0b"}), 422)
    check(await client.get("/api/v1/cases/%00"), 422)
    check(await client.get("/api/v1/cases", params={"q": "\0"}), 422)
    surrogate = b'{"process":"payment","reference":"\\ud800","input":{"payee":"\\ud800"}}'
    check(await client.post("/api/v1/cases", content=surrogate, headers=json_type), 422)


async def test_a_body_beyond_the_limit_is_refused_with_and_without_a_length(stopped: Gate) -> None:
    client = stopped.as_("admin-1")
    check(await client.post("/api/v1/cases", content=b"x" * 1_100_000), 413)
    check(await client.post("/api/v1/nothing", content=b"x" * 1_100_000), 413)

    async def chunks() -> Any:
        for _ in range(20):
            yield b"x" * 100_000

    large = await client.post("/api/v1/cases", content=chunks(), headers={"Content-Type": "application/json"})
    assert check(large, 413)["detail"] == "The request body is too large. Send a smaller one."


async def test_a_defect_is_a_500_without_a_trace(stopped: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(*_: Any, **__: Any) -> None:
        raise RuntimeError("hg_secret")

    monkeypatch.setattr("store.cases.cases.page", defect)
    body = check(await stopped.get("admin-1", "/cases"), 500)
    assert "hg_secret" not in str(body)


async def test_every_answer_has_its_security_headers(stopped: Gate) -> None:
    for path in ("/", "/docs", "/openapi.json", "/api/v1/me", "/nothing", "/static/holdgate.css"):
        headers = (await stopped.as_("admin-1").get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert (headers.get("cache-control") == "no-store") is not path.startswith("/static/")


async def test_the_log_has_a_line_a_request_and_no_secret(stopped: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdgate.api")
    await stopped.get("manager-1", "/cases", q="personal words")
    await stopped.as_(None).get("/line%0Abreak")
    form = logs._formatter("console")
    lines = [form.format(record) for record in caplog.records if record.name == "holdgate.api"]
    assert len(lines) == 2
    assert all(said in lines[0] for said in ("GET", "path=/api/v1/cases", "status=200", "person=manager-1"))
    assert "\n" not in lines[1]
    for secret in (stopped.tokens["manager-1"], "personal", "Bearer"):
        assert secret not in "".join(lines)


async def test_without_temporal_nothing_is_recorded_and_everybody_is_told_to_try_again(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path, policy=ROOT / "config" / "policy.toml", temporal_port=free_port())
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    database = Database(settings.database_url)
    async with database.write() as conn:
        await people.add(conn, "admin-1", "Admin", ["admins"], by="admin-1")
        token = await tokens.make(conn, "admin-1", "test", by="admin-1")
    await database.close()
    app = create_app(settings)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://localhost", headers=headers, timeout=30
        ) as client,
    ):
        answer = await client.post("/api/v1/cases", json=payment())
        check(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert not (await client.get("/api/v1/cases")).json()["items"]
        assert check(await client.get("/health/ready"), 503)["missing"] == ["temporal", "worker"]
        assert (await client.get("/health/live")).status_code == 200
        (tmp_path / "holdgate.db").rename(tmp_path / "away.db")
        answer = await client.get("/api/v1/cases")
        check(answer, 503)
        assert answer.headers["retry-after"]
        assert check(await client.get("/health/ready"), 503)["missing"] == ["temporal", "database", "worker"]


@pytest.mark.parametrize(
    ("requester", "said"),
    [(None, "is not set"), ("nobody", "there is no active person"), ("mia", "lets this person start no cases")],
)
async def test_the_health_page_says_why_no_dropped_file_is_imported(
    tmp_path: Path, requester: str | None, said: str
) -> None:
    settings = Settings(
        var=tmp_path,
        policy=ROOT / "config" / "policy.toml",
        temporal_port=free_port(),
        import_dir=tmp_path / "drop",
        import_requester=requester,
    )
    migrated_copy(settings.var / "holdgate.db")
    make_missing_keys(settings)
    database = Database(settings.database_url)
    async with database.write() as conn:
        await people.add(conn, "mia", "Mia", ["managers"], by="mia")
    await database.close()
    app = create_app(settings)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client,
    ):
        (warning,) = check(await client.get("/health/ready"), 503)["warnings"]
    assert warning.startswith("HOLDGATE_IMPORT_REQUESTER") and said in warning

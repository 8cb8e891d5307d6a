"""The checks of scim2-tester, which asks a server everything that the standard says. Run them by `make conformance`."""

import asyncio
from collections import Counter

import pytest
import uvicorn

from store.db.database import Database
from tests.api.scim.conftest import TOKEN, endpoint
from tests.support.installed_app import free_port

pytestmark = pytest.mark.conformance


async def test_the_tester_of_the_standard_finds_no_failure(db: Database) -> None:
    import httpx2
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_tester import check_server

    port, app = free_port(), endpoint(db)
    app.state.services.settings.public_url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)

    def check() -> Counter[str]:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}/scim/v2", headers=headers, timeout=30) as client:
            results = check_server(SyncSCIMClient(client))
        wrong = [(each.title, each.reason) for each in results if each.status.name != "SUCCESS"]
        assert not wrong
        return Counter(each.status.name for each in results)

    try:
        assert (await asyncio.to_thread(check))["SUCCESS"] > 50
    finally:
        server.should_exit = True
        await serving

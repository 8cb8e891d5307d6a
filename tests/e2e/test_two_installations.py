"""A second installation with the Temporal namespace of a first one: it does not start, and touches no payment."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from cases.namespace_binding import mark_of
from core.settings import load
from core.signing_keys import make_missing_keys
from ops import bootstrap
from store.db.database import migrate
from tests.e2e.test_forgeries import open_task, until
from tests.support import forked
from tests.support.installed_app import Product
from tests.support.temporal import TEMPORAL


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "holdgate.db")) as database:
        return [row[0] for row in database.execute(query)]


@pytest.mark.parametrize("number", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_the_second_installation_refuses_to_start_and_touches_no_payment(
    product: Product, tmp_path: Path, number: int
) -> None:
    waiting = [open_task(product, f"TWO-{number}-{place}") for place in range(number)]
    second = Product(tmp_path, TEMPORAL_ADDRESS=product.up["temporal_address"])
    with product.client("auditor-1") as auditor:
        before = [auditor.get(f"/tasks/{task['task_id']}").json() for _, task in waiting]
        for module in ("ops.up", "worker", "api"):
            ended = forked.run(module, environment=second.environment)
            assert ended.returncode == 2, (module, ended.stderr)
            (said,) = [line for line in ended.stderr.splitlines() if "namespace default" in line]
            for folder in (product.folder, tmp_path):
                (id,) = rows(folder, "SELECT id FROM installation")
                assert id in said and f"sqlite:///{folder / 'holdgate.db'}" in said
            assert "./holdgate namespace bind" in said and "Traceback" not in ended.stderr
        assert [auditor.get(f"/tasks/{task['task_id']}").json() for _, task in waiting] == before
    for table in ("cases", "effects", "entries", "lines"):
        assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [0]

    decisions = [
        {"task_id": task["task_id"], "verdict": "approve", "revision": task["revision"]} for _, task in waiting
    ]
    with product.client("manager-1") as manager:
        results = manager.post("/tasks/decisions", json={"items": decisions}).json()["items"]
    assert [result["status"] for result in results] == ["accepted"] * number
    with product.client("auditor-1") as auditor:
        for case_id, _ in waiting:
            until(lambda: auditor.get(f"/cases/{case_id}").json()["status"], lambda status: status == "completed")  # noqa: B023


@pytest.mark.soak
async def test_running_programs_stop_after_the_namespace_was_moved(tmp_path: Path) -> None:
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=TEMPORAL) as server:
        await bootstrap.prepare(server.client)
        address = server.client.service_client.config.target_host
        had, gets = [Product(tmp_path / name, TEMPORAL_ADDRESS=address) for name in ("had", "gets")]
        for product in (had, gets):
            settings = load(var=product.folder)
            await asyncio.to_thread(migrate, settings.database_url)
            make_missing_keys(settings)
        run = [
            asyncio.create_task(asyncio.to_thread(forked.run, module, environment=had.environment))
            for module in ("worker", "api")
        ]
        async with asyncio.timeout(30):
            while await mark_of(server.client) is None:
                await asyncio.sleep(0.1)
        moved = await asyncio.to_thread(forked.run, "cli", "namespace", "bind", "--yes", environment=gets.environment)
        assert moved.returncode == 0, moved.stderr
        for ended in await asyncio.gather(*run):
            assert ended.returncode == 2 and "belongs to installation" in ended.stderr

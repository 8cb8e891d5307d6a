"""One Temporal namespace and the programs of two installations."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from sqlalchemy import delete, insert
from temporalio.client import Client

from cases import namespace_binding
from cases.namespace_binding import ForeignNamespace, NamespaceBinding, mark_of
from cli.app import main
from core.errors import Mistake
from core.settings import load
from domain.installation import MARKER_TASK_QUEUE, Installation
from domain.names import TASK_QUEUE
from ops.start_programs import _bind
from store.audit import audit_log
from store.audit.verification import verify
from store.db import installation
from store.db.database import Database
from store.tables.installation import installation as identity
from tests.support.engine_fixture import House
from tests.support.migrated_database import migrated_copy
from tests.support.sequenced import Sequenced


async def database_with_an_id_of_its_own(folder: Path) -> Database:
    """All databases of tests are copies of one file, so they have the same id."""
    database = Sequenced(migrated_copy(folder / f"{uuid4().hex}.db"))
    await set_id(database, str(uuid4()))
    return database


async def set_id(database: Database, id: str) -> None:
    async with database.write() as conn:
        await conn.execute(delete(identity))
        await conn.execute(insert(identity).values(id=id, created_at=datetime.now(UTC)))


@pytest.fixture
def mark_id(monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the Workflow that marks the namespace in this test."""
    id = f"holdgate:installation-{uuid4()}"
    monkeypatch.setattr(namespace_binding, "MARKER", id)
    return id


@pytest.fixture
def client(house: House, mark_id: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a namespace that seems to have neither a mark nor cases. To create a namespace takes seconds."""
    monkeypatch.setattr(namespace_binding, "TASK_QUEUE", "nothing")
    return house.env.client


@pytest_asyncio.fixture
async def first(tmp_path: Path) -> AsyncIterator[Database]:
    database = await database_with_an_id_of_its_own(tmp_path)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def second(tmp_path: Path) -> AsyncIterator[Database]:
    database = await database_with_an_id_of_its_own(tmp_path)
    yield database
    await database.close()


async def marked(client: Client) -> Installation | None:
    mark = await mark_of(client)
    return mark.installation if mark and mark.open else None


async def bound_events(database: Database) -> list[dict[str, Any]]:
    async with database.read() as conn:
        found = await audit_log.page(conn, case_id="", limit=100)
    return [{"actor": event.actor, **event.data} for event in found if event.kind == "namespace_bound"]


async def test_the_first_installation_gets_the_namespace_and_the_second_does_not_start(
    client: Client, first: Database, second: Database
) -> None:
    both = [NamespaceBinding(client, first) for _ in range(2)]
    await asyncio.gather(*(program.hold() for program in both))
    own, other = [await installation.read(database) for database in (first, second)]
    assert own.id != other.id and await marked(client) == own
    with pytest.raises(ForeignNamespace) as refused:
        await NamespaceBinding(client, second).hold()
    for named in (own.id, own.database, other.id, other.database, client.namespace, "namespace bind"):
        assert named in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [event["before"] for event in await bound_events(first)] == ["nobody"]
    assert await bound_events(second) == []
    assert (await verify(first)).problems == []


async def test_two_installations_that_start_at_once_do_not_both_get_it(
    client: Client, first: Database, second: Database
) -> None:
    starts = (NamespaceBinding(client, database).hold() for database in (first, second))
    ends = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [ForeignNamespace]


async def test_a_terminated_mark_is_made_again_and_gives_nobody_else_the_namespace(
    client: Client, mark_id: str, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    binding = NamespaceBinding(client, first)
    await binding.hold()
    await client.get_workflow_handle(mark_id).terminate("by mistake")
    with pytest.raises(ForeignNamespace):
        await NamespaceBinding(client, second).hold()
    monkeypatch.setattr(namespace_binding, "LOOK_EVERY", 0.05)
    watching = asyncio.create_task(binding.watch())
    async with asyncio.timeout(10):
        while await marked(client) is None:
            await asyncio.sleep(0.02)
    watching.cancel()
    assert len(await bound_events(first)) == 2


async def test_a_deleted_mark_gives_running_cases_to_nobody_else(
    house: House, client: Client, mark_id: str, first: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_binding, "TASK_QUEUE", TASK_QUEUE)
    case = await house.start()
    await house.open_task(case)
    async with asyncio.timeout(10):  # Temporal lists a Workflow late
        while not [each async for each in client.list_workflows(f'WorkflowId = "{case.id}"')]:
            await asyncio.sleep(0.05)
    with pytest.raises(ForeignNamespace, match="running cases that are not in the database"):
        await NamespaceBinding(client, first).hold()
    assert await mark_of(client) is None

    monkeypatch.setattr(namespace_binding, "TASK_QUEUE", "nothing")
    running = NamespaceBinding(client, first)
    await running.hold()
    monkeypatch.setattr(namespace_binding, "TASK_QUEUE", TASK_QUEUE)
    monkeypatch.setattr(namespace_binding, "MARKER", f"{mark_id}-as-if-deleted")
    await running.hold()
    assert await marked(client) == await installation.read(first)
    await house.cancel(case)
    await house.end(case)


async def test_a_deliberate_move_stops_the_programs_that_had_the_namespace(
    client: Client, first: Database, second: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(namespace_binding, "LOOK_EVERY", 0.05)
    binding = NamespaceBinding(client, first)
    await binding.hold()
    watching = asyncio.create_task(binding.watch())
    own, other = [await installation.read(database) for database in (first, second)]
    await NamespaceBinding(client, second).bind(by="cli:ada")
    async with asyncio.timeout(10):
        await watching
    assert binding.foreign is not None and other.id in str(binding.foreign)
    await NamespaceBinding(client, second).hold()
    (event,) = await bound_events(second)
    assert (event["actor"], event["before"], event["installation"]) == ("cli:ada", str(own), other.id)


async def test_the_command_shows_who_has_the_namespace_and_moves_it(
    client: Client,
    first: Database,
    second: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await NamespaceBinding(client, first).hold()
    own, other = [await installation.read(database) for database in (first, second)]
    monkeypatch.setenv("TEMPORAL_ADDRESS", client.service_client.config.target_host)
    monkeypatch.setenv("HOLDGATE_VAR", str(tmp_path))
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", second.place)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    for arguments, code, owner in ((["bind"], 1, own), (["bind", "--yes"], 0, other)):
        assert await asyncio.to_thread(main, ["namespace", *arguments]) == code
        assert f"belongs to {own}\n" in capsys.readouterr().out
        assert await marked(client) == owner
    monkeypatch.setenv("HOLDGATE_DATABASE_URL", first.place)
    assert await asyncio.to_thread(main, ["namespace", "bind", "--yes"]) == 0
    assert f"belongs to {other}\n" in capsys.readouterr().out


async def test_make_up_says_what_to_do_with_its_own_server_after_the_database_was_lost(
    client: Client, first: Database, second: Database, tmp_path: Path
) -> None:
    await NamespaceBinding(client, first).hold()
    settings = load(var=tmp_path, database_url=second.place)
    with pytest.raises(Mistake, match=r"Restore the backup .* move .*/temporal\.db away") as said:
        await _bind(client, settings, own=True)
    assert "namespace bind" not in str(said.value)
    with pytest.raises(ForeignNamespace, match="namespace bind"):
        await _bind(client, settings, own=False)


@pytest.mark.parametrize("memo", [{}, {"id": 7, "database": ["x"]}, {"what": "else"}])
async def test_a_mark_that_nobody_can_read_lets_no_program_start(
    client: Client, mark_id: str, first: Database, memo: dict[str, Any]
) -> None:
    await client.start_workflow("installation", id=mark_id, task_queue=MARKER_TASK_QUEUE, memo=memo)
    with pytest.raises(ForeignNamespace, match="belongs to a program that Holdgate does not know"):
        await NamespaceBinding(client, first).hold()


async def test_a_copy_of_the_database_may_go_on_and_is_reported(
    client: Client, first: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await NamespaceBinding(client, first).hold()
    restored = Sequenced(migrated_copy(tmp_path / "restored.db"))
    await set_id(restored, (await installation.read(first)).id)
    with caplog.at_level(logging.WARNING, "holdgate.namespace"):
        binding = NamespaceBinding(client, restored)
        await binding.hold()
        await binding.hold()
    assert [record.getMessage().count("restored.db") for record in caplog.records] == [1]
    await restored.close()


async def test_no_program_starts_before_the_database_answers(client: Client, tmp_path: Path) -> None:
    nothing = Database(f"sqlite:///{tmp_path / 'none.db'}")
    binding = NamespaceBinding(client, nothing)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await binding.hold_when_reachable()
    await binding.hold_soon()
    assert binding.foreign is None and await mark_of(client) is None
    await nothing.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////var/holdgate.db", "sqlite:////var/holdgate.db"),
        ("postgresql://ada:secret@db:5433/holdgate?sslmode=require&password=secret", "postgresql://db:5433/holdgate"),
        ("postgresql:///holdgate?host=/run/postgresql&user=ada", "postgresql:///run/postgresql/holdgate"),
    ],
)
async def test_the_place_of_a_database_has_no_secrets(url: str, place: str) -> None:
    database = Database(url)
    assert database.place == place
    await database.close()

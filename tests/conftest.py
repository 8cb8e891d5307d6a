"""A fresh, migrated database for each test: an SQLite file, and a real PostgreSQL where one is installed."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from store.db.database import Database, migrate
from store.people import passwords
from tests.support import compiled, postgres
from tests.support.postgres import Postgres

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 1024**3
"""Bytes of memory for files; a whole run needs a fraction."""


def pytest_configure() -> None:
    """Keep what is compiled, for a run starts Python some hundred times, and let the files of tests lie in memory.

    They need not last, and some disks take a second for a new database. Not where there is little of it, where programs
    may not lie there, or where somebody set TMPDIR.
    """
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # some modules hash when imported
    gc.disable()  # while tests are collected nearly all stays, and looking for what does not takes a third of the time
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    here = os.statvfs(MEMORY)
    if here.f_bavail * here.f_frsize >= ENOUGH and not here.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_finish() -> None:
    """Never look again at what was collected."""
    gc.enable()
    gc.freeze()


TOGETHER = ("browser", "e2e")
"""Rooms that one worker runs whole: what is dear to start is started once, and no two whole products compete."""
LONG = ("e2e", "browser", "ops", "workflows", "bench", "test_docs.py", "test_compose.py", "telemetry", "intake")
"""Rooms and files that wait for processes and clocks. They come first: last, each would be waited for alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first; `make test` tells xdist to keep this order."""
    items.sort(key=lambda item: next((n for n, room in enumerate(LONG) if room in item.path.parts), len(LONG)))


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """A worker takes a file, or a room of those that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((room for room in TOGETHER if nodeid.startswith(f"tests/{room}/")), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Share the tests out among the workers of `-n`."""
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """Restore the umask after each test: the command line and the gateway set a private one for their whole process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """A statement is compiled for the first test that needs it."""
    with pytest.MonkeyPatch.context() as patch:
        compiled.share(patch)
        yield


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy: cheaper than migrating for each test."""
    path = tmp_path_factory.mktemp("template") / "holdgate.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for all tests."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with postgres.server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> str:
    """The name of a migrated database to copy."""
    name = postgres_server.create()
    migrate(postgres_server.url(name))
    return name


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh, migrated SQLite file."""
    path = shutil.copy(sqlite_template, tmp_path / "holdgate.db")
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: Postgres, postgres_template: str) -> Iterator[str]:
    """The URL of a fresh, migrated PostgreSQL database."""
    name = postgres_server.create(postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, migrated database, once of each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def another_db(database_url: str) -> AsyncIterator[Callable[[], Database]]:
    """Open the database of this test once more, as another process would."""
    opened: list[Database] = []

    def another() -> Database:
        opened.append(Database(database_url))
        return opened[-1]

    yield another
    for database in opened:
        await database.close()


@pytest.fixture
def db(another_db: Callable[[], Database]) -> Database:
    """A fresh, migrated database, once of each kind."""
    return another_db()

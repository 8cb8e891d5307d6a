"""A fresh, migrated database for each test: an SQLite file, and a real PostgreSQL where one is installed."""

import gc
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpcore2
import hypothesis
import pytest
from argon2 import PasswordHasher
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from store.db.database import Database, migrate
from store.people import passwords
from tests.support import postgres, route_cache, sql_cache
from tests.support.encrypted import EVERYWHERE
from tests.support.migrated_database import migrated_copy, template
from tests.support.postgres import Postgres
from tests.support.sequenced import Sequenced

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 1024**3
"""Bytes of memory for files; a whole run needs a fraction."""


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is compiled, for a run starts Python some hundred times, and let the files of tests lie in memory.

    They need not last, and some disks take a second for a new database. Not where there is little of it, where programs
    may not lie there, or where somebody set TMPDIR.
    """
    hypothesis.settings.register_profile("holdgate", deadline=None)  # other tests run beside it and make it slow
    hypothesis.settings.load_profile("holdgate")
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # some modules hash when imported
    config.addinivalue_line("markers", "plain_payloads: these tests read payloads in Temporal")
    config.addinivalue_line("markers", f"{BOTH}: these tests run on SQLite and on PostgreSQL in every run")
    gc.disable()  # while tests are collected nearly all stays, and looking for what does not takes a third of the time
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    here = os.statvfs(MEMORY)
    if here.f_bavail * here.f_frsize >= ENOUGH and not here.f_flag & os.ST_NOEXEC:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_finish() -> None:
    """Never look again at what was collected, and look for new garbage seldom."""
    gc.enable()
    gc.freeze()
    gc.set_threshold(*GARBAGE)


GARBAGE = (50_000, 20, 20)
"""The thresholds of the garbage collector. With those of Python, it takes 3 % of the processor time of the tests."""
TOGETHER = ("browser", "e2e", "authorization")
"""Folders that one worker runs whole: their product is started once, and two whole products do not compete."""
LONG = (
    *("e2e", "browser", "ops", "authorization", "workflows", "bench", "test_compose.py", "core", "intake"),
    *("store", "api", "plugins", "replay", "scripts", "test_architecture.py"),
)
"""Folders and files that wait for processes and clocks, then folders with files that take a minute. They run first,
because a long file at the end runs alone.
"""
EMPTY = (
    "e2e/test_command_line.py",
    *("api/test_leavers.py", "api/test_still_decidable.py", "api/test_task_actions.py", "api/test_blocked_cases.py"),
)
"""Files whose tests look at everything that waits. They run before other files of their folder leave tasks open."""
BOTH = "both_databases"
"""The marker of tests that run on PostgreSQL in every run. All others run on SQLite, and on PostgreSQL in the soak."""
SERVERS = {"postgres_server", "postgres_url", "clients", "opened", "stopped", "product", "chromium"}
"""Fixtures that start a server, a product or a browser."""
STARTERS = {"Product", "WorkflowEnvironment", "open_house", "time_skipping_server", "postgres", "subprocess", "psutil"}
"""Names that a module imports to start one itself, or any other process."""
DATABASES = {"sqlite_url", "database_url", "db", "sqlite_template"}
"""Fixtures that create a database."""
NOT_FAST = (
    "browser",
    "cli",
    "e2e",
    "ops",
    "store",
    "replay",
    "test_sentences.py",
    "test_architecture.py",
    "test_docs.py",
)
"""Folders and files that `--fast` does not collect: most of their tests start something, or read the whole code."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of `make test-fast`."""
    parser.addoption("--fast", action="store_true", help="run only tests without a process or a database")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out whole folders for `--fast`."""
    here = collection_path.parent == Path(__file__).parent and collection_path.name in NOT_FAST
    return True if here and config.getoption("--fast") else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long tests first, and decide which run. `make test` tells xdist to keep this order."""
    for item in items:
        if _on_postgresql(item) and item.get_closest_marker(BOTH) is None:
            item.add_marker(pytest.mark.soak)
        if EVERYWHERE and item.get_closest_marker("plain_payloads"):
            item.add_marker(pytest.mark.skip(reason="all payloads are encrypted"))
    items.sort(key=_place)
    if config.getoption("--fast"):
        served = [item for item in items if _is_served(item)]
        config.hook.pytest_deselected(items=served)
        items[:] = [item for item in items if not _is_served(item)]


def _place(item: pytest.Item) -> tuple[int, bool]:
    """Return where a test belongs in the run: small values run first."""
    folder, name = item.path.parts[-2:]
    first = f"{folder}/{name}" in EMPTY
    long = next((n for n, each in enumerate(LONG) if each in item.path.parts), len(LONG) + (not first))
    return long, not first


def _on_postgresql(item: pytest.Item) -> bool:
    """Return whether a parameter of the test chooses PostgreSQL."""
    parameters = getattr(item, "callspec", None)
    return parameters is not None and "postgresql" in parameters.params.values()


def _is_served(item: pytest.Item) -> bool:
    """Return True if the test needs a server or a database, or if its module can start a process."""
    if not isinstance(item, pytest.Function):
        return False
    return (
        _on_postgresql(item)
        or bool((SERVERS | DATABASES) & {*item.fixturenames})
        or bool(STARTERS & {*vars(item.module)})
    )


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
    """A statement is compiled, and a route is prepared, for the first test that needs it."""
    with pytest.MonkeyPatch.context() as patch:
        sql_cache.share(patch)
        route_cache.share(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Let all HTTP clients of a run trust the same certificates: to read them takes each client 40 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpcore2, "default_ssl_context", cache(httpcore2.default_ssl_context))
        yield


@pytest.fixture(scope="session")
def sqlite_template() -> Path:
    """Return a migrated file to copy, which is cheaper than a migration for each test."""
    return template()


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
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a fresh, migrated SQLite file."""
    return migrated_copy(tmp_path / "holdgate.db")


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
        opened.append(Sequenced(database_url))
        return opened[-1]

    yield another
    for database in opened:
        await database.close()


@pytest.fixture
def db(another_db: Callable[[], Database]) -> Database:
    """A fresh, migrated database, once of each kind."""
    return another_db()

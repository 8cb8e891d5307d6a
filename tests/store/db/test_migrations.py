"""Migrations make exactly the tables that `store.tables.base` describes, also when run twice."""

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, text

from store.db.database import Database, DatabaseUnavailable, migrate, normalised
from store.tables.base import metadata

pytestmark = pytest.mark.both_databases


def test_a_migrated_database_has_the_tables_that_the_code_describes(database_url: str) -> None:
    engine = create_engine(str(database_url).replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)


def test_processes_that_migrate_a_new_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a new folder/holdgate %41?#.db".replace("%", "%25").replace("?", "%3F")
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        assert list(processes.map(migrate, [url] * 3)) == [None] * 3


async def test_a_database_that_was_never_migrated_is_not_ready(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(DatabaseUnavailable, match="no such table"):
        await database.ready()
    await database.close()


def test_a_database_from_the_future_is_refused(sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.partition("///")[2]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999_later'")
    connection.close()
    with pytest.raises(DatabaseUnavailable, match="9999"):
        migrate(sqlite_url)


@pytest.mark.parametrize("revision", ["0001", "0027"])
async def test_a_database_of_an_unreleased_version_is_refused_with_what_to_do(database_url: str, revision: str) -> None:
    engine = create_engine(str(database_url).replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :old"), {"old": revision})
    engine.dispose()
    what_to_do = f"unreleased version of Holdgate .schema {revision}.*HOLDGATE_DATABASE_URL.*./holdgate migrate"
    with pytest.raises(DatabaseUnavailable, match=what_to_do):
        migrate(database_url)
    database = Database(database_url)
    with pytest.raises(DatabaseUnavailable, match=what_to_do):
        await database.ready()
    await database.close()


def test_a_new_database_has_the_rows_that_readers_and_chains_start_from(database_url: str) -> None:
    engine = create_engine(str(database_url).replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        chain = connection.execute(text("SELECT id, position, peaks, seals FROM chain")).all()
        readers = connection.execute(text("SELECT name, position FROM readers ORDER BY name")).all()
    engine.dispose()
    assert [tuple(row) for row in chain] == [(1, 0, "", 1)], "the row of the installation is sealed"
    assert [tuple(row) for row in readers] == [("notices", 0), ("people", 0), ("people-again", 0)]


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(DatabaseUnavailable, match=r"^file is not a database$"):
        migrate(f"sqlite:///{tmp_path}/notes.txt")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://me@host/name", "postgresql+psycopg"),
        ("postgresql://me@host/name", "postgresql+psycopg"),
        ("postgresql+psycopg://me@host/name", "postgresql+psycopg"),
        ("sqlite:///var/holdgate.db", "sqlite"),
    ],
)
def test_a_url_gets_the_driver_that_we_use(url: str, driver: str) -> None:
    assert normalised(url).drivername == driver


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name", "holdgate.db"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        normalised(url)

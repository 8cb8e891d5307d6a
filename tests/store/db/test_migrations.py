"""Migrations make exactly the tables that `store.tables.base` describes, whoever runs them and however often."""

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, NullPool, create_engine, text

import store
from store.db.database import Database, DatabaseUnavailable, migrate, normalised
from store.notifications import outbox
from store.people import people
from store.tables.base import metadata


def test_a_migrated_database_has_the_tables_that_the_code_describes(database_url: str) -> None:
    engine = create_engine(str(database_url).replace("+aiosqlite", "").replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_changes_nothing(database_url: str) -> None:
    migrate(database_url)


def upgraded_to(revision: str, url: str) -> None:
    """Bring an empty database to an old schema, as an old checkout has left it."""
    config = Config()
    config.set_main_option("script_location", str(Path(store.__file__).parent / "migrations"))
    with engine_of(url).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def engine_of(url: str) -> Engine:
    return create_engine(
        url.replace("+aiosqlite", "").replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/old.db"
    server = request.getfixturevalue("postgres_server")
    url: str = server.url(server.create())
    return url


async def test_an_upgrade_keeps_everybody_and_tells_nobody_old_news(empty_url: str) -> None:
    upgraded_to("0001", empty_url)
    with engine_of(empty_url).begin() as old:
        old.execute(text("INSERT INTO people (id, name, active, created_at) VALUES ('m', 'Mary', true, '2026-01-01')"))
        old.execute(text("UPDATE chain SET position = 4711"))
    migrate(empty_url)
    database = Database(empty_url)
    async with database.read() as conn:
        mary = await people.get(conn, "m")
        assert (mary.name, mary.email) == ("Mary", None)
        assert (await outbox.lag(conn)).unread == 0
    await database.close()


async def test_an_upgrade_gives_no_number_of_a_version_twice(empty_url: str) -> None:
    upgraded_to("0005", empty_url)
    with engine_of(empty_url).begin() as old:
        for name, version in (("goods", 2), ("staged", 1)):
            old.execute(
                text(
                    "INSERT INTO dataset_versions (name, version, case_id, sha256, profile, rows, staged_at) "
                    f"VALUES ('{name}', {version}, 'c', 's', '{{}}', 1, '2026-01-01')"
                )
            )
        old.execute(text("INSERT INTO datasets (name, version) VALUES ('goods', 2)"))
        # Loaded once, and removed since.
        for name, version in (("goods", 3), ("gone", 7)):
            made = f'{{"name": "{name}", "version": {version}, "rows": 1}}'
            query = "INSERT INTO effects VALUES (:key, 'load_rows', 'c', 'undone', :made, '2026-01-01')"
            old.execute(text(query.replace(":made", f"'{made}'".replace(":", "\\:"))), {"key": name})
    migrate(empty_url)
    with engine_of(empty_url).begin() as new:
        found = {row.name: (row.version, row.last) for row in new.execute(text("SELECT * FROM datasets"))}
    assert found == {"goods": (2, 3), "staged": (None, 1), "gone": (None, 7)}


def test_processes_that_migrate_a_new_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a new folder/holdgate %41?#.db".replace("%", "%25").replace("?", "%3F")
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as processes:
        assert list(processes.map(migrate, [url] * 3)) == [None] * 3


async def test_an_upgrade_notes_how_long_the_cases_before_it_took_and_whom_their_tasks_asked(empty_url: str) -> None:
    upgraded_to("0009", empty_url)
    day = (
        "2026-11-20 {}:00:00+00:00".format
        if empty_url.startswith("postgresql")
        else "2026-11-20 {}:00:00.000000".format
    )
    with engine_of(empty_url).begin() as old:

        def insert(table: str, **row: Any) -> None:
            names = ", ".join(row)
            old.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)

        always = {"process": "payment", "title": "t", "requester": "r", "priority": 3}
        hashed = {"digest": "d", "prev_hash": "p", "hash": "h", "actor": "a"}
        for case_id, status, closed in (
            ("done", "completed", 20),
            ("undone", "rolled_back", 22),
            ("open", "running", 0),
        ):
            named = {"case_id": case_id, "reference": case_id, "reference_key": case_id, "round": 1, "status": status}
            times = {"submitted_at": day("08"), "updated_at": day("09"), "closed_at": day(closed) if closed else None}
            insert("cases", **always, **named, **times, policy_hash="f", input="{}", head_count=1, head_hash="h")
        for number, (opens, closes) in enumerate(((10, 14), (12, 15), (18, 19))):
            named = {"task_id": f"t{number}", "case_id": "done", "gate": "g", "kind": "gate", "status": "closed"}
            times = {"opened_at": day(opens), "closed_at": day(closes)}
            insert("tasks", **always, **named, **times, revision=1, given=0, view="{}")
        for group in ("managers", "directors"):
            insert("candidates", task_id="t1", kind="group", name=group)
        for position, hour in enumerate((18, 22)):
            event = {"position": position + 1, "seq": position + 1, "event_id": f"e{position}", "at": day(hour)}
            insert("events", **event, **hashed, case_id="undone", kind="case_closed")
    migrate(empty_url)
    hour = 3_600_000
    with engine_of(empty_url).begin() as new:
        noted = new.execute(text("SELECT case_id, ended_as, took_ms, waited_ms FROM cases ORDER BY case_id")).all()
        asked = list(new.execute(text("SELECT asked FROM tasks ORDER BY task_id")).scalars())
    assert [tuple(row) for row in noted] == [
        ("done", "completed", 12 * hour, 6 * hour),
        ("open", None, None, None),
        ("undone", "completed", 10 * hour, 0),  # up to its first end
    ]
    assert asked == ["", "directors,managers", ""]


async def test_an_upgrade_folds_what_is_compared_and_what_is_searched(empty_url: str) -> None:
    upgraded_to("0013", empty_url)
    with engine_of(empty_url).begin() as old:

        def insert(table: str, **row: Any) -> None:
            names = ", ".join(row)
            old.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row)

        at = "2026-11-20 08:00:00"
        always = {"process": "payment", "requester": "r", "priority": 3}
        for number, key in enumerate(("inv\u20111", "inv-2", "inv\u20112", "stra\u00dfe")):
            named = {"case_id": f"payment:{number}", "reference": key, "reference_key": key, "round": 1, "input": "{}"}
            times = {"submitted_at": at, "updated_at": at, "status": "running", "title": "M\u00fcller 1,250.00"}
            insert("cases", **always, **named, **times, policy_hash="f", head_count=1, head_hash="h")
        task = {"task_id": "t", "case_id": "payment:0", "gate": "g", "kind": "gate", "status": "open", "opened_at": at}
        insert("tasks", **always, **task, title="M\u00fcller 1,250.00", revision=1, given=0, view="{}", words="old")
        entry = {"idempotency_key": "k", "kind": "hold", "reference": "INV\u20111", "at": at}
        insert("entries", **entry, payee="O\u2019Neil", payee_key="o\u2019neil")
    migrate(empty_url)
    with engine_of(empty_url).begin() as new:
        keys = list(new.execute(text("SELECT reference_key FROM cases ORDER BY case_id")).scalars())
        words = list(new.execute(text("SELECT words FROM cases WHERE case_id = 'payment:0'")).scalars())
        words += new.execute(text("SELECT words FROM tasks")).scalars()
        booked = [tuple(row) for row in new.execute(text("SELECT reference_key, payee_key FROM entries"))]
    assert keys == ["inv-1", "inv-2", "inv\u20112", "strasse"], "a key that another case has already stays as it was"
    assert words == ["payment:0 muller 1250.00"] * 2
    assert booked == [("inv-1", "o'neil")]


async def test_a_database_that_was_never_migrated_is_not_ready(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(DatabaseUnavailable, match="no such table"):
        await database.ready()
    await database.close()


def test_a_database_from_the_future_is_refused(sqlite_url: str) -> None:
    with sqlite3.connect(sqlite_url.partition("///")[2]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseUnavailable, match="9999"):
        migrate(sqlite_url)


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
        ("sqlite:///var/holdgate.db", "sqlite+aiosqlite"),
    ],
)
def test_a_url_gets_the_driver_that_we_use(url: str, driver: str) -> None:
    assert normalised(url).drivername == driver


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://host/name", "holdgate.db"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        normalised(url)


async def test_people_of_a_demo_that_ran_before_are_marked_and_nobody_else(empty_url: str) -> None:
    upgraded_to("0022", empty_url)
    rows = [
        ("manager-1", "manager-1@example.org", "demo"),
        ("taken", "anna@example.com", "demo"),
        ("bert", "bert@example.org", "laptop"),
        ("carl", None, None),
    ]
    with engine_of(empty_url).begin() as old:
        for id, email, label in rows:
            person = {"id": id, "email": email, "label": label, "hash": id}
            columns = "(id, name, active, created_at, email)"
            old.execute(text(f"INSERT INTO people {columns} VALUES (:id, 'A', true, '2026-01-01', :email)"), person)
            if label:
                columns = "(hash, person, label, created_at)"
                old.execute(text(f"INSERT INTO tokens {columns} VALUES (:hash, :id, :label, '2026-01-01')"), person)
    migrate(empty_url)
    database = Database(empty_url)
    async with database.read() as conn:
        assert [person.id for person in await people.all(conn) if person.demo] == ["manager-1"]
    await database.close()

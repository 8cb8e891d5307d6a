"""On PostgreSQL the role of the application adds to the audit log, and cannot change or delete what is in it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import exc as sql, select, text

from store.audit.checkpoints.note import SigningKey
from store.audit.checkpoints.sign import Signer
from store.audit.verification import verify
from store.db import roles
from store.db.database import Database, migrate
from store.db.roles import WrongRole
from store.erasure.content import erase_case
from store.erasure.events import NoRight
from store.people import people
from store.tables.cases import cases
from tests.store.sample_cases import ending, opening, recorded, submitted, task
from tests.support.postgres import Postgres
from tests.support.sequenced import Sequenced


@pytest.fixture
def role(postgres_server: Postgres) -> Iterator[str]:
    """A new role that owns nothing. Its name needs quotes."""
    name = f"app-{uuid4().hex[:12]}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as conn:
        conn.execute(f'CREATE ROLE "{name}" LOGIN'.encode())
        yield name
        conn.execute(f'DROP ROLE "{name}"'.encode())


@pytest.fixture
def app_url(role: str, postgres_url: str, postgres_server: Postgres) -> Iterator[str]:
    """The URL of the application's role, with the rights that a migration gives it."""
    url = postgres_url.replace("holdgate@", f"{role}@")
    for _ in range(2):
        migrate(url, postgres_url)
    yield url
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f'DROP OWNED BY "{role}"'.encode())


@pytest.fixture
async def app(app_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """The database as the application uses it, with a case and a checkpoint."""
    database = Sequenced(app_url)
    view = task((await submitted(database)).case_id)
    await recorded(database, opening(view))
    await recorded(database, ending(view))
    async with database.write() as conn:
        await people.add(conn, "mia", "Mia", [], by="ada")
    assert await Signer(database, SigningKey.new("record"), [], tmp_path).look() == 1
    assert (await verify(database)).problems == []
    yield database
    await database.close()


async def refused(database: Database, statement: str) -> bool:
    try:
        async with database.write() as conn:
            await conn.execute(text(statement))
    except sql.ProgrammingError as error:
        assert "permission denied" in str(error) or "must be owner" in str(error), error
        return True
    return False


@pytest.mark.parametrize("table", [table.name for table in roles.ADDED_ONLY])
async def test_the_application_only_adds_rows_to_the_audit_log(app: Database, table: str) -> None:
    column = next(iter(next(each for each in roles.ADDED_ONLY if each.name == table).c)).name
    for statement in (
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
        f"DROP TABLE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
    ):
        assert await refused(app, statement), statement
    assert (await verify(app)).problems == []


async def test_the_application_cannot_remove_the_heads_or_change_the_schema_or_the_installation(app: Database) -> None:
    for statement in (
        "DELETE FROM chain",
        "DELETE FROM caseless_head",
        "UPDATE alembic_version SET version_num = 'x'",
        "UPDATE installation SET id = 'x'",
        "DELETE FROM installation",
    ):
        assert await refused(app, statement), statement


async def test_every_other_table_can_be_written_by_the_application(app: Database) -> None:
    limited = {table.name for table in (*roles.ADDED_ONLY, *roles.ONE_ROW)} | {"alembic_version", "installation"}
    async with app.read() as conn:
        rows = await conn.execute(
            text(
                "SELECT tablename, has_table_privilege(tablename::text, 'INSERT') AND"
                " has_table_privilege(tablename::text, 'UPDATE') AND has_table_privilege(tablename::text, 'DELETE')"
                " FROM pg_tables WHERE schemaname = 'public'"
            )
        )
        assert {name for name, all_ in rows if not all_} == limited


async def test_the_owner_can_erase_what_a_person_may_ask_to_erase(app: Database, postgres_url: str) -> None:
    owner = Database(postgres_url)
    assert not await refused(owner, "UPDATE event_payloads SET salt = NULL, payload = NULL WHERE number = 1")
    assert "was emptied" in " ".join((await verify(app)).problems)
    await owner.close()


# ------------------------------------------------------------------------------------------------ roles that do not fit


def test_a_role_that_is_missing_is_named(postgres_url: str) -> None:
    with pytest.raises(WrongRole, match="the role nobody-at-all of HOLDGATE_DATABASE_URL does not exist"):
        migrate(postgres_url.replace("holdgate@", "nobody-at-all@"), postgres_url)


def test_a_role_that_can_act_as_the_owner_is_refused(postgres_url: str, role: str) -> None:
    with pytest.raises(WrongRole, match="can act as the owner"):
        migrate(postgres_url, postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f'GRANT holdgate TO "{role}"'.encode())
    with pytest.raises(WrongRole, match="can act as the owner"):
        migrate(postgres_url.replace("holdgate@", f"{role}@"), postgres_url)


@pytest.mark.parametrize("given", ["GRANT pg_write_all_data TO {}", "GRANT DELETE ON seals TO PUBLIC"])
def test_a_role_that_can_change_the_audit_log_with_rights_from_elsewhere_is_refused(
    postgres_url: str, role: str, given: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(given.format(f'"{role}"').encode())
    with pytest.raises(WrongRole, match=r"can still change .*seals"):
        migrate(postgres_url.replace("holdgate@", f"{role}@"), postgres_url)


def test_tables_of_another_owner_are_noticed(postgres_url: str, role: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f'ALTER TABLE seals OWNER TO "{role}"'.encode())
    with pytest.raises(WrongRole, match="must own all tables"):
        migrate(postgres_url.replace("holdgate@", f"{role}@"), postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f'REASSIGN OWNED BY "{role}" TO holdgate'.encode())


@pytest.mark.parametrize(("url", "owner"), [("sqlite:///{0}/a.db", "sqlite:///{0}/a.db")])
def test_sqlite_has_no_roles(url: str, owner: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="HOLDGATE_DATABASE_OWNER_URL needs PostgreSQL"):
        migrate(url.format(tmp_path), owner.format(tmp_path))


def test_one_role_goes_on_to_do_everything(postgres_url: str) -> None:
    migrate(postgres_url)
    with psycopg.connect(postgres_url) as conn:
        found: Any = conn.execute("SELECT has_table_privilege('events', 'DELETE')").fetchone()
    assert found == (True,)


async def test_only_the_owner_of_the_tables_erases(app: Database, postgres_url: str) -> None:
    async with app.read() as conn:
        (case_id,) = (await conn.execute(select(cases.c.case_id))).scalars()
    told: dict[str, Any] = {"by": "pia", "reason": "asked", "request": None}
    with pytest.raises(NoRight, match="set HOLDGATE_DATABASE_OWNER_URL"):
        async with app.write() as conn:
            await erase_case(conn, case_id, **told)
    owner = Sequenced(postgres_url)
    async with owner.write() as conn:
        assert (await erase_case(conn, case_id, **told)).events > 0
    await owner.close()
    assert (await verify(app)).problems == []

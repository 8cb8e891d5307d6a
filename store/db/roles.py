"""The rights of the role that worker and gateway use on PostgreSQL, if another role owns the tables.

With two roles, the role of the application can add rows to the tables of the audit log, but not change or delete them.
The owner migrates, and erases what must be erased.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, Table, text

from store.tables.audit import (
    caseless_head,
    chain,
    checkpoints,
    event_blocks,
    event_payloads,
    event_positions,
    events,
    seal_positions,
    seals,
)
from store.tables.installation import installation

ADDED_ONLY = (events, event_payloads, event_positions, event_blocks, seals, seal_positions, checkpoints)
"""Tables to which the application only adds rows."""
ONE_ROW = (chain, caseless_head)
"""Tables whose one row the application changes, but never deletes."""


class WrongRole(ValueError):
    """Raised if the role of the application cannot be limited. The text says what to do."""

    safe_to_log = True


def limit(conn: Connection, role: str) -> None:
    """Give a role all rights that worker and gateway need, and take its other rights.

    Call this as the owner of the tables, after each migration. Raises WrongRole if the role is missing, if it can act
    as the owner, or if it has rights from elsewhere to change the audit log.
    """
    known = conn.execute(
        text("SELECT pg_has_role(oid, current_user, 'MEMBER') FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).one_or_none()
    if known is None:
        raise WrongRole(f"the role {role} of HOLDGATE_DATABASE_URL does not exist: create it with CREATE ROLE")
    owners = text("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tableowner <> current_user")
    if known[0] or conn.execute(owners).scalar_one():
        raise WrongRole(
            f"the role {role} of HOLDGATE_DATABASE_URL can act as the owner of the tables: the role of"
            " HOLDGATE_DATABASE_OWNER_URL must own all tables, and the other role must be neither a superuser nor a"
            " member of the owner's role. See docs/operate/databases.md"
        )
    quoted = conn.dialect.identifier_preparer.quote(role)
    schema = conn.dialect.identifier_preparer.quote(conn.execute(text("SELECT current_schema()")).scalar_one())
    for statement in (
        f"GRANT USAGE ON SCHEMA {schema} TO {quoted}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {quoted}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {quoted}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {quoted}",
        f"REVOKE UPDATE, DELETE ON {_names(ADDED_ONLY)} FROM {quoted}",
        f"REVOKE INSERT, DELETE ON {_names(ONE_ROW)} FROM {quoted}",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version, {installation.name} FROM {quoted}",
    ):
        conn.execute(text(statement))
    _check(conn, role)


def _check(conn: Connection, role: str) -> None:
    """Raise WrongRole if the role can still change the audit log: with the rights of PUBLIC or of another role."""
    may = text("SELECT has_table_privilege(:role, :name, 'UPDATE, DELETE, TRUNCATE, TRIGGER')")
    names = [table.name for table in ADDED_ONLY]
    if left := [name for name in names if conn.execute(may, {"role": role, "name": name}).scalar_one()]:
        raise WrongRole(
            f"the role {role} of HOLDGATE_DATABASE_URL can still change {', '.join(left)}: it has rights of PUBLIC or"
            " of a role such as pg_write_all_data. Revoke them. See docs/operate/databases.md"
        )


def _names(tables: Iterable[Table]) -> str:
    return ", ".join(table.name for table in tables)

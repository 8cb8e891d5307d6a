"""Alembic's entry point: `store.db.database.migrate` passes a connection that has already begun the transaction."""

from alembic import context

from store.tables.base import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=False,  # the transaction is the caller's
)
context.run_migrations()

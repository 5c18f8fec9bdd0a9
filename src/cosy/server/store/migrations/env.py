"""Runs revisions on the connection that `Database.migrate` holds, inside its transaction."""

from __future__ import annotations

from alembic import context

from cosy.server.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's is, once the driver leaves transactions alone
    render_as_batch=True,  # SQLite alters a column by copying its table
)
with context.begin_transaction():
    context.run_migrations()

"""Run by Alembic, always on the connection that `steward.adapters.postgres.schema` holds."""

from __future__ import annotations

from alembic import context

from steward.adapters.postgres.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

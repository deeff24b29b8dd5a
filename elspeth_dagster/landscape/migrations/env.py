"""Runs the migrations on the connection that the caller hands over, inside the caller's transaction."""

from alembic import context

from elspeth_dagster.landscape.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller's transaction and lock cover the whole migration.
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()

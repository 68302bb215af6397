"""Runs the migrations on the connection, and in the transaction, that `upgrade` holds."""

from alembic import context

from wes_service.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

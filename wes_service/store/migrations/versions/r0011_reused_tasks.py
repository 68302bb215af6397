"""Which run a run resumes, which work a task did, and from which task its outputs were taken."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
IDENTIFIERS = (("runs", "parent"), ("tasks", "reused_run"), ("tasks", "reused_task"))


def upgrade() -> None:
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    for table, name in IDENTIFIERS:
        op.add_column(table, sa.Column(name, sa.String(64, collation=collation)))
    op.add_column("tasks", sa.Column("reuse_key", sa.String(64)))
    has_key = sa.text("reuse_key IS NOT NULL")
    op.create_index(
        "tasks_by_reuse_key", "tasks", ["reuse_key", "created"], sqlite_where=has_key, postgresql_where=has_key
    )


def downgrade() -> None:
    """What a run resumes is forgotten; what it has reused stays its own."""
    op.drop_index("tasks_by_reuse_key", "tasks")
    op.drop_column("tasks", "reuse_key")
    for table, name in reversed(IDENTIFIERS):
        op.drop_column(table, name)

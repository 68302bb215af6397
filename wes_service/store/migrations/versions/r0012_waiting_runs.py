"""How many runs a worker takes, or why none, by which a run that waits is told why; which runs resume another."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("workers", sa.Column("slots", sa.Integer))
    op.add_column("workers", sa.Column("owner_slots", sa.Integer))
    op.add_column("workers", sa.Column("hindrance", sa.Text, nullable=False, server_default=""))
    has_parent = sa.text("parent IS NOT NULL")
    op.create_index("runs_by_parent", "runs", ["parent"], sqlite_where=has_parent, postgresql_where=has_parent)


def downgrade() -> None:
    """Workers say it again at their next heartbeat."""
    op.drop_index("runs_by_parent", "runs")
    for name in ("hindrance", "owner_slots", "slots"):
        op.drop_column("workers", name)

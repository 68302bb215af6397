"""A worker's lease is its number of heartbeats; runs are held by worker and epoch only."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

HELD = sa.text("worker IS NOT NULL")


def upgrade() -> None:
    op.add_column("workers", sa.Column("beats", sa.BigInteger, nullable=False, server_default="0"))
    op.drop_index("runs_held", "runs")
    op.drop_column("runs", "lease_until")
    op.create_index("runs_held", "runs", ["worker", "id"], sqlite_where=HELD, postgresql_where=HELD)


def downgrade() -> None:
    """Runs that are held then have a lease that has ended, as no worker may be at work meanwhile."""
    op.drop_index("runs_held", "runs")
    op.add_column("runs", sa.Column("lease_until", sa.BigInteger))
    op.execute("UPDATE runs SET lease_until = 0 WHERE worker IS NOT NULL")
    op.create_index("runs_held", "runs", ["lease_until", "worker", "id"], sqlite_where=HELD, postgresql_where=HELD)
    op.drop_column("workers", "beats")

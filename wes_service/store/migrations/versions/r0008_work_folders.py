"""When the work folder of a run was removed, and which runs that ended still have theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("runs", sa.Column("work_removed", sa.BigInteger))
    kept = sa.text("ended IS NOT NULL AND work_removed IS NULL")
    op.create_index("runs_work_kept", "runs", ["ended", "id"], sqlite_where=kept, postgresql_where=kept)


def downgrade() -> None:
    """The folders stay removed."""
    op.drop_index("runs_work_kept", "runs")
    op.drop_column("runs", "work_removed")

"""Priorities of runs, and an index of those that are queued, in the order in which an owner's are claimed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("runs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    queued = sa.text("state = 'QUEUED'")
    order = sa.text("priority DESC")
    columns: list[str | sa.TextClause] = ["issuer", "subject", order, "created", "id", "engine", "engine_version"]
    op.create_index("runs_queued", "runs", columns, sqlite_where=queued, postgresql_where=queued)
    op.drop_index("runs_by_state", "runs")
    op.create_index("runs_by_state", "runs", ["issuer", "subject", "state", "created", "id"])


def downgrade() -> None:
    """Runs that are queued are begun in the order in which they came."""
    op.drop_index("runs_by_state", "runs")
    by_state = ["issuer", "subject", "state", "created", "id", "engine", "engine_version"]
    op.create_index("runs_by_state", "runs", by_state)
    op.drop_index("runs_queued", "runs")
    op.drop_column("runs", "priority")

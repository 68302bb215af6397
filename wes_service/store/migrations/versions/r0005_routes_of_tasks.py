"""Why a task went to the TES that it went to."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("route", sa.Text))


def downgrade() -> None:
    """The reasons are forgotten."""
    op.drop_column("tasks", "route")

"""Tasks that are still to be cancelled on a TES."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "pending_cancels",
        sa.Column("task_id", ID, primary_key=True),
        sa.Column("submission", sa.Integer, primary_key=True),
        sa.Column("tes_url", sa.Text, primary_key=True),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("tes_id", sa.Text),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("due", MOMENT, nullable=False),
    )
    op.create_index("pending_cancels_due", "pending_cancels", ["due"])


def downgrade() -> None:
    """What was still to be cancelled is forgotten."""
    op.drop_table("pending_cancels")

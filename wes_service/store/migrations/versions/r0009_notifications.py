"""Who is to be told that a run has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
MOMENT = sa.BigInteger()
IS_DUE = sa.text("due IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", ID, primary_key=True),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("hook", sa.String(30)),
        sa.Column("url", sa.Text),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("due", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("delivered", MOMENT),
    )
    op.create_index("notifications_due", "notifications", ["due"], sqlite_where=IS_DUE, postgresql_where=IS_DUE)
    op.create_index("notifications_by_age", "notifications", ["issuer", "subject", "created", "id"])
    op.create_index("notifications_by_run", "notifications", ["run_id"])


def downgrade() -> None:
    """What was still to be told is not told."""
    op.drop_table("notifications")

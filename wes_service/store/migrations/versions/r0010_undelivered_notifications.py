"""What is not delivered is counted at each look at the service's numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
IS_UNDELIVERED = sa.text("delivered IS NULL")


def upgrade() -> None:
    op.create_index(
        "notifications_undelivered",
        "notifications",
        ["hook", "due"],
        sqlite_where=IS_UNDELIVERED,
        postgresql_where=IS_UNDELIVERED,
    )


def downgrade() -> None:
    """They are counted by reading all."""
    op.drop_index("notifications_undelivered", "notifications")

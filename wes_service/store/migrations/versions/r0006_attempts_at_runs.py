"""What a run that is gone on with by another worker needs to know of its earlier attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("runs", sa.Column("losses", sa.Integer, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("fetched_document", sa.Text))


def downgrade() -> None:
    """Runs that are under way may be lost three more times, and their workflows are fetched again."""
    op.drop_column("runs", "fetched_document")
    op.drop_column("runs", "losses")

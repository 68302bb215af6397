"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
STATE = sa.String(16)
MOMENT = sa.BigInteger()
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _runs()
    _run_indexes()
    _around_runs()
    _tasks()
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("sandbox", sa.Text, nullable=False),
        sa.Column("engines", sa.Text, nullable=False),
        sa.Column("seen", MOMENT, nullable=False),
    )


def downgrade() -> None:
    for table in ("workers", "tasks", "run_counts", "run_events", "run_requests", "runs"):
        op.drop_table(table)


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", ID, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("started", MOMENT),
        sa.Column("ended", MOMENT),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("engine_version", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("idempotency_digest", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("system_logs", sa.Text, nullable=False),
        sa.Column("outputs", sa.Text, nullable=False),
    )


def _run_indexes() -> None:
    queued, held, keyed = (
        sa.text("state = 'QUEUED'"),
        sa.text("worker IS NOT NULL"),
        sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index("runs_by_age", "runs", ["issuer", "subject", "created", "id"])
    op.create_index(
        "runs_queued",
        "runs",
        ["issuer", "subject", "created", "id", "engine", "engine_version"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    op.create_index("runs_held", "runs", ["lease_until", "worker", "id"], sqlite_where=held, postgresql_where=held)
    op.create_index(
        "runs_idempotency",
        "runs",
        ["issuer", "subject", "idempotency_key"],
        unique=True,
        sqlite_where=keyed,
        postgresql_where=keyed,
    )


def _around_runs() -> None:
    op.create_table(
        "run_requests",
        sa.Column("run_id", ID, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("attachments", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
    )
    op.create_table(
        "run_events",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("run_id", ID, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("time", MOMENT, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("reason", sa.Text),
    )
    op.create_index("run_events_by_run", "run_events", ["run_id", "id"])
    op.create_table(
        "run_counts",
        sa.Column("state", STATE, primary_key=True),
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("runs", sa.BigInteger, nullable=False),
    )


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", ID, primary_key=True),
        sa.Column("run_id", ID, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tes_url", sa.Text),
        sa.Column("tes_id", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("tasks_by_age", "tasks", ["run_id", "created", "id"])
    op.create_index("tasks_by_state", "tasks", ["run_id", "state"])

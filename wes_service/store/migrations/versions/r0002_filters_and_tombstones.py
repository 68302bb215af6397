"""Lists of runs by state, engine, tag and text, and tombstones of deleted runs."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
STATE = sa.String(16)
MOMENT = sa.BigInteger()
BATCH = 1000

RUNS = sa.table("runs", *(sa.column(name) for name in ("id", "issuer", "subject", "created", "tags", "search")))
REQUESTS = sa.table("run_requests", sa.column("run_id"), sa.column("request"))
TAGS = sa.table("run_tags", sa.column("tag"), sa.column("created"), sa.column("run_id"))


def upgrade() -> None:
    op.add_column("runs", sa.Column("search", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "run_tags",
        sa.Column("tag", sa.LargeBinary(16), primary_key=True),
        sa.Column("created", MOMENT, primary_key=True),
        sa.Column("run_id", ID, primary_key=True),
        sqlite_with_rowid=False,
    )
    _deleted_runs()
    _fill(op.get_bind())
    by_state = ["issuer", "subject", "state", "created", "id", "engine", "engine_version"]
    op.create_index("runs_by_state", "runs", by_state)
    op.create_index("runs_by_engine", "runs", ["issuer", "subject", "engine", "created", "id"])
    op.drop_index("runs_queued", "runs")


def downgrade() -> None:
    """What was deleted stays deleted; that it ever was there is forgotten."""
    queued = sa.text("state = 'QUEUED'")
    of_queue = ["issuer", "subject", "created", "id", "engine", "engine_version"]
    op.create_index("runs_queued", "runs", of_queue, sqlite_where=queued, postgresql_where=queued)
    op.drop_index("runs_by_engine", "runs")
    op.drop_index("runs_by_state", "runs")
    op.drop_table("deleted_runs")
    op.drop_table("run_tags")
    op.drop_column("runs", "search")


def _deleted_runs() -> None:
    unpurged, keyed = sa.text("purged IS NULL"), sa.text("key_digest IS NOT NULL")
    op.create_table(
        "deleted_runs",
        sa.Column("id", ID, primary_key=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("engine_version", sa.Text),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("started", MOMENT),
        sa.Column("ended", MOMENT),
        sa.Column("deleted", MOMENT, nullable=False),
        sa.Column("purged", MOMENT),
        sa.Column("tasks", sa.Integer, nullable=False),
        sa.Column("request_digest", sa.String(64), nullable=False),
        sa.Column("key_digest", sa.String(64)),
    )
    op.create_index("deleted_runs_by_age", "deleted_runs", ["deleted", "id"])
    op.create_index("deleted_runs_unpurged", "deleted_runs", ["id"], sqlite_where=unpurged, postgresql_where=unpurged)
    op.create_index(
        "deleted_runs_idempotency",
        "deleted_runs",
        ["issuer", "subject", "key_digest"],
        unique=True,
        sqlite_where=keyed,
        postgresql_where=keyed,
    )


def _fill(connection: sa.Connection) -> None:
    """Texts and tags of the runs that are there."""
    change = RUNS.update().where(RUNS.c.id == sa.bindparam("this")).values(search=sa.bindparam("text"))
    for rows in _batches(connection):
        connection.execute(change, [{"this": row.id, "text": _text(row)} for row in rows])
        tags = [tag for row in rows for tag in _tags(row)]
        if tags:
            connection.execute(TAGS.insert(), tags)


def _batches(connection: sa.Connection) -> Iterator[Sequence[Any]]:
    joined = sa.select(RUNS, REQUESTS.c.request).join(REQUESTS, REQUESTS.c.run_id == RUNS.c.id)
    query = joined.order_by(RUNS.c.id).limit(BATCH)
    rows = connection.execute(query).all()
    while rows:
        yield rows
        rows = connection.execute(query.where(RUNS.c.id > rows[-1].id)).all()


# How these were written when this migration was, whatever newer code does.
def _text(row: Any) -> str:
    text = "\n".join([json.loads(row.request)["workflow_url"], *_tag_texts(row)]).casefold()
    return text.replace("\0", "?").encode(errors="replace").decode()


def _tags(row: Any) -> list[dict[str, Any]]:
    owned = [f"{row.issuer}\0{row.subject}\0{text}".encode(errors="surrogatepass") for text in _tag_texts(row)]
    digests = [hashlib.blake2b(text, digest_size=16).digest() for text in owned]
    return [{"tag": digest, "created": row.created, "run_id": row.id} for digest in digests]


def _tag_texts(row: Any) -> list[str]:
    return sorted({f"{key}:{value}" for key, value in json.loads(row.tags).items()})

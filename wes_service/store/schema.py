"""The tables, as the newest migration leaves them (a test compares the two).

`runs` is the narrow row that claims and moves write again and again; what was submitted can be many
megabytes and is never written twice, so it is a table of its own. `run_counts` is kept in the transaction of each
move: at a million runs nothing else could say at once how many there are in each state. `run_tags` answers for one tag
which runs have it, newest first. A run that is deleted leaves all these tables and has its tombstone in `deleted_runs`.
`pending_cancels` is what a TES may still have of a run that needs it no more, `notifications` who is to be told that a
run has ended.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    Tuple,
    and_,
    func,
    literal,
    literal_column,
    tuple_,
)
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from common.paging import Cursor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    return (moment - EPOCH) // MICROSECOND


class UtcMicroseconds(TypeDecorator[datetime]):
    """A time as whole microseconds since 1970 UTC: exact, and ordered alike in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else to_micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else EPOCH + value * MICROSECOND


class ForeignText(TypeDecorator[str]):
    """Text of foreign origin, such as an engine's last words: what a database can't hold becomes a question mark."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable(value)


class Identifier(TypeDecorator[str]):
    """Sorted by its bytes everywhere, whatever language PostgreSQL was set up for; what no id can be equals none."""

    impl = String(64)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        return dialect.type_descriptor(String(64, collation="C" if dialect.name == "postgresql" else None))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else storable(value)


def _id() -> Identifier:
    return Identifier()


def storable(text: str) -> str:
    """The text with a question mark for each character that a database can't hold."""
    return text.replace("\0", "?").encode(errors="replace").decode()


def cursor_tuple(cursor: Cursor) -> Tuple:
    """A cursor, to compare with a row's time and id; the parts of a tuple have no type but the one given here."""
    return tuple_(literal(cursor.created, UtcMicroseconds), literal(cursor.id, Identifier))


def unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column's value, for a condition by which no database shall choose an index."""
    return func.coalesce(column, "")


METADATA = MetaData()

RUNS = Table(
    "runs",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", UtcMicroseconds, nullable=False),
    Column("started", UtcMicroseconds),
    Column("ended", UtcMicroseconds),
    Column("epoch", Integer, nullable=False),
    Column("worker", Text),
    Column("engine", Text, nullable=False),
    Column("engine_version", Text),
    Column("idempotency_key", Text),
    Column("idempotency_digest", Text),
    Column("tags", Text, nullable=False),
    Column("reason", ForeignText),
    Column("process", Text, nullable=False),
    Column("system_logs", Text, nullable=False),
    Column("outputs", Text, nullable=False),
    Column("search", ForeignText, nullable=False, server_default=""),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("fetched_document", ForeignText),
    # No foreign key: a run may be deleted whose children go on.
    Column("parent", _id()),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("work_removed", UtcMicroseconds),
)

# The conditions are literals, as a database can't match a partial index with a bound parameter.
IS_HELD = RUNS.c.worker.is_not(None)
IS_QUEUED = RUNS.c.state == literal_column("'QUEUED'")
HAS_KEY = RUNS.c.idempotency_key.is_not(None)
HAS_PARENT = RUNS.c.parent.is_not(None)

Index("runs_by_age", RUNS.c.issuer, RUNS.c.subject, RUNS.c.created, RUNS.c.id)
Index("runs_by_state", RUNS.c.issuer, RUNS.c.subject, RUNS.c.state, RUNS.c.created, RUNS.c.id)
# In the order in which an owner's runs are claimed, with what a claim asks of them, so that it reads nothing else.
Index(
    "runs_queued",
    RUNS.c.issuer,
    RUNS.c.subject,
    RUNS.c.priority.desc(),
    RUNS.c.created,
    RUNS.c.id,
    RUNS.c.engine,
    RUNS.c.engine_version,
    sqlite_where=IS_QUEUED,
    postgresql_where=IS_QUEUED,
)
Index("runs_by_engine", RUNS.c.issuer, RUNS.c.subject, RUNS.c.engine, RUNS.c.created, RUNS.c.id)
WORK_IS_KEPT = and_(RUNS.c.ended.is_not(None), RUNS.c.work_removed.is_(None))
Index("runs_work_kept", RUNS.c.ended, RUNS.c.id, sqlite_where=WORK_IS_KEPT, postgresql_where=WORK_IS_KEPT)
Index("runs_by_parent", RUNS.c.parent, sqlite_where=HAS_PARENT, postgresql_where=HAS_PARENT)
Index("runs_held", RUNS.c.worker, RUNS.c.id, sqlite_where=IS_HELD, postgresql_where=IS_HELD)
Index(
    "runs_idempotency",
    RUNS.c.issuer,
    RUNS.c.subject,
    RUNS.c.idempotency_key,
    unique=True,
    sqlite_where=HAS_KEY,
    postgresql_where=HAS_KEY,
)

RUN_REQUESTS = Table(
    "run_requests",
    METADATA,
    Column("run_id", _id(), ForeignKey("runs.id"), primary_key=True),
    Column("attachments", Text, nullable=False),
    Column("request", Text, nullable=False),
)

# Its primary key is the whole row and the order of a list. A digest of owner and tag keeps it small, as a tag may be of
# any length. No foreign key: it would want an index of its own, and who deletes a run knows its tags.
RUN_TAGS = Table(
    "run_tags",
    METADATA,
    Column("tag", LargeBinary(16), nullable=False),
    Column("created", UtcMicroseconds, nullable=False),
    Column("run_id", _id(), nullable=False),
    PrimaryKeyConstraint("tag", "created", "run_id"),
    sqlite_with_rowid=False,
)

RUN_EVENTS = Table(
    "run_events",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run_id", _id(), ForeignKey("runs.id"), nullable=False),
    Column("time", UtcMicroseconds, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", ForeignText),
)
Index("run_events_by_run", RUN_EVENTS.c.run_id, RUN_EVENTS.c.id)

RUN_COUNTS = Table(
    "run_counts",
    METADATA,
    Column("state", String(16), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("runs", BigInteger, nullable=False),
    PrimaryKeyConstraint("state", "issuer", "subject"),
)

DELETED_RUNS = Table(
    "deleted_runs",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("engine", Text, nullable=False),
    Column("engine_version", Text),
    Column("created", UtcMicroseconds, nullable=False),
    Column("started", UtcMicroseconds),
    Column("ended", UtcMicroseconds),
    Column("deleted", UtcMicroseconds, nullable=False),
    Column("purged", UtcMicroseconds),
    Column("tasks", Integer, nullable=False),
    Column("request_digest", String(64), nullable=False),
    Column("key_digest", String(64)),
)
IS_UNPURGED = DELETED_RUNS.c.purged.is_(None)
HAD_KEY = DELETED_RUNS.c.key_digest.is_not(None)
Index("deleted_runs_by_age", DELETED_RUNS.c.deleted, DELETED_RUNS.c.id)
Index("deleted_runs_unpurged", DELETED_RUNS.c.id, sqlite_where=IS_UNPURGED, postgresql_where=IS_UNPURGED)
Index(
    "deleted_runs_idempotency",
    DELETED_RUNS.c.issuer,
    DELETED_RUNS.c.subject,
    DELETED_RUNS.c.key_digest,
    unique=True,
    sqlite_where=HAD_KEY,
    postgresql_where=HAD_KEY,
)

TASKS = Table(
    "tasks",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("run_id", _id(), ForeignKey("runs.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", UtcMicroseconds, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("key", Text),
    Column("name", ForeignText, nullable=False),
    Column("tes_url", ForeignText),
    Column("tes_id", ForeignText),
    Column("reason", ForeignText),
    Column("route", ForeignText),
    Column("body", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("reuse_key", String(64)),
    Column("reused_run", _id()),
    Column("reused_task", _id()),
)
HAS_REUSE_KEY = TASKS.c.reuse_key.is_not(None)
Index("tasks_by_age", TASKS.c.run_id, TASKS.c.created, TASKS.c.id)
Index("tasks_by_state", TASKS.c.run_id, TASKS.c.state)
Index(
    "tasks_by_reuse_key",
    TASKS.c.reuse_key,
    TASKS.c.created,
    sqlite_where=HAS_REUSE_KEY,
    postgresql_where=HAS_REUSE_KEY,
)

# No foreign key: a run may be deleted while a TES that can't be asked may still have a task of it.
PENDING_CANCELS = Table(
    "pending_cancels",
    METADATA,
    Column("task_id", _id(), nullable=False),
    Column("submission", Integer, nullable=False),
    Column("tes_url", ForeignText, nullable=False),
    Column("run_id", _id(), nullable=False),
    Column("tes_id", ForeignText),
    Column("since", UtcMicroseconds, nullable=False),
    Column("due", UtcMicroseconds, nullable=False),
    PrimaryKeyConstraint("task_id", "submission", "tes_url"),
)
Index("pending_cancels_due", PENDING_CANCELS.c.due)

# No foreign key: who deletes a run may do so before all are told of its end. Without a hook it is a note of that end,
# which nobody has looked at yet.
NOTIFICATIONS = Table(
    "notifications",
    METADATA,
    Column("id", _id(), primary_key=True),
    Column("run_id", _id(), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("hook", String(30)),
    Column("url", ForeignText),
    Column("event", Text, nullable=False),
    Column("created", UtcMicroseconds, nullable=False),
    Column("since", UtcMicroseconds, nullable=False),
    Column("due", UtcMicroseconds),
    Column("attempts", Integer, nullable=False),
    Column("problem", ForeignText),
    Column("delivered", UtcMicroseconds),
)
IS_DUE = NOTIFICATIONS.c.due.is_not(None)
Index("notifications_due", NOTIFICATIONS.c.due, sqlite_where=IS_DUE, postgresql_where=IS_DUE)
Index(
    "notifications_by_age",
    NOTIFICATIONS.c.issuer,
    NOTIFICATIONS.c.subject,
    NOTIFICATIONS.c.created,
    NOTIFICATIONS.c.id,
)
Index("notifications_by_run", NOTIFICATIONS.c.run_id)
IS_UNDELIVERED = NOTIFICATIONS.c.delivered.is_(None)
Index(
    "notifications_undelivered",
    NOTIFICATIONS.c.hook,
    NOTIFICATIONS.c.due,
    sqlite_where=IS_UNDELIVERED,
    postgresql_where=IS_UNDELIVERED,
)

WORKERS = Table(
    "workers",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("sandbox", Text, nullable=False),
    Column("engines", Text, nullable=False),
    Column("seen", UtcMicroseconds, nullable=False),
    Column("beats", BigInteger, nullable=False, server_default="0"),
    Column("slots", Integer),
    Column("owner_slots", Integer),
    Column("hindrance", Text, nullable=False, server_default=""),
)

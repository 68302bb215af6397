"""The database of the service, opened by URL."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from common.errors import StoreUnavailable
from wes_service.core.ports import Clock
from wes_service.store.deletion import SqlTombstoneStore
from wes_service.store.dialect import DatabaseNotReady, connect, is_sqlite, parse_url
from wes_service.store.leases import SqlWorkerStore
from wes_service.store.notifications import SqlNotificationStore
from wes_service.store.retention import SqlRetentionStore
from wes_service.store.runs import SqlRunStore
from wes_service.store.tasks import SqlTaskStore
from wes_service.store.transactions import Transactions

LOG = structlog.get_logger(__name__)
START_SECONDS = 60.0
START_PAUSE_SECONDS = 0.5
REVISIONS = Path(__file__).parent / "migrations" / "versions"


class SystemClock:
    """The time of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Database:
    """The stores over one set of connections; threads share it, processes don't: open it after a fork."""

    runs: SqlRunStore
    tasks: SqlTaskStore
    workers: SqlWorkerStore
    tombstones: SqlTombstoneStore
    notifications: SqlNotificationStore
    retention: SqlRetentionStore
    transactions: Transactions

    def close(self) -> None:
        """Closes all connections."""
        self.transactions.close()


def open_database(url: str, clock: Clock | None = None) -> Database:
    """Opens a database that `upgrade` has made; `SettingsError` where the URL is of no use."""
    transactions = connect(parse_url(url))
    clock = clock or SystemClock()
    return Database(
        runs=SqlRunStore(transactions, clock),
        tasks=SqlTaskStore(transactions),
        workers=SqlWorkerStore(transactions, clock),
        tombstones=SqlTombstoneStore(transactions, clock),
        notifications=SqlNotificationStore(transactions),
        retention=SqlRetentionStore(transactions, clock),
        transactions=transactions,
    )


def upgrade(url: str) -> None:
    """Makes the tables, or brings them up to date, in one transaction; any number of processes may do so at once.

    `SettingsError` where the database can't be opened, or a newer version of this service has made it; where its server
    is only starting, after `START_SECONDS`.
    """
    began = time.monotonic()
    told = False
    while True:
        try:
            _upgrade(url)
        except DatabaseNotReady as error:
            if time.monotonic() - began > START_SECONDS:
                raise
            if not told:
                LOG.warning("waiting for the database", action="start", problem=str(error))
            told = True
            time.sleep(START_PAUSE_SECONDS)
        else:
            return


def _upgrade(url: str) -> None:
    if _has_newest_tables(url):
        return
    # Alembic takes as long to import as all else of the store, and most starts find nothing to do.
    from wes_service.store import migration  # noqa: PLC0415

    migration.upgrade(url)


def _has_newest_tables(url: str) -> bool:
    parsed = parse_url(url)
    # A file that is looked at would be made.
    if is_sqlite(parsed) and not Path(parsed.database or "").exists():
        return False
    transactions = connect(parsed)
    try:
        return transactions.read(_revision) == newest_revision()
    except (DBAPIError, StoreUnavailable):
        return False
    finally:
        transactions.close()


def _revision(connection: Connection) -> str | None:
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def newest_revision() -> str:
    """The revision of this program's tables, by the names of its migrations."""
    return max(path.name[1:5] for path in REVISIONS.glob("r[0-9][0-9][0-9][0-9]_*.py"))

"""The database of the service: opened by URL, brought up to date by its own migrations."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from wes_service.core.errors import SettingsError
from wes_service.core.ports import Clock
from wes_service.store.dialect import alone, connect, parse_url
from wes_service.store.graveyard import SqlGraveyard
from wes_service.store.runs import SqlRunStore
from wes_service.store.tasks import SqlTaskStore
from wes_service.store.transactions import Transactions
from wes_service.store.workers import SqlWorkerStore

MIGRATIONS = Path(__file__).parent / "migrations"


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Database:
    """The stores over one set of connections; threads share it, processes don't: open it after a fork."""

    runs: SqlRunStore
    tasks: SqlTaskStore
    workers: SqlWorkerStore
    graveyard: SqlGraveyard
    transactions: Transactions

    def close(self) -> None:
        self.transactions.close()


def open_database(url: str, clock: Clock | None = None) -> Database:
    """Opens a database that `upgrade` has made; `SettingsError` where the URL is of no use."""
    transactions = connect(parse_url(url))
    clock = clock or SystemClock()
    return Database(
        runs=SqlRunStore(transactions, clock),
        tasks=SqlTaskStore(transactions),
        workers=SqlWorkerStore(transactions, clock),
        graveyard=SqlGraveyard(transactions, clock),
        transactions=transactions,
    )


def upgrade(url: str) -> None:
    """Makes the tables, or brings them up to date, in one transaction; any number of processes may do so at once.

    `SettingsError` where the database can't be opened, or a newer version of this service has made it.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with alone(parse_url(url)) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise SettingsError(f"the database can't be brought up to date by this version: {error}") from error

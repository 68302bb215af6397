"""What stands behind a server under test: the stores in memory, or a database, each emptied for the next test."""

from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import delete, func, select, update

from tests.contract.store.stores import Stores
from tests.fakes.stores import FakeStores
from wes_service.core.run import Owner
from wes_service.store.database import Database
from wes_service.store.schema import METADATA, RUNS, WORKERS


class Backing(Protocol):
    @property
    def stores(self) -> Stores: ...

    def clear(self) -> None:
        """As just made."""

    def is_empty(self) -> bool:
        """Whether there is no run, task or trace of one; workers don't count."""

    def give_away(self, run_id: str, owner: Owner) -> None:
        """Makes a run another user's."""


@dataclass(frozen=True, kw_only=True)
class InMemory:
    stores: FakeStores

    def clear(self) -> None:
        shelf = self.stores.shelf
        for kept in (shelf.runs, shelf.keys, shelf.events, shelf.tasks, shelf.workers, shelf.tombstones):
            kept.clear()
        shelf.notifications.notes.clear()
        shelf.notifications.kept.clear()

    def is_empty(self) -> bool:
        shelf = self.stores.shelf
        return not (shelf.runs or shelf.keys or shelf.events or shelf.tasks or shelf.tombstones)

    def give_away(self, run_id: str, owner: Owner) -> None:
        runs = self.stores.shelf.runs
        runs[run_id] = replace(runs[run_id], owner=owner)


@dataclass(frozen=True, kw_only=True)
class InDatabase:
    stores: Database

    def clear(self) -> None:
        tables = reversed(METADATA.sorted_tables)
        self.stores.transactions.write(lambda connection: [connection.execute(delete(table)) for table in tables])

    def is_empty(self) -> bool:
        tables = [table for table in METADATA.sorted_tables if table is not WORKERS]
        counts = [select(func.count()).select_from(table) for table in tables]
        return self.stores.transactions.read(lambda connection: not any(map(connection.scalar, counts)))

    def give_away(self, run_id: str, owner: Owner) -> None:
        change = update(RUNS).where(RUNS.c.id == run_id).values(issuer=owner.issuer, subject=owner.subject)
        self.stores.transactions.write(lambda connection: connection.execute(change))

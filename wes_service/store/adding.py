"""New runs: those that come at the same time are stored in one transaction.

A run is four rows; stored one by one, most of the time goes into statements and commits.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from common.errors import DiskFull, IdempotencyConflict, StoreUnavailable
from wes_service.core.ports import IdempotencyKey
from wes_service.core.run import Owner, Run, RunState
from wes_service.store import rows
from wes_service.store.deletion import key_of_deleted
from wes_service.store.ledger import owned_by, record_new
from wes_service.store.rows import whole_run
from wes_service.store.schema import RUN_REQUESTS, RUN_TAGS, RUNS
from wes_service.store.transactions import Gathering, Transactions

MOST = 100
"""Runs in one transaction."""
INSERT_RUNS = RUNS.insert()
INSERT_REQUESTS = RUN_REQUESTS.insert()
INSERT_TAGS = RUN_TAGS.insert()


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that waits to be stored, and what came of it."""

    run: Run
    key: IdempotencyKey | None
    end: Future[Run] = field(default_factory=Future)

    @property
    def name(self) -> tuple[Owner, str] | None:
        """By what the run is known, where its caller gave a key."""
        return None if self.key is None else (self.run.owner, self.key.key)


class Adder:
    """Implements `RunStore.add`."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._gathering = Gathering(self.store, MOST)

    def add(self, run: Run, key: IdempotencyKey | None) -> Run:
        new = NewRun(run=replace(run, state=RunState.QUEUED), key=key)
        self._gathering.do(new)
        return new.end.result()

    def store(self, batch: Sequence[NewRun]) -> None:
        """Stores all that can be stored, and tells each what came of it."""
        try:
            ends = self._transactions.write(lambda connection: _add(connection, batch))
        except Exception as error:  # noqa: BLE001 - it is the callers', whatever it is
            self._store_singly(batch, error)
        except BaseException as error:
            _tell(batch, [error] * len(batch))
            raise
        else:
            _tell(batch, ends)

    def _store_singly(self, batch: Sequence[NewRun], error: Exception) -> None:
        """One run that can't be stored is no reason to refuse the others; a database that is gone is."""
        if len(batch) == 1:
            _tell(batch, [self._end_of(batch[0], error)])
        elif isinstance(error, StoreUnavailable | DiskFull):
            _tell(batch, [error] * len(batch))
        else:
            for new in batch:
                self.store([new])

    def _end_of(self, new: NewRun, error: Exception) -> Run | Exception:
        """On PostgreSQL another process may store the same key at the same time: that run is found now."""
        if not isinstance(error, IntegrityError):
            return error
        try:
            return self._transactions.read(lambda connection: _known(connection, new)) or error
        except Exception as failure:  # noqa: BLE001
            return failure


def _add(connection: Connection, batch: Sequence[NewRun]) -> list[Run | IdempotencyConflict]:
    ends: list[Run | IdempotencyConflict] = []
    first: dict[tuple[Owner, str], NewRun] = {}
    fresh: list[NewRun] = []
    for new in batch:
        known = _known_in(first, new) or _known(connection, new)
        if known is None:
            fresh.append(new)
            if new.name is not None:
                first[new.name] = new
        ends.append(known or new.run)
    if fresh:
        _insert(connection, fresh)
    return ends


def _insert(connection: Connection, fresh: Sequence[NewRun]) -> None:
    runs = [rows.run_values(new.run, new.key) for new in fresh]
    connection.execute(INSERT_RUNS, runs)
    connection.execute(INSERT_REQUESTS, [rows.request_values(new.run) for new in fresh])
    if tags := [tag for new in fresh for tag in rows.tag_values(new.run)]:
        connection.execute(INSERT_TAGS, tags)
    record_new(connection, runs)


def _known_in(first: dict[tuple[Owner, str], NewRun], new: NewRun) -> Run | IdempotencyConflict | None:
    """What the same transaction is about to store under the same key."""
    same = first.get(new.name) if new.name is not None else None
    if same is None or same.key is None or new.key is None:
        return None
    return same.run if same.key.digest == new.key.digest else IdempotencyConflict()


def _known(connection: Connection, new: NewRun) -> Run | IdempotencyConflict | None:
    if new.key is None:
        return None
    # One query for all of it, as the run may be deleted between two.
    query = whole_run().where(owned_by(new.run.owner), RUNS.c.idempotency_key == new.key.key)
    row = connection.execute(query).one_or_none()
    if row is None:
        return key_of_deleted(connection, new.run.owner, new.key.key)
    if row.idempotency_digest != new.key.digest:
        return IdempotencyConflict()
    return rows.run_of(row)


def _tell(batch: Sequence[NewRun], ends: Sequence[Run | BaseException]) -> None:
    for new, end in zip(batch, ends, strict=True):
        if isinstance(end, BaseException):
            new.end.set_exception(end)
        else:
            new.end.set_result(end)

"""Runs in the database: added, read, listed, cancelled, and handed on to what claims and moves them (`leases`).

Runs that come at the same time are stored in one transaction: a run is four rows, and stored one by one, most of the
time goes into statements and commits.

A list is read along one index, newest first, until the page is full: that of a tag, of each wanted state, of each
wanted engine, or of all runs. All other conditions are looked at run by run. Where several indexes would do, the one
with the fewest runs is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, tuple_, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.elements import ColumnElement

from common.errors import IdempotencyConflict, RunNotFound
from common.paging import Cursor, Page
from wes_service.core.liveness import Beats
from wes_service.core.ports import ClaimStatus, Clock, IdempotencyKey, Lease, RunChange, RunEvent
from wes_service.core.run import EVERY_RUN, TERMINAL, Owner, Run, RunFilter, RunState, RunSummary
from wes_service.store import rows
from wes_service.store.deletion import batched, delete_run, key_of_deleted
from wes_service.store.leases import (
    STATE_COLUMNS,
    LostWorker,
    anything_to_claim,
    claim_next,
    move_held,
    owned_by,
    read_held,
    record_move,
    record_new,
    take_over_lost,
    update_held,
)
from wes_service.store.rows import run_with_id, whole_run
from wes_service.store.schema import (
    IS_HELD,
    RUN_COUNTS,
    RUN_EVENTS,
    RUN_REQUESTS,
    RUN_TAGS,
    RUNS,
    WORKERS,
    UtcMicroseconds,
    cursor_tuple,
    storable,
    unindexed,
)
from wes_service.store.transactions import Transactions

NO_CHANGE = RunChange()
SUMMARY_COLUMNS = (RUNS.c.id, RUNS.c.state, RUNS.c.created, RUNS.c.started, RUNS.c.ended, RUNS.c.tags)
COUNT_LIMIT = 500
"""Up to how many runs an index scan is counted to choose between several: more than that fill a page soon."""
MOST_ANCESTORS = 100
INSERT_RUNS = RUNS.insert()
INSERT_REQUESTS = RUN_REQUESTS.insert()
INSERT_TAGS = RUN_TAGS.insert()

Condition = ColumnElement[bool]


class SqlRunStore:
    """`RunStore` on SQLAlchemy."""

    def __init__(self, transactions: Transactions, clock: Clock) -> None:
        self._transactions = transactions
        self._clock = clock

    def add(self, run: Run, key: IdempotencyKey | None) -> Run:
        new = NewRun(run=replace(run, state=RunState.QUEUED), key=key)
        try:
            stored = self._transactions.write_batched(_add_batch, new)
        except IntegrityError:
            # On PostgreSQL another process may store the same key at the same time: that run is found now.
            known = self._transactions.read(lambda connection: _known_run(connection, new))
            if known is None:
                raise
            stored = known
        if isinstance(stored, IdempotencyConflict):
            raise stored
        return stored

    def get(self, owner: Owner, run_id: str) -> Run:
        return self._transactions.read(lambda connection: _owned(connection, owner, run_id))

    def ancestors(self, owner: Owner, run_id: str) -> Sequence[str]:
        return self._transactions.read(lambda connection: _ancestors(connection, owner, run_id))

    def summary(self, owner: Owner, run_id: str) -> RunSummary:
        return self._transactions.read(lambda connection: _read_summary(connection, owner, run_id))

    def page(self, owner: Owner, size: int, after: Cursor | None, filter_: RunFilter = EVERY_RUN) -> Page[RunSummary]:
        return self._transactions.read(lambda connection: _read_page(connection, owner, filter_, size, after))

    def events(self, owner: Owner, run_id: str) -> Sequence[RunEvent]:
        query = (
            select(RUN_EVENTS)
            .join(RUNS, RUNS.c.id == RUN_EVENTS.c.run_id)
            .where(RUNS.c.id == run_id, owned_by(owner))
            .order_by(RUN_EVENTS.c.id)
        )
        events = self._transactions.read(lambda connection: connection.execute(query).all())
        if not events:
            raise RunNotFound
        return [rows.event_of(row) for row in events]

    def events_after(self, after: Mapping[str, int]) -> Mapping[str, Sequence[RunEvent]]:
        return self._transactions.read(lambda connection: _events_after(connection, after))

    def counts(self, owner: Owner | None = None) -> Mapping[RunState, int]:
        total = func.sum(RUN_COUNTS.c.runs)
        query = select(RUN_COUNTS.c.state, total).group_by(RUN_COUNTS.c.state).having(total > 0)
        if owner is not None:
            query = query.where(owned_by(owner, RUN_COUNTS))
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {RunState(state): int(number) for state, number in found}

    def oldest_queued(self) -> datetime | None:
        # Per owner, as the index by state begins with the owner; the counts know who has any.
        waiting = RUN_COUNTS.alias()
        mine = (RUNS.c.issuer == waiting.c.issuer, RUNS.c.subject == waiting.c.subject)
        oldest_of = (
            select(func.min(RUNS.c.created)).where(*mine, RUNS.c.state == RunState.QUEUED.value).scalar_subquery()
        )
        has_any = (waiting.c.state == RunState.QUEUED.value, waiting.c.runs > 0)
        query = select(func.min(oldest_of, type_=UtcMicroseconds)).select_from(waiting).where(*has_any)
        oldest: datetime | None = self._transactions.read(lambda connection: connection.execute(query).scalar_one())
        return oldest

    def cancel(self, owner: Owner, run_id: str) -> Run:
        return self._transactions.write(lambda connection: self._cancel(connection, owner, run_id))

    def delete(self, owner: Owner, run_id: str) -> None:
        self._transactions.write(lambda connection: delete_run(connection, owner, run_id, self._clock.now()))

    def claim(self, worker: str, engines: Mapping[str, tuple[str, ...]], owner_slots: int | None = None) -> Run | None:
        # A look first: idle workers ask all the time and must not keep the writer busy.
        if not self._transactions.read(lambda connection: anything_to_claim(connection, engines, owner_slots)):
            return None
        return self._transactions.write(
            lambda connection: claim_next(connection, worker, engines, owner_slots, self._clock.now())
        )

    def held(self, worker: str) -> Mapping[str, ClaimStatus]:
        query = select(RUNS.c.id, RUNS.c.epoch, RUNS.c.state).where(IS_HELD, RUNS.c.worker == worker)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row.id: ClaimStatus(epoch=row.epoch, state=RunState(row.state)) for row in found}

    def held_run(self, lease: Lease) -> Run:
        return self._transactions.read(lambda connection: read_held(connection, lease))

    def holders(self) -> Mapping[str, Beats]:
        known = RUNS.outerjoin(WORKERS, WORKERS.c.id == RUNS.c.worker)
        query = select(RUNS.c.worker, WORKERS.c.beats).distinct().select_from(known).where(IS_HELD)
        found = self._transactions.read(lambda connection: connection.execute(query).all())
        return {row.worker: row.beats for row in found}

    def move(self, lease: Lease, after: RunState, change: RunChange = NO_CHANGE) -> Run:
        return self._transactions.write(
            lambda connection: move_held(connection, lease, after, change, self._clock.now())
        )

    def note(self, lease: Lease, change: RunChange) -> None:
        self._transactions.write(lambda connection: update_held(connection, lease, change))

    def take_over(self, worker: str, lost: Mapping[str, Beats], engines: Mapping[str, tuple[str, ...]]) -> Run | None:
        for other, beats in sorted(lost.items()):
            left = LostWorker(id=other, beats=beats)
            now = self._clock.now()
            run = self._transactions.write(partial(take_over_lost, worker=worker, lost=left, engines=engines, now=now))
            if run is not None:
                return run
        return None

    def _cancel(self, connection: Connection, owner: Owner, run_id: str) -> Run:
        query = select(*STATE_COLUMNS).where(RUNS.c.id == run_id, owned_by(owner)).with_for_update()
        row = connection.execute(query).one_or_none()
        if row is None:
            raise RunNotFound
        if row.state not in TERMINAL and row.state != RunState.CANCELING:
            now = self._clock.now()
            record_move(connection, row, RunState.CANCELING, now)
            if row.worker is None:
                row = connection.execute(query).one()
                record_move(connection, row, RunState.CANCELED, now)
        return run_with_id(connection, run_id)


def _events_after(connection: Connection, after: Mapping[str, int]) -> dict[str, Sequence[RunEvent]]:
    """The newest numbers first, as mostly nothing has happened, and each is one look into an index."""
    found: dict[str, Sequence[RunEvent]] = {}
    for ids in batched(after):
        newest = select(RUN_EVENTS.c.run_id, func.max(RUN_EVENTS.c.id)).where(RUN_EVENTS.c.run_id.in_(ids))
        known = {row[0]: row[1] for row in connection.execute(newest.group_by(RUN_EVENTS.c.run_id))}
        found |= {run_id: () for run_id in ids if run_id not in known}
        for run_id in (run_id for run_id, number in known.items() if number > after[run_id]):
            these = select(RUN_EVENTS).where(RUN_EVENTS.c.run_id == run_id, RUN_EVENTS.c.id > after[run_id])
            found[run_id] = [rows.event_of(row) for row in connection.execute(these.order_by(RUN_EVENTS.c.id))]
    return found


def _owned(connection: Connection, owner: Owner, run_id: str) -> Run:
    row = connection.execute(whole_run().where(RUNS.c.id == run_id, owned_by(owner))).one_or_none()
    if row is None:
        raise RunNotFound
    return rows.run_of(row)


def _ancestors(connection: Connection, owner: Owner, run_id: str) -> list[str]:
    found = [run_id]
    while len(found) <= MOST_ANCESTORS:
        parent = RUNS.alias()
        query = select(parent.c.id).join(RUNS, RUNS.c.parent == parent.c.id)
        above = connection.execute(query.where(RUNS.c.id == found[-1], owned_by(owner, parent))).scalar_one_or_none()
        if above is None or above in found:
            break
        found.append(above)
    return found[1:]


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run that is to be stored, and the key that its caller gave."""

    run: Run
    key: IdempotencyKey | None

    @property
    def identity(self) -> tuple[Owner, str] | None:
        """What no other run may have; None without a key."""
        return None if self.key is None else (self.run.owner, self.key.key)


def _add_batch(connection: Connection, batch: Sequence[NewRun]) -> list[Run | IdempotencyConflict]:
    ends: list[Run | IdempotencyConflict] = []
    first: dict[tuple[Owner, str], NewRun] = {}
    fresh: list[NewRun] = []
    for new in batch:
        known = _known_in_batch(first, new) or _known_run(connection, new)
        if known is None:
            fresh.append(new)
            if new.identity is not None:
                first[new.identity] = new
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


def _known_in_batch(first: dict[tuple[Owner, str], NewRun], new: NewRun) -> Run | IdempotencyConflict | None:
    """What the same transaction is about to store under the same key."""
    same = first.get(new.identity) if new.identity is not None else None
    if same is None or same.key is None or new.key is None:
        return None
    return same.run if same.key.digest == new.key.digest else IdempotencyConflict()


def _known_run(connection: Connection, new: NewRun) -> Run | IdempotencyConflict | None:
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


@dataclass(frozen=True, kw_only=True)
class IndexScan:
    """What a list may be read along: stretches of an index, each in the order of time and id.

    `created` and `id` are that index's own columns; `kind` says which condition of the filter it fulfils.
    """

    kind: str
    created: ColumnElement[Any]
    id: ColumnElement[Any]
    stretches: Sequence[Condition]

    def within(self, stretch: Condition, filter_: RunFilter, after: Cursor | None) -> Condition:
        """The stretch between the filter's times, from the cursor on."""
        conditions = [stretch]
        if filter_.since is not None:
            conditions.append(self.created >= filter_.since)
        if filter_.until is not None and (after is None or filter_.until <= after.created):
            conditions.append(self.created < filter_.until)
        if after is not None:
            # SQLite bounds a stretch on both sides only by single columns, and would else begin at its newest run.
            conditions += [self.created <= after.created] if filter_.since is not None else []
            conditions.append(tuple_(self.created, self.id) < cursor_tuple(after))
        return and_(*conditions)


def _read_page(
    connection: Connection, owner: Owner, filter_: RunFilter, size: int, after: Cursor | None
) -> Page[RunSummary]:
    """As in `RunStore.page`."""
    scan = _best_scan(connection, owner, filter_, after)
    rest = _other_conditions(owner, filter_, scan)
    found = connection.execute(_page_query(scan, rest, filter_, size + 1, after)).all()
    items = [rows.summary_of(row) for row in found[:size]]
    return Page(items=items, next=rows.cursor_of(items[-1]) if len(found) > size else None)


def _read_summary(connection: Connection, owner: Owner, run_id: str) -> RunSummary:
    """As in `RunStore.summary`."""
    row = connection.execute(select(*SUMMARY_COLUMNS).where(RUNS.c.id == run_id, owned_by(owner))).one_or_none()
    if row is None:
        raise RunNotFound
    return rows.summary_of(row)


def _page_query(
    scan: IndexScan, rest: Sequence[Condition], filter_: RunFilter, most: int, after: Cursor | None
) -> Select[Any]:
    parts = [_range_query(scan, scan.within(stretch, filter_, after), rest).limit(most) for stretch in scan.stretches]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(merged).order_by(merged.c.created.desc(), merged.c.id.desc()).limit(most)


def _range_query(scan: IndexScan, within: Condition, rest: Sequence[Condition]) -> Select[Any]:
    query = select(*SUMMARY_COLUMNS).where(within, *rest).order_by(scan.created.desc(), scan.id.desc())
    return query.join(RUN_TAGS, RUN_TAGS.c.run_id == RUNS.c.id) if scan.kind.startswith("tag ") else query


def _best_scan(connection: Connection, owner: Owner, filter_: RunFilter, after: Cursor | None) -> IndexScan:
    scans = list(_possible_scans(owner, filter_))
    if len(scans) == 1:
        return scans[0]
    return min(scans, key=lambda scan: _count_scan(connection, scan, filter_, after))


def _possible_scans(owner: Owner, filter_: RunFilter) -> Iterator[IndexScan]:
    """Where two of them have as many runs, the first is the better one."""
    for states in [sorted(filter_.states)] if filter_.states else []:
        yield _scan_of_runs("state", [and_(owned_by(owner), RUNS.c.state == state.value) for state in states])
    for tag in sorted(filter_.tags):
        yield IndexScan(
            kind=f"tag {tag}",
            created=RUN_TAGS.c.created,
            id=RUN_TAGS.c.run_id,
            stretches=[RUN_TAGS.c.tag == rows.tag_digest(owner, tag)],
        )
    if filter_.engines and not filter_.states:
        yield _scan_of_runs(
            "engine", [and_(owned_by(owner), RUNS.c.engine == name) for name in sorted(filter_.engines)]
        )
    if not (filter_.states or filter_.tags or filter_.engines):
        yield _scan_of_runs("age", [owned_by(owner)])


def _scan_of_runs(kind: str, stretches: Sequence[Condition]) -> IndexScan:
    return IndexScan(kind=kind, created=RUNS.c.created, id=RUNS.c.id, stretches=stretches)


def _count_scan(connection: Connection, scan: IndexScan, filter_: RunFilter, after: Cursor | None) -> int:
    parts = [
        select(scan.id).where(scan.within(stretch, filter_, after)).limit(COUNT_LIMIT) for stretch in scan.stretches
    ]
    return sum(
        connection.execute(select(func.count()).select_from(part.subquery("counted"))).scalar_one() for part in parts
    )


def _other_conditions(owner: Owner, filter_: RunFilter, scan: IndexScan) -> list[Condition]:
    """The conditions that the scan does not fulfil by itself."""
    conditions: list[Condition] = []
    if filter_.states and scan.kind != "state":
        conditions.append(unindexed(RUNS.c.state).in_(sorted(state.value for state in filter_.states)))
    if filter_.engines and scan.kind != "engine":
        conditions.append(unindexed(RUNS.c.engine).in_(sorted(filter_.engines)))
    others = [tag for tag in sorted(filter_.tags) if scan.kind != f"tag {tag}"]
    conditions += [_has_tag(owner, tag) for tag in others]
    if filter_.search:
        conditions.append(_mentions(storable(filter_.search)))
    return conditions


def _has_tag(owner: Owner, text: str) -> Condition:
    """Not EXISTS, of which PostgreSQL makes a join of all runs with the tag: this is looked up run by run."""
    tag = RUN_TAGS.alias()
    this = (tag.c.tag == rows.tag_digest(owner, text), tag.c.created == RUNS.c.created, tag.c.run_id == RUNS.c.id)
    return select(tag.c.tag).where(*this).scalar_subquery().is_not(None)


def _mentions(text: str) -> Condition:
    return or_(func.lower(RUNS.c.id).startswith(text, autoescape=True), RUNS.c.search.contains(text, autoescape=True))

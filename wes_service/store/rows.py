"""Rows to values of the core, and back."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, Select, select

from common.json_types import Json, JsonObject
from common.paging import Cursor
from tes.task import PendingCancel, Task, TaskOfRun, TaskState, TesTask, stored_task
from wes_service.core.ports import IdempotencyKey, RunEvent, WorkerInfo
from wes_service.core.run import (
    EngineProcess,
    Owner,
    Run,
    RunRequest,
    RunState,
    RunSummary,
    Tombstone,
    search_text,
    tag_texts,
)
from wes_service.store.schema import EPOCH, MICROSECOND, RUN_REQUESTS, RUNS, to_micros

PARSE_CACHE_ENTRIES = 2000
PARSE_CACHE_LONGEST = 16_000
"""Characters; so all that is remembered takes some tens of megabytes at most."""


class LazyJsonObject(Mapping[str, Any]):
    """A stored tesTask."""

    __slots__ = ("_text", "_value")

    def __init__(self, text: str) -> None:
        self._text = text
        self._value: Mapping[str, Any] | None = None

    def _parsed(self) -> Mapping[str, Any]:
        if self._value is None:
            self._value = (
                _cached_parse(self._text) if len(self._text) <= PARSE_CACHE_LONGEST else stored_task(self._text)
            )
        return self._value

    def __getitem__(self, name: str) -> Any:
        return self._parsed()[name]

    def get(self, name: str, default: Any = None) -> Any:
        # Mapping's own goes by way of an exception.
        """As of a dict."""
        return self._parsed().get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __repr__(self) -> str:
        return repr(self._parsed())


@lru_cache(maxsize=PARSE_CACHE_ENTRIES)
def _cached_parse(text: str) -> TesTask:
    """Who watches a run asks for the same ended tasks again and again; nobody changes what is parsed."""
    return stored_task(text)


Values = dict[str, Any]
AnyRow: TypeAlias = Row[*tuple[Any, ...]]


def run_values(run: Run, key: IdempotencyKey | None) -> Values:
    """The row of `runs`."""
    return {
        "id": run.id,
        "issuer": run.owner.issuer,
        "subject": run.owner.subject,
        "state": run.state.value,
        "created": run.created,
        "started": run.started,
        "ended": run.ended,
        "epoch": run.epoch,
        "worker": run.worker,
        "engine": run.engine,
        "engine_version": run.engine_version,
        "idempotency_key": key and key.key,
        "idempotency_digest": key and key.digest,
        "tags": dump(run.request.tags),
        "reason": run.reason,
        "process": process_text(run.process),
        "system_logs": dump(run.system_logs),
        "outputs": dump(run.outputs),
        "search": search_text(run.request),
        "losses": run.losses,
        "fetched_document": run.fetched_document,
        "parent": run.parent,
        "priority": run.request.priority,
        "work_removed": run.work_removed,
    }


def tag_values(run: Run) -> list[Values]:
    """The rows of `run_tags`; none for a run without tags."""
    return tag_rows(run.owner, run.id, run.created, run.request.tags)


def tag_rows(owner: Owner, run_id: str, created: datetime, tags: Mapping[str, str]) -> list[Values]:
    """As `tag_values`, of a run that was not read as a whole."""
    return [{"tag": tag_digest(owner, text), "created": created, "run_id": run_id} for text in sorted(tag_texts(tags))]


def tag_digest(owner: Owner, text: str) -> bytes:
    """The key of one owner's tag in `run_tags`."""
    whole = "\0".join([owner.issuer, owner.subject, text])
    return hashlib.blake2b(whole.encode(errors="surrogatepass"), digest_size=16).digest()


def request_values(run: Run) -> Values:
    """The row of `run_requests`; the tags are in `runs`, where lists of runs read them."""
    request = run.request.as_json()
    del request["tags"]
    return {"run_id": run.id, "attachments": dump(run.attachments), "request": dump(request)}


def run_of(row: AnyRow) -> Run:
    """From a row of `runs` joined with `run_requests`."""
    return Run(
        id=row.id,
        owner=Owner(issuer=row.issuer, subject=row.subject),
        state=RunState(row.state),
        request=RunRequest(**json.loads(row.request), tags=json.loads(row.tags)),
        attachments=tuple(json.loads(row.attachments)),
        engine=row.engine,
        engine_version=row.engine_version,
        created=row.created,
        started=row.started,
        ended=row.ended,
        epoch=row.epoch,
        worker=row.worker,
        process=process_of(row.process),
        reason=row.reason,
        system_logs=tuple(json.loads(row.system_logs)),
        outputs=json.loads(row.outputs),
        losses=row.losses,
        fetched_document=row.fetched_document,
        parent=row.parent,
        work_removed=row.work_removed,
    )


def summary_of(row: AnyRow) -> RunSummary:
    """From the columns that lists read."""
    return RunSummary(
        id=row.id,
        state=RunState(row.state),
        created=row.created,
        started=row.started,
        ended=row.ended,
        tags=json.loads(row.tags),
    )


def event_of(row: AnyRow) -> RunEvent:
    """From a row of `run_events`."""
    return RunEvent(time=row.time, state=RunState(row.state), reason=row.reason, number=row.id)


def process_text(process: EngineProcess) -> str:
    """The column `process`: argv, microseconds and exit code as JSON."""
    return dump(
        {
            "argv": process.argv,
            "started": _micros(process.started),
            "ended": _micros(process.ended),
            "exit_code": process.exit_code,
        }
    )


def process_of(text: str) -> EngineProcess:
    """The reverse of `process_text`."""
    stored = json.loads(text)
    return EngineProcess(
        argv=tuple(stored["argv"]),
        started=_from_micros(stored["started"]),
        ended=_from_micros(stored["ended"]),
        exit_code=stored["exit_code"],
    )


def task_values(task: Task) -> Values:
    """The row of `tasks`."""
    return {
        "id": task.id,
        "run_id": task.run_id,
        "created": task.created,
        "attempt": task.attempt,
        "key": task.key,
        "name": task.name,
        "body": dump(task.body),
        **task_changes(task),
    }


def task_changes(task: Task) -> Values:
    """What an update of a task writes."""
    return {
        "state": task.state.value,
        "tes_url": task.tes_url,
        "tes_id": task.tes_id,
        "reason": task.reason,
        "route": task.route,
        "document": dump(task.document),
        "reuse_key": task.reuse_key,
        "reused_run": task.reused_from and task.reused_from.run_id,
        "reused_task": task.reused_from and task.reused_from.task_id,
    }


def task_of(row: AnyRow, read: Callable[[str], Any] = stored_task) -> Task:
    """`read` makes objects of the two documents, which are most of the work."""
    return Task(
        id=row.id,
        run_id=row.run_id,
        name=row.name,
        key=row.key,
        attempt=row.attempt,
        state=TaskState(row.state),
        tes_url=row.tes_url,
        tes_id=row.tes_id,
        created=row.created,
        body=read(row.body),
        document=read(row.document),
        reason=row.reason,
        route=row.route,
        reuse_key=row.reuse_key,
        reused_from=TaskOfRun(run_id=row.reused_run, task_id=row.reused_task) if row.reused_run else None,
    )


def cancel_values(cancel: PendingCancel) -> Values:
    """The row of `pending_cancels`, due at once."""
    return {
        "task_id": cancel.task_id,
        "submission": cancel.submission,
        "tes_url": cancel.tes_url,
        "run_id": cancel.run_id,
        "tes_id": cancel.tes_id,
        "since": cancel.since,
        "due": cancel.since,
    }


def cancel_of(row: AnyRow) -> PendingCancel:
    """From a row of `pending_cancels`."""
    return PendingCancel(
        run_id=row.run_id,
        task_id=row.task_id,
        submission=row.submission,
        tes_url=row.tes_url,
        tes_id=row.tes_id,
        since=row.since,
    )


def worker_values(worker: WorkerInfo, seen: datetime) -> Values:
    """The row of `workers`, but for its heartbeats."""
    return {
        "id": worker.id,
        "host": worker.host,
        "sandbox": worker.sandbox,
        "engines": dump({name: list(versions) for name, versions in worker.engines.items()}),
        "slots": worker.slots,
        "owner_slots": worker.owner_slots,
        "hindrance": worker.hindrance,
        "seen": seen,
    }


def worker_of(row: AnyRow) -> WorkerInfo:
    """From a row of `workers`."""
    engines: Mapping[str, list[str]] = json.loads(row.engines)
    return WorkerInfo(
        id=row.id,
        host=row.host,
        sandbox=row.sandbox,
        engines={name: tuple(versions) for name, versions in engines.items()},
        slots=row.slots,
        owner_slots=row.owner_slots,
        hindrance=row.hindrance,
        seen=row.seen,
    )


def tombstone_values(stone: Tombstone, key_digest: str | None) -> Values:
    """The row of `deleted_runs`."""
    return {
        "id": stone.id,
        "issuer": stone.owner.issuer,
        "subject": stone.owner.subject,
        "state": stone.state.value,
        "engine": stone.engine,
        "engine_version": stone.engine_version,
        "created": stone.created,
        "started": stone.started,
        "ended": stone.ended,
        "deleted": stone.deleted,
        "purged": stone.purged,
        "tasks": stone.tasks,
        "request_digest": stone.request_digest,
        "key_digest": key_digest,
    }


def tombstone_of(row: AnyRow) -> Tombstone:
    """From a row of `deleted_runs`."""
    return Tombstone(
        id=row.id,
        owner=Owner(issuer=row.issuer, subject=row.subject),
        state=RunState(row.state),
        engine=row.engine,
        engine_version=row.engine_version,
        created=row.created,
        started=row.started,
        ended=row.ended,
        deleted=row.deleted,
        purged=row.purged,
        tasks=row.tasks,
        request_digest=row.request_digest,
    )


def cursor_of(item: RunSummary | Task) -> Cursor:
    """Where a page goes on behind this item."""
    return Cursor(created=item.created, id=item.id)


def dump(document: "Json | JsonObject | TesTask") -> str:
    """ASCII, so that a NUL or half a surrogate pair in a document is no trouble to any database."""
    return json.dumps(document, separators=(",", ":"), default=dict)


def load(text: str) -> Any:
    """The reverse of `dump`."""
    return json.loads(text)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _from_micros(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + micros * MICROSECOND


def whole_run() -> Select[Any]:
    """A query whose rows `run_of` takes."""
    return select(RUNS, RUN_REQUESTS.c.attachments, RUN_REQUESTS.c.request).join(RUN_REQUESTS)


def run_with_id(connection: Connection, run_id: str) -> Run:
    """A run that is known to be there."""
    return run_of(connection.execute(whole_run().where(RUNS.c.id == run_id)).one())

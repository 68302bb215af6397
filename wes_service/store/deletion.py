"""Deletes a run from all tables but that of the tombstones."""

from datetime import datetime

from sqlalchemy import Connection, Select, delete, func, select

from common.errors import KeyOfDeletedRun, RunNotEnded, RunNotFound
from common.times import wes_time
from wes_service.core.run import Owner, Run
from wes_service.core.state import TERMINAL
from wes_service.core.tombstone import key_digest, tombstone_of
from wes_service.store import rows
from wes_service.store.ledger import owned_by, record_gone
from wes_service.store.reading import run_with_id
from wes_service.store.schema import DELETED_RUNS, RUN_EVENTS, RUN_REQUESTS, RUN_TAGS, RUNS, TASKS

CHILDREN = (TASKS, RUN_EVENTS, RUN_REQUESTS)


def delete_run(connection: Connection, owner: Owner, run_id: str, now: datetime) -> None:
    """As in `RunStore.delete`."""
    row = connection.execute(_locked(owner, run_id)).one_or_none()
    if row is None:
        _check_deleted(connection, owner, run_id)
        return
    if row.state not in TERMINAL:
        raise RunNotEnded(run_id, row.state)
    run = run_with_id(connection, run_id)
    tasks = connection.execute(select(func.count()).where(TASKS.c.run_id == run_id)).scalar_one()
    key = row.idempotency_key and _unused(connection, owner, key_digest(row.idempotency_key))
    connection.execute(DELETED_RUNS.insert(), rows.tombstone_values(tombstone_of(run, tasks, now), key))
    _remove_rows(connection, run)
    record_gone(connection, row)


def key_of_deleted(connection: Connection, owner: Owner, key: str) -> KeyOfDeletedRun | None:
    """What to say of an Idempotency-Key whose run was deleted; None for any other."""
    query = select(DELETED_RUNS.c.id, DELETED_RUNS.c.deleted).where(
        DELETED_RUNS.c.issuer == owner.issuer,
        DELETED_RUNS.c.subject == owner.subject,
        DELETED_RUNS.c.key_digest == key_digest(key),
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else KeyOfDeletedRun(row.id, wes_time(row.deleted))


def _unused(connection: Connection, owner: Owner, digest: str) -> str | None:
    """The digest of a key, where no deleted run of this owner has it already, as may be where runs were adopted."""
    same = (DELETED_RUNS.c.issuer == owner.issuer, DELETED_RUNS.c.subject == owner.subject)
    query = select(DELETED_RUNS.c.id).where(*same, DELETED_RUNS.c.key_digest == digest)
    return digest if connection.execute(query).one_or_none() is None else None


def _locked(owner: Owner, run_id: str) -> Select[tuple[str, str, str, str | None]]:
    columns = (RUNS.c.issuer, RUNS.c.subject, RUNS.c.state, RUNS.c.idempotency_key)
    return select(*columns).where(RUNS.c.id == run_id, owned_by(owner)).with_for_update()


def _check_deleted(connection: Connection, owner: Owner, run_id: str) -> None:
    query = select(DELETED_RUNS.c.id).where(
        DELETED_RUNS.c.id == run_id, DELETED_RUNS.c.issuer == owner.issuer, DELETED_RUNS.c.subject == owner.subject
    )
    if connection.execute(query).one_or_none() is None:
        raise RunNotFound


def _remove_rows(connection: Connection, run: Run) -> None:
    for tag in rows.tag_values(run):
        same = (RUN_TAGS.c.tag == tag["tag"], RUN_TAGS.c.created == run.created, RUN_TAGS.c.run_id == run.id)
        connection.execute(delete(RUN_TAGS).where(*same))
    for table in CHILDREN:
        connection.execute(delete(table).where(table.c.run_id == run.id))
    connection.execute(delete(RUNS).where(RUNS.c.id == run.id))

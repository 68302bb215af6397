"""What is kept of a run that was deleted: enough for an audit, nothing of its content."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from wes_service.core.run import Owner, Run, RunState


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """`owner` is who submitted the run and who deleted it, as nobody else can. Times are UTC.

    `purged` is None until the run's folder is gone. `tasks` is how many the run had. `request_digest` proves which
    request it was to one who has that request (`request_digest`).
    """

    id: str
    owner: Owner
    state: RunState
    engine: str
    engine_version: str | None
    created: datetime
    started: datetime | None
    ended: datetime | None
    deleted: datetime
    purged: datetime | None = None
    tasks: int
    request_digest: str


def tombstone_of(run: Run, tasks: int, now: datetime) -> Tombstone:
    """For a run that is deleted now."""
    return Tombstone(
        id=run.id,
        owner=run.owner,
        state=run.state,
        engine=run.engine,
        engine_version=run.engine_version,
        created=run.created,
        started=run.started,
        ended=run.ended,
        deleted=now,
        tasks=tasks,
        request_digest=request_digest(run),
    )


def request_digest(run: Run) -> str:
    """SHA-256 (hexadecimal) of request and attachments' names, as JSON with sorted keys and without spaces."""
    whole = {"request": run.request.as_json(), "attachments": sorted(run.attachments)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, separators=(",", ":"), default=dict).encode()).hexdigest()


def key_digest(key: str) -> str:
    """SHA-256 (hexadecimal) of an Idempotency-Key, which may name a sample and so is not kept as it is."""
    return hashlib.sha256(key.encode()).hexdigest()

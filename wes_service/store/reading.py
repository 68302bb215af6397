"""How a whole run is read from its two tables."""

from typing import Any

from sqlalchemy import Connection, Select, select

from wes_service.core.run import Run
from wes_service.store import rows
from wes_service.store.schema import RUN_REQUESTS, RUNS


def whole_run() -> Select[Any]:
    """A query whose rows `rows.run_of` takes."""
    return select(RUNS, RUN_REQUESTS.c.attachments, RUN_REQUESTS.c.request).join(RUN_REQUESTS)


def run_with_id(connection: Connection, run_id: str) -> Run:
    """A run that is known to be there."""
    return rows.run_of(connection.execute(whole_run().where(RUNS.c.id == run_id)).one())

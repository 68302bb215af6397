"""A SQLite database with as many runs as a busy laboratory has after years, filled in seconds."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.json_types import Json
from tes.task import Task, TaskState
from wes_service.core.run import ANONYMOUS, Run, RunRequest, RunState
from wes_service.store import rows
from wes_service.store.database import upgrade
from wes_service.store.schema import to_micros

BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
SPACING = timedelta(seconds=30)
BATCHES = 20
"""Every run has the tag `batch`, one of so many."""
PROJECTS = 7
RARE = "rare:yes"
"""Three runs in all have this tag."""

_RUN = Run(
    id="",
    owner=ANONYMOUS,
    state=RunState.COMPLETE,
    request=RunRequest(
        workflow_type="CWL",
        workflow_type_version="v1.2",
        workflow_url="main.cwl",
        workflow_params={f"reads_{n}": {"class": "File", "path": f"lane{n}/reads.fastq.gz"} for n in range(8)},
    ),
    attachments=("main.cwl", "tools/count.cwl", "tools/report.cwl"),
    engine="cwltool",
    engine_version="3.1",
    created=BEGAN,
    reason="The run is complete: 10 tasks ran.",
    system_logs=("cwltool 3.1 runs in a bubblewrap sandbox on worker bench.",),
    outputs={"report": {"class": "File", "location": "wes-output:report.txt", "size": 1234, "sha256": "0" * 64}},
)
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :last)"
# In a hundred: 92 COMPLETE, 5 EXECUTOR_ERROR, 2 CANCELED, 1 SYSTEM_ERROR; 60 of CWL, 25 of Snakemake, 15 of Nextflow.
_STATE = (
    "CASE WHEN n % 100 < 92 THEN 'COMPLETE' WHEN n % 100 < 97 THEN 'EXECUTOR_ERROR' "
    "WHEN n % 100 < 99 THEN 'CANCELED' ELSE 'SYSTEM_ERROR' END"
)
_ENGINE = "CASE WHEN n / 3 % 20 < 12 THEN 'cwltool' WHEN n / 3 % 20 < 17 THEN 'snakemake' ELSE 'nextflow' END"


def run_id(number: int) -> str:
    """Of the run with this number, counted from 0 at the oldest."""
    return f"01{number:024}"


def fill(file: Path, number: int) -> None:
    """Makes the database where it is not there, and adds ended runs of ANONYMOUS until it has `number` of them."""
    upgrade(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -500000")
        (there,) = connection.execute("SELECT count(*) FROM runs").fetchone()
        _fill_runs(connection, there, number)
        _fill_tags(connection, there)
        _fill_counts(connection)


def _fill_runs(connection: sqlite3.Connection, first: int, last: int) -> None:
    values = rows.run_values(_RUN, None)
    micros, step = to_micros(BEGAN), SPACING // timedelta(microseconds=1)
    created = f"{micros} + n * {step}"
    tags = f"""'{{"batch":"' || (n % {BATCHES}) || '","project":"' || (n % {PROJECTS}) || '"}}'"""
    made = {
        "id": "printf('01%024d', n)",
        "state": _STATE,
        "engine": _ENGINE,
        "created": created,
        "started": f"{created} + 1000000",
        "ended": f"{created} + 20000000",
        "tags": tags,
        "search": f"printf('main.cwl%sbatch:%d%sproject:%d', char(10), n % {BATCHES}, char(10), n % {PROJECTS})",
    }
    _insert(connection, "runs", values | dict.fromkeys(made), made, first, last)
    request = rows.request_values(_RUN)
    _insert(connection, "run_requests", request, {"run_id": "printf('01%024d', n)"}, first, last)


def _insert(
    connection: sqlite3.Connection, table: str, values: rows.Values, made: dict[str, str], first: int, last: int
) -> None:
    """One row for each number: `made` are expressions of `n`, all other values are the same for all."""
    names = ", ".join(values)
    terms = ", ".join(made.get(name, f":{name}") for name in values)
    same = {name: value for name, value in values.items() if name not in made}
    statement = f"{_NUMBERS} INSERT INTO {table} ({names}) SELECT {terms} FROM numbers"  # noqa: S608
    connection.execute(statement, {**same, "first": first, "last": last})


def _fill_tags(connection: sqlite3.Connection, first: int) -> None:
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS digests (name TEXT, n INTEGER, tag BLOB, PRIMARY KEY (name, n))"
    )
    for name, most in (("batch", BATCHES), ("project", PROJECTS)):
        digests = [(name, n, rows.tag_digest(ANONYMOUS, f"{name}:{n}")) for n in range(most)]
        connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", digests)
        connection.execute(
            "INSERT INTO run_tags SELECT tag, created, id FROM runs JOIN digests"
            " ON name = :name AND n = CAST(substr(id, 3) AS INTEGER) % :most"
            " WHERE id >= :first ORDER BY tag, created",
            {"name": name, "most": most, "first": run_id(first)},
        )
    rare = "INSERT OR IGNORE INTO run_tags SELECT :tag, created, id FROM runs ORDER BY created LIMIT 3"
    connection.execute(rare, {"tag": rows.tag_digest(ANONYMOUS, RARE)})


def _fill_counts(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM run_counts")
    connection.execute("INSERT INTO run_counts SELECT state, issuer, subject, count(*) FROM runs GROUP BY 1, 2, 3")


def add_crowded_run(file: Path, number: int) -> str:
    """One more run, with so many ended tasks as their TES tells them; its id."""
    run = replace(_RUN, id="crowded", created=BEGAN - SPACING)
    tasks = [rows.task_values(_task(run.id, n)) for n in range(number)]
    with closing(sqlite3.connect(file)) as connection, connection:
        for table, values in (("runs", rows.run_values(run, None)), ("run_requests", rows.request_values(run))):
            _put(connection, table, [values])
        _put(connection, "tasks", tasks)
    return run.id


def _put(connection: sqlite3.Connection, table: str, items: list[rows.Values]) -> None:
    names = ", ".join(items[0])
    places = ", ".join(f":{name}" for name in items[0])
    plain = [{k: to_micros(v) if isinstance(v, datetime) else v for k, v in item.items()} for item in items]
    connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", plain)  # noqa: S608


def _task(run: str, number: int) -> Task:
    """As large as a step with a few inputs is, in the FULL view."""
    folder = f"/data/runs/{run}/work/step_{number}"
    files: list[Json] = [{"url": f"file://{folder}/in{n}.gz", "path": f"/in/{n}.gz", "type": "FILE"} for n in range(4)]
    body: Any = {
        "name": f"count_reads_{number}",
        "inputs": files,
        "outputs": [{"url": f"file://{folder}/{s}", "path": f"/out/{s}", "type": "FILE"} for s in ("a", "b", "c")],
        "executors": [
            {
                "image": "quay.io/biocontainers/samtools:1.20",
                "command": ["/bin/sh", "-c", f"samtools view -c {folder}/in0.gz > /out/a"],
                "workdir": "/work",
                "env": {"HOME": "/work", "TMPDIR": "/tmp"},
            }
        ],
        "resources": {"cpu_cores": 2, "ram_gb": 4},
        "tags": {"wes.run_id": run, "wes.step": f"count_reads_{number}"},
    }
    began, ended = ((BEGAN + timedelta(seconds=number + n, microseconds=n)).isoformat() for n in (1, 9))
    log: Any = {
        "logs": [{"start_time": began, "end_time": ended, "exit_code": 0, "stdout": "12345\n" * 20, "stderr": ""}],
        "metadata": {"hostname": "node-7"},
        "start_time": began,
        "end_time": ended,
        "system_logs": ["started on node-7", "done"],
    }
    document: Any = {**body, "id": f"c{number:019}", "state": "COMPLETE", "logs": [log]}
    return Task(
        id=f"{run}-{number:06}",
        run_id=run,
        name=f"count_reads_{number}",
        key=f"key-{number}",
        state=TaskState.COMPLETE,
        tes_url="http://funnel:8000/ga4gh/tes/v1",
        tes_id=f"c{number:019}",
        created=BEGAN + timedelta(milliseconds=number),
        body=body,
        document=document,
    )

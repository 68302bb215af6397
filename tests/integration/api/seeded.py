"""A server whose store holds runs in several states, with tasks, logs and outputs: what a stateful test finds there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.json_types import JsonObject
from tes.task import Task, TaskState
from tests.contract.store.stores import lease_of
from tests.integration.api.server import Server, running_server
from wes_service.auth.access import TOKEN_OWNER
from wes_service.core.ports import Change, Lease, TaskStore
from wes_service.core.run import EngineProcess, Run, RunRequest, RunState
from wes_service.settings import Settings
from wes_service.store.database import Database, open_database

TOKEN = "a-token-for-a-test"
ENGINES = {"cwltool": ("3.1",)}
STATES = (RunState.COMPLETE, RunState.EXECUTOR_ERROR, RunState.RUNNING, RunState.QUEUED)
REASON = "Step 'align' failed with exit code 3."
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@contextmanager
def seeded_server(data: Path, **environment: str) -> Iterator[Server]:
    """Callers need `TOKEN`. The newest run is COMPLETE, as stateful tests follow the first of a list."""
    token_file = data / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    with running_server(data, WES_TOKEN_FILE=str(token_file), **environment) as server:
        database = open_database(Settings(data=data).database)
        # The one that stays QUEUED comes last, or it would be claimed before the others.
        for number, state in enumerate(STATES):
            _add(database, data / "runs" / f"seeded-{number}", number, state)
        database.close()
        yield server


def _add(database: Database, folder: Path, number: int, state: RunState) -> None:
    request = RunRequest(
        workflow_type="CWL",
        workflow_type_version="v1.2",
        workflow_url="main.cwl",
        workflow_params={"word": "hello", "password": "hidden"},
        tags={"sample": str(number)},
    )
    run = Run(
        id=folder.name,
        owner=TOKEN_OWNER,
        state=RunState.QUEUED,
        request=request,
        engine="cwltool",
        created=NOON - timedelta(minutes=number),
    )
    database.runs.add(run, None)
    _files(folder)
    if state is not RunState.QUEUED:
        claimed = database.runs.claim("w", ENGINES)
        assert claimed is not None
        assert claimed.id == run.id
        _go_on(database, claimed, state)


def _files(folder: Path) -> None:
    for name in ("work", "logs", "attachments", "control"):
        (folder / name).mkdir(parents=True)
    (folder / "work" / "said.txt").write_text("hello\n")
    (folder / "logs" / "stdout").write_text("engine\n")


def _go_on(database: Database, run: Run, state: RunState) -> None:
    lease = lease_of(run)
    process = EngineProcess(argv=("cwltool", "main.cwl"), started=NOON)
    database.runs.move(lease, RunState.RUNNING, Change(process=process))
    for name in ("count", "align"):
        task = Task(
            id=f"{run.id}-{name}",
            run_id=run.id,
            name=name,
            created=NOON,
            body={"name": name, "executors": [{"image": "debian:12", "command": ["wc", "-l"]}]},
        )
        database.tasks.add(lease, task)
        _end_task(database.tasks, lease, task, state)
    if state is RunState.COMPLETE:
        said: JsonObject = {"class": "File", "location": "wes-output:said.txt", "size": 6}
        database.runs.move(lease, state, Change(outputs={"said": said, "n": 3}))
    elif state is RunState.EXECUTOR_ERROR:
        database.runs.move(lease, state, Change(reason=REASON))


def _end_task(tasks: TaskStore, lease: Lease, task: Task, state: RunState) -> None:
    ran: JsonObject = {
        "start_time": "2026-01-02T12:00:00Z",
        "end_time": "2026-01-02T12:00:01Z",
        "exit_code": 0,
        "stdout": "3\n",
    }
    told = {"complete": TaskState.COMPLETE, "executor_error": TaskState.EXECUTOR_ERROR}
    after = told.get(state.value.lower(), TaskState.RUNNING)
    document: Any = {**task.body, "logs": [{"logs": [ran], "system_logs": ["ran in bubblewrap"], "outputs": []}]}
    tasks.update(
        lease,
        Task(
            id=task.id,
            run_id=task.run_id,
            name=task.name,
            created=task.created,
            body=task.body,
            state=after,
            tes_url="http://tes:8000/ga4gh/tes/v1",
            tes_id="1",
            document=document,
        ),
    )

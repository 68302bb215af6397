"""`wes logs`: what a run's engine or one of its tasks wrote, whole or as it comes."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, BinaryIO

import typer

from wes_cli.client import WesClient, connect
from wes_cli.errors import InvalidArgument, ServerRefused
from wes_cli.ls import find_run_id
from wes_cli.options import DEFAULT_SERVER, RunId, Server, TokenFile
from wes_cli.views import ENDED, LogView

PAUSE_SECONDS = 0.5

TaskName = Annotated[
    str | None,
    typer.Argument(
        metavar="[TASK]", help="Id of a task, the beginning of one, or a step's name; without it: the engine."
    ),
]


def logs(
    run: RunId = "last",
    task: TaskName = None,
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run or the task has ended.")] = False,
    only_stdout: Annotated[bool, typer.Option("--stdout", help="Only what was written to stdout.")] = False,
    only_stderr: Annotated[bool, typer.Option("--stderr", help="Only what was written to stderr.")] = False,
) -> None:
    """Print the logs of a run's engine, or of one of its tasks.

    What was written to stdout goes to stdout, and the rest to stderr, unless only one of the two is asked for.

    \b
    wes logs                      the engine of the newest run
    wes logs -f last              the same, as it comes
    wes logs last align --stderr  what the step 'align' wrote to stderr
    """
    client = connect(server, token_file)
    run_id = find_run_id(client, run)
    look = _task_snapshots(client, run_id, task) if task else _run_snapshots(client, run_id)
    streams = _streams(look, only_stdout, only_stderr)
    while True:
        ended = look().ended if follow else True
        for stream in streams:
            stream.copy(client)
        if ended:
            return
        time.sleep(PAUSE_SECONDS)


@dataclass(frozen=True, kw_only=True)
class LogSnapshot:
    """A log at one moment, and whether nothing more will come."""

    log: LogView
    ended: bool


class LogStream:
    """One stream of a log, copied from where the last copy stopped."""

    def __init__(self, url: str, target: BinaryIO) -> None:
        self._url = url
        self._target = target
        self._offset = 0

    def copy(self, client: WesClient) -> None:
        """Copies what is new. A log that is not there yet is no error."""
        if not self._url:
            return
        if not self._url.startswith(("http://", "https://", "/")):
            self._copy_text(self._url.encode())
            return
        try:
            for chunk in client.content(self._url, self._offset):
                self._write(chunk)
        except ServerRefused as refused:
            if refused.status != 404:
                raise

    def _copy_text(self, text: bytes) -> None:
        """Some servers give the text itself where the standard wants its URL."""
        self._write(text[self._offset :])

    def _write(self, chunk: bytes) -> None:
        self._target.write(chunk)
        self._target.flush()
        self._offset += len(chunk)


def _streams(look: Callable[[], LogSnapshot], only_stdout: bool, only_stderr: bool) -> list[LogStream]:
    log = look().log
    both = only_stdout == only_stderr
    found = [LogStream(log.stdout, sys.stdout.buffer)] if both or only_stdout else []
    if both or only_stderr:
        found.append(LogStream(log.stderr, sys.stderr.buffer if both else sys.stdout.buffer))
    return found


def _run_snapshots(client: WesClient, run_id: str) -> Callable[[], LogSnapshot]:
    def look() -> LogSnapshot:
        view = client.run(run_id)
        return LogSnapshot(log=view.log, ended=view.state in ENDED)

    return look


def _task_snapshots(client: WesClient, run_id: str, name: str) -> Callable[[], LogSnapshot]:
    task = select_task(client.tasks(run_id), name)

    def look() -> LogSnapshot:
        over = client.state(run_id) in ENDED
        log = client.task(run_id, task.id)
        return LogSnapshot(log=log, ended=over or log.phase in {"done", "failed"})

    return look


def select_task(tasks: list[LogView], name: str) -> LogView:
    """The task that a person means: by id, by step name, or by the beginning of its id."""
    exact = [task for task in tasks if task.id == name] or [task for task in tasks if task.name == name]
    found = exact or [task for task in tasks if task.id.startswith(name)]
    if not found:
        names = ", ".join(dict.fromkeys(task.name for task in tasks)) or "none yet"
        raise InvalidArgument(f"no task of this run is called {name!r}; its steps are: {names}")
    if len(found) > 1:
        ids = ", ".join(task.id for task in found[:5])
        raise InvalidArgument(f"{len(found)} tasks fit {name!r}: name one of them by its id: {ids}")
    return found[0]

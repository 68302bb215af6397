"""`wes status`, `wes tasks`, `wes events`, `wes cancel` and `wes rm`: one run."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer

from common.json_types import JsonObject
from wes_cli.client import connect
from wes_cli.display import between, clean, colored, exact_local_time, local_time, step_names, table
from wes_cli.errors import InvalidArgument
from wes_cli.ls import find_run_id
from wes_cli.options import DEFAULT_SERVER, AsJson, RunId, Server, TokenFile
from wes_cli.views import ENDED, LogView, RunView, read_events, read_log, read_run

ALWAYS_TOLD = 5
"""Columns of the table of tasks."""
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def status(
    run: RunId = "last", server: Server = DEFAULT_SERVER, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Show one run: its state, its steps and, where it failed, why.

    \b
    wes status             the newest run
    wes status 01J9        the run whose id begins with 01J9
    """
    client = connect(server, token_file)
    document = client.run_document(find_run_id(client, run))
    if as_json:
        typer.echo(_json(document))
        return
    view = read_run(document)
    typer.echo("\n".join(_describe(view)))
    steps = list(_flat(client.task_pages(view.id)))
    if steps:
        typer.echo("\n" + _task_table([read_log(step) for step in steps], ended=view.state in ENDED))


def tasks(
    run: RunId = "last", server: Server = DEFAULT_SERVER, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """List the tasks of a run, one per step that the engine started.

    \b
    wes tasks              those of the newest run
    wes tasks 01J9 --json  as the server sent them
    """
    client = connect(server, token_file)
    run_id = find_run_id(client, run)
    found = list(_flat(client.task_pages(run_id)))
    if as_json:
        typer.echo(_json(found))
    elif found:
        typer.echo(_task_table([read_log(each) for each in found], ended=client.state(run_id) in ENDED))
    else:
        typer.echo("no task yet", err=True)


def events(
    run: RunId = "last", server: Server = DEFAULT_SERVER, token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Tell the history of a run: every state that it came to, when and why; times are local.

    \b
    wes events             of the newest run
    wes events 01J9 --json as the server sent it
    """
    client = connect(server, token_file)
    document = client.events(find_run_id(client, run))
    if as_json:
        typer.echo(_json(document))
        return
    rows = [(exact_local_time(event.time), event.state, event.reason) for event in read_events(document)]
    typer.echo(table(("TIME", "STATE", "REASON"), rows))


def cancel(run: RunId, server: Server = DEFAULT_SERVER, token_file: TokenFile = None) -> None:
    """Cancel a run; one that has ended stays as it is.

    \b
    wes cancel last        the newest run
    """
    client = connect(server, token_file)
    run_id = find_run_id(client, run)
    client.cancel(run_id)
    typer.echo(f"{run_id} is {colored(client.state(run_id))}")


def rm(run: RunId, server: Server = DEFAULT_SERVER, token_file: TokenFile = None, yes: Yes = False) -> None:
    """Delete a run that has ended: its request, tasks, logs and outputs are gone for good.

    A run that goes on is refused: 'wes cancel' ends it first.

    \b
    wes rm 01J9        asks before it deletes
    wes rm last --yes  for scripts
    """
    client = connect(server, token_file)
    run_id = find_run_id(client, run)
    question = f"Delete {run_id} ({client.state(run_id)}) with its outputs and logs, for good?"
    try:
        sure = yes or typer.confirm(question, err=True)
    except typer.Abort:
        sure = False
    if not sure:
        raise InvalidArgument(f"{run_id} was not deleted; in a script, --yes says that it shall be")
    client.delete(run_id)
    typer.echo(f"{run_id} is deleted")


def _flat(pages: Iterable[list[JsonObject]]) -> Iterator[JsonObject]:
    return (item for page in pages for item in page)


def _describe(view: RunView) -> Iterator[str]:
    request = view.request
    yield f"{view.id}  {colored(view.state)}"
    yield f"  workflow  {clean(str(request.get('workflow_url', '')))}  ({_language(request)})"
    if view.resumed_from:
        yield f"  resumes   {clean(view.resumed_from)}"
    if view.log.started:
        yield f"  started   {local_time(view.log.started)}  took {between(view.log.started, view.log.ended)}"
    if str(view.steps):
        yield f"  progress  {view.steps}"
    if view.log.exit_code is not None:
        yield f"  engine    exit code {view.log.exit_code}"
    yield from (f"  {clean(line)}" for text in view.log.system_logs for line in text.splitlines())


def _language(request: JsonObject) -> str:
    words = (request.get(key) for key in ("workflow_type", "workflow_type_version", "workflow_engine"))
    return clean(" ".join(str(word) for word in words if word))


def _task_table(found: Sequence[LogView], *, ended: bool) -> str:
    names = step_names(found)
    rows = [
        (
            task.id,
            names[task.id],
            task.at_end() if ended else task.phase,
            "" if task.exit_code is None else str(task.exit_code),
            _took(task, ended=ended),
            task.route,
            task.reused_from,
        )
        for task in found
    ]
    head = ("TASK", "STEP", "STATE", "EXIT", "TOOK", "SENT TO", "DONE BY")
    # Where there is one TES, or nothing was reused, there is nothing to tell.
    told = [column for column in range(len(head)) if column < ALWAYS_TOLD or any(row[column] for row in rows)]
    return table([head[column] for column in told], [[row[column] for column in told] for row in rows])


def _took(task: LogView, *, ended: bool) -> str:
    """Nothing for a step that was not seen to end: the time until now would grow for ever."""
    return "" if ended and task.ended is None else between(task.started, task.ended)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)

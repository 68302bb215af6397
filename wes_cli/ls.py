"""`wes ls`: the runs of a server, all or those that are looked for."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from common.json_types import JsonObject
from wes_cli.client import WesClient, connect
from wes_cli.complete import complete_state, complete_type
from wes_cli.errors import ServerRefused, Unusable
from wes_cli.options import DEFAULT_SERVER, AsJson, Server, TokenFile
from wes_cli.run_query import RunQuery, moment, state, tag
from wes_cli.show import between, local_time, table
from wes_cli.views import RunLine, read_line
from wes_service.core.workflow import document_name

MOST_WORKFLOWS = 100
ASKED_AT_ONCE = 4

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most; more pages are fetched as needed.")]
States = Annotated[
    list[str] | None,
    typer.Option("--state", autocompletion=complete_state, help="Only runs in this state (repeat: or)."),
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", "-t", metavar="NAME=VALUE", help="Only runs with this tag (repeat: and).")
]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", autocompletion=complete_type, help="Only runs of this workflow type (repeat: or)."),
]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only runs submitted since: 90min, 12h, 2d, 1w ago, or 2025-06-07[T12:00]."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only runs submitted before.")]
Search = Annotated[
    str, typer.Option(metavar="TEXT", help="Only runs whose id begins with it, or whose workflow or tags hold it.")
]


def ls(
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    states: States = None,
    tags: Tags = None,
    types: Types = None,
    since: Since = None,
    until: Until = None,
    search: Search = "",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first; times are local.

    \b
    wes ls                                    the newest 20
    wes ls --state RUNNING --state QUEUED     what is not done yet
    wes ls --tag batch=7 --since 2d           those of a batch, of the last two days
    wes ls -n 1000 --json                     the newest 1,000, for a script
    """
    now = datetime.now(tz=UTC)
    query = RunQuery(
        states=[state(word) for word in states or ()],
        tags=[tag(word) for word in tags or ()],
        types=types or (),
        since=moment("--since", since, now),
        until=moment("--until", until, now),
        search=search,
    )
    client = connect(server, token_file)
    runs = list(islice(_found(client, query), limit))
    if as_json:
        typer.echo(json.dumps(runs, indent=2, ensure_ascii=False))
    elif not runs:
        typer.echo("no run fits" if query.parameters() else "no runs yet", err=True)
    else:
        lines = [read_line(run) for run in runs]
        workflows = _workflows(client, [line.id for line in lines[:MOST_WORKFLOWS]])
        rows = [_row(line, workflows.get(line.id, "")) for line in lines]
        typer.echo(table(("RUN", "WORKFLOW", "STATE", "STARTED", "TOOK", "TAGS"), rows))


def _found(client: WesClient, query: RunQuery) -> Iterator[JsonObject]:
    filters = query.parameters()
    if not filters or client.has_filters():
        return (run for page in client.run_pages(filters) for run in page)
    _warn(query)
    return (run for page in client.run_pages() for run in page if query.matches(read_line(run)))


def _warn(query: RunQuery) -> None:
    """Says what is not quite the same where a server of the standard alone leaves the work to us."""
    if query.types:
        raise Unusable("this server has no filters, and its list tells no workflow type: leave --type out")
    told = ["this server has no filters, so its whole list is looked through"]
    if query.since or query.until:
        told.append("--since and --until mean the start of a run")
    if query.search:
        told.append("--search looks at ids and tags")
    typer.echo("; ".join(told), err=True)


def _workflows(client: WesClient, ids: Sequence[str]) -> dict[str, str]:
    """The name of each run's workflow, which the standard tells of single runs only; nothing for one that is gone."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return dict(zip(ids, pool.map(lambda run_id: _workflow(client, run_id), ids), strict=True))


def _workflow(client: WesClient, run_id: str) -> str:
    try:
        url = str(client.run(run_id).request.get("workflow_url", ""))
    except ServerRefused:
        return ""
    return document_name(url) or url


def _row(run: RunLine, workflow: str) -> tuple[str, ...]:
    tags = " ".join(f"{name}={value}" for name, value in run.tags.items())
    return run.id, workflow, run.state, local_time(run.started), between(run.started, run.ended), tags

"""`wes ls`: which runs there are, by filters of the server or of this program; runs by the beginning of their id."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from common.json_types import JsonObject
from common.times import exact_time, parse_span
from wes_cli.client import WesClient, connect
from wes_cli.display import between, local_time, table
from wes_cli.errors import InvalidArgument, ServerRefused
from wes_cli.options import DEFAULT_SERVER, AsJson, Server, TokenFile, complete_state, complete_type
from wes_cli.views import RunListItem, read_list_item
from wes_service.core.run import RunState
from wes_service.core.workflow import document_name

LAST = "last"
MAX_PAGES_SEARCHED = 50


def find_run_id(client: WesClient, text: str) -> str:
    """The full run id; `InvalidArgument` where none or several fit."""
    if text == LAST:
        return newest_run(client.first_runs(100))
    try:
        client.state(text)
    except ServerRefused as refused:
        if refused.status not in {400, 404}:
            raise
        return single_match(text, _with_prefix(client, text))
    return text


def newest_run(runs: Sequence[RunListItem]) -> str:
    """The newest of the first page: one that waits to start, else the latest start. (The standard fixes no order.)"""
    if not runs:
        raise InvalidArgument("there is no run yet: submit one with 'wes run WORKFLOW'")
    waiting = next((run for run in runs if run.started is None and run.state in {"QUEUED", "INITIALIZING"}), None)
    if waiting:
        return waiting.id
    return max(runs, key=lambda run: run.started.timestamp() if run.started else 0.0).id


def single_match(text: str, ids: Sequence[str]) -> str:
    """The single id that was found for `text`."""
    if not ids:
        raise InvalidArgument(f"no run of yours is called {text!r}; 'wes ls' lists them")
    if len(ids) > 1:
        raise InvalidArgument(
            f"{text!r} may mean {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}: write more of the id"
        )
    return ids[0]


def _with_prefix(client: WesClient, text: str) -> list[str]:
    pages = islice(client.run_pages(), MAX_PAGES_SEARCHED)
    return [run.id for page in pages for run in map(read_list_item, page) if text and run.id.startswith(text)]


@dataclass(frozen=True, kw_only=True)
class RunListQuery:
    """A filter of runs, all of its conditions. `tags` are `key:value`; `types` are names of workflow types."""

    states: Sequence[str] = ()
    tags: Sequence[str] = ()
    types: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    search: str = ""

    def parameters(self) -> dict[str, list[str]]:
        """The query of GET /runs; empty where there is no condition."""
        conditions = {
            "state": list(self.states),
            "tag": list(self.tags),
            "workflow_type": list(self.types),
            "since": [exact_time(self.since)] if self.since else [],
            "until": [exact_time(self.until)] if self.until else [],
            "search": [self.search] if self.search else [],
        }
        return {name: values for name, values in conditions.items() if values}

    def matches(self, run: RunListItem) -> bool:
        """By what the standard lists of a run, which tells when it started and not when it was submitted."""
        tags = {f"{key}:{value}" for key, value in run.tags.items()}
        return (
            (not self.states or run.state in self.states)
            and tags.issuperset(self.tags)
            and (self.since is None or (run.started is not None and run.started >= self.since))
            and (self.until is None or (run.started is not None and run.started < self.until))
            and self._found_in(run, tags)
        )

    def _found_in(self, run: RunListItem, tags: set[str]) -> bool:
        text = self.search.casefold()
        return run.id.casefold().startswith(text) or any(text in tag.casefold() for tag in tags)


def parse_time_filter(option: str, text: str | None, now: datetime) -> datetime | None:
    """So long before `now` (`90min`, `12h`, `2d`, `1w`), or a date or time of ISO 8601, local without an offset."""
    if text is None:
        return None
    span = parse_span(text)
    try:
        if span is not None:
            return now - span
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"{option} {text!r}: write a span like 90min, 12h, 2d, 1w, or a time like 2025-06-07T12:00"
        ) from None


def parse_state(word: str) -> str:
    """`InvalidArgument` lists the states where it is none."""
    if word.upper() not in set(RunState):
        raise InvalidArgument(f"--state {word!r} is no state; there is {', '.join(RunState)}")
    return word.upper()


def parse_tag(word: str) -> str:
    """As a server wants it; NAME=VALUE is how `wes run --tag` takes it."""
    name, equals, value = word.partition("=")
    if equals and ":" not in name:
        return f"{name}:{value}"
    if ":" not in word:
        raise InvalidArgument(f"--tag {word!r}: write NAME=VALUE")
    return word


MAX_WORKFLOW_NAMES = 100
PARALLEL_REQUESTS = 4

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
    query = RunListQuery(
        states=[parse_state(word) for word in states or ()],
        tags=[parse_tag(word) for word in tags or ()],
        types=types or (),
        since=parse_time_filter("--since", since, now),
        until=parse_time_filter("--until", until, now),
        search=search,
    )
    client = connect(server, token_file)
    runs = list(islice(_matching_runs(client, query), limit))
    if as_json:
        typer.echo(json.dumps(runs, indent=2, ensure_ascii=False))
    elif not runs:
        typer.echo("no run fits" if query.parameters() else "no runs yet", err=True)
    else:
        lines = [read_list_item(run) for run in runs]
        workflows = _workflows(client, [line.id for line in lines[:MAX_WORKFLOW_NAMES]])
        rows = [_row(line, workflows.get(line.id, "")) for line in lines]
        typer.echo(table(("RUN", "WORKFLOW", "STATE", "STARTED", "TOOK", "TAGS"), rows))


def _matching_runs(client: WesClient, query: RunListQuery) -> Iterator[JsonObject]:
    filters = query.parameters()
    if not filters or client.has_filters():
        return (run for page in client.run_pages(filters) for run in page)
    _warn(query)
    return (run for page in client.run_pages() for run in page if query.matches(read_list_item(run)))


def _warn(query: RunListQuery) -> None:
    """Says what is not quite the same where a server of the standard alone leaves the work to us."""
    if query.types:
        raise InvalidArgument("this server has no filters, and its list tells no workflow type: leave --type out")
    notes = ["this server has no filters, so its whole list is looked through"]
    if query.since or query.until:
        notes.append("--since and --until mean the start of a run")
    if query.search:
        notes.append("--search looks at ids and tags")
    typer.echo("; ".join(notes), err=True)


def _workflows(client: WesClient, ids: Sequence[str]) -> dict[str, str]:
    """The name of each run's workflow, which the standard tells of single runs only; nothing for one that is gone."""
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return dict(zip(ids, pool.map(lambda run_id: _workflow(client, run_id), ids), strict=True))


def _workflow(client: WesClient, run_id: str) -> str:
    try:
        url = str(client.run(run_id).request.get("workflow_url", ""))
    except ServerRefused:
        return ""
    return document_name(url) or url


def _row(run: RunListItem, workflow: str) -> tuple[str, ...]:
    tags = " ".join(f"{name}={value}" for name, value in run.tags.items())
    return run.id, workflow, run.state, local_time(run.started), between(run.started, run.ended), tags

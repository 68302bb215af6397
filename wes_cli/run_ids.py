"""Which run a person means: its id, the beginning of its id, or `last`."""

from collections.abc import Sequence
from itertools import islice

from wes_cli.client import WesClient
from wes_cli.errors import ServerRefused, Unusable
from wes_cli.views import RunLine, read_line

LAST = "last"
PAGES_SEARCHED = 50


def resolve(client: WesClient, text: str) -> str:
    """The full run id; `Unusable` where none or several fit."""
    if text == LAST:
        return newest(client.first_runs(100))
    try:
        client.state(text)
    except ServerRefused as refused:
        if refused.status not in {400, 404}:
            raise
        return only(text, _beginning_with(client, text))
    return text


def newest(runs: Sequence[RunLine]) -> str:
    """The newest of the first page: one that waits to start, else the latest start. (The standard fixes no order.)"""
    if not runs:
        raise Unusable("there is no run yet: submit one with 'wes run WORKFLOW'")
    waiting = next((run for run in runs if run.started is None and run.state in {"QUEUED", "INITIALIZING"}), None)
    if waiting:
        return waiting.id
    return max(runs, key=lambda run: run.started.timestamp() if run.started else 0.0).id


def only(text: str, ids: Sequence[str]) -> str:
    """The single id that was found for `text`."""
    if not ids:
        raise Unusable(f"no run of yours is called {text!r}; 'wes ls' lists them")
    if len(ids) > 1:
        raise Unusable(f"{text!r} may mean {', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}: write more of the id")
    return ids[0]


def _beginning_with(client: WesClient, text: str) -> list[str]:
    pages = islice(client.run_pages(), PAGES_SEARCHED)
    return [run.id for page in pages for run in map(read_line, page) if text and run.id.startswith(text)]

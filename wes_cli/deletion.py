"""`wes rm`, and `wes deleted`, by which an operator sees what was."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from common.times import exact_time
from wes_cli.client import connect
from wes_cli.display import local_time, table
from wes_cli.errors import Unusable
from wes_cli.ls import resolve
from wes_cli.options import DEFAULT_SERVER, RunId, Server, TokenFile
from wes_cli.server import Data, service_database
from wes_service.core.run import Tombstone

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


def rm(run: RunId, server: Server = DEFAULT_SERVER, token_file: TokenFile = None, yes: Yes = False) -> None:
    """Delete a run that has ended: its request, tasks, logs and outputs are gone for good.

    A run that goes on is refused: 'wes cancel' ends it first.

    \b
    wes rm 01J9        asks before it deletes
    wes rm last --yes  for scripts
    """
    client = connect(server, token_file)
    run_id = resolve(client, run)
    question = f"Delete {run_id} ({client.state(run_id)}) with its outputs and logs, for good?"
    try:
        sure = yes or typer.confirm(question, err=True)
    except typer.Abort:
        sure = False
    if not sure:
        raise Unusable(f"{run_id} was not deleted; in a script, --yes says that it shall be")
    client.delete(run_id)
    typer.echo(f"{run_id} is deleted")


def deleted(
    data: Data = None,
    limit: Limit = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with all that is kept of each.")] = False,
) -> None:
    """List deleted runs of all users, the last deleted first: what the service keeps of them for an audit.

    For the service's operator, on its machine: reads its database (--data, WES_DATA or WES_DATABASE_URL).

    \b
    wes deleted --data /srv/wes           the last 20
    wes deleted -n 100000 --json          all, with the digest of each request
    """
    with service_database(data) as database:
        found = database.graveyard.page(limit, None).items
    if as_json:
        typer.echo(json.dumps([_document(stone) for stone in found], indent=2, ensure_ascii=False))
    elif not found:
        typer.echo("no run was deleted", err=True)
    else:
        typer.echo(table(("RUN", "STATE", "ENDED", "DELETED", "BY", "DATA"), [_row(stone) for stone in found]))


def _row(stone: Tombstone) -> tuple[str, ...]:
    data = "removed" if stone.purged else "to be removed"
    by = f"{stone.owner.subject} ({stone.owner.issuer})"
    return stone.id, stone.state.value, local_time(stone.ended), local_time(stone.deleted), by, data


def _document(stone: Tombstone) -> dict[str, object]:
    plain = {name: exact_time(it) if isinstance(it, datetime) else it for name, it in asdict(stone).items()}
    return {**plain, "state": stone.state.value}

"""`wes hooks`: who was told that runs have ended, who is still to be, and what could not be delivered."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from common.json_types import JsonObject
from common.times import parse_time
from wes_cli.client import WesClient, connect
from wes_cli.display import clean, local_time, table
from wes_cli.errors import InvalidArgument
from wes_cli.ls import find_run_id
from wes_cli.options import DEFAULT_SERVER, AsJson, Server, TokenFile, complete_run

STATES = ("waiting", "delivered", "failed")
MOST_SHOWN = 100

app = typer.Typer(no_args_is_help=False, add_completion=False)

State = Annotated[
    str | None,
    typer.Option(
        "--state", metavar="STATE", autocompletion=lambda: list(STATES), help=f"Only these: {', '.join(STATES)}."
    ),
]
OfRun = Annotated[
    str | None,
    typer.Option("--run", metavar="RUN", autocompletion=complete_run, help="Only those of one run, or of the 'last'."),
]


@app.callback(invoke_without_command=True)
def hooks(
    ctx: typer.Context,
    run: OfRun = None,
    state: State = None,
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List whom the ends of your runs were told to, newest first, or deliver one of them again.

    \b
    wes hooks --state failed       what no receiver took
    wes hooks --run last           of the newest run
    wes hooks redeliver ID         once the receiver is mended
    """
    if ctx.invoked_subcommand is not None:
        return
    if state is not None and state not in STATES:
        raise InvalidArgument(f"--state: {state!r} is no state; there is {', '.join(STATES)}")
    client = connect(server, token_file)
    found = list(_listed(client, None if run is None else find_run_id(client, run), state))
    if as_json:
        typer.echo(json.dumps(found[:MOST_SHOWN], indent=2, ensure_ascii=False))
    elif found:
        typer.echo(
            table(("ID", "HOOK", "STATE", "TRIED", "NEXT", "PROBLEM"), [_row(each) for each in found[:MOST_SHOWN]])
        )
    else:
        typer.echo("nobody is told of any of these runs", err=True)
    if len(found) > MOST_SHOWN:
        typer.echo(f"… and more: --run or --state show fewer than the newest {MOST_SHOWN}", err=True)


@app.command()
def redeliver(
    notification: Annotated[str, typer.Argument(metavar="ID", help="As 'wes hooks' lists it.")],
    server: Server = DEFAULT_SERVER,
    token_file: Annotated[Path | None, typer.Option("--token-file", envvar="WES_TOKEN_FILE", metavar="FILE")] = None,
) -> None:
    """Deliver a notification again, under the same id, whatever became of it.

    \b
    wes hooks redeliver 01j9zq5v0000000000000000aa-ended-lims
    """
    state = connect(server, token_file).redeliver(notification).get("state")
    typer.echo(f"{notification} is {state}")


def _listed(client: WesClient, run_id: str | None, state: str | None) -> Iterator[JsonObject]:
    """One more than is shown, if there is any."""
    number = 0
    for page in client.notification_pages(run_id, state):
        for each in page:
            yield each
            number += 1
            if number > MOST_SHOWN:
                return


def _row(item: JsonObject) -> tuple[str, ...]:
    again = parse_time(item.get("next_attempt"))
    return (
        clean(str(item.get("id", ""))),
        clean(str(item.get("hook") or item.get("url") or "")),
        clean(str(item.get("state", ""))),
        str(item.get("attempts", "")),
        local_time(again) if again else "",
        clean(str(item.get("problem") or "")),
    )

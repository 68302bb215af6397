"""`wes outputs`: the files that a run left, listed or downloaded and checked."""

import json
from pathlib import Path
from typing import Annotated

import typer

from wes_cli.client import WesClient, connect
from wes_cli.download import fetch_all
from wes_cli.options import DEFAULT_SERVER, AsJson, RunId, Server, TokenFile
from wes_cli.output_files import OutputFile, output_files, plain_values
from wes_cli.run_ids import resolve
from wes_cli.show import clean, size, table
from wes_cli.views import ENDED, SUCCESS, RunView

Download = Annotated[
    Path | None,
    typer.Option("--download", "-d", metavar="DIR", help="Fetch the files into this folder and check their sums."),
]
Force = Annotated[bool, typer.Option("--force", help="With --download: replace files that differ.")]


def outputs(
    run: RunId = "last",
    server: Server = DEFAULT_SERVER,
    token_file: TokenFile = None,
    download: Download = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List the outputs of a run, or download them.

    \b
    wes outputs                      of the newest run: name, size, URL
    wes outputs 01J9 -d results      fetch all files into results/
    wes outputs last --json          the output object, for a script
    """
    client = connect(server, token_file)
    view = client.run(resolve(client, run))
    if as_json:
        typer.echo(json.dumps(view.outputs, indent=2, ensure_ascii=False))
    else:
        print_outputs(client, view)
    if download is not None:
        save(client, view, download, force=force)


def print_outputs(client: WesClient, view: RunView) -> None:
    """The files and plain values, as a table."""
    rows = [_row(client, file) for file in output_files(view.outputs)]
    rows += [(name, "", value) for name, value in plain_values(view.outputs)]
    if rows:
        typer.echo(table(("OUTPUT", "SIZE", "WHERE"), rows))
    elif view.state not in ENDED:
        typer.echo(f"no outputs yet: the run is {view.state}", err=True)
    else:
        typer.echo("no outputs" if view.state == SUCCESS else f"no outputs: the run ended {view.state}", err=True)


def save(client: WesClient, view: RunView, folder: Path, *, force: bool) -> list[Path]:
    """Downloads every output file into `folder` and says where each one is."""
    saved = fetch_all(client, output_files(view.outputs), folder, force=force)
    for path in saved:
        typer.echo(clean(str(path)))
    return saved


def _row(client: WesClient, file: OutputFile) -> tuple[str, str, str]:
    return file.name, "" if file.size is None else size(file.size), client.absolute(file.url)

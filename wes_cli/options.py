"""The arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from wes_cli.complete import complete_run

DEFAULT_SERVER = "http://127.0.0.1:8080"

Server = Annotated[
    str,
    typer.Option(
        "--server",
        "-s",
        envvar="WES_SERVER",
        metavar="URL",
        help="Base URL of the WES server, with or without /ga4gh/wes/v1.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="WES_TOKEN_FILE",
        metavar="FILE",
        help="File that holds the bearer token for the server; the token itself is never an argument.",
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", autocompletion=complete_run, help="Run id, the beginning of one, or 'last' for the newest run."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON as the server sent it, for scripts.")]

"""Options and arguments that several commands share, and their tab completion.

Completion asks the server and answers within a moment or stays silent. Modules that are slow to import are imported
where they are used, so that `wes --help` and completion stay quick.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

DEFAULT_SERVER = "http://127.0.0.1:8080"
COMPLETION_SECONDS = 0.7
COMPLETIONS = 50


def complete_run(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest runs that begin with `incomplete`, each with its state."""
    from common.errors import WesError
    from wes_cli.client import connect

    words = [("last", "the newest run")] if "last".startswith(incomplete) else []
    try:
        client = connect(*_server_of(ctx), timeout=COMPLETION_SECONDS, patience=0)
        runs = client.first_runs(COMPLETIONS)
    except WesError:
        return words
    return words + [(run.id, run.state) for run in runs if run.id.startswith(incomplete)]


def complete_state(incomplete: str) -> list[str]:
    """The states of the standard."""
    from wes_service.core.run import RunState

    return [state.value for state in RunState if state.startswith(incomplete.upper())]


def complete_type(ctx: Any, incomplete: str) -> list[str]:
    """The workflow types that the server lists."""
    from common.errors import WesError
    from wes_cli.client import connect

    try:
        info = connect(*_server_of(ctx), timeout=COMPLETION_SECONDS, patience=0).service_info()
    except WesError:
        return []
    return [name for name in info.types if name.casefold().startswith(incomplete.casefold())]


def complete_engine(ctx: Any, incomplete: str) -> list[str]:
    """Names of the engines that the server lists."""
    from common.errors import WesError
    from wes_cli.client import connect

    try:
        info = connect(*_server_of(ctx), timeout=COMPLETION_SECONDS, patience=0).service_info()
    except WesError:
        return []
    return [name for name in info.engines if name.startswith(incomplete)]


def _server_of(ctx: Any) -> tuple[str, Any]:
    return ctx.params.get("server") or DEFAULT_SERVER, ctx.params.get("token_file")


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
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="WES_CONFIG",
        metavar="FILE",
        help="File with TES servers by name and their credentials, wes.toml.",
        show_default=False,
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", autocompletion=complete_run, help="Run id, the beginning of one, or 'last' for the newest run."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON as the server sent it, for scripts.")]

"""`wes tes`: the embedded TES server by itself."""

from pathlib import Path
from typing import Annotated

import typer

from tes_service.server import serve
from tes_service.settings import read_settings


def tes(
    data: Annotated[
        Path | None, typer.Option(envvar="TES_DATA", help="Folder of the database and of running tasks.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(envvar="TES_HOST", help="Address to listen on; any but loopback needs a token.")
    ] = None,
    port: Annotated[int | None, typer.Option(envvar="TES_PORT", help="Port to listen on (default: 8090).")] = None,
    uds: Annotated[
        Path | None, typer.Option(envvar="TES_UDS", help="Listen on this Unix socket instead of a port.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(envvar="TES_TOKEN_FILE", help="File with the token that clients must send.")
    ] = None,
    allow: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that tasks may read inputs from and write outputs to; repeatable (TES_ALLOW)."),
    ] = None,
    allow_data: Annotated[
        list[Path] | None, typer.Option(help="Folder that tasks may only read; repeatable (TES_ALLOW_DATA).")
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option(
            envvar="TES_RUNS",
            help="Folder of a WES's runs: a task may use those of the run that its tags name.",
        ),
    ] = None,
    runner: Annotated[
        str | None,
        typer.Option(envvar="TES_RUNNER", help="auto, docker, podman, bubblewrap or process (default: auto)."),
    ] = None,
    image_fallback: Annotated[
        bool | None,
        typer.Option(
            "--image-fallback",
            envvar="TES_IMAGE_FALLBACK",
            help="With runner auto: run a task whose image can't be had with the programs of this machine.",
        ),
    ] = None,
    unsandboxed: Annotated[
        bool | None,
        typer.Option(
            "--unsandboxed/--sandboxed",
            envvar="TES_UNSANDBOXED",
            help="Permit plain processes where no sandbox works. Tasks can then do all that their user can.",
        ),
    ] = None,
    sandbox_uid: Annotated[
        int | None, typer.Option(envvar="TES_SANDBOX_UID", help="Who tasks run as where the server is root.")
    ] = None,
    network: Annotated[
        bool | None,
        typer.Option("--network/--no-network", envvar="TES_NETWORK", help="Give containers a network."),
    ] = None,
) -> None:
    """Runs GA4GH TES tasks on this machine, until stopped with Ctrl-C or SIGTERM."""
    settings = read_settings(
        data=data,
        host=host,
        port=port,
        uds=uds,
        token_file=token_file,
        allow=tuple(allow) if allow else None,
        allow_data=tuple(allow_data) if allow_data else None,
        runs=runs,
        runner=runner,
        image_fallback=image_fallback,
        unsandboxed=unsandboxed,
        sandbox_uid=sandbox_uid,
        network=network,
    )
    serve(settings)

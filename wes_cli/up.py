"""`wes up`: API, worker, Redis and embedded TES in the foreground; Ctrl-C stops all of it."""

from pathlib import Path
from typing import Annotated

import typer

from common.errors import SettingsError
from wes_cli.server import AllowData, Data, DatabaseUrl, Host, Port, Tes, Unsandboxed, settings_or_exit


def up(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tes: Tes = None,
    allow_data: AllowData = None,
    slots: Annotated[int | None, typer.Option(help="Runs at once [one per core].")] = None,
    image_fallback: Annotated[
        bool | None,
        typer.Option(
            "--image-fallback",
            envvar="WES_IMAGE_FALLBACK",
            help="Run steps whose image can't be had with the programs of this machine, instead of failing them.",
        ),
    ] = None,
    database: DatabaseUrl = None,
    unsandboxed: Unsandboxed = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="WES_TOKEN_FILE",
            help="File with the bearer token that clients must send; needed where --host is not loopback.",
        ),
    ] = None,
) -> None:
    """Start everything: API, worker, Redis, and a TES of our own unless --tes names one. Ctrl-C stops all of it.

    GET /ga4gh/wes/v1/service-info answers when it is ready. Example: wes up --port 8080 --allow-data /data/reads
    """
    from wes_cli.stack import Stack

    settings = settings_or_exit(
        data=data and data.resolve(),
        host=host,
        port=port,
        tes_urls=tes or None,
        allow_data=[path.resolve() for path in allow_data] if allow_data else None,
        slots=slots,
        image_fallback=image_fallback,
        database_url=database,
        unsandboxed=unsandboxed,
        token_file=token_file and token_file.resolve(),
    )
    try:
        code = Stack(settings, typer.echo).run()
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code)

"""`wes up`, `wes api`, `wes worker` and `wes tes`: the service as a whole, and its parts as programs of their own.

Each command imports what it starts only when it is called.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from common.errors import SettingsError
from wes_cli.options import Config
from wes_service.settings import Settings, has_password, read_settings

Data = Annotated[
    Path | None,
    typer.Option("--data", envvar="WES_DATA", help="Folder of database, runs and logs.", show_default=False),
]
Host = Annotated[str | None, typer.Option("--host", envvar="WES_HOST", help="Address to listen on [127.0.0.1].")]
Port = Annotated[int | None, typer.Option("--port", envvar="WES_PORT", help="Port to listen on [8080].")]
Tes = Annotated[
    list[str] | None,
    typer.Option("--tes", help="Base URL of a TES, e.g. http://funnel:8000/ga4gh/tes/v1; may be repeated."),
]
AllowData = Annotated[
    list[Path] | None,
    typer.Option("--allow-data", help="Folder whose files workflows may read in place, read-only; may be repeated."),
]
Slots = Annotated[int | None, typer.Option(help="Runs at once [one per core].")]
Unsandboxed = Annotated[
    bool | None,
    typer.Option(
        "--unsandboxed",
        envvar="WES_UNSANDBOXED",
        help="Run workflows where no sandbox works, with all rights of this user; on loopback only.",
        show_default=False,
    ),
]


Drain = Annotated[
    bool,
    typer.Option(
        "--drain", help="When told to stop, begin no more runs and wait for those that run; told again, hand them over."
    ),
]


def _without_password(url: str | None) -> str | None:
    """Arguments are seen by every user of the machine."""
    if url and has_password(url):
        raise typer.BadParameter("name no password here; put it into a file for WES_DATABASE_PASSWORD_FILE")
    return url


DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        callback=_without_password,
        help="postgresql://USER@HOST/NAME instead of SQLite; its password in WES_DATABASE_PASSWORD_FILE.",
    ),
]


def up(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    tes: Tes = None,
    config: Config = None,
    allow_data: AllowData = None,
    slots: Slots = None,
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
    drain: Drain = False,
) -> None:
    """Start everything: API, worker, Redis, and a TES of our own unless --tes or --config names one. Ctrl-C stops all.

    GET /ga4gh/wes/v1/service-info answers when it is ready. Example: wes up --port 8080 --allow-data /data/reads
    """
    from wes_cli.stack import Stack

    settings = settings_or_exit(
        data=data and data.resolve(),
        host=host,
        port=port,
        tes_urls=tes or None,
        config=config and config.absolute(),
        allow_data=[path.resolve() for path in allow_data] if allow_data else None,
        slots=slots,
        image_fallback=image_fallback,
        database_url=database,
        unsandboxed=unsandboxed,
        token_file=token_file and token_file.resolve(),
    )
    _run(Stack(settings, typer.echo, drain=drain).run)


def settings_or_exit(**options: object) -> Settings:
    """The settings; exits with 2 and a sentence where one is wrong."""
    try:
        return read_settings(**options)
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


def api(data: Data = None, host: Host = None, port: Port = None, config: Config = None) -> None:
    """Serve the WES API alone (workers, Redis and TES run elsewhere).

    Example: WES_REDIS_URL=redis://redis:6379/0 WES_TOKEN_FILE=/run/secrets/wes wes api --host 0.0.0.0
    """
    from wes_service.app import serve

    _run(lambda: serve(settings_or_exit(data=data, host=host, port=port, config=config)))


def worker(
    data: Data = None,
    tes: Tes = None,
    config: Config = None,
    allow_data: AllowData = None,
    slots: Slots = None,
    unsandboxed: Unsandboxed = None,
    drain: Drain = False,
) -> None:
    """Run a worker: it claims runs, launches their engines, and sends every step to a TES.

    Example: WES_DATA=/shared/wes WES_REDIS_URL=redis://redis:6379/0 wes worker --tes http://funnel:8000/ga4gh/tes/v1
    """
    from workers.main import run_worker

    settings = settings_or_exit(
        data=data,
        tes_urls=tes or None,
        config=config,
        allow_data=allow_data or None,
        slots=slots,
        unsandboxed=unsandboxed,
    )
    _run(lambda: run_worker(settings, drain=drain))


def tes(
    ctx: typer.Context,
    config: Config = None,
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
    """Run GA4GH TES tasks on this machine, until stopped with Ctrl-C or SIGTERM."""
    if ctx.invoked_subcommand is not None:
        return
    from tes_service.server import serve
    from tes_service.settings import read_settings as read_tes_settings

    settings = read_tes_settings(
        config=config,
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


def _run(program: Callable[[], int | None]) -> None:
    try:
        code = program()
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(code or 0)

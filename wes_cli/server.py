"""`wes api` and `wes worker`: the parts of the service as programs of their own."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import SettingsError
from wes_cli.errors import Unusable
from wes_service.settings import Settings, has_password, read_settings

if TYPE_CHECKING:
    from wes_service.store.database import Database

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
Unsandboxed = Annotated[
    bool | None,
    typer.Option(
        "--unsandboxed",
        envvar="WES_UNSANDBOXED",
        help="Run workflows where no sandbox works, with all rights of this user; on loopback only.",
        show_default=False,
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


@contextmanager
def service_database(data: Path | None) -> "Iterator[Database]":
    """The database of the service whose data folder this is, for its operator; `Unusable` where it can't be used."""
    from sqlalchemy.exc import DBAPIError

    from common.errors import StoreUnavailable
    from wes_service.store.database import open_database

    settings = read_settings(data=data)
    file = settings.data / "wes.sqlite"
    if not settings.database_url and not file.exists():
        raise Unusable(f"there is no database {file}: name the service's data folder with --data")
    with closing(open_database(settings.database)) as database:
        try:
            yield database
        except (DBAPIError, StoreUnavailable) as error:
            raise Unusable(
                f"the database can't be used ({getattr(error, 'orig', error)}): is a service of this version up?"
            ) from None


def settings_or_exit(**given: object) -> Settings:
    """The settings; exits with 2 and a sentence where one is wrong."""
    try:
        return read_settings(**given)
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None


def api(data: Data = None, host: Host = None, port: Port = None) -> None:
    """Serve the WES API alone (workers, Redis and TES run elsewhere).

    Example: WES_REDIS_URL=redis://redis:6379/0 WES_TOKEN_FILE=/run/secrets/wes wes api --host 0.0.0.0
    """
    from wes_service.app import serve

    _run(lambda: serve(settings_or_exit(data=data, host=host, port=port)))


def worker(
    data: Data = None,
    tes: Tes = None,
    allow_data: AllowData = None,
    slots: Annotated[int | None, typer.Option(help="Runs at once [one per core].")] = None,
    unsandboxed: Unsandboxed = None,
) -> None:
    """Run a worker: it claims runs, launches their engines, and sends every step to a TES.

    Example: WES_DATA=/shared/wes WES_REDIS_URL=redis://redis:6379/0 wes worker --tes http://funnel:8000/ga4gh/tes/v1
    """
    from workers.main import run_worker

    settings = settings_or_exit(
        data=data, tes_urls=tes or None, allow_data=allow_data or None, slots=slots, unsandboxed=unsandboxed
    )
    _run(lambda: run_worker(settings))


def _run(program: object) -> None:
    try:
        code = program() if callable(program) else None
    except SettingsError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from None
    raise typer.Exit(int(code or 0))

"""`wes database`, `wes runs` and `wes deleted`: what the operator of a service does in its database."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from common.errors import StoreUnavailable
from common.times import exact_time
from wes_cli.display import local_time, table
from wes_cli.errors import InvalidArgument
from wes_cli.serve import Data
from wes_service.auth.access import TOKEN_OWNER
from wes_service.core.run import ANONYMOUS, Owner, Tombstone
from wes_service.settings import Settings, read_settings
from wes_service.store.adoption import adopt_runs
from wes_service.store.backup import backup, restore
from wes_service.store.database import Database, open_database
from wes_service.store.migration import database_status, downgrade

database_app = typer.Typer(
    help="Look at the database, back it up, restore it (WES_DATABASE_URL, else SQLite in the data folder).",
    no_args_is_help=True,
    add_completion=False,
)
runs_app = typer.Typer(
    help="What the operator of a service does with its runs, in its database.",
    no_args_is_help=True,
    add_completion=False,
)
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")]


@contextmanager
def service_database(data: Path | None) -> Iterator[Database]:
    """The database of the service with this data folder; `InvalidArgument` where it can't be used."""
    settings = read_settings(data=data)
    file = settings.data / "wes.sqlite"
    if not settings.database_url and not file.exists():
        raise InvalidArgument(f"there is no database {file}: name the service's data folder with --data")
    with closing(open_database(settings.database)) as database:
        try:
            yield database
        except (DBAPIError, StoreUnavailable) as error:
            raise InvalidArgument(
                f"the database can't be used ({getattr(error, 'orig', error)}): is a service of this version up?"
            ) from None


def _settings(data: Path | None) -> Settings:
    return read_settings(data=data and data.resolve())


@database_app.command("status")
def status_command(data: Data = None) -> None:
    """Say which database it is, and the revision of its tables."""
    seen = database_status(_settings(data).database)
    typer.echo(seen.server)
    typer.echo(f"tables of revision {seen.current or 'none'}; this program makes {seen.newest}")


@database_app.command("backup")
def backup_command(
    file: Annotated[Path, typer.Argument(help="The new file, e.g. /backup/wes.db.", show_default=False)],
    data: Data = None,
) -> None:
    """Copy the database as it is at this moment into a file, while the service runs.

    Copy the folder of runs after it, never before: docs/operation.md, 'Backup'.
    """
    settings = _settings(data)
    backup(settings.database, file)
    typer.echo(f"the database is in {file}; now copy {settings.runs_folder}")


@database_app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="What 'wes database backup' wrote.", show_default=False)],
    data: Data = None,
) -> None:
    """Make a database from a backup, where there is none yet; the service is stopped."""
    settings = _settings(data)
    restore(settings.database, file)
    typer.echo(database_status(settings.database).server)


@database_app.command("downgrade")
def downgrade_command(
    revision: Annotated[str, typer.Argument(help="E.g. 0001, as the older version names it.", show_default=False)],
    data: Data = None,
) -> None:
    """Take the tables back to those of an older version, by the newer one; the service is stopped, a backup made."""
    settings = _settings(data)
    downgrade(settings.database, revision)
    typer.echo(f"the tables are of revision {database_status(settings.database).current}")


@runs_app.callback()
def runs() -> None:
    """What the operator of a service does with its runs, in its database."""


@runs_app.command()
def adopt(
    data: Data = None,
    subject: Annotated[str, typer.Option(help="Who is to have them.")] = TOKEN_OWNER.subject,
    issuer: Annotated[str, typer.Option(help="Who vouches for that name.")] = TOKEN_OWNER.issuer,
) -> None:
    """Give the runs that were submitted without a token to whoever has the token now, else nobody sees them again.

    Works on the database of the service (--data, WES_DATA or WES_DATABASE_URL), which may be up meanwhile.

    \b
    wes runs adopt --data /srv/wes
    """
    after = Owner(issuer=issuer, subject=subject)
    if after == ANONYMOUS:
        raise InvalidArgument("--subject: these runs belong to the anonymous user already")
    with service_database(data) as database:
        adopted = adopt_runs(database.transactions, ANONYMOUS, after)
    typer.echo(f"{adopted} run{'' if adopted == 1 else 's'} now belong{'s' if adopted == 1 else ''} to {subject}")


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
        found = database.tombstones.page(limit, None).items
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

"""`wes database`: looks at the database, copies it, and takes it back to an older version's tables."""

from pathlib import Path
from typing import Annotated

import typer

from wes_cli.server import Data
from wes_service.settings import Settings, read_settings
from wes_service.store.backup import backup, restore
from wes_service.store.database import downgrade, standing

app = typer.Typer(
    help="Look at the database, back it up, restore it (WES_DATABASE_URL, else SQLite in the data folder).",
    no_args_is_help=True,
    add_completion=False,
)


def _settings(data: Path | None) -> Settings:
    return read_settings(data=data and data.resolve())


@app.command("status")
def status_command(data: Data = None) -> None:
    """Say which database it is, and the revision of its tables."""
    seen = standing(_settings(data).database)
    typer.echo(seen.server)
    typer.echo(f"tables of revision {seen.current or 'none'}; this program makes {seen.newest}")


@app.command("backup")
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


@app.command("restore")
def restore_command(
    file: Annotated[Path, typer.Argument(help="What 'wes database backup' wrote.", show_default=False)],
    data: Data = None,
) -> None:
    """Make a database from a backup, where there is none yet; the service is stopped."""
    settings = _settings(data)
    restore(settings.database, file)
    typer.echo(standing(settings.database).server)


@app.command("downgrade")
def downgrade_command(
    revision: Annotated[str, typer.Argument(help="E.g. 0001, as the older version names it.", show_default=False)],
    data: Data = None,
) -> None:
    """Take the tables back to those of an older version, by the newer one; the service is stopped, a backup made."""
    settings = _settings(data)
    downgrade(settings.database, revision)
    typer.echo(f"the tables are of revision {standing(settings.database).current}")

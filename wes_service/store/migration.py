"""The tables of the service's database, brought up to date and back by its own migrations (Alembic)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from common.errors import SettingsError
from wes_service.store.dialect import exclusive_transaction, is_sqlite, parse_url

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(url: str) -> None:
    """Makes the tables, or brings them up to date, in one transaction; any number of processes may do so at once.

    `SettingsError` where the database can't be opened, or a newer version of this service has made it.
    """
    with _migration(url) as migration:
        migration.check_known()
        command.upgrade(migration.config, "head")


def downgrade(url: str, revision: str) -> None:
    """Takes the tables back to what `revision` ("base": none at all) left, for an older version of this service.

    Nothing may use the database meanwhile. `SettingsError` as in `upgrade`, and where it has never had that revision.
    """
    with _migration(url) as migration:
        migration.check_known()
        migration.check_earlier(revision)
        command.downgrade(migration.config, revision)


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """A database as an operator asks for it: `server` in words, the revision that its tables have (None: there are
    none), whether this program knows it, and the newest one."""

    server: str
    current: str | None = None
    known: bool = True
    newest: str


def database_status(url: str) -> DatabaseStatus:
    """Looks without making anything; `SettingsError` where the database can't be reached."""
    parsed = parse_url(url)
    if is_sqlite(parsed) and not Path(parsed.database or "").exists():
        return DatabaseStatus(server=f"SQLite, {parsed.database}", newest=_chain(_config())[-1])
    with _migration(url) as migration:
        place = parsed.set(drivername=parsed.get_backend_name(), query={}).render_as_string(hide_password=True)
        server = f"SQLite, {parsed.database}" if is_sqlite(parsed) else f"PostgreSQL {migration.version}, {place}"
        current = migration.current
        return DatabaseStatus(server=server, current=current, known=migration.is_known, newest=migration.newest)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The chain of revisions, oldest first, and where on it a database is."""

    config: Config
    chain: tuple[str, ...]
    current: str | None
    version: str

    @property
    def newest(self) -> str:
        """The revision that this program's tables have."""
        return self.chain[-1]

    @property
    def is_known(self) -> bool:
        """Whether this program has the revision that the database has."""
        return self.current in {None, *self.chain}

    def check_known(self) -> None:
        """`SettingsError` where a newer version has made the tables."""
        if not self.is_known:
            raise SettingsError(
                f"the database is newer than this program: its tables are of revision {self.current}, and this is "
                f"{self.newest}. Start the newer version again, or take the tables back with that version's "
                f"'wes database downgrade {self.newest}'"
            )

    def check_earlier(self, revision: str) -> None:
        """`SettingsError` where the tables never had this revision."""
        here = self.chain[: self.chain.index(self.current) + 1] if self.current else ()
        if revision not in {"base", *here}:
            known = ", ".join(("base", *here))
            raise SettingsError(f"the tables can't be taken back to {revision!r}, only to one of: {known}")


@contextmanager
def _migration(url: str) -> Iterator[Migration]:
    config = _config()
    with exclusive_transaction(parse_url(url)) as connection:
        config.attributes["connection"] = connection
        current = MigrationContext.configure(connection).get_current_revision()
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
        yield Migration(config=config, chain=_chain(config), current=current, version=version)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _chain(config: Config) -> tuple[str, ...]:
    return tuple(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())[::-1]

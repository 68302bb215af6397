"""What only a server of its own brings: passwords, rights, connections that break, and how much a commit means."""

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import make_url, text

from common.errors import SettingsError
from tests.contract.store.stores import ANN, a_run
from tests.postgres_fixture import Postgres
from wes_service.store.database import open_database, upgrade
from wes_service.store.dialect import check_server

SECRET = "s3cret@/:#?% x"


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    with postgres.database(ready=True) as ready:
        yield ready


@contextmanager
def session(url: str) -> Iterator[psycopg.Connection]:
    """Psycopg itself, each statement a transaction."""
    to = make_url(url)
    host = str(to.query.get("host") or to.host)
    with psycopg.connect(
        host=host, port=to.port, user=to.username, password=to.password, dbname=to.database, autocommit=True
    ) as opened:
        yield opened


def test_a_commit_is_on_disk_whatever_the_servers_default(url: str) -> None:
    name = make_url(url).database
    with session(url) as admin:
        for default, used in (("off", "on"), ("remote_apply", "remote_apply"), ("local", "local")):
            admin.execute(f"ALTER DATABASE {name} SET synchronous_commit = '{default}'".encode())
            database = open_database(url)
            found = database.transactions.write(lambda c: c.execute(text("SHOW synchronous_commit")).scalar_one())
            database.close()
            assert found == used


def test_broken_connections_are_made_anew(url: str) -> None:
    database = open_database(url)
    database.runs.add(a_run(1), None)
    with session(url) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert ended.rowcount > 0
    assert database.runs.get(ANN, a_run(1).id).id == a_run(1).id
    database.runs.add(a_run(2), None)
    database.close()


def test_a_program_that_starts_while_the_server_recovers_waits_for_it(postgres: Postgres, url: str) -> None:
    for _ in range(3):
        postgres.crash(url)
        upgrade(url)
    database = open_database(url)
    database.runs.add(a_run(1), None)
    database.close()


def test_a_wrong_password_is_told_without_showing_it(url: str) -> None:
    if os.environ.get("WES_TEST_POSTGRES_URL"):
        pytest.skip("the given server may ask for no password")
    wrong = make_url(url).set(password=SECRET).render_as_string(hide_password=False)
    with pytest.raises(SettingsError, match="password authentication failed") as told:
        upgrade(wrong)
    assert "s3cret" not in "".join(traceback.format_exception(told.value))


def test_a_user_without_rights_is_told_what_is_refused(url: str, postgres: Postgres) -> None:
    role = f"guest_{make_url(url).database}"
    with session(url) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'guest'".encode())
        with postgres.database() as fresh:
            guest = make_url(fresh).set(username=role, password="guest").render_as_string(hide_password=False)
            with session(fresh) as owner:
                owner.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            with pytest.raises(SettingsError, match=r"refuses the tables.*permission denied for schema public"):
                upgrade(guest)
        admin.execute(f"DROP ROLE {role}".encode())


@pytest.mark.parametrize(
    "shape",
    [
        "postgresql://wes:{}@/wes?host=/nowhere",
        "postgresql://wes:{}@127.0.0.1:1/wes",
        "postgresql://wes:{}@no-such-host.invalid/wes",
        "postgresql://wes:{}@h:80x/wes",
        "postgresql:/wes:{}@h/wes",
        "oracle://wes:{}@h/wes",
    ],
)
@pytest.mark.parametrize("quoted", [True, False])
def test_no_piece_of_a_password_is_in_what_is_said_of_a_url_of_no_use(shape: str, quoted: bool) -> None:
    url = shape.format(quote(SECRET, safe="") if quoted else SECRET)
    with pytest.raises(SettingsError) as told:
        upgrade(url)
    assert "s3cret" not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("program", ["api", "worker", "up", "doctor"])
def test_no_program_prints_the_password_of_a_database_that_it_can_not_reach(open_tmp: Path, program: str) -> None:
    (open_tmp / "password").write_text(SECRET)
    (open_tmp / "password").chmod(0o600)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WES_")},
        "WES_DATA": str(open_tmp / "data"),
        "WES_DATABASE_URL": "postgresql://wes@127.0.0.1:1/wes",
        "WES_DATABASE_PASSWORD_FILE": str(open_tmp / "password"),
        "WES_REDIS_URL": "redis://127.0.0.1:1/0",
        "WES_PORT": "0",
    }
    argv = [sys.executable, "-m", "wes_cli.main", program]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    said = ran.stdout + ran.stderr
    assert ran.returncode == (1 if program == "doctor" else 2), said
    assert "the database can't be reached" in said
    assert "s3cret" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("version", [(9, 6), (13, 20), ()])
def test_a_server_that_is_too_old_is_refused(version: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError, match="14 or later is needed"):
        check_server(version)


@pytest.mark.parametrize("version", [(14, 0), (16, 14), (18, 1)])
def test_a_server_that_is_new_enough_is_taken(version: tuple[int, ...]) -> None:
    check_server(version)

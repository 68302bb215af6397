"""Fixtures that every kind of test may use."""

import gc
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.container_engine import Docker, docker_engine
from tests.postgres_fixture import Postgres, real_postgres
from wes_service.store.database import upgrade

LONGEST_FIRST = (
    "tests/acceptance/faults/",
    "tests/acceptance/attacks/",
    "tests/acceptance/cwl/",
    "tests/acceptance/test_backup.py",
    "tests/acceptance/test_killed.py",
    "tests/acceptance/test_object_storage.py",
    "tests/integration/workers/test_supervisor.py",
    "tests/integration/engines/nextflow/",
    "tests/acceptance/nextflow/",
    "tests/acceptance/conformance/",
    "tests/acceptance/",
    "tests/integration/",
    "tests/contract/",
)
"""Files that take longest are begun first, so that what is left at the end is small; most of that time is waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((n for n, begin in enumerate(LONGEST_FIRST) if item.nodeid.startswith(begin)), 99))


def pytest_collection_finish() -> None:
    # What was imported and collected stays: to look through it again and again takes a tenth of the time of many tests.
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    # What a shell starts in the background is deaf to Ctrl-C, and so would be what tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The default draws the variables of each frame of an error that is logged, which takes a second or more.
    *others, _ = structlog.get_config()["processors"]
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, plain])


@pytest.fixture
def open_tmp() -> Iterator[Path]:
    """A folder that an unprivileged user can enter (pytest's own is 0700), removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="wes-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A container engine; tests that want one are not run where there can be none (see `wanted`)."""
    with docker_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server, started where the first test asks for it."""
    with real_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the tables of the newest migration, to be copied: to make them takes longer than most tests."""
    file = tmp_path_factory.mktemp("template") / "wes.sqlite"
    upgrade(f"sqlite:///{file}")
    return file

"""One server for all tests that do not kill it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.tes.server import TesServer, tes_server


def make_open_folder() -> Path:
    """One that tasks can enter whoever they run as, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="tes-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def shared() -> Iterator[TesServer]:
    folder = make_open_folder()
    try:
        with tes_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tes(shared: TesServer) -> Iterator[TesServer]:
    """The shared server with empty folders."""
    yield shared
    for folder in (shared.allow, shared.readable):
        shutil.rmtree(folder)
        folder.mkdir(mode=0o755)


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """For a server that the test starts itself."""
    folder = make_open_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)

"""Two servers for all tests of this folder: one that ends tasks at once, and one that lets them wait."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.tes.served import Tes, served


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tes-contract-", dir="/var/tmp"))
    made.chmod(0o755)
    (made / "allow").mkdir()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def tes(folder: Path) -> Iterator[Tes]:
    with served(folder / "running", allow=(folder / "allow",)) as server:
        yield server


@pytest.fixture
def waiting(folder: Path, tmp_path: Path) -> Iterator[Tes]:
    """Its own for each test, as lists are about all tasks of a server."""
    with served(folder / tmp_path.name, running=False) as server:
        yield server

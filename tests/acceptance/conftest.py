"""The service as a user gets it: `wes up`, once for all acceptance tests that leave it as it is."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.stack import Wes
from tests.engine_fixtures import cwl_installation, engines_folder, nextflow_installation

__all__ = ["cwl_installation", "nextflow_installation"]

StartWes = Callable[..., Wes]


def open_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="wes-up-", dir="/var/tmp"))
    folder.chmod(0o755)
    return folder


@contextmanager
def started_wes(*options: str, environment: Mapping[str, str] | None = None, data: Path | None = None) -> Iterator[Wes]:
    """One that several tests share; its data are removed at the end."""
    folder = data or open_folder()
    started = Wes(data=folder, engines=engines_folder(), options=options, environment=environment or {}).start()
    yield started
    started.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def wes(cwl_installation: object) -> Iterator[Wes]:
    """Shared: a test may submit runs, but must not stop anything."""
    # Web and git servers of tests listen on loopback.
    with started_wes(environment={"WES_FETCH_ALLOW": "127.0.0.0/8"}) as started:
        yield started


@pytest.fixture
def start_wes(cwl_installation: object) -> Iterator[StartWes]:
    """Starts one of its own; keyword arguments as in `Wes`."""
    made: list[Wes] = []
    folder = open_folder()

    def start(*options: str, **fields: object) -> Wes:
        given = {"data": folder / "data", "engines": engines_folder(), "options": options, **fields}
        made.append(Wes(**given))  # type: ignore[arg-type]
        return made[-1].start()

    yield start
    for each in made:
        each.stop()
    shutil.rmtree(folder, ignore_errors=True)

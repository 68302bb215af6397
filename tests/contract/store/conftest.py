"""The same fixtures for every implementation of the stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.opening import DATABASES, KINDS, new_database
from tests.contract.store.stores import Stores
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores
from wes_service.store.database import open_database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Stores]:
    if request.param == "fake":
        yield FakeStores(clock)
        return
    with new_database(request, request.param, tmp_path, ready=True) as url:
        database = open_database(url, clock)
        yield database
        database.close()


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, shared by processes or threads that each open it."""
    with new_database(request, request.param, tmp_path) as url:
        yield url

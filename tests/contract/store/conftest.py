"""The same fixtures for every implementation of the stores."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.opening import DATABASES, KINDS, new_database
from tests.contract.store.stores import Stores
from tests.contract.wes.backing import InDatabase
from tests.fakes.clock import FakeClock
from tests.fakes.stores import FakeStores
from wes_service.store.database import open_database


@pytest.fixture(scope="session")
def shared_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session", params=KINDS)
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_clock: FakeClock
) -> Iterator[InDatabase | None]:
    """One for all tests, as every statement is compiled again for a new one; None for the stores in memory."""
    if request.param == "fake":
        yield None
        return
    with (
        new_database(request, request.param, tmp_path_factory.mktemp("store"), ready=True) as url,
        contextlib.closing(open_database(url, shared_clock)) as database,
    ):
        yield InDatabase(stores=database)


@pytest.fixture
def clock(shared_clock: FakeClock) -> FakeClock:
    shared_clock.reset()
    return shared_clock


@pytest.fixture
def stores(shared_database: InDatabase | None, clock: FakeClock) -> Stores:
    """Empty; `clock` is their clock."""
    if shared_database is None:
        return FakeStores(clock)
    shared_database.clear()
    return shared_database.stores


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, shared by processes or threads that each open it."""
    with new_database(request, request.param, tmp_path) as url:
        yield url

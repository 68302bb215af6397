"""The same fixtures for every implementation of the stores."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.opening import DATABASES, KINDS, empty_database, empty_stores
from tests.contract.store.stores import Stores
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=KINDS)
def stores(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Stores]:
    with empty_stores(request.param, tmp_path, clock) as opened:
        yield opened


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables, shared by processes or threads that each open it."""
    with empty_database(request.param, tmp_path) as url:
        yield url

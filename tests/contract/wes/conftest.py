"""A server that is empty at the start of each test: on SQLite, and on PostgreSQL."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.store.opening import DATABASES, new_database
from tests.contract.wes.backing import InDatabase
from tests.contract.wes.harness import Api, make_api
from tests.fakes.clock import FakeClock
from wes_service.store.database import open_database


@pytest.fixture(scope="session", params=DATABASES)
def shared_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder, clock = tmp_path_factory.mktemp("shared"), FakeClock()
    with (
        new_database(request, request.param, folder, ready=True) as url,
        contextlib.closing(open_database(url, clock)) as database,
    ):
        yield make_api(folder, clock=clock, backing=InDatabase(stores=database))


@pytest.fixture
def api(shared_api: Api, tmp_path: Path) -> Api:
    shared_api.empty(tmp_path)
    return shared_api

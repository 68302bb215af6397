"""A server that is empty at the start of each test."""

from pathlib import Path

import pytest

from tests.contract.wes.harness import Api, make_api


@pytest.fixture(scope="session")
def shared_api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return make_api(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def api(shared_api: Api, tmp_path: Path) -> Api:
    shared_api.empty(tmp_path)
    return shared_api

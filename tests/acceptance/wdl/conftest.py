"""The WDL engine in the `wes up` of all acceptance tests."""

import time

import pytest

from common.engine import Installation
from tests.acceptance.stack import Wes
from tests.wdl_fixtures import wdl_installation

__all__ = ["wdl_installation"]


@pytest.fixture(scope="session")
def wdl(wes: Wes, wdl_installation: Installation) -> Wes:
    """Shared: a test may submit runs, but must not stop anything."""
    wait_for_engine(wes)
    return wes


def wait_for_engine(wes: Wes, seconds: float = 60) -> None:
    """Workers tell every few seconds what is installed."""
    deadline = time.monotonic() + seconds
    while "miniwdl" not in wes.get("/service-info")["workflow_engine_versions"]:
        assert time.monotonic() < deadline, "no worker has the WDL engine"
        time.sleep(0.2)

"""The WDL engine in the `wes up` of all acceptance tests."""

import pytest

from common.engine import Installation
from tests.acceptance.stack import Wes
from tests.waiting import until
from tests.wdl_fixtures import wdl_installation

__all__ = ["wdl_installation"]


@pytest.fixture(scope="session")
def wdl(wes: Wes, wdl_installation: Installation) -> Wes:
    """Shared: a test may submit runs, but must not stop anything."""
    wait_for_engine(wes)
    return wes


def wait_for_engine(wes: Wes) -> None:
    """Workers report every few seconds what is installed."""
    until(lambda: "miniwdl" in wes.get("/service-info")["workflow_engine_versions"], wes.said)

"""The WDL engine for tests: installed once for all sessions, run straight on a TES or through a `wes up`."""

import pytest

from common.engine import Installation
from tests.engine_fixtures import EngineRuns, Tes, install_for_tests


@pytest.fixture(scope="session")
def wdl_installation() -> Installation:
    return install_for_tests("wdl")


@pytest.fixture(scope="session")
def wdl_runs(wdl_installation: Installation, tes: Tes) -> EngineRuns:
    return EngineRuns(installation=wdl_installation, tes=tes, workflow="main.wdl")

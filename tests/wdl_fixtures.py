"""The WDL engine for tests: installed once for all sessions, run straight on a TES or through a `wes up`."""

from collections.abc import Iterator

import pytest

from common.engine import Installation
from tests.engine_fixtures import EngineRuns, Tes, forked_runs, install_for_tests


@pytest.fixture(scope="session")
def wdl_installation() -> Installation:
    return install_for_tests("wdl")


@pytest.fixture(scope="session")
def wdl_runs(wdl_installation: Installation, tes: Tes) -> Iterator[EngineRuns]:
    with forked_runs("wdl", wdl_installation, tes, "main.wdl") as runs:
        yield runs

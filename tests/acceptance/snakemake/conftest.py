"""The service with both versions of Snakemake."""

import pytest

from engines.snakemake.recipe import VERSIONS
from tests.acceptance.stack import Wes
from tests.engine_fixtures import install_for_tests
from tests.waiting import until


@pytest.fixture(scope="session")
def snakemake_installations() -> None:
    for version in VERSIONS:
        install_for_tests("snakemake", version)


@pytest.fixture(scope="session")
def wes_with_snakemake(snakemake_installations: None, wes: Wes) -> Wes:
    """The shared one, once its worker has seen what is installed."""
    until(lambda: set(VERSIONS) <= set(versions(wes)), wes.said)
    return wes


def versions(wes: Wes) -> list[str]:
    found = wes.get("/service-info")["workflow_engine_versions"].get("snakemake", {})
    return list(found["workflow_engine_version"] if isinstance(found, dict) else found)

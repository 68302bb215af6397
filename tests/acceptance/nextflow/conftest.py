"""Nextflow beside CWL in the shared service."""

import pytest

from tests.acceptance.nextflow.running import Nextflow
from tests.acceptance.stack import Wes


@pytest.fixture(scope="session")
def nextflow(nextflow_installation: object, wes: Wes) -> Nextflow:
    return Nextflow(wes=wes).wait_until_listed()

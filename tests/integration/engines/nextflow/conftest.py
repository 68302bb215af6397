"""Runs of Nextflow as a plain process, straight on a TES that does not wait with its answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from common.engine import Installation
from tests.engine_fixtures import EngineRun, EngineRuns, Tes, nextflow_installation, tes

__all__ = ["nextflow_installation", "tes"]


@dataclass(frozen=True, kw_only=True)
class NextflowRuns:
    """Makes runs of `main.nf`."""

    runs: EngineRuns

    def new(self, workflow: str, files: Mapping[str, str] | None = None, **more: Any) -> EngineRun:
        """As `EngineRuns.new`; `workflow` is the text of the script."""
        return self.runs.new({"main.nf": workflow, **(files or {})}, **more)


@pytest.fixture(scope="session")
def nextflow_runs(nextflow_installation: Installation, tes: Tes) -> NextflowRuns:
    return NextflowRuns(runs=EngineRuns(installation=nextflow_installation, tes=tes, workflow="main.nf"))

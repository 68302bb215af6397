"""Runs of the Snakemake engine's executor, straight on a TES."""

from dataclasses import dataclass
from typing import Any

import pytest

from engines.snakemake.recipe import VERSIONS
from tests.engine_fixtures import EngineRun, EngineRuns, Tes, install_for_tests


@dataclass(frozen=True, kw_only=True)
class SnakemakeRuns(EngineRuns):
    """Makes runs of the Snakemake engine."""

    workflow: str = "Snakefile"

    def tasks(self, run: EngineRun) -> dict[str, dict[str, Any]]:
        """The tasks of a run by name and, where there is more than one attempt, the attempt."""
        work = str(run.folder.work)
        mine = [task for task in self.tes.tasks() if task["executors"][0]["workdir"] == work]
        return {
            task["name"] + ("" if task["tags"]["wes.attempt"] == "1" else f" #{task['tags']['wes.attempt']}"): task
            for task in mine
        }


@pytest.fixture(scope="session")
def snakemake_runs(tes: Tes) -> SnakemakeRuns:
    """With the newest version."""
    return SnakemakeRuns(installation=install_for_tests("snakemake"), tes=tes)


@pytest.fixture(scope="session", params=VERSIONS)
def runs_of_each_version(request: pytest.FixtureRequest, tes: Tes) -> SnakemakeRuns:
    """Once for each version that there is."""
    return SnakemakeRuns(installation=install_for_tests("snakemake", request.param), tes=tes)

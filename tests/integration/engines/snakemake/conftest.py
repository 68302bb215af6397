"""Runs of the Snakemake engine's executor, straight on a TES."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.engine import Installation, RunFolder
from engines.registry import engine_named
from engines.snakemake.recipe import VERSIONS
from tests.engine_fixtures import EngineRun, Tes, install_for_tests


@dataclass(frozen=True, kw_only=True)
class SnakemakeRuns:
    """Makes runs of the Snakemake engine."""

    installation: Installation
    tes: Tes

    def tasks(self, run: EngineRun) -> dict[str, dict[str, Any]]:
        """The tasks of a run by name and, where there is more than one attempt, the attempt."""
        work = str(run.folder.work)
        mine = [task for task in self.tes.tasks() if task["executors"][0]["workdir"] == work]
        return {
            task["name"] + ("" if task["tags"]["wes.attempt"] == "1" else f" #{task['tags']['wes.attempt']}"): task
            for task in mine
        }

    def new(self, attachments: Mapping[str, str], params: Mapping[str, Any] | None = None, **more: Any) -> EngineRun:
        """`Snakefile` of the attachments, unless `workflow` names another."""
        engine = engine_named("snakemake")
        assert engine is not None
        folder = RunFolder(root=Path(tempfile.mkdtemp(prefix="run-", dir=self.tes.folder)))
        more.setdefault("workflow", "Snakefile")
        return EngineRun(
            engine=engine,
            installation=self.installation,
            tes_url=self.tes.url,
            folder=folder,
            attachments=attachments,
            params=params or {},
            **more,
        )


@pytest.fixture(scope="session")
def snakemake_runs(tes: Tes) -> SnakemakeRuns:
    """With the newest version."""
    return SnakemakeRuns(installation=install_for_tests("snakemake"), tes=tes)


@pytest.fixture(scope="session", params=VERSIONS)
def runs_of_each_version(request: pytest.FixtureRequest, tes: Tes) -> SnakemakeRuns:
    """Once for each version that there is."""
    return SnakemakeRuns(installation=install_for_tests("snakemake", request.param), tes=tes)

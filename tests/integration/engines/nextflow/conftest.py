"""Runs of Nextflow as a plain process, straight on a TES that does not wait with its answers."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.engine import Installation, RunFolder
from engines.registry import engine_named
from tests.engine_fixtures import EngineRun, Tes, nextflow_installation, tes

__all__ = ["nextflow_installation", "tes"]


@dataclass(frozen=True, kw_only=True)
class NextflowRuns:
    """Makes runs of `main.nf`."""

    installation: Installation
    tes: Tes

    def new(self, workflow: str, files: Mapping[str, str] | None = None, **more: Any) -> EngineRun:
        """In a new folder, unless `folder` is given."""
        engine = engine_named("nextflow")
        assert engine is not None
        folder = more.pop("folder", None) or RunFolder(root=Path(tempfile.mkdtemp(prefix="run-", dir=self.tes.folder)))
        more.setdefault("workflow", "main.nf")
        more.setdefault("tes_url", self.tes.url)
        attachments = {"main.nf": workflow, **(files or {})}
        return EngineRun(engine=engine, installation=self.installation, folder=folder, attachments=attachments, **more)


@pytest.fixture(scope="session")
def nextflow_runs(nextflow_installation: Installation, tes: Tes) -> NextflowRuns:
    return NextflowRuns(installation=nextflow_installation, tes=tes)

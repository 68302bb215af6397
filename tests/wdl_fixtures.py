"""The WDL engine for tests: installed once for all sessions, run straight on a TES or through a `wes up`."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from common.engine import Installation, RunFolder
from engines.registry import engine_named
from tests.engine_fixtures import EngineRun, Tes, install_for_tests


@pytest.fixture(scope="session")
def wdl_installation() -> Installation:
    return install_for_tests("wdl")


@dataclass(frozen=True, kw_only=True)
class WdlRuns:
    """Makes runs of the WDL engine."""

    installation: Installation
    tes: Tes

    def new(self, attachments: Mapping[str, str], params: Mapping[str, Any] | None = None, **more: Any) -> EngineRun:
        """`main.wdl` of the attachments, unless `workflow` names another."""
        engine = engine_named("wdl")
        assert engine is not None
        more.setdefault("workflow", "main.wdl")
        more.setdefault("folder", RunFolder(root=Path(tempfile.mkdtemp(prefix="run-", dir=self.tes.folder))))
        return EngineRun(
            engine=engine,
            installation=self.installation,
            tes_url=self.tes.url,
            attachments=attachments,
            params=params or {},
            **more,
        )


@pytest.fixture(scope="session")
def wdl_runs(wdl_installation: Installation, tes: Tes) -> WdlRuns:
    return WdlRuns(installation=wdl_installation, tes=tes)

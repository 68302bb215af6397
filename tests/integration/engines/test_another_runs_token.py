"""Each engine with the gateway's secret of another run: it gets 401, says so, and no run has a task of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.engine import RunFolder
from engines.registry import engine_named
from gateway.http_api import BASE
from gateway.server import Gateway
from gateway.session import Session
from tests.engine_fixtures import EngineRun, install_for_tests
from tests.fakes.stores import FakeClock, FakeStores
from tests.integration.workers.conftest import scope_of
from wes_service.settings import Settings

WORKFLOWS = {
    "cwl": (
        "main.cwl",
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [echo, hello]\ninputs: []\noutputs: []\n",
    ),
    "snakemake": ("Snakefile", "rule hello:\n    output: 'x'\n    shell: 'echo hello > x'\n"),
    "nextflow": ("main.nf", "process HELLO { script: 'echo hello' }\nworkflow { HELLO() }\n"),
    "wdl": ("main.wdl", "version 1.0\ntask hello { command { echo hello } }\n"),
}
NO_TES = "http://127.0.0.1:9/ga4gh/tes/v1"


@dataclass(frozen=True, kw_only=True)
class Runs:
    """A gateway with two runs: one that goes on, and one that is over."""

    gateway: Gateway
    stores: FakeStores
    open: Session
    over: Session

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.tcp_port}{BASE}"


@pytest.fixture
def runs(open_tmp: Path) -> Iterator[Runs]:
    stores = FakeStores(FakeClock())
    settings = Settings(data=open_tmp, tes_urls=(NO_TES,))
    gateway = Gateway(settings, stores.tasks, FakeClock(), open_tmp / "gw", on_tcp=True)
    gateway.start()
    sessions = [gateway.open_session(scope_of(stores, name, open_tmp)) for name in ("goes-on", "over")]
    gateway.close_session(sessions[1], 10)
    yield Runs(gateway=gateway, stores=stores, open=sessions[0], over=sessions[1])
    gateway.close_session(sessions[0], 10)
    gateway.stop()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_token_of_a_run_that_is_over_opens_nothing(name: str, runs: Runs, open_tmp: Path) -> None:
    document, text = WORKFLOWS[name]
    engine = engine_named(name)
    assert engine is not None
    run = EngineRun(
        engine=engine,
        installation=install_for_tests(name),
        tes_url=runs.url,
        folder=RunFolder(root=open_tmp / "third"),
        attachments={document: text},
        workflow=document,
        token=runs.over.token,
    )
    assert "401" in run.start().reason()
    assert runs.open.tasks == {}
    assert runs.over.tasks == {}
    assert [runs.stores.tasks.open(run_id) for run_id in ("goes-on", "over")] == [[], []]

"""What the tests of the fetcher share: servers on loopback, which the fetcher is allowed to ask."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.git_server import GitSite, git_site
from tests.fakes.web_server import Site, web_site
from wes_service.core.workflow import FetchedWorkflow, FetchRequest, remote_workflow
from wes_service.fetch.program import fetch
from wes_service.fetch.web import FetchBudget, FetchLimits, WebClient

LOOPBACK = FetchLimits(allow=("127.0.0.0/8",), seconds=20, idle_seconds=2)
Bring = Callable[..., FetchedWorkflow]


@pytest.fixture
def site() -> Iterator[Site]:
    with web_site() as running:
        yield running


@pytest.fixture
def gits(tmp_path: Path) -> Iterator[GitSite]:
    folder = tmp_path / "gits"
    folder.mkdir()
    with git_site(folder) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a run."""
    folder = tmp_path / "run"
    (folder / "attachments").mkdir(parents=True)
    return folder


@pytest.fixture
def bring(root: Path) -> Bring:
    """Fetches a URL into `root`, in this process."""

    def act(url: str, language: str = "CWL", limits: FetchLimits = LOOPBACK, **web: object) -> FetchedWorkflow:
        order = FetchRequest(workflow=remote_workflow(url), root=root, language=language)
        client = WebClient(budget=FetchBudget(limits=limits), pause=lambda _: None, **web)  # type: ignore[arg-type]
        return fetch(order, client)

    return act


def files(root: Path) -> dict[str, str]:
    """What lies among the attachments."""
    folder = root / "attachments"
    return {
        path.relative_to(folder).as_posix(): path.read_text(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

"""The fetch as a worker starts it: a process of its own, as the user that workflows run as."""

import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from common.errors import EngineError, FetchStopped, SystemFailure
from sandbox.identity import foreign_identity
from tests.fakes.git_server import GitSite
from tests.fakes.web_server import Reply, Site
from tests.integration.fetch.conftest import LOOPBACK
from wes_service.core.workflow import FetchRequest, remote_workflow
from wes_service.fetch.process import FetchJob, ProcessFetcher, job_of
from wes_service.fetch.web import FetchLimits

IDENTITY = foreign_identity(64321)


def order(url: str, root: Path) -> FetchRequest:
    for folder in (root, root / "attachments"):
        if not folder.exists():
            IDENTITY.make_folder(folder)
    return FetchRequest(workflow=remote_workflow(url), root=root, language="CWL")


def fetchers() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [each for each in children if "wes_service.fetch.program" in _words(each)]


def _words(process: psutil.Process) -> list[str]:
    """None of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def never() -> bool:
    return False


def test_what_is_fetched_belongs_to_the_user_that_workflows_run_as(site: Site, gits: GitSite, open_tmp: Path) -> None:
    site.pages["/wf.cwl"] = "cwlVersion: v1.2\n"
    gits.repository("r", {"a/b.cwl": "x"})
    fetcher = ProcessFetcher(limits=LOOPBACK, identity=IDENTITY)
    for number, url in enumerate((f"{site.url}/wf.cwl", f"git+{gits.url}/r#a/b.cwl")):
        root = open_tmp / str(number)
        fetched = fetcher.fetch(order(url, root), never)
        placed = root / "attachments" / fetched.name
        assert placed.read_text()
        assert (placed.stat().st_uid, placed.stat().st_gid) == (IDENTITY.uid, IDENTITY.gid)
        assert placed.parent.stat().st_uid == IDENTITY.uid
        assert placed.stat().st_mode & 0o777 == 0o644
        assert [path.name for path in root.iterdir()] == ["attachments"]
        assert fetched.source["files"] == 1
        assert len(fetched.lines) == 1
    assert fetchers() == []


def test_blame_and_reason_come_out_of_the_process(site: Site, open_tmp: Path) -> None:
    site.pages["/busy.cwl"] = Reply(status=503)
    fetcher = ProcessFetcher(limits=LOOPBACK, identity=IDENTITY)
    with pytest.raises(EngineError, match=r"gone\.cwl does not exist"):
        fetcher.fetch(order(f"{site.url}/gone.cwl", open_tmp / "a"), never)
    with pytest.raises(SystemFailure, match="503"):
        fetcher.fetch(order(f"{site.url}/busy.cwl", open_tmp / "a"), never)
    with pytest.raises(EngineError, match="WES_FETCH_ALLOW"):
        ProcessFetcher(limits=FetchLimits(), identity=IDENTITY).fetch(order(f"{site.url}/x", open_tmp / "a"), never)
    bad = ProcessFetcher(limits=LOOPBACK, identity=IDENTITY, ca_file=open_tmp / "none.pem")
    with pytest.raises(SystemFailure, match="WES_FETCH_CA_FILE"):
        bad.fetch(order(f"{site.url}/x", open_tmp / "a"), never)


def test_a_slow_fetch_stops_at_once_and_leaves_nothing(site: Site, gits: GitSite, open_tmp: Path) -> None:
    site.pages["/wf.cwl"] = Reply(body=b"x", wait_seconds=60)
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    began = time.monotonic()
    fetcher = ProcessFetcher(limits=FetchLimits(allow=LOOPBACK.allow, idle_seconds=60), identity=IDENTITY)
    with pytest.raises(FetchStopped):
        fetcher.fetch(order(f"{site.url}/wf.cwl", open_tmp / "a"), stop.is_set)
    assert time.monotonic() - began < 30
    assert fetchers() == []
    assert list((open_tmp / "a/attachments").iterdir()) == []


def test_a_fetch_that_does_not_end_by_itself_is_ended(
    site: Site, open_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wes_service.fetch.process.SPARE_SECONDS", 0.0)
    site.pages["/wf.cwl"] = Reply(body=b"x", wait_seconds=60)
    fetcher = ProcessFetcher(limits=FetchLimits(allow=LOOPBACK.allow, seconds=1.5, idle_seconds=60), identity=IDENTITY)
    with pytest.raises(SystemFailure, match=r"within 1\.5 s"):
        fetcher.fetch(order(f"{site.url}/wf.cwl", open_tmp / "a"), never)
    assert fetchers() == []


def test_a_fetch_ends_with_the_worker_that_wanted_it(site: Site, open_tmp: Path) -> None:
    site.pages["/wf.cwl"] = Reply(body=b"x", wait_seconds=60)
    program = f"""
from pathlib import Path
from tests.integration.fetch.test_process import IDENTITY, FetchLimits, ProcessFetcher, never, order
limits = FetchLimits(allow={LOOPBACK.allow!r}, idle_seconds=60)
ProcessFetcher(limits=limits, identity=IDENTITY).fetch(order("{site.url}/wf.cwl", Path("{open_tmp}/a")), never)
"""
    worker = subprocess.Popen([sys.executable, "-c", program])
    process = psutil.Process(worker.pid)
    deadline = time.monotonic() + 10
    while not site.asked:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = process.children()
    assert len(children) == 1
    worker.kill()
    worker.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_a_repository_that_unpacks_to_far_more_than_the_limit_is_refused(gits: GitSite, open_tmp: Path) -> None:
    gits.repository("r", {"wf.cwl": "x", "bomb": b"0" * 40_000_000})
    limits = FetchLimits(allow=LOOPBACK.allow, workflow_bytes=1_000_000)
    with pytest.raises(EngineError, match=r"WES_MAX_WORKFLOW_BYTES|too much memory"):
        ProcessFetcher(limits=limits, identity=IDENTITY).fetch(order(f"git+{gits.url}/r#wf.cwl", open_tmp / "a"), never)
    assert [path.name for path in (open_tmp / "a").iterdir()] == ["attachments"]


@pytest.mark.parametrize("url", ["https://h/a.cwl#x", "git+https://h/r@v#p", "https://github.com/o/r/blob/v/p"])
def test_a_job_is_the_same_on_the_other_side(url: str, tmp_path: Path) -> None:
    job = FetchJob(
        order=FetchRequest(workflow=remote_workflow(url), root=tmp_path, language="WDL"),
        limits=LOOPBACK,
        identity=IDENTITY,
        ca_file=tmp_path / "ca.pem",
    )
    assert job_of(job.as_json()) == job

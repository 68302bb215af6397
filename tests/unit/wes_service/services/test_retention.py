"""Work folders go, outputs and logs stay, whatever is in them."""

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from common.errors import LogNotFound, ObjectStoreFailure
from common.json_types import JsonObject
from sandbox.identity import foreign_identity
from tests.contract.store.stores import ANN, a_run, claimed, lease_of
from tests.fakes.clock import FakeClock
from tests.fakes.object_store import no_storages
from tests.fakes.stores import FakeStores
from wes_service.core.links import location_of
from wes_service.core.ports import RunChange
from wes_service.core.run import RunState
from wes_service.services.retention import WorkFolderCleanup
from wes_service.storage.run_folders import RunFolders

DAY = 86400.0
FILES = (
    "work/out.txt",
    "work/steps/1/result.bam",
    "work/steps/1/scratch",
    "work/steps/2/big/deep/scratch",
    "work/report/index.html",
    "work/report/css/style.css",
    "work/.wes/progress.json",
    "logs/stdout",
    "logs/tasks/t1/stderr",
    "attachments/main.cwl",
    "transfers/half",
)
OUTPUTS: JsonObject = {
    "one": {"class": "File", "location": location_of("out.txt")},
    "bam": [{"class": "File", "location": location_of("steps/1/result.bam")}],
    "report": {"class": "Directory", "location": location_of("report")},
}


class Site:
    def __init__(self, folder: Path, keep: str = "30d") -> None:
        self.clock = FakeClock()
        self.stores = FakeStores(self.clock)
        self.folders = RunFolders(folder, foreign_identity(64321))
        self.cleanup = WorkFolderCleanup(
            runs=self.stores.retention,
            folders=self.folders,
            storages=no_storages(),
            clock=self.clock,
            keep=keep,
        )

    def ended(self, number: int = 1) -> Path:
        """The folder of a run that has just ended."""
        run = claimed(self.stores, number)
        folder = self.folders.folder(run.id).root
        for name in FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        self.stores.runs.move(lease_of(run), RunState.RUNNING)
        self.stores.runs.move(lease_of(run), RunState.COMPLETE, RunChange(outputs=OUTPUTS))
        return folder

    def later(self, days: float = 31) -> None:
        self.clock.advance(days * DAY)
        self.cleanup.remove_expired()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_outputs_logs_and_attachments_stay_and_all_else_goes(site: Site) -> None:
    folder = site.ended()
    site.later()
    gone = {"work/steps/1/scratch", "work/steps/2/big/deep/scratch", "transfers/half"}
    assert files(folder) == set(FILES) - gone
    assert not (folder / "work/steps/2").exists()
    with site.folders.open_output(a_run(1).id, "steps/1/result.bam") as source:
        assert source.read() == b"work/steps/1/result.bam"
    run = site.stores.runs.get(ANN, a_run(1).id)
    assert run.system_logs == (
        "Its work folder was removed 30d after its end (WES_KEEP_WORK); outputs and logs are kept.",
    )
    assert run.work_removed == site.clock.now()


def test_before_its_time_and_without_the_setting_nothing_goes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    folder = site.ended()
    site.later(29.9)
    assert files(folder) == set(FILES)
    unset = Site(tmp_path / "other", keep="")
    folder = unset.ended()
    unset.later(10_000)
    assert files(folder) == set(FILES)


def test_a_run_that_goes_on_is_left_alone_however_old_it_is(site: Site) -> None:
    run = claimed(site.stores, 2)
    scratch = site.folders.folder(run.id).work / "scratch"
    scratch.parent.mkdir(parents=True)
    scratch.write_text("x")
    site.later(10_000)
    assert scratch.exists()


def test_links_that_foreign_code_left_lead_nowhere(site: Site, tmp_path: Path) -> None:
    folder = site.ended()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (folder / "work" / "away").symlink_to(outside)
    (folder / "work" / "report" / "link").symlink_to(outside)
    # What was the folder of an output is a link by now.
    (folder / "work" / "steps" / "1").rename(folder / "work" / "moved")
    (folder / "work" / "steps" / "1").symlink_to(outside)
    site.later()
    assert (outside / "precious").read_text() == "x"
    assert not (folder / "work" / "away").is_symlink()
    assert not (folder / "work" / "moved").exists()


def test_what_a_crash_left_in_the_middle_is_removed_the_next_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = site.ended()
    remove_work = site.folders.remove_work

    def crash(run_id: str, kept: Collection[str]) -> bool:
        remove_work(run_id, kept)
        (folder / "work" / ".removing-0").mkdir()
        raise SystemExit

    monkeypatch.setattr(site.folders, "remove_work", crash)
    with pytest.raises(SystemExit):
        site.later()
    assert site.stores.runs.get(ANN, a_run(1).id).work_removed is None
    monkeypatch.undo()
    site.later(0)
    assert site.stores.runs.get(ANN, a_run(1).id).work_removed is not None
    assert not (folder / "work" / ".removing-0").exists()


def test_one_that_can_not_be_removed_keeps_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.ended(1)
    second = site.ended(2)

    def broken(run_id: str) -> None:
        if run_id == a_run(1).id:
            raise ObjectStoreFailure("s3://runs", "away")

    monkeypatch.setattr(type(site.cleanup.storages), "remove", staticmethod(broken))
    site.later()
    assert site.stores.runs.get(ANN, a_run(1).id).work_removed is None
    assert not (second / "work/steps/1/scratch").exists()


def test_folders_that_nobody_may_write_to_go_too(site: Site) -> None:
    folder = site.ended()
    (folder / "work/steps/2/big").chmod(0o500)
    site.later()
    assert not (folder / "work/steps/2").exists()


def test_of_a_run_that_failed_all_goes(site: Site) -> None:
    run = claimed(site.stores, 1)
    work = site.folders.folder(run.id).work
    work.mkdir(parents=True)
    os.mkfifo(work / "pipe")
    site.stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
    site.later()
    assert list(work.iterdir()) == []
    with pytest.raises(LogNotFound):
        site.folders.open_output(run.id, "pipe")

"""Deletion over real folders: what a crash at any place leaves, and who removes it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.errors import RunNotEnded, RunNotFound
from gateway.run_objects import StoredRuns
from sandbox.identity import foreign_identity
from tests.contract.store.stores import ANN, a_run, claimed, lease_of
from tests.fakes.object_store import MemoryStores
from tests.fakes.queue import FakeQueue
from tests.fakes.stores import FakeStores
from wes_service.core.run import RunState
from wes_service.services.deletion import Deleter, FolderCleanup
from wes_service.storage.run_folders import RunFolders


@dataclass(frozen=True, kw_only=True)
class Site:
    stores: FakeStores
    folders: RunFolders
    deleter: Deleter
    cleanup: FolderCleanup
    queue: FakeQueue
    objects: MemoryStores

    def ended(self, number: int = 1) -> str:
        run = claimed(self.stores, number)
        self.stores.runs.move(lease_of(run), RunState.SYSTEM_ERROR)
        self.fill(run.id)
        return run.id

    def fill(self, run_id: str) -> Path:
        """The folder of a run that a worker has just begun."""
        with self.folders.stage() as staging:
            attachment = staging.create("data/main.cwl")
            attachment.write(b"secret")
            staging.finish(attachment)
            root = self.folders.commit(staging, run_id).root
        self.folders.complete(run_id)
        return root

    @property
    def there(self) -> list[str]:
        return sorted(path.name for path in self.folders.root.iterdir() if path.name != ".staging")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    stores = FakeStores()
    folders = RunFolders(tmp_path / "runs", foreign_identity(64321))
    folders.prepare()
    objects = MemoryStores()
    storages = StoredRuns(stores=objects, storages=frozenset({"s3://runs/far", "gs://other"}))
    cleanup = FolderCleanup(tombstones=stores.tombstones, folders=folders, storages=storages)
    queue = FakeQueue(cleanup.remove)
    deleter = Deleter(runs=stores.runs, queue=queue)
    return Site(stores=stores, folders=folders, deleter=deleter, cleanup=cleanup, queue=queue, objects=objects)


@pytest.fixture
def _a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wes_service.storage.run_folders.STALE_SECONDS", -1)


def test_a_deleted_run_leaves_no_file(site: Site) -> None:
    run_id = site.ended()
    work = site.folders.folder(run_id).work
    (work / "out").symlink_to("/etc")
    site.deleter.delete(ANN, run_id)
    assert site.there == []
    assert Path("/etc/hostname").exists()
    assert site.stores.tombstones.unpurged() == []


def test_a_deleted_run_leaves_no_object(site: Site) -> None:
    run_id, kept = site.ended(), site.ended(2)
    for storage in ("s3://runs/far", "gs://other"):
        for run in (run_id, kept):
            site.objects.put(f"{storage}/{run}/contents/{'0' * 64}", b"x")
    site.objects.put(f"s3://runs/far/{run_id}0/x", b"another run's")
    site.deleter.delete(ANN, run_id)
    assert site.objects.urls(f"gs://other/{run_id}") == site.objects.urls(f"s3://runs/far/{run_id}") == []
    assert len(site.objects.urls("s3://runs")) + len(site.objects.urls("gs://other")) == 3


def test_objects_are_removed_later_where_the_store_is_away(site: Site) -> None:
    run_id = site.ended()
    site.objects.put(f"s3://runs/far/{run_id}/x", b"x")
    site.objects.away = True
    site.deleter.delete(ANN, run_id)
    assert (site.there, site.stores.tombstones.unpurged()) == ([], [run_id])
    site.objects.away = False
    site.cleanup.remove_deleted()
    assert site.objects.urls("s3://runs") == []
    assert site.stores.tombstones.unpurged() == []


def test_a_message_that_names_a_run_which_is_not_deleted_removes_nothing(site: Site) -> None:
    kept = site.ended()
    site.queue.remove_folder(kept)
    site.queue.remove_folder("nowhere")
    assert site.there == [kept]


def test_a_run_that_is_not_to_be_deleted_keeps_its_files(site: Site) -> None:
    run_id = claimed(site.stores, 1).id
    site.fill(run_id)
    with pytest.raises(RunNotEnded):
        site.deleter.delete(ANN, run_id)
    with pytest.raises(RunNotFound):
        site.deleter.delete(ANN, "nowhere")
    assert site.there == [run_id]


def test_what_a_crash_after_the_row_left_is_finished(site: Site) -> None:
    crashed, other = site.ended(1), site.ended(2)
    site.stores.runs.delete(ANN, crashed)
    site.cleanup.remove_deleted()
    assert site.there == [other]
    (stone,) = site.stores.tombstones.page(10, None).items
    assert stone.purged is not None


def test_to_delete_again_finishes_too(site: Site) -> None:
    run_id = site.ended()
    site.stores.runs.delete(ANN, run_id)
    site.deleter.delete(ANN, run_id)
    assert site.there == []
    assert site.stores.tombstones.unpurged() == []


def _refused(*_: object, **__: object) -> None:
    raise PermissionError


def test_a_folder_that_can_not_be_removed_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = site.ended()
    with monkeypatch.context() as broken:
        broken.setattr(os, "rmdir", _refused)
        site.deleter.delete(ANN, run_id)
        assert site.stores.tombstones.unpurged() == [run_id]
    site.cleanup.remove_deleted()
    assert (site.there, site.stores.tombstones.unpurged()) == ([], [])


@pytest.mark.usefixtures("_a_day_later")
def test_an_old_folder_without_a_run_is_removed(site: Site) -> None:
    site.fill("01orphan")
    kept = site.ended()
    queued = site.stores.runs.add(a_run(7), None).id
    site.fill(queued)
    site.cleanup.remove_orphaned()
    assert site.there == sorted([kept, queued])


def test_a_young_folder_without_a_run_may_get_its_row_yet(site: Site) -> None:
    site.fill("01orphan")
    os.utime(site.folders.folder("01orphan").root, (0, 0))
    site.cleanup.remove_orphaned()
    assert site.there == ["01orphan"]


@pytest.mark.usefixtures("_a_day_later")
@pytest.mark.parametrize("name", ["control", "logs", "work"])
def test_results_that_the_database_does_not_know_are_kept(site: Site, name: str) -> None:
    # It may have been restored from a backup.
    (site.fill("01restored") / name / "file").write_text("result")
    site.cleanup.remove_orphaned()
    assert site.there == ["01restored"]


@pytest.mark.usefixtures("_a_day_later")
def test_what_is_no_run_folder_is_left_alone(site: Site, tmp_path: Path) -> None:
    (site.folders.root / "lost+found").mkdir()
    (site.folders.root / "note").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (site.folders.root / "link").symlink_to(tmp_path / "elsewhere")
    site.cleanup.remove_orphaned()
    assert site.there == ["link", "lost+found", "note"]


LOCKED = """
import os, sys
from pathlib import Path
from sandbox.foreign_files import remove_tree
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(64321); os.setuid(64321)
run = Path(sys.argv[1], "run")
(run / "cache/deep").mkdir(parents=True)
(run / "cache/deep/file").write_text("x")
(run / "out").symlink_to(sys.argv[1])
for folder in (run / "cache/deep", run / "cache", run):
    folder.chmod(0o500 if folder.name == "cache" else 0)

sys.exit(0 if remove_tree(run) else 1)
"""


def test_folders_that_nobody_may_write_to_are_removed_without_root_too(open_tmp: Path) -> None:
    place = open_tmp / "place"
    place.mkdir()
    place.chmod(0o777)
    done = subprocess.run([sys.executable, "-c", LOCKED, str(place)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == []
    assert place.stat().st_mode & 0o777 == 0o777


def test_one_run_whose_data_can_not_be_removed_does_not_keep_that_of_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = site.ended(1), site.ended(2)
    remove = RunFolders.remove

    def fail_once(folders: RunFolders, run_id: str) -> bool:
        if run_id == first:
            raise RecursionError
        return remove(folders, run_id)

    for run_id in (first, second):
        site.stores.runs.delete(ANN, run_id)
    monkeypatch.setattr(RunFolders, "remove", fail_once)
    site.cleanup.remove_deleted()
    assert (site.there, list(site.stores.tombstones.unpurged())) == ([first], [first])

"""Outputs of an earlier run that stayed in a store: when they become this run's, and when the step runs."""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from common.errors import ObjectNotFound
from common.run_root import RunLocation
from gateway.content_digests import ContentDigests, InputContents, NotWanted
from gateway.delivered_files import DeliveredFile, DeliveredFiles, NotReusable
from gateway.file_origins import FileOrigin
from gateway.run_objects import RunObjects
from gateway.stored_copies import StoredCopies
from tests.unit.gateway.conftest import Run, out

EARLIER = RunObjects(storage="s3://runs/far", run_id="00run")
URL = EARLIER.output("e" * 20, 1, 0)
MADE = PurePosixPath("work/made")


@pytest.fixture
def copies(run: Run) -> StoredCopies:
    storages = ["s3://other", "s3://runs/far"]
    return StoredCopies(run_id="01run", stores=run.stores, storages=storages, origins=run.origins)


def left(run: Run, content: bytes = b"large", path: str = "", **change: Any) -> DeliveredFile:
    """What a task of the run 00run left."""
    url = f"{URL}/{path}" if path else URL
    run.stores.put(url, content)
    stored = run.stores.head(url)
    origin = FileOrigin(stored=stored, folder=EARLIER.folder, alone=True, content="c" * 64)
    return DeliveredFile(number=0, path=path, size=stored.size, origin=replace(origin, **change).document())


def copied(run: Run, copies: StoredCopies, file: DeliveredFile, *, wanted: bool = True, on_demand: bool = True) -> Any:
    kind = "DIRECTORY" if file.path else "FILE"
    task = run.task(outputs=[out("made", kind)], tags={"wes.outputs": "on-demand"} if on_demand else {})
    found = copies.copied(replace(task, id="e" * 20, run_id="00run"), task, file, lambda: wanted)
    copies.put(found, RunLocation(path=MADE / file.path))
    return found


@pytest.mark.parametrize("path", ["", "deep/file"])
def test_it_is_copied_in_the_store_and_no_byte_comes_here(run: Run, copies: StoredCopies, path: str) -> None:
    found = copied(run, copies, left(run, path=path))
    assert run.stores.read == []
    status = (run.folder.work / "made" / path).stat()
    assert (status.st_size, status.st_mode & 0o777) == (5, 0)
    run.stores.delete_below(EARLIER.folder)
    location = RunLocation(path=MADE / path)
    run.origins.fetch(location)
    assert (run.folder.work / "made" / path).read_bytes() == b"large"
    assert found.origin["folder"] == "s3://runs/far/01run"


def test_a_copy_counts_as_the_same_content_for_the_steps_after_it(run: Run, copies: StoredCopies) -> None:
    digests = ContentDigests()
    copied(run, copies, left(run))
    location = RunLocation(path=MADE)
    contents = InputContents(files=run.origins.files, digests=digests, origins=run.origins)
    before = contents.at(location, lambda: True)
    assert before == [[".", ["stored", "c" * 64]]]
    run.origins.fetch(location)
    assert contents.at(location, lambda: True) == before


def test_what_a_task_left_in_a_store_is_noted_with_where_it_is(run: Run) -> None:
    run.store(0, "", b"large")
    run.fetch(out("made"), on_demand=True)
    task = run.task(outputs=[out("made")])
    (run.folder.logs / "tasks" / task.id).mkdir(parents=True)
    delivered = DeliveredFiles(files=run.origins.files, digests=ContentDigests(), origins=run.origins)
    delivered.record(task, lambda: True)
    (noted,) = delivered.read(task)
    assert (noted.size, noted.sha256, noted.is_folder) == (5, None, False)
    assert noted.origin is not None
    assert (noted.origin["folder"], len(str(noted.origin["content"]))) == ("s3://runs/far/01run", 64)


def test_an_object_that_is_another_one_by_now_is_not_taken(run: Run, copies: StoredCopies) -> None:
    file = left(run)
    run.stores.put(URL, b"other")
    with pytest.raises(NotReusable, match="not in the store as it was"):
        copied(run, copies, file)
    run.stores.delete(URL)
    with pytest.raises(ObjectNotFound):
        copied(run, copies, file)


@pytest.mark.parametrize("folder", ["s3://gone/00run", "s3://runs/far/02run", "s3://runs/far/00run/outputs"])
def test_an_object_that_is_not_the_earlier_runs_is_not_taken(run: Run, copies: StoredCopies, folder: str) -> None:
    with pytest.raises(NotReusable, match="in a store that no TES has now"):
        copied(run, copies, left(run, folder=folder))


def test_an_engine_that_does_not_ask_for_what_it_opens_gets_none(run: Run, copies: StoredCopies) -> None:
    with pytest.raises(NotReusable, match="the engine wants them here"):
        copied(run, copies, left(run), on_demand=False)


def test_nothing_is_copied_for_a_task_that_is_to_be_cancelled(run: Run, copies: StoredCopies) -> None:
    with pytest.raises(NotWanted):
        copied(run, copies, left(run), wanted=False)
    assert run.stores.urls("s3://runs/far/01run") == []

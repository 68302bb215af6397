"""Outputs that stay in a store until somebody reads them."""

import asyncio
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from common.errors import LogNotFound, ObjectStoreFailure
from common.object_store import ObjectStream, StoredObject
from common.run_root import FileInRun, RunLocation
from gateway.translation import SharedFiles, UnusableInput, UnusableOutput
from sandbox.foreign_files import open_beneath
from tests.unit.gateway.conftest import Run, a_run, out


def at(path: str) -> RunLocation:
    return RunLocation(path=PurePosixPath("work") / path)


@pytest.fixture
def withheld(run: Run) -> Run:
    """A folder `d` with the files `a` and `b`, of which nothing was read."""
    run.store(0, "a", b"bytes of a")
    run.store(0, "b", b"b")
    run.store(0, "empty", b"")
    run.fetch(out("d", "DIRECTORY"), on_demand=True)
    return run


def test_a_file_that_stays_has_its_size_and_nobody_may_read_it(withheld: Run) -> None:
    a, empty = (withheld.folder.work / "d" / name for name in ("a", "empty"))
    assert (a.stat().st_size, stat.S_IMODE(a.stat().st_mode), a.stat().st_blocks) == (10, 0, 0)
    assert empty.read_bytes() == b""
    assert withheld.stores.read == []
    with pytest.raises(LogNotFound):
        open_beneath(withheld.folder.work, "d/a")


def test_the_next_step_reads_the_object_itself(withheld: Run) -> None:
    (withheld.folder.work / "d" / "a").rename(withheld.folder.work / "moved")
    task = withheld.sent(withheld.input("moved"), withheld.input("d", "DIRECTORY"))
    found = {item["path"]: withheld.stores.content(item["url"]) for item in task["inputs"]}
    assert found == {"/in/moved": b"bytes of a", "/in/d/b": b"b", "/in/d/empty": b""}
    assert all("/outputs/" in item["url"] for item in task["inputs"][:2])
    assert withheld.stores.read == []


def test_a_file_that_is_asked_for_comes_once_and_is_known_still(withheld: Run) -> None:
    asking = [threading.Thread(target=withheld.origins.fetch, args=(at("d/a"),)) for _ in range(4)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert (withheld.folder.work / "d" / "a").read_bytes() == b"bytes of a"
    assert len(withheld.stores.read) == 1
    withheld.stores.sent.clear()
    (item,) = withheld.sent(withheld.input("d/a"))["inputs"]
    assert "/outputs/" in item["url"]
    assert withheld.stores.sent == []


def test_logs_and_what_an_engine_did_not_ask_to_stay_come_at_once(run: Run) -> None:
    run.store(0, "", b"log")
    run.store(1, "", b"x")
    logs = {**out("ignored"), "url": "file:///wes/run/logs/stdout-0"}
    run.fetch(logs, out("a"), on_demand=True)
    assert (run.folder.logs / "stdout-0").read_bytes() == b"log"
    run.fetch(logs, out("a"))
    assert (run.folder.work / "a").read_bytes() == b"x"


def test_another_worker_knows_where_the_bytes_are(withheld: Run) -> None:
    for again in a_run(withheld.folder, withheld.data, withheld.stores):
        (item,) = again.sent(again.input("d/a"))["inputs"]
        assert again.stores.content(item["url"]) == b"bytes of a"
        again.origins.fetch(at("d/b"))
    assert (withheld.folder.work / "d" / "b").read_bytes() == b"b"


@pytest.mark.parametrize("line", ["", "garbage", '{"inode": 1}', "[]", '{"inode": INODE, "size": 10, "modified": TIME'])
def test_without_a_record_a_file_is_never_taken_for_what_it_holds(withheld: Run, line: str) -> None:
    record = withheld.folder.transfers / "withheld"
    status = (withheld.folder.work / "d" / "a").stat()
    record.write_text(line.replace("INODE", str(status.st_ino)).replace("TIME", str(status.st_mtime_ns)) + "\n")
    for again in a_run(withheld.folder, withheld.data, withheld.stores):
        with pytest.raises(UnusableInput, match="work/d/a is in a store, but nobody knows where"):
            again.sent(again.input("d/a"))
        with pytest.raises(UnusableInput):
            again.sent(again.input("d", "DIRECTORY"))


@pytest.mark.parametrize(
    "url", ["s3://runs/far/other/outputs/x", "s3://secrets/x", "s3://runs/far/01run/../other/x", "file:///etc/passwd"]
)
def test_a_record_that_names_what_is_not_this_runs_counts_nothing(withheld: Run, url: str) -> None:
    record = withheld.folder.transfers / "withheld"
    own = withheld.files.objects.output("f" * 20, 1, 0) + "/a"
    record.write_text(record.read_text().replace(own, url))
    for again in a_run(withheld.folder, withheld.data, withheld.stores):
        with pytest.raises(UnusableInput):
            again.origins.fetch(at("d/a"))
    assert withheld.stores.read == []


def test_a_store_that_is_away_leaves_the_file_as_it_is(withheld: Run) -> None:
    withheld.stores.away = True
    for _ in range(3):
        with pytest.raises(ObjectStoreFailure):
            withheld.origins.fetch(at("d/a"))
    before = withheld.origins.room.received
    withheld.stores.away = False
    assert stat.S_IMODE((withheld.folder.work / "d" / "a").stat().st_mode) == 0
    withheld.origins.fetch(at("d/a"))
    assert withheld.origins.room.received == before + 10


def test_outputs_that_had_to_be_fetched_again_count_once(run: Run) -> None:
    run.store(0, "", b"x" * 6_000)
    real = run.stores.open

    def away(url: str, *, unless: str = "") -> ObjectStream:
        raise ObjectStoreFailure(url, f"connection refused {unless}")

    run.stores.open = away  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(ObjectStoreFailure):
            run.fetch(out("a"))
    run.stores.open = real  # type: ignore[method-assign]
    run.fetch(out("a"))
    assert run.origins.room.received == 6_000


def test_an_object_that_is_gone_or_another_by_now_is_told(withheld: Run) -> None:
    folder = withheld.files.objects.output("f" * 20, 1, 0)
    withheld.stores.delete(f"{folder}/a")
    with pytest.raises(UnusableInput, match=r"^the store does not have /wes/run/work/d/a any more$"):
        withheld.origins.fetch(at("d/a"))
    withheld.stores.put(f"{folder}/b", b"c")
    with pytest.raises(UnusableInput, match="something else for /wes/run/work/d/b than its task left there"):
        withheld.origins.fetch(at("d/b"))
    assert stat.S_IMODE((withheld.folder.work / "d" / "b").stat().st_mode) == 0


def test_what_stays_needs_no_room_until_it_comes(run: Run) -> None:
    run.store(0, "", b"x" * 11_000)
    run.fetch(out("a"), on_demand=True)
    with pytest.raises(UnusableInput, match="more than the run may still have on disk"):
        run.origins.fetch(at("a"))


def test_a_link_in_its_place_is_not_written_through(withheld: Run) -> None:
    secret = withheld.folder.control / "secret"
    secret.write_text("secret")
    (withheld.folder.work / "link").symlink_to(secret)
    (withheld.folder.work / "folder").symlink_to(withheld.folder.control)
    withheld.origins.fetch(at("link"))
    with pytest.raises(UnusableInput):
        withheld.origins.fetch(at("folder/secret"))
    with pytest.raises(UnusableInput):
        withheld.origins.fetch(RunLocation(path=PurePosixPath("control/secret")))
    assert secret.read_text() == "secret"


def test_what_an_engine_changed_is_its_own(withheld: Run) -> None:
    path = withheld.folder.work / "d" / "a"
    path.chmod(0o644)
    path.write_bytes(b"changed")
    (item,) = withheld.sent(withheld.input("d/a"))["inputs"]
    assert withheld.stores.content(item["url"]) == b"changed"


def test_a_tes_with_another_storage_gets_the_bytes_by_way_of_this_machine(withheld: Run) -> None:
    task = withheld.task(inputs=[withheld.input("d/a")])
    (item,) = asyncio.run(withheld.others.for_tes(task)).get("inputs") or []
    assert (item.get("url") or "").startswith("s3://other/")
    assert withheld.stores.content(item.get("url") or "") == b"bytes of a"


def test_a_tes_that_shares_the_folder_gets_the_bytes_first(withheld: Run) -> None:
    asked: list[FileInRun] = []

    def fetch(location: FileInRun) -> None:
        asked.append(location)
        withheld.origins.fetch(location)

    files = SharedFiles(root=withheld.files.root, identity=withheld.files.files.identity, fetch_withheld=fetch)
    asyncio.run(files.for_tes(withheld.task(inputs=[withheld.input("d", "DIRECTORY"), {"content": "", "path": "/x"}])))
    assert (withheld.folder.work / "d" / "b").read_bytes() == b"b"
    assert asked == [at("d")]


def test_a_size_that_no_disk_has_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.store(0, "", b"x")

    def fails(*_: int) -> None:
        raise OSError(27, "File too large")

    monkeypatch.setattr(os, "ftruncate", fails)
    with pytest.raises(UnusableOutput, match="can't have 1 bytes: File too large"):
        run.fetch(out("a"), on_demand=True)
    assert not (run.folder.work / "a").exists()


def test_nothing_unfinished_lies_where_an_engine_looks(withheld: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> Iterator[str]:
        for folder, _, files in os.walk(withheld.folder.work):
            yield from (str(Path(folder, name).relative_to(withheld.folder.work)) for name in files)

    seen: set[str] = set()
    copied = withheld.origins._copied

    def copy(stored: StoredObject, seen_path: str, fd: int) -> str:
        digest = copied(stored, seen_path, fd)
        seen.update(names())
        return digest

    monkeypatch.setattr(withheld.origins, "_copied", copy)
    withheld.origins.fetch(at("d"))
    assert seen == {"d/a", "d/b", "d/empty"}
    assert [path.name for path in withheld.folder.transfers.iterdir()] == ["withheld"]

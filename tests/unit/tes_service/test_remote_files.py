"""Files on other servers: their limits, what a listing of them means, and the URLs of those in a folder."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import EngineError
from sandbox.network import TransientFailure
from tes_service import remote_files
from tes_service.errors import TaskFault, TaskStopped
from tes_service.processes import TaskControl
from tes_service.remote_files import (
    Content,
    MissingFault,
    NoSuchRemoteFile,
    RemoteFile,
    RemoteFiles,
    Write,
    child_url,
    without_markers,
)
from tes_service.transfers import TransferPolicy


class Server:
    """One of the tests: each call fails with the next of `problems` first."""

    def __init__(
        self, content: bytes = b"", listed: Sequence[RemoteFile] = (), problems: Sequence[Exception] = ()
    ) -> None:
        self.content = content
        self.listed = listed
        self.problems = list(problems)
        self.stored: dict[str, bytes] = {}

    def _fail(self) -> None:
        if self.problems:
            raise self.problems.pop(0)

    def receive(self, _url: str, write: Write, _unless: str) -> str:
        for at in range(0, len(self.content), 10):
            write(self.content[at : at + 10])
            self._fail()
        return '"v1"'

    def send(self, url: str, content: Content) -> None:
        self._fail()
        self.stored[url] = b"".join(content.pieces())

    def files(self, _url: str) -> Iterator[RemoteFile]:
        yield from self.listed
        self._fail()


def reached(server: Server, limit: int = 100) -> RemoteFiles:
    policy = TransferPolicy(retries=2, seconds=60, sleep=lambda _: None)
    return RemoteFiles(
        limit=limit, policy=policy, sources={"s3": server}, targets={"s3": server}, folders={"s3": server}
    )


def listed(*names: str, size: int = 1) -> list[RemoteFile]:
    return [RemoteFile(path=name, url=f"s3://b/f/{name}", size=size) for name in names]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def test_each_try_begins_anew_and_the_limit_is_of_one(target: int) -> None:
    server = Server(b"x" * 100, problems=[TransientFailure("busy")])
    assert reached(server).fetch("s3://b/f", target, TaskControl()) == '"v1"'
    assert os.pread(target, 200, 0) == b"x" * 100
    with pytest.raises(TaskFault, match="larger than the 99 bytes"):
        reached(server, limit=99).fetch("s3://b/f", target, TaskControl())


def test_a_failure_that_lasts_is_told_after_all_tries(target: int) -> None:
    server = Server(b"x", problems=[TransientFailure(f"busy {number}") for number in range(9)])
    with pytest.raises(TaskFault, match=r"the input s3://b/f can't be fetched: busy 2"):
        reached(server).fetch("s3://b/f", target, TaskControl())


def test_what_is_missing_is_not_asked_for_again(target: int) -> None:
    server = Server(b"x", problems=[NoSuchRemoteFile("there is no such object"), EngineError("asked again")])
    with pytest.raises(MissingFault, match="there is no such object"):
        reached(server).fetch("s3://b/f", target, TaskControl())
    assert len(server.problems) == 1


def test_a_disk_that_is_full_is_no_failure_of_the_server(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(TaskFault, match="No space left on device"):
        reached(Server(b"x")).fetch("s3://b/f", target, TaskControl())


def test_inputs_leave_some_of_the_disk_to_others(target: int) -> None:
    full = replace(reached(Server(b"x")), spare_disk=2**62)
    with pytest.raises(TaskFault, match=r"nearly full \(TES_MIN_FREE_GB\)"):
        full.fetch("s3://b/f", target, TaskControl())
    assert os.fstat(target).st_size == 0


def test_a_listing_is_whole_after_a_failure_on_its_way() -> None:
    server = Server(listed=listed("a", "b"), problems=[TransientFailure("busy")])
    assert [one.path for one in reached(server).files("s3://b/f", TaskControl())] == ["a", "b"]


def test_a_folder_has_a_limit_of_bytes_and_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TaskFault, match="more than the 100 bytes"):
        reached(Server(listed=listed("a", "b", size=51))).files("s3://b/f", TaskControl())
    monkeypatch.setattr(remote_files, "MOST_OBJECTS", 3)
    with pytest.raises(TaskFault, match="more than 3 files"):
        reached(Server(listed=listed("a", "b", "c", "d"))).files("s3://b/f", TaskControl())
    with pytest.raises(TaskFault, match="there is nothing beneath it"):
        reached(Server()).files("s3://b/f", TaskControl())


def test_objects_that_stand_for_folders_are_left_out_and_a_file_in_ones_place_is_refused() -> None:
    empty = listed("", "a", "c", size=0)
    files = without_markers([*empty, *listed("a/b", "ab")])
    assert [one.path for one in files] == ["c", "a/b", "ab"]
    with pytest.raises(TaskFault, match="s3://b/f/a is a file, and there are files beneath it"):
        without_markers(listed("a", "a/b"))


def test_an_output_is_sent_anew_from_its_beginning(target: int) -> None:
    os.write(target, b"content")
    server = Server(problems=[TransientFailure("busy")])
    path_only = os.open(f"/proc/self/fd/{target}", os.O_PATH)
    reached(server).store("s3://b/x", path_only, TaskControl())
    os.close(path_only)
    assert server.stored == {"s3://b/x": b"content"}


def test_nothing_is_read_of_an_output_once_its_task_is_stopped(target: int) -> None:
    os.write(target, b"x" * 10)
    control, over, ended = TaskControl(), threading.Event(), threading.Event()
    read: list[bytes] = []

    class Hanging(Server):
        def send(self, _url: str, content: Content) -> None:
            control.stop()
            over.wait(30)
            try:
                read.append(content.file().read(10))
            finally:
                ended.set()

    with pytest.raises(TaskStopped):
        reached(Hanging()).store("s3://b/x", target, control)
    over.set()
    assert ended.wait(30)
    assert read == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://b/k/", "s3://b/k/a b#%"),
        ("gs://b", "gs://b/a b#%"),
        ("/data", "/data/a b#%"),
        ("file:///data", "file:///data/a%20b%23%25"),
        ("https://h/x", "https://h/x/a%20b%23%25"),
    ],
)
def test_the_url_of_a_file_in_a_folder(url: str, expected: str) -> None:
    assert child_url(url, "a b#%") == expected

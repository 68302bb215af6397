"""Object stores that hang, break off, or answer what none should: what becomes of a task's input or output."""

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.object_store import ObjectStores, StoreSettings
from tes_service.errors import TaskFault
from tes_service.processes import TaskControl
from tes_service.remote_files import MissingFault, RemoteFiles
from tes_service.store_transfer import StoreTransfer
from tes_service.transfers import TransferPolicy

Answer = Callable[["_Handler"], object]
LISTING = "<ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>{}</ListBucketResult>"
OBJECT = "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents>"


class _Handler(BaseHTTPRequestHandler):
    server: "Double"

    def _any(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.answer(self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any  # noqa: N815

    def say(self, status: int, body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


class Double(ThreadingHTTPServer):
    """Answers all requests in one way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer: Answer = lambda handler: handler.say(200, b"")
        self.asked: list[str] = []
        self.over = threading.Event()

    def handle_error(self, *_: object) -> None: ...


@pytest.fixture
def store() -> Iterator[Double]:
    server = Double()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def reached(store: Double, prefix: str = "s3", seconds: float = 60, limit: int = 1000) -> RemoteFiles:
    endpoint = f"http://127.0.0.1:{store.server_address[1]}"
    settings = StoreSettings(endpoint=endpoint, anonymous=True, retry_seconds=0)
    transfer = StoreTransfer(stores=ObjectStores({prefix: settings}))
    policy = TransferPolicy(retries=1, seconds=seconds, sleep=lambda _: None)
    ways = {"s3": transfer}
    return RemoteFiles(limit=limit, policy=policy, sources=ways, targets=ways, folders=ways)


def test_a_store_that_hangs_holds_a_task_no_longer_than_it_may_take(store: Double, target: int) -> None:
    store.answer = lambda _: bool(store.over.wait(60))
    with pytest.raises(TaskFault, match=r"s3://b/x can't be fetched: it takes longer than 0\.5 seconds"):
        reached(store, seconds=0.5).fetch("s3://b/x", target, TaskControl())
    with pytest.raises(TaskFault, match=r"s3://b/f can't be listed: it takes longer than 0\.5 seconds"):
        reached(store, seconds=0.5).files("s3://b/f", TaskControl())
    with pytest.raises(TaskFault, match=r"can't be stored at s3://b/x: it takes longer than 0\.5 seconds"):
        reached(store, seconds=0.5).store("s3://b/x", target, TaskControl())


def test_what_breaks_off_is_begun_anew_and_never_taken_for_whole(store: Double, target: int) -> None:
    store.answer = lambda handler: handler.say(200, b"half", length=8)
    with pytest.raises(TaskFault, match="s3://b/x can't be fetched"):
        reached(store).fetch("s3://b/x", target, TaskControl())
    store.answer = lambda handler: handler.say(200, b"whole")
    reached(store).fetch("s3://b/x", target, TaskControl())
    assert os.pread(target, 99, 0) == b"whole"


@pytest.mark.parametrize("status", [400, 401, 403, 500, 503])
def test_what_a_store_refuses_is_told_but_not_its_answer(store: Double, target: int, status: int) -> None:
    store.answer = lambda handler: handler.say(status, b"<?xml version='1.0'?><Error>AKIAHIDDEN</Error>")
    for ask in (
        lambda: reached(store).fetch("s3://b/x", target, TaskControl()),
        lambda: reached(store).files("s3://b/x", TaskControl()),
        lambda: reached(store).store("s3://b/x", target, TaskControl()),
    ):
        with pytest.raises(TaskFault, match="s3://b/x") as told:
            ask()
        assert "AKIAHIDDEN" not in str(told.value)


def test_what_is_not_there_is_missing(store: Double, target: int) -> None:
    store.answer = lambda handler: handler.say(404, b"")
    with pytest.raises(MissingFault, match="s3://b/x"):
        reached(store).fetch("s3://b/x", target, TaskControl())


@pytest.mark.parametrize(
    "body",
    [
        "not XML",
        "<html>a login page</html>",
        LISTING.format(OBJECT.format("f/../../etc/passwd")),
        LISTING.format(OBJECT.format("f//x")),
        LISTING.format("<Contents><Key>f/x</Key><Size>many</Size></Contents>"),
    ],
)
def test_a_listing_that_is_none_is_a_fault(store: Double, body: str) -> None:
    store.answer = lambda handler: handler.say(200, body.encode())
    with pytest.raises(TaskFault, match="s3://b/f can't be listed"):
        reached(store).files("s3://b/f", TaskControl())


def test_a_store_names_only_files_beneath_what_it_was_asked_for(store: Double) -> None:
    store.answer = lambda handler: handler.say(200, LISTING.format(OBJECT.format("other/x")).encode())
    with pytest.raises(TaskFault, match="s3://b/f can't be listed"):
        reached(store).files("s3://b/f", TaskControl())


def test_a_store_that_says_less_than_it_sends_can_not_pass_the_limit(store: Double, target: int) -> None:
    store.answer = lambda handler: handler.say(200, b"x" * 1001)
    with pytest.raises(TaskFault, match="larger than the 1000 bytes"):
        reached(store).fetch("s3://b/x", target, TaskControl())
    assert os.fstat(target).st_size <= 1000


def test_a_store_that_is_configured_no_more_is_not_asked(store: Double, target: int) -> None:
    with pytest.raises(TaskFault, match="no object store is configured here for it any more"):
        reached(store, prefix="s3://other").fetch("s3://b/x", target, TaskControl())
    assert store.asked == []

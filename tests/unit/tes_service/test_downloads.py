"""Inputs over http, from raw sockets of the test: what a server may do to us."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.network import Endpoint, NetworkPolicy, network_policy
from tes_service import http_transfer, transfers
from tes_service.errors import TaskFault, TaskStopped
from tes_service.http_transfer import HttpTransfer
from tes_service.remote_files import RemoteFiles
from tes_service.transfers import TransferPolicy

HERE = network_policy(("127.0.0.0/8",), setting="TES_FETCH_ALLOW")
NOBODY = network_policy((), setting="TES_FETCH_ALLOW")
Answer = Callable[[socket.socket], None]


class _GoOn:
    def check(self) -> None: ...


class _StopAfter:
    """Tells to stop some seconds after it was made."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise TaskStopped


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def says(text: str, body: bytes = b"") -> Answer:
    return lambda connection: connection.sendall(text.replace("\n", "\r\n").encode() + b"\r\n" + body)


def full(body: bytes, headers: str = "") -> Answer:
    return says(f"HTTP/1.1 200 OK\nContent-Length: {len(body)}\n{headers}", body)


def status(code: int) -> Answer:
    return says(f"HTTP/1.1 {code} Told\nContent-Length: 0\n")


def drips(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    connection.recv(1)


@contextmanager
def serving(*answers: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server's URL, and what it was asked; the last answer is given again and again."""
    asked: list[bytes] = []

    def answer(connection: socket.socket, number: int) -> None:
        with connection:
            asked.append(connection.recv(65536))
            try:
                answers[min(number, len(answers) - 1)](connection)
            except OSError:
                return

    def serve() -> None:
        for number in range(100):
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection, number), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/input", asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def fetcher(
    slept: list[float] | None = None,
    limit: int = 100,
    allowed: NetworkPolicy = HERE,
    seconds: float = 60,
    retries: int = 3,
    resolve: Callable[[str, int], Sequence[Endpoint]] | None = None,
) -> RemoteFiles:
    source = HttpTransfer(policy=allowed, resolve=resolve or (lambda host, port: [(host, port)]))
    slept = slept if slept is not None else []
    policy = TransferPolicy(retries=retries, seconds=seconds, sleep=slept.append)
    return RemoteFiles(limit=limit, policy=policy, sources={"http": source})


def test_failures_on_the_way_are_tried_again_later_and_later(target: int) -> None:
    slept: list[float] = []
    with serving(status(503), status(429), full(b"fine")) as (url, _):
        fetcher(slept).fetch(url, target, _GoOn())
    assert os.pread(target, 10, 0) == b"fine"
    assert slept == [0.5, 1.0]


def test_what_breaks_off_is_begun_anew(target: int) -> None:
    broken = says("HTTP/1.1 200 OK\nContent-Length: 99\n", b"the first half")
    with serving(broken, full(b"fine")) as (url, _):
        fetcher().fetch(url, target, _GoOn())
    assert os.pread(target, 99, 0) == b"fine"


def test_a_lost_connection_is_tried_again_and_told_in_the_end(target: int) -> None:
    with serving(lambda _: None) as (url, asked), pytest.raises(TaskFault, match=f"the input {url} can't be fetched"):
        fetcher().fetch(url, target, _GoOn())
    assert len(asked) == 4


def test_what_is_not_there_is_not_asked_for_again(target: int) -> None:
    with serving(status(404)) as (url, asked), pytest.raises(TaskFault, match="404"):
        fetcher().fetch(url, target, _GoOn())
    assert len(asked) == 1


def test_the_size_is_limited_while_it_comes(target: int) -> None:
    with serving(full(b"x" * 101)) as (url, _), pytest.raises(TaskFault, match="larger than the 100 bytes"):
        fetcher().fetch(url, target, _GoOn())


def test_what_is_compressed_stays_as_it_is(target: int) -> None:
    with serving(full(b"not really gzip", "Content-Encoding: gzip\n")) as (url, asked):
        fetcher().fetch(url, target, _GoOn())
    assert os.pread(target, 99, 0) == b"not really gzip"
    assert b"accept-encoding: identity" in asked[0].lower()


def test_a_url_that_is_none_is_told(target: int) -> None:
    with pytest.raises(TaskFault, match="can't be fetched"):
        fetcher().fetch("http://x:port/", target, _GoOn())


@pytest.mark.parametrize("answer", [drips, silent], ids=["drips", "silent"])
def test_a_task_that_is_stopped_does_not_wait_for_its_server(target: int, answer: Answer) -> None:
    with serving(answer) as (url, _):
        began = time.monotonic()
        with pytest.raises(TaskStopped):
            fetcher(limit=10**9).fetch(url, target, _StopAfter(0.1))
        # The server would go on for ever, and a silent one for a minute.
        assert time.monotonic() - began < http_transfer.IDLE_SECONDS / 2
        size = os.fstat(target).st_size
        time.sleep(0.3)
        assert os.fstat(target).st_size == size


def test_a_slow_lookup_of_a_name_does_not_hold_a_stopped_task(target: int) -> None:
    over = threading.Event()

    def resolve(host: str, port: int) -> Sequence[Endpoint]:
        over.wait(30)
        return [(host, port)]

    with pytest.raises(TaskStopped):
        fetcher(resolve=resolve).fetch("http://name.example/", target, _StopAfter(0.1))
    over.set()


def test_the_whole_time_of_an_input_is_limited(target: int) -> None:
    with serving(drips) as (url, _), pytest.raises(TaskFault, match=r"longer than 0\.5 seconds"):
        fetcher(limit=10**9, seconds=0.5).fetch(url, target, _GoOn())


def test_a_server_that_drips_is_given_up(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "RATE_SECONDS", 0.3)
    with serving(drips) as (url, asked), pytest.raises(TaskFault, match="less than 1000 bytes per second"):
        fetcher(limit=10**9, retries=1).fetch(url, target, _GoOn())
    assert len(asked) == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.1.2.3",
        "192.168.1.1",
        "0.0.0.0",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a01:203]",
    ],
)
def test_what_is_not_public_is_never_connected_to(target: int, host: str) -> None:
    strict = fetcher(allowed=NOBODY, resolve=lambda name, port: [(name.strip("[]"), port)])
    with pytest.raises(TaskFault, match=r"not a public one.*TES_FETCH_ALLOW"):
        strict.fetch(f"http://{host}/x", target, _GoOn())


def test_a_redirect_is_looked_at_before_it_is_followed(target: int) -> None:
    with serving(full(b"secret")) as (inner, asked):
        port = inner.rpartition(":")[2].partition("/")[0]
        moved = says(f"HTTP/1.1 302 Found\nLocation: http://inner.example:{port}/secret\nContent-Length: 0\n")
        with serving(moved) as (url, _):
            only = network_policy(("127.0.0.9/32", "outer.example"), setting="TES_FETCH_ALLOW")
            outer = url.replace("127.0.0.1", "outer.example")
            with pytest.raises(TaskFault, match="not a public one"):
                fetcher(allowed=only, resolve=lambda _, port: [("127.0.0.1", port)]).fetch(outer, target, _GoOn())
        assert asked == []


def test_a_proxy_of_the_environment_is_not_asked(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(full(b"proxy")) as (proxy, asked), serving(full(b"fine")) as (url, _):
        monkeypatch.setenv("http_proxy", proxy)
        fetcher().fetch(url, target, _GoOn())
        assert asked == []
    assert os.pread(target, 99, 0) == b"fine"

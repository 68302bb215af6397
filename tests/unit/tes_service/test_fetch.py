import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tes_service.errors import TaskFault, TaskStopped
from tes_service.fetch import HttpFetcher

Answer = Callable[[httpx.Request], httpx.Response]


class _GoOn:
    def check(self) -> None: ...


class _Stopped:
    def check(self) -> None:
        raise TaskStopped


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def _fetcher(answer: Answer, slept: list[float] | None = None, limit: int = 100) -> HttpFetcher:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return HttpFetcher(client=client, limit=limit, retries=3, sleep=(slept if slept is not None else []).append)


def test_failures_on_the_way_are_tried_again_later_and_later(target: int) -> None:
    answers = iter([httpx.Response(503), httpx.Response(429), httpx.Response(200, content=b"fine")])
    slept: list[float] = []
    _fetcher(lambda _: next(answers), slept).fetch("http://x/y", target, _GoOn())
    assert os.pread(target, 10, 0) == b"fine"
    assert slept == [0.5, 1.0]


def test_a_lost_connection_is_tried_again_and_told_in_the_end(target: int) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("refused")

    with pytest.raises(TaskFault, match="http://x/y can't be fetched: refused"):
        _fetcher(answer).fetch("http://x/y", target, _GoOn())
    assert len(asked) == 4


def test_what_is_not_there_is_not_asked_for_again(target: int) -> None:
    slept: list[float] = []
    with pytest.raises(TaskFault, match="404"):
        _fetcher(lambda _: httpx.Response(404), slept).fetch("http://x/y", target, _GoOn())
    assert slept == []


def test_the_size_is_limited_while_it_comes(target: int) -> None:
    with pytest.raises(TaskFault, match="larger than the 100 bytes"):
        _fetcher(lambda _: httpx.Response(200, content=b"x" * 101)).fetch("http://x/y", target, _GoOn())


def test_a_stopped_task_fetches_nothing(target: int) -> None:
    with pytest.raises(TaskStopped):
        _fetcher(lambda _: httpx.Response(200)).fetch("http://x/y", target, _Stopped())


def test_a_url_that_is_none_is_told(target: int) -> None:
    with pytest.raises(TaskFault, match="can't be fetched"):
        _fetcher(lambda _: httpx.Response(200)).fetch("http://x:port/", target, _GoOn())

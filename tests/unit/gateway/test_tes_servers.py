"""What a worker knows of its TES servers."""

from types import SimpleNamespace
from typing import Any

from common.configuration import TesServer
from gateway.tes_servers import FAILURES, LONGEST_REST, SHORTEST_REST, TesServers


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def servers(clock: Clock, open_tasks: dict[str, int], **keys: Any) -> tuple[TesServers, Any, Any]:
    clients: list[Any] = [SimpleNamespace(name=name, url=f"http://{name}/v1") for name in ("a", "b")]
    made = {one.name: (TesServer(name=one.name, url=one.url, **keys), one) for one in clients}
    return TesServers(made, lambda: open_tasks, clock), *clients


def order(known: TesServers) -> list[str]:
    return [offer.name for offer in known.route({}).offers]


def test_one_that_fails_again_and_again_rests_and_is_tried_again() -> None:
    clock = Clock()
    known, a, b = servers(clock, {})
    known.accepted(b)
    assert order(known) == ["a", "b"]
    for _ in range(FAILURES):
        known.failed(a)
    assert order(known) == ["b", "a"]
    clock.now += SHORTEST_REST
    known.accepted(b)
    assert order(known) == ["a", "b"], "it is tried again"
    known.failed(a)
    clock.now += SHORTEST_REST
    assert order(known) == ["b", "a"], "for twice as long"
    known.answered(a)
    assert order(known) == ["a", "b"]


def test_a_rest_has_a_longest() -> None:
    clock = Clock()
    known, a, _ = servers(clock, {})
    for _ in range(50):
        known.failed(a)
        clock.now += LONGEST_REST
    assert order(known)[0] == "a"


def test_many_tasks_that_wait_for_one_server_make_it_rest_no_longer() -> None:
    clock = Clock()
    known, a, b = servers(clock, {})
    known.accepted(b)
    for _ in range(1000):
        known.failed(a)
    clock.now += SHORTEST_REST
    assert order(known) == ["a", "b"]


def test_tasks_that_are_being_offered_count_as_open_ones() -> None:
    clock, open_tasks = Clock(), {"http://a/v1": 1}
    known, a, b = servers(clock, open_tasks, max_tasks=2)
    with known.offering(a):
        assert order(known) == ["b"]
    known.accepted(a)
    assert order(known) == ["b"]
    with known.offering(b), known.offering(b):
        assert known.route({}).full.startswith("no TES that can have it has room: a has 2 of at most 2 tasks")
    open_tasks.clear()
    clock.now += 1
    assert order(known) == ["b", "a"], "a was given one already"

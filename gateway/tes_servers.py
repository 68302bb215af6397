"""The TES servers of one worker: how many of its tasks each has, which of them do not answer, and who gets the next."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from common.configuration import TesServer
from gateway.routing import NOBODY, Candidate, Route, brings_nothing, route
from gateway.tes_client import TesClient
from tes.task import TesTask

log = structlog.get_logger(__name__)

FAILURES = 3
"""So many times in a row a server gave no answer before it is left alone."""
SHORTEST_REST = 5.0
"""Seconds for which it then is; twice as long each time that it goes on."""
LONGEST_REST = 60.0
COUNT_SECONDS = 0.5
"""How long a count of all open tasks is good for; what is sent meanwhile is added to it."""


@dataclass(kw_only=True)
class ServerHealth:
    """What was seen of one server. Times are on the monotonic clock."""

    sent: int = 0
    failures: int = 0
    rests_until: float = 0.0


class TesServers:
    """Used in the gateway's loop only. `count_open`: open tasks of this worker by the URL of their TES.
    `brings`: as of `gateway.routing.route`."""

    def __init__(
        self,
        servers: Mapping[str, tuple[TesServer, TesClient]],
        count_open: Callable[[], Mapping[str, int]],
        clock: Callable[[], float] = time.monotonic,
        brings: Callable[[str], bool] = brings_nothing,
    ) -> None:
        self._servers = servers
        self._brings = brings
        self._count_open = count_open
        self._clock = clock
        self._health = {name: ServerHealth() for name in servers}
        self._open: Counter[str] = Counter()
        self._offered: Counter[str] = Counter()
        self._counted = float("-inf")

    @property
    def clients(self) -> Sequence[TesClient]:
        """All, in the order of the configuration."""
        return [client for _, client in self._servers.values()]

    def client(self, name: str) -> TesClient:
        """The one of an offer."""
        return self._servers[name][1]

    def route(self, task: TesTask, choice: str = "", excluded: Mapping[str, str] = NOBODY) -> Route:
        """As `gateway.routing.route`, from what is known now."""
        self._count()
        candidates = [self._candidate(name, server) for name, (server, _) in self._servers.items()]
        return route(task, candidates, choice, excluded, self._brings)

    @contextmanager
    def offering(self, client: TesClient) -> Iterator[None]:
        """While a server is asked to take a task, that task counts as one that it has."""
        self._offered[client.name] += 1
        try:
            yield
        finally:
            self._offered[client.name] -= 1

    def accepted(self, client: TesClient) -> None:
        """It has one task more."""
        self._open[client.name] += 1
        self._health[client.name].sent += 1
        self.answered(client)

    def answered(self, client: TesClient) -> None:
        """It works."""
        health = self._health[client.name]
        if health.failures >= FAILURES:
            log.info("answers again", action="tes_back", tes=client.name)
        health.failures, health.rests_until = 0, 0.0

    def failed(self, client: TesClient) -> None:
        """It gave no answer. One that rests is not failing more often because many tasks wait for it."""
        health, now = self._health[client.name], self._clock()
        if now < health.rests_until:
            return
        health.failures += 1
        if health.failures >= FAILURES:
            rest = min(LONGEST_REST, SHORTEST_REST * 2 ** min(10, health.failures - FAILURES))
            health.rests_until = now + rest
            log.warning("does not answer, and rests", action="tes_rests", tes=client.name, seconds=rest)

    def _candidate(self, name: str, server: TesServer) -> Candidate:
        health = self._health[name]
        return Candidate(
            server=server,
            open_tasks=self._open[name] + self._offered[name],
            sent=health.sent,
            is_sick=self._clock() < health.rests_until,
        )

    def _count(self) -> None:
        now = self._clock()
        if now - self._counted >= COUNT_SECONDS:
            by_url = self._count_open()
            self._open = Counter({name: by_url.get(client.url, 0) for name, (_, client) in self._servers.items()})
            self._counted = now

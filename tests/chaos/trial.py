"""Runs are submitted while programs of a site are killed and started again, and what became of them is looked at."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx

from tests.acceptance.stack import Wes
from tests.chaos.sites import Site, spared
from tests.chaos.workflows import CALM, WORKFLOWS, ChaosWorkflow
from tests.http_client import http
from tests.waiting import PATIENCE
from wes_service.core.run import TERMINAL

CLIENTS = 8
CLIENT_SECONDS = 30.0
"""For which a client waits for an answer."""
ENDS_WITHIN = 1800.0
"""For a run to end in, on a machine that is busy with other things too."""
AGAIN_SECONDS = 0.5
KEEP_SECONDS = 0.2
ENDED = {state.value for state in TERMINAL}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many runs, on which engines, and for how long (s) something is killed every `every` seconds on average."""

    seed: int
    runs: int
    seconds: float
    every: float
    engines: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What was killed when (UTC)."""

    kind: str
    time: datetime


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that a client was told of."""

    run_id: str
    workflow: ChaosWorkflow
    word: str


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run's log, its history, and the bytes of its outputs by name."""

    submitted: Submitted
    log: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    outputs: Mapping[str, bytes]

    @property
    def state(self) -> str:
        return str(self.log["state"])


@dataclass(kw_only=True)
class Trial:
    """One pass; `kills` grows while it goes on."""

    plan: Plan
    site: Site
    kills: list[Kill] = field(default_factory=list)
    calm: dict[str, Ended] = field(default_factory=dict)
    disturbed: list[Ended] = field(default_factory=list)
    _next_kinds: list[str] = field(default_factory=list)

    def undisturbed(self) -> None:
        """A run of each engine, by which the others are judged."""
        told = [submit(self.site, WORKFLOWS[engine], CALM, f"calm-{engine}") for engine in self.plan.engines]
        self.calm = {one.workflow.engine: ended(self.site, one) for one in told}
        for engine, run in self.calm.items():
            assert run.state == "COMPLETE", f"{engine}, undisturbed: {run.log['run_log']['system_logs']}"

    def disturb(self) -> None:
        """From one thread, as a program dies with the thread that started it."""
        random = Random(self.plan.seed)
        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            due = [began + self.plan.seconds * number / self.plan.runs for number in range(self.plan.runs)]
            clients = [pool.submit(self._client, number, moment) for number, moment in enumerate(due)]
            following = pool.submit(lambda: [ended(self.site, client.result()) for client in clients])
            next_kill = began + self.plan.every
            while not following.done():
                self.site.keep()
                if next_kill < time.monotonic() < began + self.plan.seconds:
                    self._kill(random)
                    next_kill = time.monotonic() + random.uniform(0.2, 2 * self.plan.every - 0.2)
                time.sleep(KEEP_SECONDS)
        self.disturbed = following.result()

    def _client(self, number: int, due: float) -> Submitted:
        time.sleep(max(0.0, due - time.monotonic()))
        engine = self.plan.engines[number % len(self.plan.engines)]
        return submit(self.site, WORKFLOWS[engine], f"word{number}", f"{self.plan.seed}-{number}")

    def _kill(self, random: Random) -> None:
        """Each kind once, in an order of chance, before any is there again."""
        if not self._next_kinds:
            self._next_kinds = random.sample(self.site.kinds, len(self.site.kinds))
        kind = self._next_kinds.pop()
        if not spared(self.site, kind) and self.site.kill(kind, random):
            self.kills.append(Kill(kind=kind, time=datetime.now(UTC)))


def submit(site: Site, workflow: ChaosWorkflow, word: str, key: str) -> Submitted:
    """Again and again, at one API after the other, until one says that it has it."""
    deadline, number, answer = time.monotonic() + PATIENCE, 0, "none"
    while time.monotonic() < deadline:
        wes = site.wes[number % len(site.wes)]
        number += 1
        with suppress(httpx.TransportError):
            headers = {"Idempotency-Key": key}
            response = wes.post(workflow.form(word), workflow.parts(), headers=headers, timeout=CLIENT_SECONDS)
            if response.status_code == httpx.codes.OK:
                return Submitted(run_id=response.json()["run_id"], workflow=workflow, word=word)
            answer = f"{response.status_code} {response.text}"
            assert response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR, f"a good request got {answer}"
        time.sleep(AGAIN_SECONDS)
    raise AssertionError(f"not accepted within {PATIENCE:g} s; last answer: {answer}")


def ended(site: Site, submitted: Submitted) -> Ended:
    """Waits for its end, at one API after the other."""
    deadline, number, seen = time.monotonic() + ENDS_WITHIN, 0, "nothing"
    while time.monotonic() < deadline:
        wes = site.wes[number % len(site.wes)]
        number += 1
        try:
            log = told(wes, f"/runs/{submitted.run_id}")
            seen = str(log["state"])
            if seen in ENDED:
                events = told(wes, f"/runs/{submitted.run_id}/events")["events"]
                outputs = {url.rsplit("/", 1)[-1]: fetched(url) for url in locations(log["outputs"])}
                return Ended(submitted=submitted, log=log, events=events, outputs=outputs)
        except httpx.HTTPError:
            seen = f"{seen}, and no answer"
        time.sleep(AGAIN_SECONDS)
    raise AssertionError(f"{submitted.run_id} has not ended within {ENDS_WITHIN:g} s: {seen}")


def told(wes: Wes, path: str) -> Any:
    return http.get(f"{wes.url}{path}", timeout=CLIENT_SECONDS).raise_for_status().json()


def fetched(url: str) -> bytes:
    return http.get(url, timeout=CLIENT_SECONDS).raise_for_status().content


def locations(value: object) -> list[str]:
    """The URLs of all files in an output object."""
    if isinstance(value, dict):
        own = [value["location"]] if isinstance(value.get("location"), str) and value.get("class") == "File" else []
        return own + [url for name, each in value.items() if name != "secondaryFiles" for url in locations(each)]
    return [url for each in value for url in locations(each)] if isinstance(value, list) else []

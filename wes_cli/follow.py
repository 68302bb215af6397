"""Watches a run until it ends and tells what changes, by polling: the standard has no events."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from wes_cli.client import WesClient
from wes_cli.step_names import step_names
from wes_cli.views import ENDED, Log, Phase, RunView

SHORTEST_PAUSE = 0.25
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """A step that began or ended since the last look; `name` is for a person."""

    kind: Literal["started", "done", "failed", "canceled"]
    step: Log
    name: str


class Watcher(Protocol):
    """Who is told what happens."""

    def state(self, state: str) -> None:
        """The run has this state now; told once per state."""

    def step(self, change: StepChange) -> None:
        """A step began or ended."""

    def now(self, steps: Sequence[Log], known: int | None) -> None:
        """All steps that began, after each look, and how many there are in all, where the server tells."""


def follow(client: WesClient, run_id: str, watcher: Watcher) -> RunView:
    """Returns the run once it has ended. The state is read before the steps, so the last look at them is complete."""
    seen: Mapping[str, Phase] = {}
    state, began = "", time.monotonic()
    while True:
        asked = time.monotonic()
        line = client.status(run_id)
        before, state = state, line.state
        if state != before and state not in ENDED:
            watcher.state(state)
        steps = client.tasks(run_id)
        for change in changes(seen, steps):
            watcher.step(change)
        watcher.now(steps, line.steps.known)
        seen = {step.id: step.phase for step in steps}
        if state in ENDED:
            watcher.state(state)
            return client.run(run_id)
        answered = time.monotonic()
        time.sleep(pause(answered - began, answered - asked))


def changes(seen: Mapping[str, Phase], steps: Sequence[Log]) -> Iterator[StepChange]:
    """What is new against the phases seen before; a step that came and went between two looks is told once."""
    names = step_names(steps)
    for step in steps:
        before = seen.get(step.id, "waiting")
        if before == step.phase:
            continue
        if step.phase == "running":
            yield StepChange(kind="started", step=step, name=names[step.id])
        elif step.phase in {"done", "failed", "canceled"}:
            yield StepChange(kind=step.phase, step=step, name=names[step.id])


def pause(elapsed: float, cost: float) -> float:
    """Seconds until the next look: quick at first; a look that took long (many tasks) is repeated more rarely."""
    return max(SHORTEST_PAUSE, min(LONGEST_PAUSE, elapsed / 20), 4 * cost)

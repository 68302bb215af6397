"""Follows a run until it ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import typer

from wes_cli.client import WesClient
from wes_cli.display import between, clean, colored, step_names
from wes_cli.views import ENDED, Log, Phase, RunView

NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class StepChange:
    """A step that began or ended since the last look; `name` is for a person."""

    kind: Literal["started", "done", "failed", "canceled"]
    step: Log
    name: str


class Lines:
    """A line per change: on stderr, as stdout stays free for results, unless the lines are the result."""

    def __init__(self, *, err: bool = True) -> None:
        self._err = err
        self._state = ""

    def state(self, state: str) -> None:
        self._state = state
        self.say(f"  {colored(state)}")

    def step(self, change: StepChange) -> None:
        step = change.step
        took = f"  ({between(step.started, step.ended)})" if step.ended else ""
        code = f"  exit code {step.exit_code}" if change.kind == "failed" and step.exit_code is not None else ""
        word = colored(change.kind) + " " * (8 - len(change.kind))
        self.say(f"    {word}{clean(change.name)}{took}{code}")

    def now(self, steps: Sequence[Log], known: int | None) -> None:
        self.living(summary(self._state, steps, known))

    def say(self, line: str) -> None:
        """Writes a line that stays."""
        typer.echo(line, err=self._err)

    def living(self, line: str) -> None:
        """Replaces the line that lives; there is none without a terminal."""


@contextmanager
def on_terminal(*, err: bool = True) -> Iterator[Lines]:
    """Lines for a terminal, with the one that lives."""
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    console = Console(stderr=err, highlight=False)
    with Status("", console=console) as status:

        class Living(Lines):
            def say(self, line: str) -> None:
                # Through rich's console, which moves the living line out of the way.
                console.print(Text.from_ansi(line), soft_wrap=True)

            def living(self, line: str) -> None:
                # As text, so that a step's name can't be taken for markup.
                status.update(Text(line, no_wrap=True, overflow="ellipsis"))

        yield Living()


def summary(state: str, steps: Sequence[Log], known: int | None = None) -> str:
    """`RUNNING · 4 of 7 done · 2 running: align, sort`."""
    running = [clean(step.name or step.id) for step in steps if step.phase == "running"]
    done = sum(step.phase == "done" for step in steps)
    names = ", ".join(running[:NAMES_SHOWN]) + (" …" if len(running) > NAMES_SHOWN else "")
    parts = [state, f"{done} of {known} done" if known else f"{done} done"]
    parts += [f"{len(running)} running: {names}"] if running else []
    return " · ".join(parts)


SHORTEST_PAUSE = 0.25
LONGEST_PAUSE = 2.0


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

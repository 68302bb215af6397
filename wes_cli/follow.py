"""Follows a run until it ends."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import typer

from wes_cli.client import WesClient
from wes_cli.display import between, clean, colored, step_names
from wes_cli.views import ENDED, LogView, Phase, RunView

MAX_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """A step that began or ended since the last poll; `name` is what a person knows it by."""

    kind: Literal["started", "done", "failed", "canceled"]
    step: LogView
    name: str


class ProgressPrinter:
    """Prints a line per change: to stderr, so that stdout stays free for results, unless the lines are the result."""

    def __init__(self, *, err: bool = True) -> None:
        self._err = err
        self._state = ""

    def state(self, state: str) -> None:
        self._state = state
        self.print_line(f"  {colored(state)}")

    def waits(self, reason: str) -> None:
        self.print_line(f"    {clean(reason)}")

    def step(self, change: StepEvent) -> None:
        step = change.step
        took = f"  ({between(step.started, step.ended)})" if step.ended else ""
        code = f"  exit code {step.exit_code}" if change.kind == "failed" and step.exit_code is not None else ""
        word = colored(change.kind) + " " * (8 - len(change.kind))
        self.print_line(f"    {word}{clean(change.name)}{took}{code}")

    def progress(self, steps: Sequence[LogView], known: int | None) -> None:
        self.update(summary(self._state, steps, known))

    def print_line(self, line: str) -> None:
        """Writes a line that stays."""
        typer.echo(line, err=self._err)

    def update(self, line: str) -> None:
        """Replaces the status line; there is none without a terminal."""


@contextmanager
def live_printer(*, err: bool = True) -> Iterator[ProgressPrinter]:
    """A printer for a terminal, with a status line below the lines that it prints."""
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    console = Console(stderr=err, highlight=False)
    with Status("", console=console) as status:

        class LivePrinter(ProgressPrinter):
            def print_line(self, line: str) -> None:
                # Through rich's console, which keeps the status line below it.
                console.print(Text.from_ansi(line), soft_wrap=True)

            def update(self, line: str) -> None:
                # As text, so that a step's name can't be taken for markup.
                status.update(Text(line, no_wrap=True, overflow="ellipsis"))

        yield LivePrinter()


def summary(state: str, steps: Sequence[LogView], known: int | None = None) -> str:
    """`RUNNING · 4 of 7 done · 2 running: align, sort`."""
    running = [clean(step.name or step.id) for step in steps if step.phase == "running"]
    done = sum(step.phase == "done" for step in steps)
    names = ", ".join(running[:MAX_NAMES_SHOWN]) + (" …" if len(running) > MAX_NAMES_SHOWN else "")
    parts = [state, f"{done} of {known} done" if known else f"{done} done"]
    parts += [f"{len(running)} running: {names}"] if running else []
    return " · ".join(parts)


MIN_POLL_SECONDS = 0.25
MAX_POLL_SECONDS = 2.0
WAITING_SECONDS = 5.0
QUEUED = "QUEUED"


class ProgressObserver(Protocol):
    """Is notified of what happens in a run."""

    def state(self, state: str) -> None:
        """The run has this state now; called once per state."""

    def waits(self, reason: str) -> None:
        """The run has been queued for a while; what the server says it waits for, once per answer."""

    def step(self, change: StepEvent) -> None:
        """A step began or ended."""

    def progress(self, steps: Sequence[LogView], known: int | None) -> None:
        """All steps that have begun, after each poll, and the number of all steps where the server knows it."""


def follow(client: WesClient, run_id: str, watcher: ProgressObserver) -> RunView:
    """Returns the run once it has ended. The state is read before the steps, so the last look at them is complete."""
    seen: Mapping[str, Phase] = {}
    state, began, waiting = "", time.monotonic(), WaitingReason()
    while True:
        asked = time.monotonic()
        line = client.status(run_id)
        before, state = state, line.state
        if state != before and state not in ENDED:
            watcher.state(state)
        if state == QUEUED and (reason := waiting.news(client, run_id)):
            watcher.waits(reason)
        steps = client.tasks(run_id)
        for change in changes(seen, steps):
            watcher.step(change)
        watcher.progress(steps, line.steps.known)
        seen = {step.id: step.phase for step in steps}
        if state in ENDED:
            watcher.state(state)
            return client.run(run_id)
        answered = time.monotonic()
        time.sleep(pause(answered - began, answered - asked))


class WaitingReason:
    """Asks a server from time to time why a run is queued still."""

    def __init__(self) -> None:
        self._asked = time.monotonic()
        self._known = ""

    def news(self, client: WesClient, run_id: str) -> str:
        """What the server says where it is not what it said before; empty else, and between two questions."""
        if time.monotonic() - self._asked < WAITING_SECONDS:
            return ""
        reason, before = client.run(run_id).reason, self._known
        self._asked, self._known = time.monotonic(), reason
        return reason if reason != before else ""


def changes(seen: Mapping[str, Phase], steps: Sequence[LogView]) -> Iterator[StepEvent]:
    """What is new against the phases seen before; a step that began and ended between two polls is reported once."""
    names = step_names(steps)
    for step in steps:
        before = seen.get(step.id, "waiting")
        if before == step.phase:
            continue
        if step.phase == "running":
            yield StepEvent(kind="started", step=step, name=names[step.id])
        elif step.phase in {"done", "failed", "canceled"}:
            yield StepEvent(kind=step.phase, step=step, name=names[step.id])


def pause(elapsed: float, cost: float) -> float:
    """Seconds until the next look: quick at first; a look that took long (many tasks) is repeated more rarely."""
    return max(MIN_POLL_SECONDS, min(MAX_POLL_SECONDS, elapsed / 20), 4 * cost)

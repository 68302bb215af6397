"""Shows a run as it goes: lines that stay, and on a terminal one line below them that lives."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from wes_cli.follow import StepChange
from wes_cli.show import between, clean, colored
from wes_cli.views import Log

NAMES_SHOWN = 3


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

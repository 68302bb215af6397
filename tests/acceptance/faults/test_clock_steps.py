"""The wall clock is set forward and back while runs are under way, as NTP or an operator does it."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.faults.bad_day import LEASE, Afterwards, afterwards, new_folder, single, submit, wait_for_tasks
from tests.acceptance.stack import embedded_only

pytestmark = [embedded_only, pytest.mark.timeout(900)]
HOURS = 3600
BEYOND_LEASE = 1.5 * float(LEASE["WES_LEASE_SECONDS"])
SOURCE = Path(__file__).with_name("stepped_clock.c")


class SteppedClock:
    """The wall clock of programs that are started with `environment`; their monotonic clocks are the machine's."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "stepped_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self._library, SOURCE, "-ldl"], check=True)
        self._file = folder / "clock"
        self.set(0)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "STEPPED_CLOCK": str(self._file)}

    def set(self, offset: int) -> None:
        """Seconds that it is ahead of the machine's."""
        partial = self._file.with_suffix(".part")
        partial.write_text(f"{offset}\n")
        partial.chmod(0o644)
        partial.rename(self._file)


@pytest.fixture(scope="module")
def stepped(cwl_installation: object) -> Iterator[tuple[Afterwards, list[str]]]:
    """What became of the runs, and what the service's own clock said after each step."""
    seen = []
    with new_folder() as folder, pytest.MonkeyPatch.context() as environment:
        clock = SteppedClock(folder)
        for name, value in clock.environment.items():
            environment.setenv(name, value)
        with single(folder) as (wes, cluster):
            runs = [submit(wes, 5), submit(wes, 30)]
            wait_for_tasks(wes, *runs)
            for offset in (2 * HOURS, -3 * HOURS, 0):
                clock.set(offset)
                runs.append(submit(wes, 1))
                seen.append(wes.get(f"/runs/{runs[-1]}/events")["events"][0]["time"])
                time.sleep(BEYOND_LEASE)
            yield afterwards(wes, cluster, *runs), seen


def test_steps_of_the_clock_cost_runs_nothing(stepped: tuple[Afterwards, list[str]]) -> None:
    stepped[0].check()


def test_the_clock_really_was_stepped(stepped: tuple[Afterwards, list[str]]) -> None:
    forward, back, again = stepped[1]
    assert back < again < forward

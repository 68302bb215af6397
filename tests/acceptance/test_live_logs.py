"""What a step prints can be read while it runs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.stack import Wes, embedded_only
from tests.acceptance.workflows import form, parts
from tests.http_client import http
from tests.waiting import PATIENCE, until

LINES = 6
TALKS = f"""\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments:
- sleep 10; for n in {" ".join(map(str, range(LINES)))}; do date +%s.%N; date +%s.%N >&2; sleep 0.77; done; sleep 300
inputs: {{}}
outputs: {{}}
"""
"""Says the time, in seconds since 1970, on both streams, once it is so old that its TES is asked as rarely as ever."""
PROMISED_SECONDS = 20.0
CHATTY = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments:
- seq 600 | while read n; do echo "line $n, of which the TES shows both ends only"; sleep 0.02; done; sleep 2
inputs: {}
outputs: {}
"""


@pytest.fixture(scope="module")
def talking(wes: Wes) -> Iterator[tuple[str, Any]]:
    """A run whose only task is running, and that task; canceled at the end."""
    run_id = wes.submit(form(), parts(TALKS))
    tasks = until(lambda: wes.get(f"/runs/{run_id}/tasks")["task_logs"], wes.said)
    yield run_id, tasks[0]
    http.post(f"{wes.url}/runs/{run_id}/cancel")
    wes.wait(run_id)


@contextmanager
def following(wes: Wes, run_id: str, task_id: str) -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-m", "wes_cli.main", "logs", "-f", run_id, task_id, "--stdout"]
    followed = subprocess.Popen([*argv, "--server", wes.url], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with followed:
        try:
            yield followed
        finally:
            followed.terminate()


def delays(url: str) -> list[float]:
    """How many seconds after it was printed each of the lines could be read."""
    seen: list[float] = []
    deadline = time.monotonic() + PATIENCE
    while len(seen) < LINES:
        assert time.monotonic() < deadline, f"only {len(seen)} lines came"
        lines = http.get(url).text.splitlines()
        now = time.time()
        seen += [now - float(line) for line in lines[len(seen) :]]
        time.sleep(0.05)
    return seen


@embedded_only
def test_each_line_of_a_running_step_can_be_read_within_two_seconds(wes: Wes, talking: tuple[str, Any]) -> None:
    run_id, task = talking
    with following(wes, run_id, task["id"]) as followed:
        late = delays(task["stdout"])
        assert max(late) < PROMISED_SECONDS, late
        assert wes.state(run_id) == "RUNNING"
        assert followed.stdout is not None
        lines = [followed.stdout.readline() for _ in range(LINES)]
        assert b"".join(lines) == http.get(task["stdout"]).content
        assert followed.poll() is None


@embedded_only
def test_a_chatty_step_can_be_followed_to_its_end(wes: Wes) -> None:
    run_id = wes.submit(form(), parts(CHATTY))
    tasks = until(lambda: wes.get(f"/runs/{run_id}/tasks")["task_logs"], wes.said)
    sizes = set()
    with following(wes, run_id, tasks[0]["id"]) as followed:
        while wes.state(run_id) == "RUNNING":
            sizes.add(len(http.get(tasks[0]["stdout"]).content))
            time.sleep(0.1)
        assert followed.stdout is not None
        seen = followed.stdout.read()
        assert followed.wait(20) == 0
    whole = http.get(tasks[0]["stdout"]).content
    assert whole.count(b"\n") == 600
    assert seen == whole
    # It grew all the time, far beyond the 20,000 bytes that the TES shows.
    assert len([size for size in sizes if 20_100 < size < len(whole)]) > 2


@embedded_only
def test_a_part_of_what_a_running_step_has_printed_can_be_read(wes: Wes, talking: tuple[str, Any]) -> None:
    _, task = talking
    assert len(delays(task["stderr"])) == LINES
    whole = http.get(task["stderr"]).content
    tail = http.get(task["stderr"], headers={"Range": "bytes=-5"})
    assert (tail.status_code, tail.content) == (206, whole[-5:])

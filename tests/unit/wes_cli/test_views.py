"""Progress as the command line tells it."""

from collections.abc import Callable

import pytest

from common.json_types import Json
from wes_cli.views import LogView, RunListItem, RunView, StepCounts, read_list_item, read_log, read_run


def test_progress_is_one_short_line() -> None:
    steps = StepCounts(known=5, running=1, done=3, failed=0, cached=1)
    assert str(steps) == "3 of 5 steps done, 1 running, 1 from an earlier run"
    assert str(StepCounts(done=0, running=2)) == "0 steps done, 2 running"


def test_a_server_that_tells_no_progress_is_fine() -> None:
    assert str(read_run({"run_id": "1", "state": "RUNNING"}).steps) == ""
    assert str(read_run({"run_id": "1", "state": "RUNNING", "progress": "soon"}).steps) == ""


@pytest.mark.parametrize("read", [read_run, read_list_item])
def test_nothing_runs_in_a_run_that_has_ended(read: Callable[[Json], RunView | RunListItem]) -> None:
    ended: dict[str, Json] = {"run_id": "1", "state": "CANCELED", "progress": {"known": 3, "running": 3, "done": 0}}
    assert str(read(ended).steps) == "0 of 3 steps done"
    assert str(read(ended | {"state": "RUNNING"}).steps) == "0 of 3 steps done, 3 running"


def test_a_task_that_ended_before_it_began_does_not_wait() -> None:
    assert read_log({"system_logs": ["TES state: CANCELED"]}).phase == "canceled"
    assert read_log({"system_logs": ["TES state: SYSTEM_ERROR"]}).phase == "failed"
    assert read_log({"system_logs": ["TES state: QUEUED"]}).phase == "waiting"
    running = read_log({"start_time": "2026-01-01T00:00:00Z", "system_logs": ["attempt 1: SYSTEM_ERROR"]})
    assert (running.phase, running.at_end(), LogView().at_end()) == ("running", "canceled", "canceled")

from collections.abc import Sequence

import pytest

from common.json_types import Json
from tests.fakes.wes_server import FakeRun, FakeWes, Moment
from wes_cli.client import WesClient
from wes_cli.follow import MAX_POLL_SECONDS, MIN_POLL_SECONDS, StepEvent, changes, follow, pause, summary
from wes_cli.views import LogView, read_log

STARTED: dict[str, Json] = {"id": "1", "name": "align", "start_time": "2026-01-01T00:00:00Z"}
DONE: dict[str, Json] = STARTED | {"end_time": "2026-01-01T00:00:05Z", "exit_code": 0}


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def state(self, state: str) -> None:
        self.lines.append(state)

    def waits(self, reason: str) -> None:
        self.lines.append(reason)

    def step(self, change: StepEvent) -> None:
        self.lines.append(f"{change.kind} {change.step.name}")

    def progress(self, steps: Sequence[LogView], known: int | None) -> None:
        pass


def test_a_run_is_told_from_its_start_to_its_end(server: FakeWes, client: WesClient) -> None:
    waiting = {"id": "2", "name": "sort"}
    failed = waiting | {"start_time": "2026-01-01T00:00:05Z", "end_time": "2026-01-01T00:00:06Z", "exit_code": 3}
    server.runs["r"] = FakeRun(
        id="r",
        reason="the step sort failed",
        moments=[
            Moment(state="QUEUED"),
            Moment(state="RUNNING", tasks=[STARTED]),
            Moment(state="RUNNING", tasks=[DONE, waiting]),
            Moment(state="EXECUTOR_ERROR", tasks=[DONE, failed]),
        ],
    )
    notes = Notes()
    view = follow(client, "r", notes)
    assert notes.lines == [
        "QUEUED",
        "RUNNING",
        "started align",
        "done align",
        "failed sort",
        "EXECUTOR_ERROR",
    ]
    assert view.reason == "the step sort failed"


def test_what_a_queued_run_waits_for_is_told_once(
    server: FakeWes, client: WesClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wes_cli.follow.WAITING_SECONDS", 0.0)
    queued = [Moment(state="QUEUED")] * 4
    server.runs["r"] = FakeRun(id="r", reason="for a slot", moments=[*queued, Moment(state="COMPLETE")])
    notes = Notes()
    follow(client, "r", notes)
    assert notes.lines == ["QUEUED", "for a slot", "COMPLETE"]


def test_a_step_that_came_and_went_is_told_once() -> None:
    assert [change.kind for change in changes({}, [read_log(DONE)])] == ["done"]


def test_nothing_new_is_not_told() -> None:
    assert list(changes({"1": "running"}, [read_log(STARTED)])) == []


def test_a_cancelled_step_without_exit_code_is_canceled() -> None:
    log = read_log({"id": "1", "name": "a", "end_time": "2026-01-01T00:00:00Z", "system_logs": ["state CANCELED"]})
    assert log.phase == "canceled"


def test_looks_become_rarer_with_time_and_with_their_cost() -> None:
    assert pause(1.0, 0.01) == MIN_POLL_SECONDS
    assert pause(600.0, 0.01) == MAX_POLL_SECONDS
    assert pause(600.0, 3.0) == 12.0


def test_the_summary_names_a_few_of_the_running_steps() -> None:
    running = [read_log(STARTED | {"id": str(number), "name": f"s{number}"}) for number in range(5)]
    assert summary("RUNNING", [*running, read_log(DONE)]) == "RUNNING · 1 done · 5 running: s0, s1, s2 …"


def test_the_living_line_tells_how_many_steps_there_are_where_the_server_does() -> None:
    assert summary("RUNNING", [], 7) == "RUNNING · 0 of 7 done"

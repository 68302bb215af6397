"""What becomes of a task that its TES lost."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.documents import FailureCause, earlier_logs, failure_cause, lost_logs, with_earlier
from tes.task import Task, TaskState, submissions

STARTED = {"start_time": "2026-01-01T00:00:00Z"}
ENDED = {**STARTED, "end_time": "2026-01-01T01:00:00Z", "exit_code": 0}
BODY: Any = {"executors": [{"image": "i", "command": ["a"]}, {"image": "i", "command": ["b"]}]}


def a_task(**fields: Any) -> Task:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return Task(**{"id": "t", "run_id": "r", "name": "n", "created": created, "body": BODY, **fields})


def ended_with(*executors: Any, lines: tuple[str, ...] = ()) -> Any:
    return {"logs": [{"logs": list(executors), "system_logs": list(lines)}]}


@pytest.mark.parametrize(
    ("executors", "cause"),
    [
        ([], FailureCause.UNKNOWN),
        ([STARTED], FailureCause.SERVICE),
        ([ENDED], FailureCause.SERVICE),
        ([ENDED, ENDED], FailureCause.TASK),
        ([{**ENDED, "exit_code": 2}], FailureCause.TASK),
        ([{**STARTED, "exit_code": 0}], FailureCause.SERVICE),
    ],
)
def test_what_the_executors_did_tells_cause_fault_it_was(executors: list[Any], cause: FailureCause) -> None:
    assert failure_cause(a_task(), TaskState.SYSTEM_ERROR, ended_with(*executors)) is cause


def test_what_was_seen_running_was_lost_even_where_the_tes_has_no_log_of_it() -> None:
    assert failure_cause(a_task(state=TaskState.RUNNING), TaskState.SYSTEM_ERROR, {}) is FailureCause.SERVICE


def test_what_was_preempted_is_never_the_tasks_fault() -> None:
    assert failure_cause(a_task(), TaskState.PREEMPTED, ended_with(ENDED, ENDED)) is FailureCause.SERVICE


def test_what_can_not_begin_for_the_same_reason_twice_is_the_tasks_fault() -> None:
    first = ended_with(lines=("no image",))
    task = a_task(document=with_earlier(lost_logs(first, 1, "it ended"), {}))
    assert failure_cause(task, TaskState.SYSTEM_ERROR, ended_with(lines=("no image",))) is FailureCause.TASK
    assert failure_cause(task, TaskState.SYSTEM_ERROR, ended_with(lines=("no node",))) is FailureCause.UNKNOWN


def test_each_lost_attempt_is_shown_before_the_one_that_is_going() -> None:
    first = lost_logs(ended_with(STARTED), 1, "the node died")
    second = lost_logs({}, 2, "forgotten")
    document = with_earlier([*first, *second], {"state": "QUEUED"})
    assert [log.get("system_logs") for log in document["logs"] or []] == [["the node died"], ["forgotten"], None]
    assert submissions(document) == 2
    assert earlier_logs(document) == [*first, *second]

"""Reading the task documents of servers that disagree."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest

from common.json_types import JsonObject
from gateway import task_documents
from gateway.task_documents import FailureCause, earlier_logs, failure_cause, lost_logs, with_earlier
from tes.task import Task, TaskState, TesExecutorLog, TesTask, TesTaskLog, View, readable_task, submissions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_task(**fields: Any) -> Task:
    body: TesTask = {"name": "align", "executors": [{"image": "i", "command": ["c"]}]}
    return Task(id="t1", run_id="r1", name="align", created=NOW, body=body, **fields)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [
        ("QUEUED", "RUNNING", "RUNNING"),
        ("RUNNING", "QUEUED", "RUNNING"),
        ("RUNNING", "UNKNOWN", "RUNNING"),
        ("CANCELING", "RUNNING", "CANCELING"),
        ("CANCELING", "COMPLETE", "COMPLETE"),
        ("COMPLETE", "RUNNING", "COMPLETE"),
        ("CANCELED", "COMPLETE", "CANCELED"),
    ],
)
def test_a_state_never_goes_back(before: str, told: str, after: str) -> None:
    assert task_documents.next_state(TaskState(before), TaskState(told)) is TaskState(after)


def test_a_state_that_the_standard_does_not_have_is_unknown() -> None:
    assert task_documents.state_of({"state": "ALMOST"}) is TaskState.UNKNOWN
    assert task_documents.state_of({}) is TaskState.UNKNOWN


def test_an_exit_code_counts_only_when_the_executor_has_ended() -> None:
    running: TesTask = {"logs": [{"logs": [{"exit_code": 0, "end_time": ""}]}]}
    ended: TesTask = {"logs": [{"logs": [{"exit_code": 3, "end_time": "2026-01-01T00:00:00Z"}]}]}
    assert task_documents.exit_code(task_documents.without_early_exit_codes(running)) is None
    assert task_documents.exit_code(task_documents.without_early_exit_codes(ended)) == 3


def test_the_first_exit_code_that_is_not_zero_is_the_tasks() -> None:
    codes: list[TesExecutorLog] = [{"exit_code": code, "end_time": "x"} for code in (0, 7, 0)]
    assert task_documents.exit_code({"logs": [{"logs": codes}]}) == 7


def test_documents_full_of_rubbish_are_read_without_an_error() -> None:
    for rubbish in ({"logs": None}, {"logs": "x"}, {"logs": [1]}, {"logs": [{"logs": {"a": 1}}]}):
        document = readable_task(cast("JsonObject", rubbish))
        assert task_documents.executor_logs(document) == []
        assert task_documents.system_logs(document) == []
        assert task_documents.exit_code(task_documents.without_early_exit_codes(document)) is None


def test_views_hold_what_the_standard_says() -> None:
    logs: list[TesTaskLog] = [
        {"logs": [{"stdout": "o", "stderr": "e", "exit_code": 0}], "outputs": [], "system_logs": ["s"]}
    ]
    document: TesTask = {
        "id": "on-the-tes",
        "state": "RUNNING",
        "logs": logs,
        "inputs": [{"path": "/a", "content": "c"}],
    }
    task = a_task(state=TaskState.COMPLETE, document=document)
    assert task_documents.engine_view(task, View.MINIMAL) == {"id": "t1", "state": "COMPLETE"}
    basic = task_documents.engine_view(task, View.BASIC)
    assert basic["id"] == "t1"
    assert basic["logs"] == [{"logs": [{"exit_code": 0}], "outputs": []}]
    assert basic["inputs"] == [{"path": "/a"}]
    full = task_documents.engine_view(task, View.FULL)
    assert full["logs"] == logs
    assert full["state"] == "COMPLETE"
    assert full["creation_time"] == "2026-01-02T03:04:05Z"


def test_an_engine_reads_why_the_gateway_gave_a_task_up() -> None:
    task = a_task(state=TaskState.SYSTEM_ERROR, reason="no TES took it")
    (log,) = task_documents.engine_view(task, View.FULL)["logs"] or []
    assert log["system_logs"] == ["no TES took it"]


def test_the_output_of_a_running_executor_is_that_of_the_one_after_those_with_a_log() -> None:
    ended: TesExecutorLog = {"exit_code": 0, "stdout": "first"}
    told = {"stdout": "so far", "stderr": ""}
    lost: TesTaskLog = {"logs": [ended, ended], "metadata": {"stdout": "of another attempt"}}
    document: TesTask = {"logs": [lost, {"logs": [ended], "metadata": told}]}
    assert task_documents.running_output(document) == (1, told)
    assert task_documents.running_output({}) == (0, {})
    assert task_documents.running_output({"logs": [{"logs": [ended], "metadata": None}]}) == (1, {})


STARTED = {"start_time": "2026-01-01T00:00:00Z"}
ENDED = {**STARTED, "end_time": "2026-01-01T01:00:00Z", "exit_code": 0}
BODY: Any = {"executors": [{"image": "i", "command": ["a"]}, {"image": "i", "command": ["b"]}]}


def lost_task(**fields: Any) -> Task:
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
    assert failure_cause(lost_task(), TaskState.SYSTEM_ERROR, ended_with(*executors)) is cause


def test_what_was_seen_running_was_lost_even_where_the_tes_has_no_log_of_it() -> None:
    assert failure_cause(lost_task(state=TaskState.RUNNING), TaskState.SYSTEM_ERROR, {}) is FailureCause.SERVICE


def test_what_was_preempted_is_never_the_tasks_fault() -> None:
    assert failure_cause(lost_task(), TaskState.PREEMPTED, ended_with(ENDED, ENDED)) is FailureCause.SERVICE


def test_what_can_not_begin_for_the_same_reason_twice_is_the_tasks_fault() -> None:
    first = ended_with(lines=("no image",))
    task = lost_task(document=with_earlier(lost_logs(first, 1, "it ended"), {}))
    assert failure_cause(task, TaskState.SYSTEM_ERROR, ended_with(lines=("no image",))) is FailureCause.TASK
    assert failure_cause(task, TaskState.SYSTEM_ERROR, ended_with(lines=("no node",))) is FailureCause.UNKNOWN


def test_each_lost_attempt_is_shown_before_the_one_that_is_going() -> None:
    first = lost_logs(ended_with(STARTED), 1, "the node died")
    second = lost_logs({}, 2, "forgotten")
    document = with_earlier([*first, *second], {"state": "QUEUED"})
    assert [log.get("system_logs") for log in document["logs"] or []] == [["the node died"], ["forgotten"], None]
    assert submissions(document) == 2
    assert earlier_logs(document) == [*first, *second]

"""How far a run is."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tes.task import Task, TaskState, readable_task
from wes_service.core.links import Links
from wes_service.core.run import ANONYMOUS, EngineProcess, Run, RunRequest, RunState
from wes_service.core.run_log import (
    RunProgress,
    TaskLogId,
    engine_log,
    is_last_attempt,
    log_ids,
    parse_log_name,
    parse_progress,
    progress_of_tasks,
    run_log,
    task_logs,
    tes_stream,
)

LINKS = Links(base="http://h")
NOON = datetime(2025, 6, 7, 12, 0, 0, 999999, tzinfo=UTC)
RUN = Run(
    id="r1",
    owner=ANONYMOUS,
    state=RunState.RUNNING,
    request=RunRequest(workflow_type="CWL", workflow_type_version="v1.2", workflow_url="sub/main.cwl#part"),
    engine="cwltool",
    created=NOON,
)
TASK = Task(id="t1", run_id="r1", name="align", created=NOON, body={"executors": [{"command": ["bwa", "mem"]}]})


def task(state: TaskState, *attempts: Any, **fields: Any) -> Task:
    return replace(TASK, state=state, document=readable_task({"logs": list(attempts), **fields}))


def test_the_name_is_the_workflows_file() -> None:
    assert engine_log(RUN, LINKS)["name"] == "main.cwl"


def test_the_engine_is_the_name_where_the_url_ends_in_nothing() -> None:
    assert engine_log(replace(RUN, request=replace(RUN.request, workflow_url="#x")), LINKS)["name"] == "cwltool"


def test_times_have_whole_seconds_in_utc_and_an_engine_that_never_ran_has_no_exit_code() -> None:
    log = engine_log(replace(RUN, started=NOON, ended=NOON), LINKS)
    assert (log["start_time"], log["end_time"]) == ("2025-06-07T12:00:00Z", "2025-06-07T12:00:00Z")
    assert "exit_code" not in log
    assert "cmd" not in log


def test_nothing_is_ever_null() -> None:
    whole = run_log(replace(RUN, process=EngineProcess(argv=("x",), exit_code=0)), [TASK], LINKS, 1000)
    assert "None" not in str(whole)


def test_secrets_in_argv_and_reasons_are_masked() -> None:
    run = replace(RUN, process=EngineProcess(argv=("x", "https://u:pw@h/")), reason="no answer from https://u:pw@h/")
    assert "pw" not in str(engine_log(run, LINKS))


def test_task_logs_stop_at_the_most() -> None:
    two = task(TaskState.RUNNING, {}, {})
    assert len(run_log(RUN, [two, two], LINKS, 3)["task_logs"]) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "entry", "code"),
    [
        (TaskState.RUNNING, {"exit_code": 0}, None),
        (TaskState.RUNNING, {"exit_code": 0, "end_time": ""}, None),
        (TaskState.RUNNING, {"exit_code": 0, "end_time": "2025-01-01T00:00:00Z"}, 0),
        (TaskState.COMPLETE, {"exit_code": 0}, 0),
        (TaskState.COMPLETE, {"exit_code": "0"}, 0),
        (TaskState.COMPLETE, {}, None),
        (TaskState.EXECUTOR_ERROR, {"exit_code": 3}, 3),
        (TaskState.EXECUTOR_ERROR, {"exit_code": 0}, None),
        (TaskState.CANCELED, {"exit_code": 0}, None),
        (TaskState.CANCELED, {"exit_code": 137, "end_time": "2025-01-01T00:00:00Z"}, 137),
        (TaskState.COMPLETE, {"exit_code": "x"}, None),
    ],
)
def test_an_exit_code_is_told_only_when_the_executor_has_ended(
    state: TaskState, entry: dict[str, object], code: int | None
) -> None:
    (log,) = task_logs(task(state, {"logs": [entry]}), LINKS)
    assert log.get("exit_code") == code


def test_times_of_an_attempt_stand_in_for_those_of_its_only_executor() -> None:
    attempt = {"start_time": "2025-01-01T00:00:00Z", "end_time": "2025-01-01T00:00:09Z"}
    (log,) = task_logs(task(TaskState.COMPLETE, attempt), LINKS)
    assert (log["start_time"], log["end_time"]) == ("2025-01-01T00:00:00Z", "2025-01-01T00:00:09Z")
    several = task_logs(task(TaskState.COMPLETE, attempt, executors=[{}, {}]), LINKS)
    assert all("start_time" not in log for log in several)


@pytest.mark.parametrize("key", ["host", "hostname", "node"])
def test_the_host_is_told_under_any_of_its_names(key: str) -> None:
    (log,) = task_logs(task(TaskState.RUNNING, {"metadata": {key: "n7"}}), LINKS)
    assert log["system_logs"] == ["TES state: RUNNING", "host: n7"]


@pytest.mark.parametrize(
    ("attempts", "executors", "names"),
    [
        (0, 1, ["t1"]),
        (1, 1, ["t1"]),
        (0, 2, ["t1.0.0", "t1.0.1"]),
        (2, 1, ["t1.0.0", "t1.1.0"]),
        (2, 2, ["t1.0.0", "t1.0.1", "t1.1.0", "t1.1.1"]),
    ],
)
def test_a_log_has_the_tasks_id_or_one_of_its_own(attempts: int, executors: int, names: list[str]) -> None:
    several = task(TaskState.RUNNING, *[{}] * attempts, executors=[{}] * executors)
    logs = task_logs(several, LINKS)
    assert [log["id"] for log in logs] == names
    if len(names) > 1:
        assert [parse_log_name(name) for name in names] == log_ids(several)


@pytest.mark.parametrize("name", ["t1", "t1.a.b", "t1.1", "t1.-1.0", "t1.٣.0", f"t1.{'9' * 50}.0"])
def test_a_name_without_two_numbers_is_a_tasks_id(name: str) -> None:
    assert parse_log_name(name) == TaskLogId(task_id=name)


def test_files_hold_the_streams_of_the_last_attempt_only() -> None:
    two = task(TaskState.RUNNING, {"logs": [{"stdout": "old"}]}, {"logs": [{"stdout": ["odd"]}]})
    first, last = log_ids(two)
    assert not is_last_attempt(two, first)
    assert is_last_attempt(two, last)
    assert (tes_stream(two, first, "stdout"), tes_stream(two, last, "stdout")) == ("old", "")
    assert is_last_attempt(TASK, log_ids(TASK)[0])


def test_an_attempt_that_was_lost_tells_how_and_nothing_of_the_one_that_came_after_it() -> None:
    lost = {"logs": [], "metadata": {"wes.submission": "1"}, "system_logs": ["the node died"]}
    sent_again = replace(task(TaskState.COMPLETE, lost, {}), reason="fine", tes_url="http://tes/v1", tes_id="7")
    first, second = task_logs(sent_again, LINKS)
    assert first["system_logs"] == ["the node died"]
    assert second["system_logs"] == ["fine", "TES state: COMPLETE", "task on its TES: http://tes/v1/tasks/7"]


def test_an_engines_document_is_read() -> None:
    raw = json.dumps({"known": 9, "running": 2, "done": 3, "failed": 1, "cached": 1}).encode()
    assert parse_progress(raw) == RunProgress(known=9, running=2, done=3, failed=1, cached=1)
    assert parse_progress(b'{"known": null, "running": 0, "done": 0}') == RunProgress()


NOT_PROGRESS = [b"", b"{", b"[]", b"{}", b'{"running": -1, "done": 0}', b'{"running": true, "done": 1}']


@pytest.mark.parametrize("raw", NOT_PROGRESS)
def test_what_foreign_code_wrote_instead_is_left_aside(raw: bytes) -> None:
    assert parse_progress(raw) is None


def test_without_it_tasks_are_counted() -> None:
    counts = {"QUEUED": 1, "RUNNING": 2, "COMPLETE": 4, "EXECUTOR_ERROR": 1, "SYSTEM_ERROR": 1, "CANCELED": 5}
    assert progress_of_tasks(counts) == RunProgress(running=3, done=4, failed=2)


def test_an_unknown_total_is_left_out() -> None:
    assert RunProgress(done=1).as_json() == {"running": 0, "done": 1, "failed": 0, "cached": 0}
    assert RunProgress(known=2).as_json()["known"] == 2


def test_progress_without_end_is_no_progress() -> None:
    assert parse_progress(b"[" * 4096) is None

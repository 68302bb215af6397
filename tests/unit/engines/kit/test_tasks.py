import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engines.kit.tasks import RunningTasks, RunStopped, TaskOutcome, TimeLimitExceeded
from engines.kit.tes_client import TesClient
from tests.unit.engines.kit.conftest import TesScript


@pytest.fixture
def tasks(client: TesClient) -> RunningTasks:
    return RunningTasks(client, lambda _: None, sleep=lambda _: None)


def test_a_task_is_awaited_until_it_has_ended(tasks: RunningTasks, script: TesScript) -> None:
    script.answers = [
        (200, {"id": "t"}),
        *[(200, {"state": state}) for state in ("QUEUED", "RUNNING", "QUEUED", "COMPLETE")],
        (200, {"id": "t", "state": "COMPLETE", "logs": []}),
    ]
    outcome = tasks.run({"name": "a"})
    assert (outcome.task_id, outcome.document["logs"]) == ("t", [])
    assert script.requests[-1][1].endswith("/tasks/t?view=FULL")


def test_a_time_limit_cancels_the_task(tasks: RunningTasks, script: TesScript) -> None:
    script.answers = [(200, {"id": "t"}), (200, {"state": "RUNNING"})]
    with pytest.raises(TimeLimitExceeded):
        tasks.run({"name": "a"}, limit=0.05)
    assert script.requests[-1][1].endswith("/tasks/t:cancel")


def test_waiting_in_the_queue_is_not_counted(tasks: RunningTasks, script: TesScript) -> None:
    script.answers = [(200, {"id": "t"}), *[(200, {"state": "QUEUED"})] * 30, (200, {"state": "COMPLETE"})]
    assert tasks.run({"name": "a"}, limit=0.0001).task_id == "t"


def test_after_a_stop_nothing_is_sent(tasks: RunningTasks, script: TesScript) -> None:
    tasks.cancel_all()
    with pytest.raises(RunStopped):
        tasks.run({"name": "a"})
    assert script.requests == []


def test_a_stop_cancels_what_is_open(tasks: RunningTasks, script: TesScript) -> None:
    script.answers = [(200, {"id": "t", "state": "RUNNING"})]
    thread = threading.Thread(target=tasks.run, args=({"name": "a"},))
    thread.start()
    while not any(path.endswith("t:cancel") for _, path, _, _ in script.requests):
        tasks.cancel_all() if script.requests else time.sleep(0.005)
    script.answers = [(200, {"id": "t", "state": "CANCELED"})]
    thread.join(10)
    assert not thread.is_alive()


def view(state: str, exit_code: Any = 0, **log: Any) -> dict[str, Any]:
    return {
        "state": state,
        "logs": [{"logs": [{"exit_code": exit_code, **log}], "system_logs": ["first", "disk lost"]}],
    }


def test_the_last_attempt_and_its_last_executor_count() -> None:
    document = view("EXECUTOR_ERROR", 3)
    document["logs"].insert(0, {"logs": [{"exit_code": 9}]})
    assert TaskOutcome.of("t", document).exit_code == 3


@pytest.mark.parametrize(
    ("state", "code", "read"),
    [
        ("COMPLETE", 0, 0),
        ("COMPLETE", "0", 0),
        ("COMPLETE", None, 0),
        ("COMPLETE", 3, 3),
        ("EXECUTOR_ERROR", "7", 7),
        ("EXECUTOR_ERROR", None, 255),
        ("SYSTEM_ERROR", 0, 255),
    ],
)
def test_exit_codes_are_read_with_care(state: str, code: Any, read: int) -> None:
    assert TaskOutcome.of("t", view(state, code)).exit_code == read


def test_a_view_without_logs_is_read() -> None:
    outcome = TaskOutcome.of("t", {"state": "COMPLETE"})
    assert (outcome.exit_code, outcome.stderr, outcome.output_folder) == (0, "", None)


def test_the_output_folder_is_the_one_of_the_task() -> None:
    outputs = [{"type": "FILE", "url": "file:///x"}, {"type": "DIRECTORY", "url": "file:///run/a%20b/out"}]
    assert TaskOutcome.of("t", {**view("COMPLETE"), "outputs": outputs}).output_folder == Path("/run/a b/out")


def test_a_failed_step_is_told_with_code_and_last_lines() -> None:
    outcome = TaskOutcome.of("t1", view("EXECUTOR_ERROR", 2, stderr="one\ntwo\n\nthree\nfour\n"))
    assert outcome.sentence("align") == "the step 'align' (task t1) ended with exit code 2: two | three | four"


def test_a_lost_task_is_told_with_the_systems_log() -> None:
    assert TaskOutcome.of("t", view("SYSTEM_ERROR")).sentence("a").endswith("not be run by the TES: first | disk lost")


def test_a_canceled_task_is_told() -> None:
    assert TaskOutcome.of("t", view("CANCELED")).sentence("a") == "the step 'a' (task t) was canceled"

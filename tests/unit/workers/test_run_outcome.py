"""How a run's end is told."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from tes.task import TAG_STEP, Task, TaskState, TesTask
from wes_service.core.run import RunState
from workers.run import run_outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_task(name: str, state: TaskState, attempt: int = 1, **fields: Any) -> Task:
    body: TesTask = {"name": name, "executors": [], "tags": {TAG_STEP: name}}
    return Task(id=f"t-{name}", run_id="r", name=name, state=state, attempt=attempt, created=NOW, body=body, **fields)


def ended(code: int) -> dict[str, Any]:
    return {"logs": [{"logs": [{"exit_code": code, "end_time": "x"}], "system_logs": ["the TES says so"]}]}


def test_a_failed_step_is_named_with_exit_code_tes_task_and_last_lines() -> None:
    task = a_task("align", TaskState.EXECUTOR_ERROR, tes_id="tes-9", document=ended(3))
    stderr = "\n".join(f"line {n}" for n in range(20)) + "\n\n"
    told = run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr=stderr))
    assert told.startswith("Step 'align' failed with exit code 3 (task t-align): line 15\n")
    assert told.endswith("line 19")


def test_a_step_without_a_word_on_stderr_is_told_by_the_end_of_its_stdout() -> None:
    task = a_task("align", TaskState.EXECUTOR_ERROR, document=ended(1))
    told = run_outcome.failed_step_message(
        run_outcome.FailedStep(task=task, stderr=" \n", stdout="reading\nthe index is broken\n")
    )
    assert told.endswith("it wrote nothing to stderr; the end of its stdout: reading\nthe index is broken")
    assert "the TES says so" not in told


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, "; it wrote nothing to stdout or stderr"),
        (137, ": it was killed (SIGKILL, "),
        (139, ": it crashed (SIGSEGV)"),
    ],
)
def test_a_step_without_a_word_is_told_by_its_exit_code(code: int, meaning: str) -> None:
    task = a_task("align", TaskState.EXECUTOR_ERROR, document=ended(code))
    told = run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr=""))
    assert told.startswith(f"Step 'align' failed with exit code {code} (task t-align){meaning}")
    assert "the TES says so" not in told


JAVA = """\
INFO  reading a.bam
Exception in thread "main" java.lang.RuntimeException: can't read the genome
\tat org.example.Genome.read(Genome.java:17)
\tat org.example.Main.main(Main.java:5)
Caused by: java.io.FileNotFoundException: genome.fa (No such file or directory)
\tat java.base/java.io.FileInputStream.open0(Native Method)
\tat java.base/java.io.FileInputStream.open(FileInputStream.java:216)
\tat java.base/java.io.FileInputStream.<init>(FileInputStream.java:157)
\tat org.example.Genome.read(Genome.java:15)
\tat org.example.Main.run(Main.java:9)
\t... 1 more
"""


def test_a_stack_of_java_is_told_with_its_exception() -> None:
    told = run_outcome.telling_lines(JAVA)
    assert told.startswith("Caused by: java.io.FileNotFoundException: genome.fa (No such file or directory)\n")
    plain = run_outcome.telling_lines(JAVA[: JAVA.index("Caused by")])
    assert plain.startswith('Exception in thread "main" java.lang.RuntimeException: can\'t read the genome\n')


def test_an_exception_of_several_lines_is_told_with_its_name() -> None:
    text = "htsjdk.SAMException: bad header\nin line 3\n" + "\tat a.B.c(B.java:1)\n" * 9
    assert run_outcome.telling_lines(text).startswith("htsjdk.SAMException: bad header\nin line 3\n\tat a.B.c")


def test_a_step_that_failed_and_left_no_output_is_told_by_its_own_words_whatever_the_state() -> None:
    task = a_task("align", TaskState.SYSTEM_ERROR, tes_id="9", document=ended(3))
    told = run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr="no such genome\n"))
    assert told == "Step 'align' failed with exit code 3 (task t-align): no such genome"


def test_a_step_that_ended_well_but_lacks_an_output_is_told_by_the_tes() -> None:
    task = a_task("align", TaskState.SYSTEM_ERROR, tes_id="9", document=ended(0))
    assert run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr="just a warning")).endswith(
        "the TES says so"
    )


def test_a_task_that_the_tes_refused_says_why() -> None:
    task = a_task("align", TaskState.SYSTEM_ERROR, reason="the TES http://t refused the task: HTTP 400: no image")
    told = run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr=""))
    assert told == (
        "Step 'align' failed in TES state SYSTEM_ERROR (task t-align): "
        "the TES http://t refused the task: HTTP 400: no image"
    )


def test_the_services_own_failure_comes_before_the_steps() -> None:
    step = run_outcome.FailedStep(task=a_task("a", TaskState.SYSTEM_ERROR), stderr="")
    told = run_outcome.failure_outcome("engine", step, "the TES could not be asked")
    assert told.state is RunState.SYSTEM_ERROR
    assert "the TES could not be asked" in told.reason


def test_without_a_failed_task_the_engines_diagnosis_counts() -> None:
    told = run_outcome.failure_outcome("line 3 of the workflow is wrong", None, None)
    assert told == run_outcome.RunOutcome(state=RunState.EXECUTOR_ERROR, reason="line 3 of the workflow is wrong")


def test_a_run_without_a_task_and_without_outputs_is_told_with_a_warning() -> None:
    reason, [line] = run_outcome.success_outcome(0, {"all": []})
    assert reason == "The run is complete: no task ran."
    assert line.startswith("Warning: the workflow ended without a task and without outputs")


def test_a_run_whose_tasks_or_outputs_show_that_it_worked_has_no_warning() -> None:
    assert run_outcome.success_outcome(1, {}) == ("The run is complete: 1 task ran.", ())
    assert run_outcome.success_outcome(3, {}) == ("The run is complete: 3 tasks ran.", ())
    assert run_outcome.success_outcome(0, {"n": 0})[1] == ()


def test_an_attempt_that_was_followed_by_a_good_one_is_not_the_failure() -> None:
    tasks = [
        a_task("a", TaskState.EXECUTOR_ERROR),
        a_task("a", TaskState.COMPLETE, attempt=2),
        a_task("b", TaskState.EXECUTOR_ERROR),
        a_task("c", TaskState.CANCELED),
    ]
    found = run_outcome.failed_task(tasks)
    assert found is not None
    assert found.name == "b"
    assert run_outcome.failed_task(tasks[:2]) is None


def test_an_attempt_that_was_tried_again_is_not_the_failure_even_where_the_next_was_canceled() -> None:
    tasks = [
        a_task("a", TaskState.CANCELED, attempt=2),
        a_task("b", TaskState.EXECUTOR_ERROR),
        a_task("a", TaskState.EXECUTOR_ERROR, attempt=1),
    ]
    found = run_outcome.failed_task(tasks)
    assert found is not None
    assert found.name == "b"


def test_a_failed_task_is_found_behind_any_number_of_others() -> None:
    good = (a_task(f"step{number}", TaskState.COMPLETE) for number in range(10_001))
    bad = a_task("last", TaskState.EXECUTOR_ERROR)
    assert run_outcome.failed_task(itertools.chain(good, [bad])) == bad


def test_a_task_that_was_tried_again_did_not_fail_the_run() -> None:
    first, second = a_task("a", TaskState.SYSTEM_ERROR), a_task("a", TaskState.COMPLETE, attempt=2)
    assert run_outcome.failed_task([first, second]) is None


def test_a_step_that_asks_for_more_than_its_tes_has_is_told_what_would_help() -> None:
    said = "resources.ram_gb: the task asks for 99 GB of memory, and this server has 7.5"
    task = a_task("align", TaskState.SYSTEM_ERROR, document={"logs": [{"logs": [], "system_logs": [said]}]})
    told = run_outcome.failed_step_message(run_outcome.FailedStep(task=task, stderr=""))
    assert told.endswith(f"{said}. The engine parameter max_memory=7.5GB would lower what steps ask for")

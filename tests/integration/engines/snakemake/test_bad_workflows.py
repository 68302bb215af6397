"""A step that fails: a sentence that says why, and no task left. Workflows that can't run: `test_failing`."""

import signal
import time
from collections.abc import Mapping

import pytest

from tests.engine_fixtures import EngineRun
from tests.integration.engines.snakemake.conftest import SnakemakeRuns

LONG = """
rule all:
    input: expand("{i}.txt", i=range(3))
rule wait:
    output: "{i}.txt"
    shell: "sleep 600; touch {output}"
"""
TERMINAL = {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"}


def reason(runs: SnakemakeRuns, files: Mapping[str, str] | str) -> tuple[str, EngineRun]:
    attachments = {"Snakefile": files} if isinstance(files, str) else files
    run = runs.new(attachments).start()
    return run.reason(), run


def test_a_failed_command_is_told_with_the_end_of_its_log(runs_of_each_version: SnakemakeRuns) -> None:
    snakefile = "rule a:\n    output: 'x'\n    log: 'a.log'\n    shell: 'echo no genome > {log}; exit 3'\n"
    said, _ = reason(runs_of_each_version, snakefile)
    assert said.startswith("the step 'a' (task ")
    assert "ended with exit code 3: the end of a.log: | no genome" in said


def test_an_error_in_a_rules_own_python_is_told(runs_of_each_version: SnakemakeRuns) -> None:
    said, _ = reason(
        runs_of_each_version, "rule a:\n    output: 'x'\n    run:\n        raise ValueError('bad sample')\n"
    )
    assert "ValueError in file" in said
    assert said.endswith("bad sample")


def test_an_output_elsewhere_is_refused(snakemake_runs: SnakemakeRuns) -> None:
    said, _ = reason(snakemake_runs, "rule a:\n    output: '/etc/x.txt'\n    shell: 'touch {output}'\n")
    assert "the TES refused it (HTTP 400)" in said
    assert "/etc/x.txt" in said


def test_after_a_failure_what_runs_is_canceled_and_nothing_more_is_sent(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule all:
    input: "a", "b", "c"
rule fails:
    output: "a"
    shell: "sleep 1; exit 4"
rule long:
    output: "b"
    shell: "sleep 600"
rule more:
    input: "b"
    output: "c"
    shell: "cp b c"
"""
    said, run = reason(snakemake_runs, snakefile)
    assert "the step 'fails'" in said
    states = {name: task["state"] for name, task in snakemake_runs.tasks(run).items()}
    assert states == {"fails": "EXECUTOR_ERROR", "long": "CANCELED"}


def test_on_error_continue_runs_what_does_not_depend_on_it(snakemake_runs: SnakemakeRuns) -> None:
    snakefile = """
rule all:
    input: "a", "c"
rule fails:
    output: "a"
    shell: "exit 4"
rule good:
    output: "b"
    shell: "sleep 0.5; touch b"
rule after:
    input: "b"
    output: "c"
    shell: "cp b c"
"""
    run = snakemake_runs.new({"Snakefile": snakefile}, parameters={"on_error": "continue"}).start()
    assert "the step 'fails'" in run.reason()
    assert (run.folder.work / "c").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_with_all_its_tasks(runs_of_each_version: SnakemakeRuns, number: int) -> None:
    run = runs_of_each_version.new({"Snakefile": LONG}).start()
    assert run.process is not None
    deadline = time.monotonic() + 30
    # The test machine may have cores for two of them only.
    while sorted(task["state"] for task in runs_of_each_version.tasks(run).values())[-2:] != ["RUNNING"] * 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.process.send_signal(number)
    began = time.monotonic()
    end = run.wait(10)
    assert time.monotonic() - began < 30
    assert end.exit_code == 128 + number
    while not all(task["state"] in TERMINAL for task in runs_of_each_version.tasks(run).values()):
        assert time.monotonic() < began + 60
        time.sleep(0.1)
    assert {task["state"] for task in runs_of_each_version.tasks(run).values()} == {"CANCELED"}

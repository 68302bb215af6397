"""Bad workflows, cancelling, and engines that die: a sentence, and nothing left behind."""

import psutil
import pytest

from tests.acceptance.nextflow.running import Nextflow
from tests.http_client import http
from tests.waiting import until

STEP = 'process STEP { script: "true" }\n'
WITHOUT_A_TASK = {
    "a script that does not compile": (
        {"main.nf": "process A {\n  script:\n  'true'\n\nworkflow { A() }\n"},
        "main.nf:1:11: Unexpected input: '{' (this, or the block that begins here, does not compile)",
    ),
    "a module that does not compile": (
        {
            "main.nf": "include { A } from './parts/a'\nworkflow { A() }\n",
            "parts/a.nf": "process A {\n  script: ))\n}\n",
        },
        "parts/a.nf:",
    ),
    "a module that is not there": (
        {"main.nf": "include { A } from './parts/b'\nworkflow { A() }\n"},
        "main.nf:1: No such file or directory: Can't find a matching module file for include: ./parts/b",
    ),
    "a config that does not compile": (
        {"main.nf": STEP + "workflow { STEP() }\n", "nextflow.config": "process {\n  cpus = = 1\n}\n"},
        "nextflow.config:1:9: Unexpected input: '{'",
    ),
    "an unknown process": (
        {"main.nf": "workflow {\n  NOTHING()\n}\n"},
        "main.nf:2: Missing process or function NOTHING()",
    ),
    "an unknown variable": ({"main.nf": "workflow {\n  println nothing\n}\n"}, "main.nf:2: No such variable: nothing"),
    "an error that the workflow raises": ({"main.nf": "workflow { error 'give me reads' }\n"}, "give me reads"),
    "a missing file": (
        {"main.nf": "workflow {\n  file('no.txt', checkIfExists: true)\n}\n"},
        "main.nf:2: No such file or directory: no.txt",
    ),
    "a file somewhere in the world": (
        {"main.nf": "process A { input: path x\n script: 'true' }\nworkflow { A(file('http://example.org/x')) }\n"},
        "attach the file, or name a folder that --allow-data opens",
    ),
    "an exec block that fails": (
        {"main.nf": "process A { output: val y\n exec: y = [1].nothing() }\nworkflow { A() }\n"},
        "The process 'A' failed: No signature of method",
    ),
    "a plugin that is not installed": (
        {"main.nf": STEP + "workflow { STEP() }\n", "nextflow.config": "plugins { id 'nf-schema@2.3.0' }\n"},
        "which is not installed here: 'wes engines install nextflow --plugin nf-schema@2.3.0' does it",
    ),
    "the language's first version": (
        {"main.nf": "nextflow.enable.dsl = 1\nprocess a { input: val x from 1\n script: 'true' }\n"},
        "DSL1 is no longer supported",
    ),
}


@pytest.mark.parametrize("case", WITHOUT_A_TASK)
def test_a_bad_workflow_ends_with_a_sentence_and_no_task(nextflow: Nextflow, case: str) -> None:
    files, wanted = WITHOUT_A_TASK[case]
    ended = nextflow.ended(nextflow.submit(files))
    assert ended.state == "EXECUTOR_ERROR"
    assert wanted in ended.reason
    assert str(nextflow.wes.data) not in ended.reason
    assert ended.tasks == ()
    assert ended.outputs == {}


def test_a_profile_that_is_not_there_or_is_no_name(nextflow: Nextflow) -> None:
    ended = nextflow.run("workflow { }\n", parameters={"profile": "nothing"})
    assert ended.reason.startswith("Unknown configuration profile: 'nothing'")
    ended = nextflow.run("workflow { }\n", parameters={"profile": "-with-tower"})
    assert ended.state == "EXECUTOR_ERROR"
    assert "the engine parameter 'profile' is '-with-tower'" in ended.reason


def test_other_parameters_and_versions_are_refused(nextflow: Nextflow) -> None:
    files = {"main.nf": "workflow { }\n"}
    with pytest.raises(AssertionError, match="nextflow has no parameter 'with-tower'"):
        nextflow.submit(files, parameters={"with-tower": "x"})
    with pytest.raises(AssertionError, match="'stub' must be of type boolean"):
        nextflow.submit(files, parameters={"stub": "perhaps"})
    with pytest.raises(AssertionError, match="workflow_engine_version"):
        nextflow.submit(files, workflow_engine="nextflow", workflow_engine_version="1.2.3")


def test_a_file_among_the_params_that_is_not_attached(nextflow: Nextflow) -> None:
    ended = nextflow.run("workflow { }\n", params={"reads": {"class": "File", "location": "reads/none.fq"}})
    assert ended.state == "EXECUTOR_ERROR"
    assert ended.reason == "the parameter 'reads' names 'reads/none.fq', which is not among the attachments"


FAILING = """\
process ALIGN {
  tag 'sample1'
  script: "echo reading; echo no such genome >&2; exit 3"
}
workflow { ALIGN() }
"""


def test_a_failed_step_is_told_with_its_name_its_exit_code_and_its_stderr(nextflow: Nextflow) -> None:
    ended = nextflow.run(FAILING)
    assert ended.state == "EXECUTOR_ERROR"
    assert ended.reason.startswith("Step 'ALIGN (sample1)' failed with exit code 3 (task ")
    assert ended.reason.endswith("no such genome")
    assert http.get(ended.tasks[0]["stdout"]).text == "reading\n"
    assert http.get(ended.tasks[0]["stderr"]).text == "no such genome\n"


def test_a_promised_output_that_is_missing(nextflow: Nextflow) -> None:
    ended = nextflow.run('process A { output: path "none"\n script: "true" }\nworkflow { A() }\n')
    assert ended.state == "EXECUTOR_ERROR"
    assert ended.reason == "The process 'A' failed: Missing output file(s) `none` expected by process `A`"


BRANCHES = """\
process WAIT {
  input: val x
  script: "sleep 600"
}
workflow { WAIT(channel.of(1, 2, 3)) }
"""


def waiting(nextflow: Nextflow) -> tuple[str, psutil.Process]:
    """A run with three tasks under way, and the process of its engine."""
    run_id = nextflow.submit({"main.nf": BRANCHES})
    until(lambda: len(nextflow.wes.get(f"/runs/{run_id}/tasks")["task_logs"]) >= 3, nextflow.wes.said)
    engine = nextflow.wes.engine(run_id)
    assert engine.name() == "java"
    return run_id, engine


def test_cancel_ends_three_branches_within_two_seconds(nextflow: Nextflow) -> None:
    run_id, engine = waiting(nextflow)
    assert http.post(f"{nextflow.wes.url}/runs/{run_id}/cancel").status_code == 200
    _, alive = psutil.wait_procs([engine], timeout=2)
    assert not alive
    ended = nextflow.ended(run_id)
    assert ended.state == "CANCELED"
    assert nextflow.task_states(run_id) == ["CANCELED"] * 3


def test_after_a_failed_step_the_others_are_canceled(nextflow: Nextflow) -> None:
    workflow = BRANCHES.replace('"sleep 600"', '"[ $x = 2 ] && exit 4; sleep 600"')
    ended = nextflow.run(workflow)
    assert ended.state == "EXECUTOR_ERROR"
    assert ended.reason.startswith("Step 'WAIT (2)' failed with exit code 4")
    assert sorted(nextflow.task_states(ended.run_id)) == ["CANCELED", "CANCELED", "EXECUTOR_ERROR"]

"""Bad workflows, cancelling, and engines that die: a sentence, and nothing left behind."""

import psutil
import pytest

from tests.acceptance.nextflow.running import Nextflow
from tests.http_client import http
from tests.waiting import until

# What else Nextflow says is recorded, in tests/unit/engines/nextflow/recorded.
WITHOUT_A_TASK = {
    "a module that does not compile": (
        {
            "main.nf": "include { A } from './parts/a'\nworkflow { A() }\n",
            "parts/a.nf": "process A {\n  script: ))\n}\n",
        },
        "parts/a.nf:",
    ),
    "an error that the workflow raises": ({"main.nf": "workflow { error 'give me reads' }\n"}, "give me reads"),
    "an exec block that fails": (
        {"main.nf": "process A { output: val y\n exec: y = [1].nothing() }\nworkflow { A() }\n"},
        "The process 'A' failed: No signature of method",
    ),
    "a secret": (
        {"main.nf": "process A { secret 'TOKEN'\n script: 'true' }\nworkflow { A() }\n"},
        "The process A asks for secrets of Nextflow (TOKEN), which this server does not keep: hand it a file",
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


def test_a_profile_that_is_not_there(nextflow: Nextflow) -> None:
    files = {
        "main.nf": "workflow { }\n",
        "nextflow.config": "profiles { test { params.x = 1 }\n big { params.x = 2 } }\n",
    }
    ended = nextflow.ended(nextflow.submit(files, parameters={"profile": "nothing"}))
    assert ended.reason == "the workflow's config has no profile 'nothing'; it has big, test"


def test_other_parameters_and_versions_are_refused(nextflow: Nextflow) -> None:
    files = {"main.nf": "workflow { }\n"}
    with pytest.raises(AssertionError, match="nextflow has no parameter 'with-tower'"):
        nextflow.submit(files, parameters={"with-tower": "x"})
    with pytest.raises(AssertionError, match="no parameter 'resume'; 'wes resume RUN' goes on with an earlier run"):
        nextflow.submit(files, parameters={"resume": "true"})
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

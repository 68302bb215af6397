"""The CWL executor as a process of its own on a real TES, where the cases of the acceptance tests do not look."""

import signal
import time
from itertools import pairwise
from typing import Any

import pytest

from common.location import file_path_of
from tests.engine_fixtures import EngineRun, EngineRuns, Tes
from tests.integration.engines.adopting import adopting

SLEEP = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sleep]
inputs: {seconds: {type: int, inputBinding: {}}}
outputs: []
"""
TWO_BRANCHES = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {seconds: "int[]"}
outputs: []
steps:
  wait: {run: sleep.cwl, scatter: seconds, in: {seconds: seconds}, out: []}
  break:
    in: []
    out: []
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "sleep 1; echo 'out of luck' >&2; exit 5"]
      inputs: []
      outputs: []
"""
CAT = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [cat]
inputs: {file: {type: File, inputBinding: {}}}
outputs: {out: stdout}
"""
TWO_STEPS = """
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, InitialWorkDirRequirement: {listing: []}}
inputs: {word: string, note: File}
outputs: {out: {type: File, outputSource: second/out}}
steps:
  first:
    in: {word: word}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [echo]
      inputs: {word: {type: string, inputBinding: {}}}
      outputs: {out: stdout}
  second:
    in: {file: first/out, note: note}
    out: [out]
    run:
      class: CommandLineTool
      requirements:
        InitialWorkDirRequirement:
          listing: [{entryname: script.sh, entry: "cat $(inputs.file.path) $(inputs.note.path)"}]
      baseCommand: [sh, script.sh]
      inputs: {file: File, note: File}
      outputs: {out: stdout}
"""


def tasks_of(run: EngineRun, tes: Tes) -> list[dict[str, Any]]:
    """Those that wrote to this run's folder, oldest first."""
    own = f"file://{run.folder.root}/"
    return [task for task in reversed(tes.tasks()) if task["outputs"][0]["url"].startswith(own)]


def wait_for_tasks(run: EngineRun, tes: Tes, state: str, count: int) -> None:
    deadline = time.monotonic() + 60
    while len([task for task in tasks_of(run, tes) if task["state"] == state]) < count:
        assert time.monotonic() < deadline, tasks_of(run, tes)
        assert run.process is not None
        assert run.process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_and_cancels_its_tasks(cwl_runs: EngineRuns, tes: Tes, number: int) -> None:
    run = cwl_runs.new({"main.cwl": SLEEP}, {"seconds": 600}).start()
    wait_for_tasks(run, tes, "RUNNING", 1)
    assert run.process is not None
    began = time.monotonic()
    run.process.send_signal(number)
    end = run.wait(10)
    assert time.monotonic() - began < 30
    assert end.exit_code == 128 + number
    deadline = time.monotonic() + 10
    while (state := tasks_of(run, tes)[0]["state"]) != "CANCELED":
        assert time.monotonic() < deadline, state
        time.sleep(0.05)


def test_schemas_on_the_web_are_left_out_with_a_word(cwl_runs: EngineRuns) -> None:
    schemas = "$namespaces: {edam: 'http://edamontology.org/'}\n$schemas: ['https://edamontology.org/EDAM_1.18.owl']\n"
    run = cwl_runs.new({"main.cwl": CAT + schemas, "a.txt": "a"}, {"file": {"class": "File", "path": "a.txt"}}).start()
    end = run.wait()
    assert end.exit_code == 0
    assert "https://edamontology.org/EDAM_1.18.owl" in end.stderr


def test_a_failed_step_cancels_the_others_and_is_the_reason(cwl_runs: EngineRuns, tes: Tes) -> None:
    run = cwl_runs.new({"main.cwl": TWO_BRANCHES, "sleep.cwl": SLEEP}, {"seconds": [600, 600]}).start()
    reason = run.reason()
    assert reason.startswith("the step 'break' (task ")
    assert reason.endswith("ended with exit code 5: out of luck")
    states = {task["name"]: task["state"] for task in tasks_of(run, tes)}
    assert states["break"] == "EXECUTOR_ERROR"
    assert {states.get("wait", "CANCELED"), states.get("wait_2", "CANCELED")} == {"CANCELED"}


def test_on_request_other_branches_go_on_after_a_failure(cwl_runs: EngineRuns, tes: Tes) -> None:
    files = {"main.cwl": TWO_BRANCHES, "sleep.cwl": SLEEP}
    run = cwl_runs.new(files, {"seconds": [2]}, parameters={"on_error": "continue"}).start()
    assert "'break'" in run.reason()
    assert {task["name"]: task["state"] for task in tasks_of(run, tes)} == {
        "break": "EXECUTOR_ERROR",
        "wait": "COMPLETE",
    }


def test_no_more_tasks_run_at_once_than_asked_for(cwl_runs: EngineRuns, tes: Tes) -> None:
    document = TWO_BRANCHES.partition("  break:")[0]
    run = cwl_runs.new(
        {"main.cwl": document, "sleep.cwl": SLEEP}, {"seconds": [0, 0, 0]}, parameters={"parallel": "1"}
    ).start()
    run.outputs()
    times = sorted((task["logs"][0]["start_time"], task["logs"][0]["end_time"]) for task in tasks_of(run, tes))
    assert len(times) == 3
    assert all(ended <= started for (_, ended), (started, _) in pairwise(times))


def test_a_temporary_failure_is_tried_again_as_often_as_asked(cwl_runs: EngineRuns, tes: Tes) -> None:
    document = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, "exit 75"]
temporaryFailCodes: [75]
inputs: []
outputs: []
"""
    run = cwl_runs.new({"main.cwl": document}, parameters={"max_retries": "2"}).start()
    assert "exit code 75" in run.reason()
    tags = [task["tags"] for task in tasks_of(run, tes)]
    assert [tag["wes.attempt"] for tag in tags] == ["1", "2", "3"]
    assert len({tag["wes.step_key"] for tag in tags}) == 3
    assert len({task["outputs"][0]["url"] for task in tasks_of(run, tes)}) == 3


def test_an_engine_started_again_sends_the_same_keys_and_writes_to_other_folders(
    cwl_runs: EngineRuns, tes: Tes
) -> None:
    files = {"main.cwl": TWO_STEPS, "note.txt": "note\n"}
    params = {"word": "w", "note": {"class": "File", "location": "note.txt"}}
    run = cwl_runs.new(files, params).start()
    first = run.outputs()
    again = cwl_runs.new(files, params)
    again.folder = run.folder
    assert again.start().outputs()["out"]["checksum"] == first["out"]["checksum"]
    tasks = tasks_of(run, tes)
    assert len(tasks) == 4
    keys = [task["tags"]["wes.step_key"] for task in tasks]
    # The gateway would have answered with the first task, and its folder; here the second step reads another one.
    assert (keys[0] == keys[2], keys[1] == keys[3]) == (True, False)
    assert len({task["outputs"][0]["url"] for task in tasks}) == 4


def test_a_file_at_a_url_is_left_to_the_tes(cwl_runs: EngineRuns, tes: Tes) -> None:
    params = {"file": {"class": "File", "location": "http://127.0.0.1:9/genome.fa"}}
    run = cwl_runs.new({"main.cwl": CAT}, params).start()
    run.reason()
    assert tasks_of(run, tes)[0]["inputs"] == [
        {"type": "FILE", "url": "http://127.0.0.1:9/genome.fa", "path": "/var/lib/cwl/1/genome.fa"}
    ]


def test_a_url_whose_contents_an_expression_needs_is_refused_in_words(cwl_runs: EngineRuns) -> None:
    document = CAT.replace("type: File,", "type: File, loadContents: true,")
    params = {"file": {"class": "File", "location": "http://127.0.0.1:9/n.txt"}}
    reason = cwl_runs.new({"main.cwl": document}, params).start().reason()
    assert "no network" in reason
    assert "attach the file" in reason


def test_a_tool_at_a_url_is_refused_in_words(cwl_runs: EngineRuns) -> None:
    document = """
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: []
steps:
  far: {run: "http://127.0.0.1:9/tool.cwl", in: [], out: []}
"""
    reason = cwl_runs.new({"main.cwl": document}).start().reason()
    assert "http://127.0.0.1:9/tool.cwl" in reason
    assert "attach" in reason


def test_resources_are_asked_for_only_where_the_tool_asks(cwl_runs: EngineRuns, tes: Tes) -> None:
    document = CAT + "requirements: {ResourceRequirement: {ramMin: 512}}\n"
    run = cwl_runs.new({"main.cwl": document, "f": "x"}, {"file": {"class": "File", "location": "f"}}).start()
    run.outputs()
    resources = tasks_of(run, tes)[0]["resources"]
    assert resources["ram_gb"] == pytest.approx(0.536871)
    assert "disk_gb" not in resources


def test_a_tool_uses_what_it_gets_at_most(cwl_runs: EngineRuns, tes: Tes) -> None:
    document = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
arguments: [$(runtime.cores), $(runtime.ram)]
requirements: {ResourceRequirement: {coresMin: 16, ramMin: 4000}}
inputs: []
outputs: {out: stdout}
"""
    run = cwl_runs.new({"main.cwl": document}, step_limits={"cpu": 1.0, "memory": 0.5}).start()
    out = file_path_of(run.outputs()["out"]["location"])
    assert out is not None
    assert out.read_text() == "1 476\n"
    resources = tasks_of(run, tes)[0]["resources"]
    assert (resources["cpu_cores"], resources["ram_gb"]) == (1, pytest.approx(0.499, abs=0.001))


def test_an_expression_is_named_in_the_log(cwl_runs: EngineRuns) -> None:
    document = """
cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {n: int}
outputs: {n: int}
expression: "$({n: inputs.n + 1})"
"""
    run = cwl_runs.new({"double.cwl": document}, {"n": 1}, workflow="double.cwl").start()
    assert run.outputs() == {"n": 2}
    assert run.end is not None
    assert "[job double] is an expression: it runs inside the engine" in run.end.stderr


def test_a_file_can_be_updated_in_place_by_one_step_after_another_and_once(cwl_runs: EngineRuns, tes: Tes) -> None:
    document = """
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: {out: {type: File, outputSource: read/out}}
steps:
  make:
    in: []
    out: [file]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "echo 1 > n.txt"]
      inputs: []
      outputs: {file: {type: File, outputBinding: {glob: n.txt}}}
  add:
    in: {file: make/file}
    out: [file]
    run:
      class: CommandLineTool
      requirements:
        InplaceUpdateRequirement: {inplaceUpdate: true}
        InitialWorkDirRequirement: {listing: [{entry: $(inputs.file), writable: true}]}
      baseCommand: [sh, -c, "echo 2 >> n.txt"]
      inputs: {file: File}
      outputs: {file: {type: File, outputBinding: {glob: n.txt}}}
  read:
    in: {file: add/file}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [cat]
      inputs: {file: {type: File, inputBinding: {}}}
      outputs: {out: stdout}
"""
    with adopting(tes) as url:
        run = cwl_runs.new({"main.cwl": document})
        run.tes_url = url
        first = run.start().outputs()
        assert text_of(first["out"]) == "1\n2\n"
        # Started again, whatever it had brought together already: no step runs twice, and nothing is added twice.
        again = cwl_runs.new({"main.cwl": document})
        again.folder, again.tes_url = run.folder, url
        assert again.start().outputs() == first
    assert (text_of(first["out"]), len(tasks_of(run, tes))) == ("1\n2\n", 3)


def text_of(file: dict[str, Any]) -> str:
    path = file_path_of(file["location"])
    assert path is not None
    return path.read_text()


def test_a_tes_that_refuses_is_the_reason(cwl_runs: EngineRuns) -> None:
    document = CAT + 'requirements: {DockerRequirement: {dockerPull: "x", dockerOutputDirectory: /}}\n'
    reason = (
        cwl_runs.new({"main.cwl": document, "f": ""}, {"file": {"class": "File", "location": "f"}}).start().reason()
    )
    assert reason.startswith("the step 'main' could not")

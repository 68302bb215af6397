"""What is wrong is told in one sentence, and what can't run leaves no task."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.engine_fixtures import EngineRuns, Tes

GOOD = """version 1.1
workflow w {
  input { File f  Int n = 1 }
  call t { input: f = f }
}
task t {
  input { File f }
  command <<< cat ~{f} >>>
}
"""
SUB = "version 1.1\ntask t { command <<< true >>> }\n"
FINE: Mapping[str, Any] = {"w.f": "a.txt"}


def importing(name: str) -> str:
    return f'version 1.1\nimport "{name}" as lib\nworkflow w {{ call lib.t }}\n'


@pytest.mark.parametrize(
    ("document", "params", "expected"),
    [
        (
            GOOD.replace("call t {", "cal t {"),
            FINE,
            r"^the workflow is not valid: main\.wdl:4:\d+: this can\'t be understood: cal t {",
        ),
        (
            GOOD.replace("f = f }", "f = n }").replace("Int n = 1", "Array[Int] n = [1]"),
            FINE,
            r"main\.wdl:4:\d+: .*File",
        ),
        (GOOD.replace("call t {", "call other {"), FINE, r"main\.wdl:4:3: .*other"),
        (GOOD.replace("1.1", "9.9"), FINE, r"main\.wdl: unknown WDL version 9\.9"),
        ("", {}, r"^the workflow is not valid: main.wdl has neither a workflow nor a task"),
        (importing("gone.wdl"), {}, r"main\.wdl:2:1: Failed to import gone\.wdl: there is no such attachment"),
        (
            importing("https://example.org/x.wdl"),
            {},
            r"Failed to import https://example.org/x.wdl: this server gives engines no net",
        ),
        (importing("/etc/passwd"), {}, r"main\.wdl:2:1: Failed to import /etc/passwd: it is not among the attachments"),
        (importing("../../control/wdl.json"), {}, r"it is not among the attachments"),
        (importing("broken.wdl"), {}, r"^the workflow is not valid: broken\.wdl:2:\d+: "),
        (importing("main.wdl"), {}, r"circular imports"),
        (GOOD, {}, r"^the inputs are not valid: required inputs are missing: w\.f \(File\)"),
        (GOOD, {**FINE, "w.g": 1}, r"'w' has no input 'w\.g'; it has: w\.f, w\.n$"),
        (GOOD, {**FINE, "w.n": "many"}, r"^the inputs are not valid: .*Int.*\(in w\.n\)"),
        (GOOD, {"w.f": "b.txt"}, r"the input 'w\.f' names the file b\.txt, which is not there; attach it to the run"),
        (GOOD, {"w.f": "sub"}, r"the input 'w\.f' names the file sub, which is not there"),
        (GOOD, {"w.f": "/etc/passwd"}, r"the input 'w\.f' names the file /etc/passwd, which is neither attached"),
        (GOOD, {"w.f": "file:///etc/passwd"}, r"which is neither attached to the run nor in a folder"),
        (GOOD, {"w.f": "../control/tes-token"}, r"which is neither attached to the run nor in a folder"),
        (
            SUB + SUB.replace("version 1.1", "").replace("task t", "task u"),
            {},
            r"several tasks.*'main.wdl#TASK'; it has: t, u",
        ),
    ],
)
def test_what_can_not_start_is_told_and_leaves_no_task(
    wdl_runs: EngineRuns, tes: Tes, document: str, params: Mapping[str, Any], expected: str
) -> None:
    files = {"main.wdl": document, "a.txt": "a", "sub/b.txt": "b", "broken.wdl": "version 1.1\ntask {\n"}
    before = len(tes.tasks())
    run = wdl_runs.new(files, params).start()
    assert re.search(expected, run.reason()), run.reason()
    assert "\n" not in run.reason()
    assert str(run.folder.root) not in run.reason()
    assert len(tes.tasks()) == before


def test_a_fragment_that_is_not_there_lists_what_is(wdl_runs: EngineRuns) -> None:
    run = wdl_runs.new({"main.wdl": GOOD}, FINE, fragment="u").start()
    assert run.reason() == "the workflow is not valid: main.wdl has no workflow or task 'u'; it has: t, w"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            "command <<< echo reading; echo 'no such genome' >&2; exit 3 >>>",
            r"^the step 't' \(task \w+\) ended with exit code 3: no such genome$",
        ),
        ('command <<< true >>>\n  output { File o = "gone.txt" }', r"^the step 't' failed: .*gone\.txt"),
        (
            "command <<< echo x >>>\n  output { Int n = read_int(stdout()) }",
            r"^the step 't' failed: main\.wdl:5:\d+: .*",
        ),
        ('command <<< ln -s /etc/passwd o >>>\n  output { File o = "o" }', r"^the step 't' .*"),
        (
            'command <<< true >>>\n  output { String s = read_string("/etc/passwd") }',
            r"^the step 't' failed: .*outside its working dir",
        ),
        (
            'command <<< true >>>\n  runtime { disks: "many" }',
            r"^the step 't' failed: runtime\.disks is not a size: many",
        ),
        (
            'command <<< true >>>\n  runtime { memory: "lots" }',
            r"^the step 't' failed: invalid setting of runtime\.memory, lots",
        ),
        ('command <<< true >>>\n  runtime { inlineDockerfile: ["FROM x"] }', r"images are not built here"),
    ],
)
def test_a_step_that_fails_is_told_by_its_name(wdl_runs: EngineRuns, task: str, expected: str) -> None:
    document = f"version 1.1\nworkflow w {{ call t }}\ntask t {{\n  {task}\n}}\n"
    reason = wdl_runs.new({"main.wdl": document}).start().reason()
    assert re.search(expected, reason, re.DOTALL), reason
    assert "root:" not in reason


def test_a_step_that_asks_for_the_size_of_a_file_on_the_web_is_told_with_its_url(wdl_runs: EngineRuns) -> None:
    task = "task t { input { File f } Float gb = size(f, 'GB') command <<< true >>> }"
    run = wdl_runs.new({"main.wdl": f"version 1.1\n{task}\n"}, {"f": "https://example.org/reads.fq"}).start()
    told = "it asks for the size of https://example.org/reads.fq, but this server gives engines no network; attach the"
    assert told in run.reason(), run.reason()
    assert "/mnt/wes" not in run.reason()


def test_a_step_in_a_subworkflow_is_told_with_the_way_to_it(wdl_runs: EngineRuns) -> None:
    task = "task t { input { Int i } command <<< exit ~{i} >>> }"
    sub = f"version 1.1\nworkflow sub {{ scatter (i in [0, 5]) {{ call t {{ input: i = i }} }} }}\n{task}"
    document = 'version 1.1\nimport "sub.wdl"\nworkflow w { call sub.sub as inner }'
    run = wdl_runs.new({"main.wdl": document, "sub.wdl": sub}).start()
    assert run.reason().startswith("the step 'inner.t_2' (task ")
    failure = json.loads((run.folder.work / ".wes" / "failure.json").read_text())
    assert (failure["kind"], failure["step"], failure["exit_code"]) == ("step", "inner.t_2", 5)


@pytest.mark.parametrize("name", ["read_string", "read_lines"])
def test_a_workflow_reads_only_files_that_it_was_given(wdl_runs: EngineRuns, name: str) -> None:
    document = (
        f'version 1.1\nworkflow w {{ String p = "/etc/passwd"  output {{ Array[String] s = flatten([{name}(p)]) }} }}'
    )
    if name == "read_string":
        document = 'version 1.1\nworkflow w { String p = "/etc/passwd"  output { String s = read_string(p) } }'
    reason = wdl_runs.new({"main.wdl": document}).start().reason()
    assert "not expressly supplied" in reason or "File" in reason
    assert "root:" not in reason

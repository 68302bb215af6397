"""A run that failed is mended and resumed, in each language: what was done is not done again, what was mended is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import started_wes
from tests.acceptance.stack import Wes, attachment
from tests.engine_fixtures import install_for_tests
from tests.http_client import http

CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}, InlineJavascriptRequirement: {}}
inputs: {words: 'string[]', tail: File}
outputs: {all: {type: File, outputSource: join/all}}
steps:
  shout:
    scatter: word
    in: {word: words}
    out: [loud]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'date +%N > when; echo "$0" | tr a-z A-Z']
      inputs: {word: {type: string, inputBinding: {}}}
      outputs: {loud: stdout}
  stamp:
    in: {loud: shout/loud}
    out: [stamped]
    run:
      class: CommandLineTool
      requirements: {InitialWorkDirRequirement: {listing: [{entry: '$(inputs.loud[0])', entryname: first}]}}
      baseCommand: [sh, -c, 'cat first "$2" > stamped; date +%N >> stamped', sh]
      inputs: {loud: {type: 'File[]', inputBinding: {}}}
      outputs: {stamped: {type: File, outputBinding: {glob: stamped}}}
  join:
    in: {stamped: stamp/stamped, tail: tail}
    out: [all]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'grep -q fine "$1" >&2 && cat "$0" "$1"']
      stdout: all.txt
      inputs: {stamped: {type: File, inputBinding: {position: 1}}, tail: {type: File, inputBinding: {position: 2}}}
      outputs: {all: stdout}
"""

WDL = """\
version 1.1
workflow w {
  input { Array[String] words  File tail }
  scatter (word in words) { call shout { input: word } }
  call stamp { input: loud = shout.loud, words = write_lines(words) }
  call join { input: stamped = stamp.stamped, tail }
  output { File all = join.all }
}
task shout {
  input { String word }
  command <<< date +%N > when; echo ~{word} | tr a-z A-Z >>>
  output { File loud = stdout() }
}
task stamp {
  input { Array[File] loud  File words }
  command <<< cat ~{sep(' ', loud)} > stamped; date +%N >> stamped >>>
  output { File stamped = "stamped" }
}
task join {
  input { File stamped  File tail }
  command <<< set -e; grep -q fine ~{tail} >&2; cat ~{stamped} ~{tail} > all.txt >>>
  output { File all = "all.txt" }
}
"""

SNAKEMAKE = """\
rule all:
    input: "all.txt"
rule shout:
    output: "loud/{word}.txt"
    shell: "echo {wildcards.word} | tr a-z A-Z > {output}"
rule stamp:
    input: expand("loud/{word}.txt", word=config["words"])
    output: "stamped"
    log: "stamp.log"
    shell: "(cat {input}; date +%N) > {output} 2> {log}"
rule join:
    input: stamped="stamped", tail="tail.txt"
    output: "all.txt"
    shell: "grep -q fine {input.tail} >&2; cat {input.stamped} {input.tail} > {output}"
"""

NEXTFLOW = """\
process shout {
    input: val word
    output: path 'loud.txt'
    script: "date +%N > when; echo $word | tr a-z A-Z > loud.txt"
}
process stamp {
    input: path loud, stageAs: 'in?.txt'
    output: path 'stamped'
    script: "cat $loud > stamped; date +%N >> stamped"
}
process join {
    publishDir 'results'
    input: path stamped; path tail
    output: path 'all.txt'
    script: "grep -q fine $tail >&2; cat $stamped $tail > all.txt"
}
workflow {
    shout(Channel.fromList(params.words))
    stamp(shout.out.toSortedList())
    join(stamp.out, file(params.tail))
}
"""


WES = [sys.executable, "-m", "wes_cli.main"]


@dataclass(frozen=True, kw_only=True)
class Language:
    kind: str
    version: str
    name: str
    text: str
    params: Any


FILE = {"class": "File", "path": "tail.txt"}
LANGUAGES = [
    Language(kind="CWL", version="v1.2", name="main.cwl", text=CWL, params={"words": ["a", "b"], "tail": FILE}),
    Language(kind="WDL", version="1.1", name="main.wdl", text=WDL, params={"words": ["a", "b"], "tail": "tail.txt"}),
    Language(kind="SMK", version="8", name="Snakefile", text=SNAKEMAKE, params={"words": ["a", "b"]}),
    Language(
        kind="NFL", version="DSL2", name="main.nf", text=NEXTFLOW, params={"words": ["a", "b"], "tail": "tail.txt"}
    ),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[Wes]:
    for engine in ("cwl", "wdl", "snakemake", "nextflow"):
        install_for_tests(engine)
    with started_wes() as started:
        yield started


def form_of(language: Language) -> dict[str, str]:
    return {
        "workflow_type": language.kind,
        "workflow_type_version": language.version,
        "workflow_url": language.name,
        "workflow_params": json.dumps(language.params),
    }


def failed_run(wes: Wes, language: Language) -> str:
    # As long as the mended one.
    run_id = wes.submit(form_of(language), [attachment(language.name, language.text), attachment("tail.txt", "poor\n")])
    log = wes.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR", log["run_log"]["system_logs"]
    assert "join" in log["run_log"]["system_logs"][0]
    return run_id


def resume(wes: Wes, run_id: str) -> Any:
    """The log of the run that resumes it."""
    answer = http.post(f"{wes.url}/runs/{run_id}/resume")
    assert answer.status_code == 200, answer.text
    return wes.wait(answer.json()["run_id"])


def origins(wes: Wes, run_id: str) -> list[tuple[str, bool]]:
    """Each step, and whether it was reused."""
    tasks = wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    return sorted((task["name"].split(" ")[0], "reused_from" in task) for task in tasks)


def resume_mended(wes: Wes, run_id: str, language: Language, folder: Path) -> Any:
    """The log of the run that resumes it by `wes resume`, as a person mends a workflow."""
    (folder / language.name).write_text(language.text.replace("grep -q", "grep -c"))
    (folder / "tail.txt").write_text("fine\n")
    command = [*WES, "resume", run_id, "--server", wes.url, "--workflow", language.name, "--attach", "tail.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all.txt" in done.stdout
    (run,) = wes.get("/runs?page_size=1")["runs"]
    return wes.get(f"/runs/{run['run_id']}")


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.kind)
def test_a_mended_run_does_only_what_was_not_done(stack: Wes, language: Language, tmp_path: Path) -> None:
    parent = failed_run(stack, language)
    log = resume_mended(stack, parent, language, tmp_path)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert log["resumed_from"] == parent
    found = origins(stack, log["run_id"])
    assert [reused for name, reused in found if not name.startswith("join")] == [True] * 3, found
    assert [reused for name, reused in found if name.startswith("join")] == [False], found
    (output,) = stack.get(f"/runs/{log['run_id']}/outputs")["outputs"]
    lines = http.get(output["url"]).text.splitlines()
    assert (sorted(lines[:2]), lines[3]) == (["A", "B"], "fine")
    before = next(path for path in stack.data.glob(f"runs/{parent}/work/**/stamped") if path.is_file())
    assert before.read_text().splitlines()[2] == lines[2]
    # All of it was done by now.
    again = resume(stack, log["run_id"])
    assert {reused for _, reused in origins(stack, again["run_id"])} == {True}
    (output,) = stack.get(f"/runs/{again['run_id']}/outputs")["outputs"]
    assert http.get(output["url"]).text.splitlines() == lines


def test_a_run_takes_what_any_run_has_done_only_where_it_says_so(stack: Wes) -> None:
    language, parts = LANGUAGES[0], [attachment("main.cwl", CWL), attachment("tail.txt", "fine indeed\n")]
    reused = []
    for parameters in ({}, {}, {"reuse": True}, {"reuse": False}):
        form = {**form_of(language), "workflow_engine_parameters": json.dumps(parameters)}
        log = stack.wait(stack.submit(form, parts))
        assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
        reused.append(sum(done for _, done in origins(stack, log["run_id"])))
    assert reused == [0, 0, 4, 0]

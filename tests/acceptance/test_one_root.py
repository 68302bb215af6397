"""Every run is seen at one root, by its engine, its tasks and whoever reads about them, wherever it lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from common.engine import RUN_ROOT
from tes.task import TAG_KEY
from tests.acceptance.nextflow.running import Nextflow
from tests.acceptance.snakemake.conftest import snakemake_installations, wes_with_snakemake
from tests.acceptance.stack import Wes, attachment
from tests.acceptance.wdl.conftest import wait_for_engine
from tests.http_client import http
from tests.wdl_fixtures import wdl_installation

__all__ = ["snakemake_installations", "wdl_installation", "wes_with_snakemake"]

CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}
inputs: {text: File}
outputs:
  said: {type: File, outputSource: second/said}
steps:
  first:
    run: &tool
      class: CommandLineTool
      baseCommand: cat
      inputs: {text: {type: File, inputBinding: {}}, where: 'string?'}
      stdout: said.txt
      outputs: {said: stdout}
    in: {text: text, where: {source: text, valueFrom: $(self.location)}}
    out: [said]
  second:
    run: *tool
    in: {text: first/said, where: {source: first/said, valueFrom: $(self.location)}}
    out: [said]
"""
SNAKEMAKE = """\
from pathlib import Path
print("the engine is in", Path.cwd(), "of", workflow.basedir)
rule second:
    input: "first.txt", "text.txt"
    output: "said.txt"
    shell: "readlink -f {input} > {output}; pwd >> {output}"
rule first:
    input: "text.txt"
    output: "first.txt"
    shell: "cat {input} > {output}"
"""
NEXTFLOW = """\
println "the engine is in $launchDir of $projectDir"
process FIRST {
  input: path text
  output: path 'first.txt'
  script: "cat $text > first.txt"
}
process SECOND {
  publishDir 'results'
  input: path first
  output: path 'said.txt'
  script: "readlink -f $first > said.txt; pwd >> said.txt"
}
workflow { SECOND(FIRST(file('text.txt'))) }
"""
WDL = """\
version 1.1
task say {
  input { File text }
  command <<< cat ~{text} >>>
  output { File said = stdout() }
}
workflow w {
  input { File text }
  call say as first { input: text = text }
  call say as second { input: text = first.said }
  output { File said = second.said }
}
"""


@dataclass(frozen=True, kw_only=True)
class Language:
    """A workflow of two steps, of which the second reads what the first wrote."""

    type: str
    version: str
    url: str
    text: str
    params: Mapping[str, Any]


TEXT = {"class": "File", "location": "text.txt"}
LANGUAGES = {
    "cwl": Language(type="CWL", version="v1.2", url="main.cwl", text=CWL, params={"text": TEXT}),
    "snakemake": Language(type="SMK", version="9", url="Snakefile", text=SNAKEMAKE, params={}),
    "nextflow": Language(type="NFL", version="DSL2", url="main.nf", text=NEXTFLOW, params={}),
    "wdl": Language(type="WDL", version="1.1", url="main.wdl", text=WDL, params={"w.text": TEXT}),
}


@pytest.fixture(scope="module")
def service(nextflow_installation: object, wdl_installation: object, wes_with_snakemake: Wes) -> Wes:
    """The shared one, with all engines."""
    Nextflow(wes=wes_with_snakemake).wait_until_listed()
    wait_for_engine(wes_with_snakemake)
    return wes_with_snakemake


@dataclass(frozen=True, kw_only=True)
class Shown:
    """All that a run shows: its log, its tasks in full, and what its engine and its tasks printed."""

    log: Mapping[str, Any]
    tasks: tuple[Mapping[str, Any], ...]
    printed: tuple[str, ...]

    @property
    def text(self) -> str:
        """As one text to look for something in."""
        return json.dumps([self.log, self.tasks, self.printed])

    def output(self, name: str) -> str:
        return http.get(self.log["outputs"][name]["location"]).text

    def keys(self) -> list[str]:
        return sorted(task["tags"][TAG_KEY] for task in self.tasks)


@pytest.fixture(scope="module")
def twice(service: Wes) -> Mapping[str, tuple[Shown, Shown]]:
    """Each workflow as two runs, by its language."""
    ids = {name: [_submit(service, one) for _ in range(2)] for name, one in LANGUAGES.items()}
    shown = {name: [_shown(service, run_id) for run_id in both] for name, both in ids.items()}
    return {name: (first, second) for name, (first, second) in shown.items()}


def _submit(wes: Wes, language: Language) -> str:
    form = {
        "workflow_type": language.type,
        "workflow_type_version": language.version,
        "workflow_url": language.url,
        "workflow_params": json.dumps(language.params),
    }
    return wes.submit(form, [attachment(language.url, language.text), attachment("text.txt", "a text\n")])


def _shown(wes: Wes, run_id: str) -> Shown:
    log = wes.wait(run_id, seconds=240)
    assert log["state"] == "COMPLETE", (log["run_log"]["system_logs"], http.get(log["run_log"]["stderr"]).text)
    listed = wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    tasks = [http.get(one["tes_uri"], params={"view": "FULL"}).json() for one in listed]
    streams = [http.get(one[name]).text for one in (log["run_log"], *listed) for name in ("stdout", "stderr")]
    return Shown(log={**log, "listed": listed}, tasks=tuple(tasks), printed=tuple(streams))


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_same_workflow_gives_its_steps_the_same_keys_in_every_run(
    twice: Mapping[str, tuple[Shown, Shown]], name: str
) -> None:
    first, second = twice[name]
    assert first.keys() == second.keys()
    assert len(set(first.keys())) == 2


@pytest.mark.parametrize("name", LANGUAGES)
def test_nothing_that_a_run_shows_tells_where_it_lies_on_the_machine(
    twice: Mapping[str, tuple[Shown, Shown]], service: Wes, name: str
) -> None:
    for shown in twice[name]:
        assert str(service.data) not in shown.text
        urls = [one["url"] for task in shown.tasks for one in (*task["inputs"], *task["outputs"]) if "url" in one]
        assert urls
        assert [url for url in urls if not url.startswith(f"file://{RUN_ROOT}/")] == []


@pytest.mark.parametrize(("name", "output"), [("snakemake", "said.txt"), ("nextflow", "said.txt")])
def test_an_engine_and_its_tasks_see_the_run_at_the_same_paths(
    twice: Mapping[str, tuple[Shown, Shown]], name: str, output: str
) -> None:
    first, second = twice[name]
    assert first.output(output) == second.output(output)
    work = f"{RUN_ROOT}/work"
    assert all(line.startswith((work, f"{RUN_ROOT}/attachments/")) for line in first.output(output).split())
    assert f"the engine is in {work} of {RUN_ROOT}/attachments" in "".join(first.printed)


def test_what_the_engine_can_read_of_its_tasks_names_the_root_only(service: Wes) -> None:
    """Asked by a Snakefile itself, as an engine's own client asks."""
    asks = """
import json, urllib.request
from pathlib import Path
def ask(path, body=None):
    headers = {"Authorization": "Bearer " + Path("../control/tes-token").read_text().strip(),
               "Content-Type": "application/json", "Prefer": "wait=10"}
    url = "http://127.0.0.1:8765/ga4gh/tes/v1" + path
    request = urllib.request.Request(url, body and json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request, timeout=60))
if not Path("seen.json").exists():
    link = Path("link.txt")
    link.symlink_to("/wes/run/work/text.txt")
    Path("plain").touch()
    task = {"name": "direct", "executors": [{"image": "debian", "command": ["sh", "-c", "cp /in/x /out/f"]}],
        "inputs": [{"url": "file:///wes/run/work/link.txt", "path": "/in/x", "type": "FILE"}],
        "outputs": [{"url": "file:///wes/run/work/plain/out.txt", "path": "/out/f", "type": "FILE"}]}
    name = ask("/tasks", task)["id"]
    while ask("/tasks/" + name)["state"] not in ("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR"):
        pass
    Path("seen.json").write_text(json.dumps([ask("/tasks/" + name + "?view=FULL"), ask("/tasks?view=FULL")]))
rule all:
    output: "done.txt"
    shell: "touch {output}"
"""
    form = {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": "Snakefile"}
    run_id = service.submit(form, [attachment("Snakefile", asks), attachment("text.txt", "a text\n")])
    log = service.wait(run_id, seconds=240)
    assert log["state"] == "COMPLETE", http.get(log["run_log"]["stderr"]).text
    seen = (service.data / "runs" / run_id / "work" / "seen.json").read_text()
    assert str(service.data) not in seen
    task = json.loads(seen)[0]
    assert task["inputs"][0]["url"] == f"file://{RUN_ROOT}/attachments/text.txt"
    assert f"could not be written to {RUN_ROOT}/work/plain/out.txt" in " ".join(task["logs"][-1]["system_logs"])

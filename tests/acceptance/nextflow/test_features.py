"""What Nextflow workflows can do, each through WES and TES over HTTP."""

import json
from typing import Any

import pytest

from tests.acceptance.nextflow.running import Nextflow
from tests.http_client import http

HELLO = """\
process HELLO {
  tag "$name"
  publishDir 'results'
  input: val name
  output: path "${name}.txt"
  script: "echo hello $name > ${name}.txt"
}
workflow { HELLO(channel.fromList(params.names)) }
"""


def test_it_is_listed_with_its_type_its_version_and_its_parameters(nextflow: Nextflow) -> None:
    info = nextflow.wes.get("/service-info")
    assert info["workflow_type_versions"]["NFL"]["workflow_type_version"] == ["DSL2", "1.0"]
    assert info["workflow_engine_versions"]["nextflow"]["workflow_engine_version"] == ["25.04.4"]
    names = {each["name"] for each in info["default_workflow_engine_parameters"]}
    assert {"profile", "entry", "stub"} <= {name.rsplit(".", 1)[-1] for name in names}


def test_each_task_of_a_process_is_a_task_with_the_workflows_own_name(nextflow: Nextflow) -> None:
    ended = nextflow.complete(HELLO, params={"names": ["ann", "bob"]})
    assert ended.names() == ["HELLO (ann)", "HELLO (bob)"]
    assert {task["exit_code"] for task in ended.tasks} == {0}
    assert sorted(ended.outputs) == ["ann.txt", "bob.txt"]
    assert ended.text("bob.txt") == "hello bob\n"
    assert ended.outputs["bob.txt"]["size"] == 10
    assert "bubblewrap" in " ".join(ended.system)


@pytest.mark.parametrize(
    "fields", [{"workflow_type": "Nextflow"}, {"workflow_type": "nfl", "workflow_type_version": "1.0"}]
)
def test_other_spellings_of_the_type_are_taken(nextflow: Nextflow, fields: dict[str, Any]) -> None:
    ended = nextflow.complete(HELLO, params={"names": ["x"]}, **fields)
    assert ended.log["request"]["workflow_type"] == fields["workflow_type"]


BIN = """\
process TOOL {
  publishDir 'results'
  input: path 'in.txt'
  output: path 'out.txt'
  script: "shout.sh in.txt > out.txt"
}
workflow { TOOL(file('data/a.txt')) }
"""


def test_programs_in_bin_are_on_the_path_of_tasks(nextflow: Nextflow) -> None:
    files = {"bin/shout.sh": "#!/bin/sh\ntr a-z A-Z < $1\n", "data/a.txt": "quiet\n"}
    assert nextflow.complete(BIN, files).text("out.txt") == "QUIET\n"


GLOBS = """\
process SPLIT {
  input: path f
  output: path 'part_*.txt'
  script: "split -l 1 --additional-suffix=.txt ${f} part_"
}
process JOIN {
  publishDir 'results', mode: 'copy'
  input: path parts, stageAs: 'p?/*'
  output: path 'all.txt'
  script: "cat ${parts} | sort > all.txt"
}
workflow {
  SPLIT(channel.fromPath('reads/*.txt'))
  JOIN(SPLIT.out.flatten().collect())
}
"""


def test_globs_of_inputs_and_of_outputs(nextflow: Nextflow) -> None:
    ended = nextflow.complete(GLOBS, {"reads/a b.txt": "1\n2\n", "reads/c.txt": "3\n", "reads/d.csv": "4\n"})
    assert ended.text("all.txt") == "1\n2\n3\n"
    assert len(ended.tasks) == 3


FOLDERS = """\
process MAKE {
  input: path whole
  output: path 'made'
  script: "mkdir -p made/inner; cp ${whole}/x.txt made/inner/; ln -s ../${whole}/y.txt made/linked"
}
process READ {
  publishDir 'results', mode: 'copy'
  input: path folder
  output: path 'seen.txt'
  script: "cat ${folder}/inner/x.txt ${folder}/linked > seen.txt"
}
process KEEP {
  publishDir 'results', mode: 'copy'
  output: path 'kept'
  script: "mkdir kept; echo a > kept/a; mkdir kept/deep; echo b > kept/deep/b"
}
workflow { MAKE(file('shelf')) | READ; KEEP() }
"""


def test_directories_and_links_in_them_go_from_task_to_task(nextflow: Nextflow) -> None:
    ended = nextflow.complete(FOLDERS, {"shelf/x.txt": "x\n", "shelf/y.txt": "y\n"})
    assert ended.text("seen.txt") == "x\ny\n"
    kept = ended.outputs["kept"]
    assert kept["class"] == "Directory"
    assert [item["basename"] for item in kept["listing"]] == ["a", "deep"]


PUBLISH = """\
process MAKE {
  publishDir 'results/copied', mode: 'copy', pattern: '*.tsv'
  publishDir 'elsewhere', mode: 'move', pattern: '*.log', saveAs: { name -> "named/$name" }
  output: path '*'
  script: "echo t > a.tsv; echo l > a.log"
}
workflow { MAKE() }
"""


def test_published_files_are_named_by_their_path_from_the_results_folder(nextflow: Nextflow) -> None:
    ended = nextflow.complete(PUBLISH)
    assert sorted(ended.outputs) == ["copied/a.tsv", "elsewhere/named/a.log"]
    assert ended.text("elsewhere/named/a.log") == "l\n"


NAMED = """\
nextflow.preview.output = true
process MAKE {
  input: val n
  output: tuple val(n), path("${n}.txt")
  script: "echo $n > ${n}.txt"
}
workflow {
  main:
  MAKE(channel.of('a', 'b'))
  publish:
  made = MAKE.out
}
output {
  made { path 'made' }
}
"""


def test_workflow_outputs_have_their_own_names(nextflow: Nextflow) -> None:
    ended = nextflow.complete(NAMED)
    assert list(ended.outputs) == ["made"]
    made = dict(ended.outputs["made"])
    assert set(made) == {"a", "b"}
    assert made["a"]["class"] == "File"
    assert made["a"]["size"] == 2


RETRY = """\
process FLAKY {
  errorStrategy { task.exitStatus == 5 ? 'retry' : 'terminate' }
  maxRetries 2
  memory { 100.MB * task.attempt }
  output: stdout
  script: "echo attempt ${task.attempt}; [ ${task.attempt} = 3 ] || exit 5"
}
workflow { FLAKY() | view }
"""


def test_attempts_of_a_retried_step_are_tasks_that_say_so(nextflow: Nextflow) -> None:
    ended = nextflow.complete(RETRY)
    assert [task["name"] for task in ended.tasks] == ["FLAKY"] * 3
    assert [task["exit_code"] for task in ended.tasks] == [5, 5, 0]
    assert "attempt 3" in ended.stdout


IGNORE = """\
process MAYBE {
  errorStrategy 'ignore'
  input: val x
  output: stdout
  script: "[ $x != 2 ] && echo got $x"
}
workflow { MAYBE(channel.of(1, 2, 3)).collect() | view }
"""


def test_a_failure_that_the_workflow_ignores_does_not_fail_the_run(nextflow: Nextflow) -> None:
    ended = nextflow.complete(IGNORE)
    assert sorted(task["exit_code"] for task in ended.tasks) == [0, 0, 1]
    progress = json.loads((nextflow.wes.data / "runs" / ended.run_id / "work/.wes/progress.json").read_text())
    assert progress == {"known": 3, "running": 0, "done": 2, "failed": 1, "cached": 0}


PARAMS = """\
params.text = 'default'
params.more = 'default'
process SHOW {
  publishDir 'results'
  input: path reads
  output: path 'shown.txt'
  script:
  '''
  cat *.fastq > shown.txt
  '''
}
workflow {
  println "params: ${params.text}, ${params.number + 1}, ${params.deep.b}, ${params.more}"
  SHOW(file(params.reads, checkIfExists: true))
}
"""


@pytest.mark.parametrize("reads", ["data/a.fastq", {"class": "File", "location": "data/a.fastq"}])
def test_params_are_workflow_params_and_files_are_found_beside_the_workflow(nextflow: Nextflow, reads: object) -> None:
    params = {"text": "it's $x", "number": 41, "deep": {"b": True}, "reads": reads}
    ended = nextflow.complete(PARAMS, {"data/a.fastq": "ACGT\n"}, params=params)
    assert ended.text("shown.txt") == "ACGT\n"
    assert "params: it's $x, 42, true, default" in ended.stdout


PROFILES = """\
profiles {
  one { params.chosen = 'one' }
  two { params.more = 'two' }
}
params.chosen = 'none'
params.more = 'none'
"""


def test_profiles_of_the_workflows_config(nextflow: Nextflow) -> None:
    workflow = 'workflow { println "chosen ${params.chosen} ${params.more}" }\n'
    files = {"nextflow.config": PROFILES}
    assert "chosen none none" in nextflow.complete(workflow, files).stdout
    assert "chosen one two" in nextflow.complete(workflow, files, parameters={"profile": "one,two"}).stdout


MODULE = """\
def upper(text) { text.toUpperCase() }
process STEP {
  publishDir "results"
  input: tuple val(name), path(template)
  output: path "${name}.out"
  script: "cat $template > '${name}.out'; cat '${moduleDir}/extra.txt' >> ${name}.out || true"
}
workflow PIECE {
  take: names
  main: STEP(names.map { [upper(it), file("$projectDir/assets/t.txt")] })
  emit: STEP.out
}
"""
LAYOUT = {
    "flow/main.nf": "include { PIECE as PART; upper } from './modules/piece'\nworkflow { PART(channel.of('a')) }\n"
    "workflow other { println upper('the other') }\n",
    "flow/modules/piece.nf": MODULE,
    "flow/assets/t.txt": "template\n",
    "flow/lib/Own.groovy": "class Own { static String word() { 'from lib' } }\n",
}


def test_modules_subworkflows_and_functions_in_folders_of_attachments(nextflow: Nextflow) -> None:
    ended = nextflow.ended(nextflow.submit(LAYOUT, url="flow/main.nf"))
    assert ended.state == "COMPLETE", ended.system
    assert ended.names() == ["PART:STEP (1)"]
    assert ended.text("A.out") == "template\n"


def test_a_fragment_of_the_url_names_the_entry_workflow(nextflow: Nextflow) -> None:
    ended = nextflow.ended(nextflow.submit(LAYOUT, url="flow/main.nf#other"))
    assert ended.state == "COMPLETE", ended.system
    assert "THE OTHER" in ended.stdout


def test_classes_in_lib_and_config_that_includes_config(nextflow: Nextflow) -> None:
    files = {
        "lib/Own.groovy": "class Own { static String word() { 'from lib' } }\n",
        "nextflow.config": "includeConfig 'conf/base.config'\n",
        "conf/base.config": "params.from = 'from conf'\n",
    }
    ended = nextflow.complete("workflow { println Own.word() + ', ' + params.from }\n", files)
    assert "from lib, from conf" in ended.stdout


STUB = """\
process REAL {
  publishDir 'results'
  output: path 'o.txt'
  script: "exit 9"
  stub: "echo stub > o.txt"
}
workflow { REAL() }
"""


def test_stubs_run_in_place_of_scripts_where_asked_for(nextflow: Nextflow) -> None:
    assert nextflow.complete(STUB, parameters={"stub": "true"}).text("o.txt") == "stub\n"
    assert nextflow.run(STUB).state == "EXECUTOR_ERROR"


OTHER = """\
process PYTHON {
  input: val x
  output: stdout
  script:
  '''
  #!/usr/bin/env python3
  print("python", 6 * 7)
  '''
}
process TEMPLATE {
  output: stdout
  script: template 'say.sh'
}
process ENV {
  output: env('FOUND'), emit: found
  script: "FOUND=by_env"
}
process STDIN {
  input: stdin
  output: stdout
  script: "tr a-z A-Z"
}
workflow {
  PYTHON(1).view()
  TEMPLATE().view()
  ENV().view()
  STDIN(channel.of('from stdin')).view()
}
"""


def test_other_interpreters_templates_environment_and_standard_input(nextflow: Nextflow) -> None:
    said = nextflow.complete(OTHER, {"templates/say.sh": "#!/bin/bash\necho from template\n"}).stdout
    for wanted in ("python 42", "from template", "by_env", "FROM STDIN"):
        assert wanted in said


RESOURCES = """\
process BIG {
  cpus 2
  memory '1500 MB'
  disk '3 GB'
  container 'docker.io/library/debian:12'
  scratch true
  publishDir 'results'
  output: path 'x.txt'
  script: "echo \\$PWD > x.txt"
}
workflow { BIG() }
"""


def test_resources_and_images_are_asked_of_the_tes_and_scratch_is_left_behind(nextflow: Nextflow) -> None:
    ended = nextflow.complete(RESOURCES)
    task = http.get(ended.tasks[0]["tes_uri"], params={"view": "FULL"}).json()
    assert task["resources"]["cpu_cores"] == 2
    assert task["resources"]["ram_gb"] == pytest.approx(1.572864)
    assert task["executors"][0]["image"] == "docker.io/library/debian:12"
    assert "nxf" in ended.text("x.txt")


LONG = """\
process SLOW {
  time '1s'
  script: "sleep 600"
}
workflow { SLOW() }
"""


def test_a_time_limit_ends_a_task(nextflow: Nextflow) -> None:
    ended = nextflow.run(LONG)
    assert ended.state == "EXECUTOR_ERROR"
    assert "The process 'SLOW' failed: it ran for longer than its time limit of 1s" in ended.reason
    assert nextflow.task_states(ended.run_id) == ["CANCELED"]


STORE = """\
process ONCE {
  storeDir 'store'
  output: path 'kept.txt'
  script: "echo kept > kept.txt"
}
process NEXT {
  publishDir 'results'
  input: path 'k.txt'
  output: path 'o.txt'
  script: "cat k.txt > o.txt"
}
workflow { ONCE() | NEXT }
"""


def test_a_store_folder_outside_of_the_task(nextflow: Nextflow) -> None:
    assert nextflow.complete(STORE).text("o.txt") == "kept\n"


CODE = """\
process COUNT {
  input: val x
  output: val y
  exec: y = x * 2
}
process SCRIPT {
  input: val y
  output: stdout
  script: "echo got $y"
}
workflow { COUNT(21) | SCRIPT | view }
"""


def test_exec_blocks_run_inside_the_engine_and_the_system_log_names_them(nextflow: Nextflow) -> None:
    ended = nextflow.complete(CODE)
    assert ended.names() == ["SCRIPT"]
    assert "got 42" in ended.stdout
    assert "The process COUNT has an exec: block: it runs inside the engine, not as a task." in ended.system


LOCAL = """\
process HERE { executor 'local'
  script: "true" }
process THERE { executor 'slurm'
  script: "true" }
workflow { HERE(); THERE() }
"""
OVERRIDING = """\
process { executor = 'awsbatch'; withName: '.*' { executor = 'local' } }
executor { name = 'k8s' }
docker.enabled = true
singularity.enabled = true
conda.enabled = true
wave.enabled = true
workDir = '/tmp/elsewhere'
"""


def test_whatever_executor_a_workflow_or_its_config_names_it_is_the_tes(nextflow: Nextflow) -> None:
    ended = nextflow.complete(LOCAL)
    assert ended.names() == ["HERE", "THERE"]
    assert "The process THERE asks for the executor 'slurm': it runs as TES tasks." in ended.system
    ended = nextflow.complete(LOCAL, {"nextflow.config": OVERRIDING})
    assert ended.names() == ["HERE", "THERE"]

"""What Nextflow workflows can do, each through WES and TES over HTTP.

An engine takes seconds of a processor to start: what can go in one workflow does, and each test looks at its part.
"""

import json

import pytest

from tests.acceptance.nextflow.running import Ended, Nextflow
from tests.fakes.web_server import web_site
from tests.http_client import http

HELLO = """\
process HELLO {
  tag "$name"
  publishDir 'results'
  input: val name
  output: path "${name}.txt"
  script: "echo hello $name > ${name}.txt"
}
"""
BIN = """\
process TOOL {
  publishDir 'results'
  input: path 'in.txt'
  output: path 'out.txt'
  script: "shout.sh in.txt > out.txt"
}
"""
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
"""
FOLDERS = """\
process FOLDER {
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
"""
PUBLISH = """\
process PUBLISH {
  publishDir 'results/copied', mode: 'copy', pattern: '*.tsv'
  publishDir 'elsewhere', mode: 'move', pattern: '*.log', saveAs: { name -> "named/$name" }
  output: path '*'
  script: "echo t > a.tsv; echo l > a.log"
}
"""
RETRY = """\
process FLAKY {
  errorStrategy { task.exitStatus == 5 ? 'retry' : 'terminate' }
  maxRetries 2
  memory { 100.MB * task.attempt }
  output: stdout
  script: "echo attempt ${task.attempt}; [ ${task.attempt} = 3 ] || exit 5"
}
"""
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
"""
STUB = """\
process REAL {
  publishDir 'results'
  output: path 'real.txt'
  script: "echo script > real.txt; exit ${params.exit}"
  stub: "echo stub > real.txt"
}
"""
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
"""
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
"""
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
"""
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
"""
LOCAL = """\
process HERE { executor 'local'
  script: "true" }
process THERE { executor 'slurm'
  script: "true" }
"""
PROCESSES = HELLO + BIN + GLOBS + FOLDERS + PUBLISH + RETRY + PARAMS + STUB + OTHER + RESOURCES + STORE + CODE + LOCAL
WORKFLOW = """\
workflow {
  println "params: ${params.text}, ${params.number + 1}, ${params.deep.b}, ${params.more}"
  println "chosen ${params.chosen} ${params.chosen2}"
  println Own.word() + ', ' + params.from
  HELLO(channel.fromList(params.names))
  TOOL(file('data/a.txt'))
  SPLIT(channel.fromPath('reads/*.txt'))
  JOIN(SPLIT.out.flatten().collect())
  FOLDER(file('shelf')) | READ
  KEEP()
  PUBLISH()
  FLAKY() | view
  SHOW(file(params.reads, checkIfExists: true))
  REAL()
  PYTHON(1).view()
  TEMPLATE().view()
  ENV().view()
  STDIN(channel.of('from stdin')).view()
  BIG()
  ONCE() | NEXT
  COUNT(21) | SCRIPT | view
  HERE()
  THERE()
}
"""
CONFIG = """\
includeConfig 'conf/base.config'
params.chosen = 'none'
params.chosen2 = 'none'
params.exit = 0
profiles {
  one { params.chosen = 'one' }
  two { params.chosen2 = 'two' }
}
"""
FILES = {
    "main.nf": PROCESSES + WORKFLOW,
    "nextflow.config": CONFIG,
    "conf/base.config": "params.from = 'from conf'\n",
    "lib/Own.groovy": "class Own { static String word() { 'from lib' } }\n",
    "bin/shout.sh": "#!/bin/sh\ntr a-z A-Z < $1\n",
    "templates/say.sh": "#!/bin/bash\necho from template\n",
    "data/a.txt": "quiet\n",
    "data/a.fastq": "ACGT\n",
    "reads/a b.txt": "1\n2\n",
    "reads/c.txt": "3\n",
    "reads/d.csv": "4\n",
    "shelf/x.txt": "x\n",
    "shelf/y.txt": "y\n",
}
VALUES = {"names": ["ann", "bob"], "text": "it's $x", "number": 41, "deep": {"b": True}}

IGNORE = """\
process MAYBE {
  errorStrategy 'ignore'
  input: val x
  output: stdout
  script: "[ $x != 2 ] && echo got $x"
}
"""
OVERRIDING = """\
process { executor = 'awsbatch'; withName: '.*' { executor = 'local' } }
executor { name = 'k8s' }
docker.enabled = true
singularity.enabled = true
conda.enabled = true
wave.enabled = true
workDir = '/tmp/elsewhere'
profiles { one { params.more = 'one' } }
"""
SMALL = {
    "main.nf": IGNORE
    + PARAMS
    + LOCAL
    + """\
workflow {
  println "params: ${params.text}, ${params.more}"
  SHOW(file(params.reads, checkIfExists: true))
  MAYBE(channel.of(1, 2, 3)).collect() | view
  HERE()
  THERE()
}
""",
    "nextflow.config": OVERRIDING,
    "data/a.fastq": "ACGT\n",
}


@pytest.fixture(scope="module")
def everything(nextflow: Nextflow) -> Ended:
    """A workflow with nearly all that there is, in a profile, with a File among its params."""
    reads = {"class": "File", "location": "data/a.fastq"}
    parameters = {"profile": "one,two"}
    ended = nextflow.ended(
        nextflow.submit(FILES, params={**VALUES, "reads": reads}, parameters=parameters, workflow_type="Nextflow")
    )
    assert ended.state == "COMPLETE", (ended.system, ended.stdout)
    return ended


@pytest.fixture(scope="module")
def overridden(nextflow: Nextflow) -> Ended:
    """A small workflow whose config would have its tasks run elsewhere."""
    more = {"workflow_type": "nfl", "workflow_type_version": "1.0"}
    ended = nextflow.ended(nextflow.submit(SMALL, params={"reads": "data/a.fastq"}, **more))
    assert ended.state == "COMPLETE", (ended.system, ended.stdout)
    return ended


def tasks_of(ended: Ended, process: str) -> list[dict[str, object]]:
    """Of one process, oldest first."""
    return [dict(task) for task in ended.tasks if task["name"].split(" ")[0] == process]


def test_it_is_listed_with_its_type_its_version_and_its_parameters(nextflow: Nextflow) -> None:
    info = nextflow.wes.get("/service-info")
    assert info["workflow_type_versions"]["NFL"]["workflow_type_version"] == ["DSL2", "1.0"]
    assert info["workflow_engine_versions"]["nextflow"]["workflow_engine_version"] == ["25.04.4"]
    names = {each["name"] for each in info["default_workflow_engine_parameters"]}
    assert {"profile", "entry", "stub"} <= {name.rsplit(".", 1)[-1] for name in names}


def test_each_task_of_a_process_is_a_task_with_the_workflows_own_name(everything: Ended) -> None:
    tasks = tasks_of(everything, "HELLO")
    assert sorted(str(task["name"]) for task in tasks) == ["HELLO (ann)", "HELLO (bob)"]
    assert {task["exit_code"] for task in tasks} == {0}
    assert everything.text("bob.txt") == "hello bob\n"
    assert everything.outputs["bob.txt"]["size"] == 10
    assert "bubblewrap" in " ".join(everything.system)


def test_other_spellings_of_the_type_are_taken(everything: Ended, overridden: Ended) -> None:
    assert everything.log["request"]["workflow_type"] == "Nextflow"
    request = overridden.log["request"]
    assert (request["workflow_type"], request["workflow_type_version"]) == ("nfl", "1.0")


def test_programs_in_bin_are_on_the_path_of_tasks(everything: Ended) -> None:
    assert everything.text("out.txt") == "QUIET\n"


def test_globs_of_inputs_and_of_outputs(everything: Ended) -> None:
    assert everything.text("all.txt") == "1\n2\n3\n"
    assert len(tasks_of(everything, "SPLIT")) == 2
    assert len(tasks_of(everything, "JOIN")) == 1


def test_directories_and_links_in_them_go_from_task_to_task(everything: Ended) -> None:
    assert everything.text("seen.txt") == "x\ny\n"
    kept = everything.outputs["kept"]
    assert kept["class"] == "Directory"
    assert [item["basename"] for item in kept["listing"]] == ["a", "deep"]


def test_published_files_are_named_by_their_path_from_the_results_folder(everything: Ended) -> None:
    wanted = {"all.txt", "ann.txt", "bob.txt", "copied/a.tsv", "elsewhere/named/a.log", "kept", "o.txt", "out.txt"}
    assert set(everything.outputs) == wanted | {"real.txt", "seen.txt", "shown.txt", "x.txt"}
    assert everything.text("elsewhere/named/a.log") == "l\n"


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


def test_attempts_of_a_retried_step_are_tasks_that_say_so(everything: Ended) -> None:
    assert [task["exit_code"] for task in tasks_of(everything, "FLAKY")] == [5, 5, 0]
    assert "attempt 3" in everything.stdout


def test_a_failure_that_the_workflow_ignores_does_not_fail_the_run(nextflow: Nextflow, overridden: Ended) -> None:
    assert sorted(str(task["exit_code"]) for task in tasks_of(overridden, "MAYBE")) == ["0", "0", "1"]
    progress = json.loads((nextflow.wes.data / "runs" / overridden.run_id / "work/.wes/progress.json").read_text())
    assert progress == {"known": 6, "running": 0, "done": 5, "failed": 1, "cached": 0}


def test_params_are_workflow_params_and_files_are_found_beside_the_workflow(
    everything: Ended, overridden: Ended
) -> None:
    assert everything.text("shown.txt") == "ACGT\n"
    assert "params: it's $x, 42, true, default" in everything.stdout
    # As a plain text.
    assert overridden.text("shown.txt") == "ACGT\n"


def test_profiles_of_the_workflows_config(everything: Ended, overridden: Ended) -> None:
    assert "chosen one two" in everything.stdout
    assert "params: default, default" in overridden.stdout


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


def test_classes_in_lib_and_config_that_includes_config(everything: Ended) -> None:
    assert "from lib, from conf" in everything.stdout


def test_stubs_run_in_place_of_scripts_where_asked_for(nextflow: Nextflow, everything: Ended) -> None:
    assert everything.text("real.txt") == "script\n"
    workflow = STUB + "params.exit = 9\nworkflow { REAL() }\n"
    assert nextflow.complete(workflow, parameters={"stub": "true"}).text("real.txt") == "stub\n"


def test_other_interpreters_templates_environment_and_standard_input(everything: Ended) -> None:
    for wanted in ("python 42", "from template", "by_env", "FROM STDIN"):
        assert wanted in everything.stdout


def test_resources_and_images_are_asked_of_the_tes_and_scratch_is_left_behind(everything: Ended) -> None:
    (big,) = tasks_of(everything, "BIG")
    task = http.get(str(big["tes_uri"]), params={"view": "FULL"}).json()
    assert task["resources"]["cpu_cores"] == 2
    assert task["resources"]["ram_gb"] == pytest.approx(1.572864)
    assert task["executors"][0]["image"] == "docker.io/library/debian:12"
    assert "nxf" in everything.text("x.txt")


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


def test_a_store_folder_outside_of_the_task(everything: Ended) -> None:
    assert everything.text("o.txt") == "kept\n"


def test_exec_blocks_run_inside_the_engine_and_the_system_log_names_them(everything: Ended) -> None:
    assert len(tasks_of(everything, "SCRIPT")) == 1
    assert tasks_of(everything, "COUNT") == []
    assert "got 42" in everything.stdout
    assert "The process COUNT has an exec: block: it runs inside the engine, not as a task." in everything.system


def test_whatever_executor_a_workflow_or_its_config_names_it_is_the_tes(everything: Ended, overridden: Ended) -> None:
    assert {"HERE", "THERE"} <= set(everything.names())
    assert "The process THERE asks for the executor 'slurm': it runs as TES tasks." in everything.system
    assert overridden.names() == ["HERE", "MAYBE (1)", "MAYBE (2)", "MAYBE (3)", "SHOW", "THERE"]


AT_A_URL = """\
process READ {
  publishDir 'results'
  input: path reads
  output: path 'read.txt'
  script: "cat $reads | sed s/^/${reads.baseName}:/ > read.txt"
}
workflow { READ(file(params.reads)) }
"""


def test_an_input_at_a_url_is_the_business_of_the_tes_and_the_engine_need_not_reach_it(nextflow: Nextflow) -> None:
    with web_site() as site:
        site.pages["/reads.fq"] = "ACGT\n"
        # Private addresses are not for engines, but this one is for inputs of tasks.
        ended = nextflow.complete(AT_A_URL, params={"reads": f"http://127.0.0.1:{site.port}/reads.fq"})
        assert site.paths() == ["/reads.fq"]
    assert ended.text("read.txt") == "reads:ACGT\n"

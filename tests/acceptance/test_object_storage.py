"""A TES that shares no folder with the service: an S3 server stands between, all four engines."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import open_folder, started_wes
from tests.acceptance.replicas import PreloadedChild
from tests.acceptance.stack import Wes, attachment
from tests.acceptance.wdl.test_runs import submit as submit_wdl
from tests.acceptance.workflows import COUNT, ECHO, form, parts
from tests.engine_fixtures import install_for_tests
from tests.http_client import http
from tests.program_server import run_wes
from tests.s3_fixture import S3Server, real_s3
from tests.unit.examples.test_read_report import OUTPUTS
from tests.waiting import until
from wes_cli.demo import EXAMPLE, VARIANTS, Variant
from wes_cli.private_server import free_port
from wes_cli.programs import TES_BASE, Child, ChildSpec
from wes_cli.stack import answers_service_info

TES_PATIENCE = 40
"""Seconds: more than a server takes to start again on a busy machine, and what a test waits where one never does."""
MOVED_UP = {"PutObject", "CreateMultipartUpload"}
CHAIN = """\
cwlVersion: v1.2
class: Workflow
inputs: {bytes: int}
outputs:
  count: {type: File, outputSource: count/out}
steps:
  make:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'head -c "$0" /dev/zero | tr "\\\\0" x > made; cp made "made too #%.txt"']
      inputs: {bytes: {type: int, inputBinding: {position: 1}}}
      outputs: {out: {type: File, outputBinding: {glob: made}}}
    in: {bytes: bytes}
    out: [out]
  pass:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$0" > passed; echo more >> passed']
      inputs: {file: {type: File, inputBinding: {position: 1}}}
      outputs: {out: {type: File, outputBinding: {glob: passed}}}
    in: {file: make/out}
    out: [out]
  count:
    run:
      class: CommandLineTool
      baseCommand: [wc, -c]
      stdin: $(inputs.file.path)
      stdout: count.txt
      inputs: {file: File}
      outputs: {out: stdout}
    in: {file: pass/out}
    out: [out]
"""
WAVES = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {numbers: 'int[]'}
outputs:
  said: {type: 'File[]', outputSource: say/out}
steps:
  wait:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'sleep 4; echo "number $0" > waited']
      inputs: {number: {type: int, inputBinding: {position: 1}}}
      outputs: {out: {type: File, outputBinding: {glob: waited}}}
    scatter: number
    in: {number: numbers}
    out: [out]
  say:
    run:
      class: CommandLineTool
      baseCommand: cat
      stdout: said
      inputs: {file: {type: File, inputBinding: {position: 1}}}
      outputs: {out: stdout}
    scatter: file
    in: {file: wait/out}
    out: [out]
"""
READ = """\
version 1.0
workflow main {
  input { File file }
  call read { input: file = file }
  output { String said = read.said }
}
task read {
  input { File file }
  command { cat ~{file} }
  runtime { docker: "docker.io/library/python:3-slim" }
  output { String said = read_string(stdout()) }
}
"""
HOSTILE = """\
import json, time, urllib.error, urllib.request
from pathlib import Path

GATEWAY, TOKEN = "http://127.0.0.1:8765/ga4gh/tes/v1", (Path.cwd().parent / "control" / "tes-token").read_text().strip()

def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(GATEWAY + path, data=data, headers=headers)) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return {"refused": error.read().decode()}

def asked(url, kind, where):
    executors = [{"image": "x", "command": ["sh", "-c", "cat /in/x /in/x/*; echo pwned > /out/x"]}]
    item = {"url": url, "path": "/in/x" if where == "inputs" else "/out/x", "type": kind}
    return call("/tasks", {"executors": executors, "volumes": ["/out"], where: [item]})

def ended(task):
    while "id" in task and call("/tasks/" + task["id"])["state"] in {"QUEUED", "INITIALIZING", "RUNNING"}:
        time.sleep(0.2)
    return call("/tasks/" + task["id"] + "?view=FULL") if "id" in task else task

def answers(urls):
    return [[url, ended(asked(url, kind, where))]
            for url in urls for kind in ("FILE", "DIRECTORY") for where in ("inputs", "outputs")]

if not Path("answers.json").exists():
    urls = json.loads((Path(workflow.basedir) / "urls.json").read_text())
    Path("answers.json").write_text(json.dumps({name: answers(each) for name, each in urls.items()}))
rule all:
    input: "done"
rule done:
    output: "done"
    shell: "touch done"
"""


READING = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}}
inputs: []
outputs:
  sum: {type: File, outputSource: change/out}
  folder: {type: Directory, outputSource: make/folder}
steps:
  make:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'mkdir d; echo 41 > d/number; head -c 2000000 /dev/zero > d/large; cp -r d e; cp d/large b']
      inputs: []
      outputs:
        number: {type: File, outputBinding: {glob: d/number}}
        folder: {type: Directory, outputBinding: {glob: e}}
        big: {type: File, outputBinding: {glob: b}}
    in: []
    out: [number, folder, big]
  add:
    run:
      class: ExpressionTool
      inputs: {number: {type: File, loadContents: true}, big: File}
      outputs: {sum: int, size: int}
      expression: '${return {sum: parseInt(inputs.number.contents) + 1, size: inputs.big.size};}'
    in: {number: make/number, big: make/big}
    out: [sum, size]
  change:
    run:
      class: CommandLineTool
      requirements:
        InitialWorkDirRequirement: {listing: [{entry: $(inputs.number), entryname: n, writable: true}]}
      baseCommand: [sh, -c, 'echo $0 $1 >> n']
      inputs:
        number: File
        sum: {type: int, inputBinding: {position: 1}}
        size: {type: int, inputBinding: {position: 2}}
      outputs: {out: {type: File, outputBinding: {glob: n}}}
    in: {number: make/number, sum: add/sum, size: add/size}
    out: [out]
"""
WDL = """\
version 1.1
workflow w {
  call make
  call pass_on { input: f = make.large, d = make.others }
  output {
    Int n = pass_on.n
    String said = make.said
    Map[String, Int] m = make.m
    Float size = size(make.large)
    Array[String] lines = read_lines(make.others[0])
    File err = make.err
  }
}
task make {
  command <<<
    head -c 3000000 /dev/zero | tr "\\0" x > large; mkdir d; printf 'l1\\nl2\\n' > d/a; echo bb > d/b
    echo '{"x": 1}' > m.json; echo hello; echo oops >&2
  >>>
  output {
    File large = "large"
    String said = read_string(stdout())
    Map[String, Int] m = read_json("m.json")
    Array[File] others = glob("d/*")
    File err = stderr()
  }
}
task pass_on {
  input { File f  Array[File] d }
  command <<< cat "~{f}" ~{sep=" " d} | wc -c | tr -d ' ' >>>
  output { Int n = read_int(stdout()) }
}
"""


@dataclass(frozen=True, kw_only=True)
class FarTes:
    """A `wes tes` that may use no folder of this machine, only the S3 server."""

    name: str
    folder: Path
    port: int
    child: Child

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{TES_BASE}"

    def start(self) -> None:
        self.child.start()
        until(lambda: answers_service_info(self.url, self.folder / "token"), self.child.last_lines)

    def kill(self) -> None:
        """With all that it runs, at once."""
        assert self.child.process is not None
        os.kill(self.child.process.pid, signal.SIGKILL)
        self.child.process.wait()

    @property
    def table(self) -> str:
        return f'[tes.{self.name}]\nurl = "{self.url}"\ntoken_file = "{self.folder}/token"\nstorage = "s3://runs/far"\n'


@dataclass(frozen=True, kw_only=True)
class Site:
    wes: Wes
    s3: S3Server
    servers: Sequence[FarTes]

    def run(self, variant: Variant, output: Path) -> dict[str, Any]:
        """By `wes run`; the digests of the files that it saved."""
        params = [] if variant.params is None else ["--params", str(EXAMPLE / variant.params)]
        server = ["--server", f"http://127.0.0.1:{self.wes.port}", "--download", str(output)]
        ended = run_wes("run", EXAMPLE / variant.workflow, *params, *server)
        assert ended.returncode == 0, ended.stdout + ended.stderr + self.wes.said()
        files = [path for path in output.rglob("*") if path.is_file()]
        return {sha256(path.read_bytes()).hexdigest(): path.name for path in files}

    def ended(self, document: str, files: Mapping[str, str] | None = None, **params: object) -> tuple[str, Any]:
        run_id = self.wes.submit(form(workflow_params=json.dumps(params)), parts(document, files))
        return run_id, self.wes.wait(run_id)

    def resumed(self, run_id: str) -> tuple[str, Any]:
        """The run that resumes one of which all is done."""
        answer = http.post(f"{self.wes.url}/runs/{run_id}/resume")
        assert answer.status_code == 200, answer.text
        ended = self.wes.wait(answer.json()["run_id"])
        tasks = self.wes.get(f"/runs/{ended['run_id']}/tasks")["task_logs"]
        assert [task["name"] for task in tasks if "reused_from" not in task] == []
        return ended["run_id"], ended

    def has_open(self, run_id: str, name: str) -> bool:
        """Whether the server of this name has a task of the run, which waits or runs there."""
        logs = self.wes.get(f"/runs/{run_id}/tasks")["task_logs"]
        there = [log for log in logs if any(line.startswith(f"sent to {name}:") for line in log["system_logs"])]
        return any(not log.get("end_time") for log in there)

    def objects(self, run_id: str) -> dict[str, int]:
        """The sizes of what a run has in the store, by key."""
        return {key: size for key, size in self.s3.keys().items() if key.startswith(f"far/{run_id}/")}

    def sent(self, run_id: str) -> Counter[str]:
        """How often each object of a run was begun to be stored, by key below the run."""
        before = f"far/{run_id}/"
        found = [one for one in self.s3.requests() if one.operation in MOVED_UP and one.key.startswith(before)]
        return Counter(one.key.removeprefix(before) for one in found)

    def read(self, run_id: str) -> Counter[str]:
        """How often each object of a run was read, by key."""
        found = [one for one in self.s3.requests() if one.operation == "GetObject"]
        return Counter(one.key for one in found if one.key.startswith(f"far/{run_id}/"))


@contextlib.contextmanager
def far_tes(folder: Path, name: str, s3: S3Server) -> Iterator[FarTes]:
    folder.mkdir(mode=0o711)
    (folder / "token").touch(0o600)
    (folder / "token").write_text(secrets.token_urlsafe(32))
    port = free_port()
    command = ["tes", "--data", str(folder / "tes"), "--port", str(port)]
    command += ["--token-file", str(folder / "token"), "--runner", "bubblewrap"]
    stores = {"s3://runs/far": s3.settings.model_dump(mode="json", exclude_none=True)}
    environment = {"PATH": os.environ["PATH"], "TES_STORES": json.dumps(stores)}
    spec = ChildSpec(name="tes", argv=(), command=command, environment=environment)
    child = PreloadedChild(spec=spec, log=folder / "tes.log")
    tes = FarTes(name=name, folder=folder, port=port, child=child)
    tes.start()
    try:
        yield tes
    finally:
        child.stop()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    folder = open_folder()
    for variant in VARIANTS:
        install_for_tests(variant.engine)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        s3 = stack.enter_context(real_s3())
        servers = [stack.enter_context(far_tes(folder / name, name, s3)) for name in ("one", "other")]
        file = folder / "wes.toml"
        file.write_text("".join(tes.table for tes in servers) + s3.table)
        environment = {"WES_POLL_SECONDS": "0.3", "WES_TES_PATIENCE_SECONDS": str(TES_PATIENCE)}
        wes = stack.enter_context(started_wes("--config", str(file), data=folder / "up", environment=environment))
        yield Site(wes=wes, s3=s3, servers=servers)


@pytest.mark.parametrize("variant", VARIANTS, ids=[variant.engine for variant in VARIANTS])
def test_outputs_are_the_same_bytes_as_on_one_machine(site: Site, variant: Variant, tmp_path: Path) -> None:
    saved = site.run(variant, tmp_path / "out")
    assert set(OUTPUTS.values()) <= set(saved)


def test_what_is_in_the_store_is_never_sent_again(site: Site) -> None:
    run_id, ended = site.ended(CHAIN, bytes=20_000_000)
    assert ended["state"] == "COMPLETE", ended
    sent = site.sent(run_id)
    assert set(sent.values()) == {1}
    large = {key: size for key, size in site.objects(run_id).items() if size > 1_000_000}
    # One of them is a copy inside of the store, as the name of `made` begins that of the other file.
    assert sorted(large.values()) == [20_000_000, 20_000_000, 20_000_000, 20_000_005]
    assert not [key for key in large if "/contents/" in key]


def test_what_no_expression_reads_never_comes_here(site: Site) -> None:
    run_id, ended = site.ended(CHAIN, bytes=3_000_000)
    assert ended["state"] == "COMPLETE", ended
    assert ended["outputs"]["count"]["size"] == len("3000005\n")
    assert http.get(ended["outputs"]["count"]["location"]).text == "3000005\n"
    read = site.read(run_id)
    large = {key: read[key] for key, size in site.objects(run_id).items() if size > 1_000_000}
    # By the TES, for the next step; what no step reads is read by nobody.
    assert sorted(large.values()) == [0, 0, 1, 1]
    # What stayed in the store is done as well: it is copied there, and nobody reads it again.
    resumed, ended = site.resumed(run_id)
    assert ended["state"] == "COMPLETE", ended
    assert http.get(ended["outputs"]["count"]["location"]).text == "3000005\n"
    large = {key: site.read(resumed)[key] for key, size in site.objects(resumed).items() if size > 1_000_000}
    assert set(large.values()) == {0}


def test_expressions_and_final_outputs_get_their_bytes(site: Site) -> None:
    run_id, ended = site.ended(READING)
    assert ended["state"] == "COMPLETE", ended["run_log"]["system_logs"]
    assert http.get(ended["outputs"]["sum"]["location"]).text == "41\n42 2000000\n"
    sizes = {one["basename"]: one["size"] for one in ended["outputs"]["folder"]["listing"]}
    assert sizes == {"number": 3, "large": 2_000_000}
    kept = [path.stat() for path in (site.wes.data / "runs" / run_id / "work").rglob("large") if path.is_file()]
    assert len({one.st_ino for one in kept if one.st_blocks}) == 1, "its bytes are on disk once"
    assert max(one.st_nlink for one in kept) == 2, "as a final output and as its step's"
    read = {key.rpartition("/")[2]: count for key, count in site.read(run_id).items()}
    assert (read.get("b", 0), site.read(run_id).total()) == (0, read["number"] + read["large"] + 3)


def test_wdl_reads_what_it_asks_for_and_no_more(site: Site) -> None:
    run_id = submit_wdl(site.wes, {"main.wdl": WDL})
    ended = site.wes.wait(run_id)
    assert ended["state"] == "COMPLETE", ended
    outputs = {name.removeprefix("w."): value for name, value in ended["outputs"].items()}
    assert (outputs["n"], outputs["said"], outputs["m"]) == (3_000_009, "hello", {"x": 1})
    assert (outputs["size"], outputs["lines"]) == (3_000_000, ["l1", "l2"])
    assert http.get(outputs["err"]["location"]).text == "oops\n"
    read = {key.rpartition("/")[2]: count for key, count in site.read(run_id).items()}
    # By the TES, for the next step.
    assert read["large"] == 1
    _, resumed = site.resumed(run_id)
    assert resumed["state"] == "COMPLETE", resumed
    given = {name.removeprefix("w."): value for name, value in resumed["outputs"].items()}
    assert {name: given[name] for name in ("n", "said", "m", "size", "lines")} == {
        name: outputs[name] for name in ("n", "said", "m", "size", "lines")
    }
    assert http.get(given["err"]["location"]).text == "oops\n"


def test_a_server_and_the_store_that_die_in_the_middle_cost_time_only(site: Site) -> None:
    run_id = site.wes.submit(form(workflow_params=json.dumps({"numbers": [1, 2, 3, 4]})), parts(WAVES))
    until(lambda: [task for task in site.wes.get(f"/runs/{run_id}/tasks")["task_logs"] if task.get("start_time")])
    site.servers[0].kill()
    site.s3.stop()
    time.sleep(5)
    site.s3.start()
    site.servers[0].start()
    ended = site.wes.wait(run_id)
    assert ended["state"] == "COMPLETE", ended
    said = [http.get(one["location"]).text for one in ended["outputs"]["said"]]
    assert said == [f"number {number}\n" for number in (1, 2, 3, 4)]


def test_a_server_that_never_comes_back_costs_those_runs_that_can_go_nowhere_else(site: Site) -> None:
    asked = form(workflow_params=json.dumps({"numbers": [1, 2, 3, 4]}))
    other = site.servers[1]
    # Longer than what is known of a task may lag behind it.
    document = parts(WAVES.replace("sleep 4", "sleep 25"))
    free = site.wes.submit(asked, document)
    # Before the other run, whose tasks would keep those of this one away from there.
    until(lambda: site.has_open(free, "other"), site.wes.said)
    pinned = site.wes.submit({**asked, "tags": '{"tes": "other"}'}, document)
    until(lambda: all(site.has_open(run_id, "other") for run_id in (free, pinned)), site.wes.said)
    other.kill()
    began = time.monotonic()
    ended = site.wes.wait(free)
    assert ended["state"] == "COMPLETE", ended
    assert [http.get(one["location"]).text for one in ended["outputs"]["said"]] == [
        f"number {n}\n" for n in (1, 2, 3, 4)
    ]
    assert f"is sent again, as the TES {other.url} could not be asked for {TES_PATIENCE} s" in str(ended["run_log"])
    lost = site.wes.wait(pinned)
    assert time.monotonic() - began < 2 * TES_PATIENCE
    assert lost["state"] == "SYSTEM_ERROR"
    said = f"was lost: the TES {other.url} could not be asked for {TES_PATIENCE} s: "
    assert said in lost["run_log"]["system_logs"][0]
    other.start()


@pytest.fixture(scope="module")
def victim(site: Site) -> str:
    """The key of a content that another run has in the store; beside the storage lies another bucket."""
    run_id, _ = site.ended(COUNT, {"reads.txt": "somebody's\n"}, file={"class": "File", "location": "reads.txt"})
    beside = site.s3.folder / "data" / "beside"
    beside.mkdir()
    (beside / "reads.txt").write_text("somebody's\n")
    return next(key for key in site.objects(run_id) if "/contents/" in key)


def test_a_task_reaches_nothing_of_the_store_but_what_is_its_runs(site: Site, victim: str) -> None:
    s3, host = site.s3, site.s3.endpoint.removeprefix("http://")
    named = [victim, victim.replace("/", "//"), victim.replace("far/", "%66ar/"), f"x/../{victim}", "far", "fa", ""]
    keys = [
        s3.folder / "id",
        s3.folder / "secret",
        site.servers[0].folder / "token",
        s3.folder / "data" / "runs" / victim,
    ]
    urls = {
        "gateway": [*(f"s3://runs/{key}" for key in named), f"S3://RUNS/{victim}", f"s3://{host}/runs/{victim}"]
        + [f"file://{path}" for path in keys],
        "tes": ["s3://beside/reads.txt", "s3://beside"],
    }
    before = site.s3.keys()
    fields = {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": "Snakefile"}
    run_id = site.wes.submit(
        form(**fields), [attachment("Snakefile", HOSTILE), attachment("urls.json", json.dumps(urls))]
    )
    ended = site.wes.wait(run_id)
    assert ended["state"] == "COMPLETE", ended
    answers = json.loads((site.wes.data / "runs" / run_id / "work" / "answers.json").read_text())
    assert len(answers["gateway"]) == 4 * len(urls["gateway"])
    assert [url for url, answer in answers["gateway"] if "puts[0].url" not in answer.get("refused", "")] == []
    assert {answer["state"] for _, answer in answers["tes"]} == {"SYSTEM_ERROR"}
    assert "somebody" not in str(answers)
    kept = {key: size for key, size in site.s3.keys().items() if not key.startswith(f"far/{run_id}/")}
    assert kept == before


def test_an_input_of_a_workflow_can_not_be_what_another_run_has_in_the_store(site: Site, victim: str) -> None:
    url = f"s3://runs/{victim}"
    wdl = {"workflow_type": "WDL", "workflow_type_version": "1.0", "workflow_url": "main.wdl"}
    asked = form(workflow_params=json.dumps({"file": {"class": "File", "location": url}}))
    runs = [
        site.wes.submit(asked, parts(COUNT)),
        site.wes.submit(form(**wdl, workflow_params=json.dumps({"main.file": url})), [attachment("main.wdl", READ)]),
    ]
    for run_id in runs:
        ended = site.wes.wait(run_id)
        assert ended["state"] == "EXECUTOR_ERROR", ended
        assert "is where this service keeps the files of runs" in str(ended["run_log"]), ended


NEXTFLOW = """workflow { shout().made.view { it.text } }
process shout {
  output:
    path 'made/*.txt', emit: made
    stdout emit: said
  script:
    'mkdir made && head -c 50000000 /dev/zero | tee scratch.bin made/scratch.bin | wc -c && shout.sh quiet > made/a.txt'
}
"""


def test_a_nextflow_task_stores_what_is_declared_and_has_its_programs_executable(site: Site) -> None:
    files = [attachment("main.nf", NEXTFLOW), attachment("bin/shout.sh", "#!/bin/sh\necho $1 | tr a-z A-Z\n")]
    fields = {"workflow_type": "NFL", "workflow_type_version": "DSL2", "workflow_url": "main.nf"}
    run_id = site.wes.submit(form(**fields), files)
    ended = site.wes.wait(run_id)
    said = http.get(ended["run_log"]["stdout"]).text
    assert (ended["state"], "QUIET" in said) == ("COMPLETE", True), said
    stored = site.objects(run_id)
    assert sum(stored.values()) < 1_000_000, stored
    assert [name for name in stored if name.endswith("made/a.txt")]


def test_no_credentials_of_the_store_are_told(site: Site) -> None:
    run_id, ended = site.ended(ECHO, word="hello")
    assert ended["state"] == "COMPLETE", ended
    tasks = site.wes.get(f"/runs/{run_id}/tasks")
    arguments = [word for _, argv in site.wes.commands() for word in argv]
    logs = [path.read_text(errors="replace") for path in site.wes.data.rglob("*.log")]
    logs += [(tes.folder / "tes.log").read_text(errors="replace") for tes in site.servers]
    database = [path.read_bytes().decode(errors="replace") for path in site.wes.data.glob("wes.sqlite*")]
    for secret in (site.s3.secret_access_key, site.s3.access_key_id):
        assert secret not in json.dumps([ended, tasks, arguments])
        assert not [text for text in (*logs, *database) if secret in text]
    assert "s3://" not in json.dumps([ended, tasks])


def test_a_deleted_run_leaves_no_object(site: Site) -> None:
    run_id, _ = site.ended(ECHO, word="hello")
    assert site.objects(run_id)
    answer = http.delete(f"{site.wes.url}/runs/{run_id}")
    assert answer.is_success, answer.text
    until(lambda: not site.objects(run_id))

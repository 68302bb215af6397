"""A TES that shares no folder with the service: an S3 server stands between, all four engines."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import open_folder, started_wes
from tests.acceptance.stack import Wes, attachment
from tests.acceptance.workflows import ECHO, form, parts
from tests.engine_fixtures import install_for_tests
from tests.http_client import http
from tests.s3_fixture import S3Server, real_s3
from tests.unit.examples.test_read_report import OUTPUTS
from tests.waiting import until
from wes_cli.demo import EXAMPLE, VARIANTS, Variant
from wes_cli.private_server import free_port
from wes_cli.programs import TES_BASE, Child, ChildSpec
from wes_cli.stack import answers_service_info

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
        argv = [sys.executable, "-m", "wes_cli.main", "run", str(EXAMPLE / variant.workflow), *params]
        server = ["--server", f"http://127.0.0.1:{self.wes.port}", "--download", str(output)]
        ended = subprocess.run([*argv, *server], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr + self.wes.said()
        files = [path for path in output.rglob("*") if path.is_file()]
        return {sha256(path.read_bytes()).hexdigest(): path.name for path in files}

    def ended(self, document: str, **params: object) -> tuple[str, Any]:
        run_id = self.wes.submit(form(workflow_params=json.dumps(params)), parts(document))
        return run_id, self.wes.wait(run_id)

    def objects(self, run_id: str) -> dict[str, int]:
        """The sizes of what a run has in the store, by key."""
        return {key: size for key, size in self.s3.keys().items() if key.startswith(f"far/{run_id}/")}

    def sent(self, run_id: str) -> Counter[str]:
        """How often each object of a run was begun to be stored, by key below the run."""
        before = f"far/{run_id}/"
        found = [one for one in self.s3.requests() if one.operation in MOVED_UP and one.key.startswith(before)]
        return Counter(one.key.removeprefix(before) for one in found)


@contextlib.contextmanager
def far_tes(folder: Path, name: str, s3: S3Server) -> Iterator[FarTes]:
    folder.mkdir(mode=0o711)
    (folder / "token").touch(0o600)
    (folder / "token").write_text(secrets.token_urlsafe(32))
    port = free_port()
    argv = [sys.executable, "-m", "wes_cli.main", "tes", "--data", str(folder / "tes"), "--port", str(port)]
    argv += ["--token-file", str(folder / "token"), "--runner", "bubblewrap"]
    stores = {"s3://runs/far": s3.settings.model_dump(mode="json", exclude_none=True)}
    environment = {"PATH": os.environ["PATH"], "TES_STORES": json.dumps(stores)}
    child = Child(spec=ChildSpec(name="tes", argv=argv, environment=environment), log=folder / "tes.log")
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
        environment = {"WES_POLL_SECONDS": "0.3", "WES_TES_PATIENCE_SECONDS": "120"}
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
    assert sorted(large.values()) == [20_000_000, 20_000_000, 20_000_005]
    assert not [key for key in large if "/contents/" in key]


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


def test_programs_of_a_nextflow_workflow_are_executables_again(site: Site) -> None:
    script = "workflow { shout().view() }\nprocess shout {\n  output: stdout\n  script: 'shout.sh quiet'\n}\n"
    files = [attachment("main.nf", script), attachment("bin/shout.sh", "#!/bin/sh\necho $1 | tr a-z A-Z\n")]
    fields = {"workflow_type": "NFL", "workflow_type_version": "DSL2", "workflow_url": "main.nf"}
    run_id = site.wes.submit(form(**fields), files)
    ended = site.wes.wait(run_id)
    said = http.get(ended["run_log"]["stdout"]).text
    assert (ended["state"], "QUIET" in said) == ("COMPLETE", True), said


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

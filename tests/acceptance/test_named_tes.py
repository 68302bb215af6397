"""TES servers that `wes.toml` names: the embedded one, and a `wes tes` with a token of its own."""

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import open_folder, started_wes
from tests.acceptance.replicas import PreloadedChild
from tests.acceptance.stack import Wes
from tests.acceptance.workflows import ECHO, form, parts
from tests.program_server import run_wes
from tests.waiting import until
from wes_cli.private_server import free_port
from wes_cli.programs import TES_BASE, Child, ChildSpec
from wes_cli.stack import answers_service_info


@dataclass(frozen=True, kw_only=True)
class NamedTes:
    """A `wes tes` that runs; its token is in `token_file` and nowhere else."""

    url: str
    token_file: Path
    child: Child


@contextlib.contextmanager
def named_tes(folder: Path, runs: Path, data: Path) -> Iterator[NamedTes]:
    """One for the runs of one folder, whose tasks may read `data` too."""
    folder.mkdir(mode=0o711)
    token_file, port = folder / "token", free_port()
    token_file.write_text(secrets.token_urlsafe(32))
    token_file.chmod(0o600)
    arguments = ["tes", "--data", folder / "tes", "--port", port, "--token-file", token_file, "--runs", runs]
    command = [str(each) for each in (*arguments, "--allow-data", data, "--runner", "bubblewrap")]
    spec = ChildSpec(name="tes", argv=(), command=command, environment={"PATH": "/usr/bin:/bin"})
    tes = NamedTes(
        url=f"http://127.0.0.1:{port}{TES_BASE}",
        token_file=token_file,
        child=PreloadedChild(spec=spec, log=folder / "tes.log"),
    )
    tes.child.start()
    try:
        until(lambda: answers_service_info(tes.url, token_file), tes.child.last_lines)
        yield tes
    finally:
        tes.child.stop()


@dataclass(frozen=True, kw_only=True)
class Configured:
    """A `wes up` by its file, and the servers that the file names."""

    wes: Wes
    file: Path
    far: NamedTes
    data: Path


@pytest.fixture(scope="module")
def configured(cwl_installation: object) -> Iterator[Configured]:
    """Shared: a test may submit runs, but must not stop anything."""
    folder = open_folder()
    file = folder / "wes.toml"
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        up, data = folder / "up", folder / "data"
        (data / "patients").mkdir(parents=True)
        (data / "patients" / "7.txt").write_text("reads\n")
        far = stack.enter_context(named_tes(folder / "far", up / "runs", data))
        file.write_text(f"""
            [tes.near]
            url = "embedded"
            max_cpu = 1

            [tes.far]
            url = "{far.url}"
            token_file = "far/token"
            cost = 1
            holds = ["{data}/patients"]
            labels = {{ site = "clinic" }}
        """)
        wes = stack.enter_context(started_wes("--config", str(file), "--allow-data", str(data), data=up))
        yield Configured(wes=wes, file=file, far=far, data=data)


STEPS = """\
cwlVersion: v1.2
class: Workflow
requirements:
  InlineJavascriptRequirement: {}
inputs: {file: File}
outputs: []
steps:
  small:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {}, outputs: []}
    in: {}
    out: []
  large:
    run:
      class: CommandLineTool
      baseCommand: 'true'
      requirements: {ResourceRequirement: {coresMin: 2}}
      inputs: {}
      outputs: []
    in: {}
    out: []
  reads:
    run: {class: CommandLineTool, baseCommand: cat, inputs: {file: {type: File, inputBinding: {}}}, outputs: []}
    in: {file: file}
    out: []
"""


def routes(wes: Wes, run_id: str) -> dict[str, str]:
    """By step, the line that says why it went where it went."""
    logs: list[dict[str, Any]] = wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    lines = {log["name"]: [line for line in log["system_logs"] if line.startswith("sent to ")] for log in logs}
    return {name: line for name, (line,) in lines.items()}


def test_each_task_goes_where_its_resources_and_its_data_are(configured: Configured) -> None:
    wes, file = configured.wes, configured.data / "patients" / "7.txt"
    params = json.dumps({"file": {"class": "File", "location": f"file://{file}"}})
    run_id = wes.submit(form(workflow_params=params), parts(STEPS))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    assert routes(wes, run_id) == {
        "small": "sent to near: cost 0, far 1",
        "large": "sent to far: asks 2 cpu, near has at most 1",
        "reads": f"sent to far: reads {file}, which is at far",
    }
    assert f"tes     near (embedded), far ({configured.far.url})" in wes.said()


@pytest.mark.parametrize(
    "asked", [{"workflow_engine_parameters": '{"tes": "far"}'}, {"tags": '{"tes": "site=clinic"}'}]
)
def test_a_run_goes_where_it_asks_to(configured: Configured, asked: dict[str, str]) -> None:
    wes = configured.wes
    run_id = wes.submit(form(workflow_params='{"word": "x"}', **asked), parts(ECHO))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    (line,) = routes(wes, run_id).values()
    assert line.startswith("sent to far: the run asks for ")


def test_a_run_that_asks_for_a_tes_that_is_not_there_is_refused(configured: Configured) -> None:
    refused = configured.wes.post(form(workflow_engine_parameters='{"tes": "moon"}'), parts(ECHO))
    assert refused.status_code == 400
    assert "tes: there is no TES 'moon' here; there is near, far, site=clinic" in refused.json()["msg"]
    assert configured.wes.get("/service-info")["tags"]["tes"] == "near, far, site=clinic"


def test_what_the_run_asks_for_and_can_not_have_is_told_in_the_run(configured: Configured) -> None:
    wes, file = configured.wes, configured.data / "patients" / "7.txt"
    params = json.dumps({"file": {"class": "File", "location": f"file://{file}"}})
    run = wes.wait(wes.submit(form(workflow_params=params, tags='{"tes": "near"}'), parts(STEPS)))
    assert run["state"] == "EXECUTOR_ERROR"
    assert "the run asks for the TES near: " in run["run_log"]["system_logs"][0]


def test_the_token_of_a_tes_is_nowhere_but_in_its_file(configured: Configured) -> None:
    wes = configured.wes
    run_id = wes.submit(form(workflow_params='{"word": "secretly"}'), parts(ECHO))
    wes.wait(run_id)
    token = configured.far.token_file.read_bytes()
    kept = [path for path in wes.data.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in kept if token in path.read_bytes()]
    for _, argv in wes.commands():
        assert token.decode() not in " ".join(argv)
    shown = run_wes("config", "show", "--config", configured.file).stdout
    assert "far/token" in shown
    assert token.decode() not in shown

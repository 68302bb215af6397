"""With a container engine at hand each step really runs in its image."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import started_wes
from tests.acceptance.stack import Wes
from tests.acceptance.workflows import form, parts
from tests.container_engine import Docker, wanted
from tests.http_client import http

pytestmark = pytest.mark.skipif(not wanted(), reason="no container engine can be had here (WES_TEST_DOCKER=0)")

MARKER = """\
cwlVersion: v1.2
class: Workflow
inputs: {text: File}
outputs:
  seen: {type: File, outputSource: look/seen}
steps:
  look:
    run:
      class: CommandLineTool
      requirements: {DockerRequirement: {dockerPull: IMAGE}}
      baseCommand: [cat, /marker]
      stdout: seen.txt
      inputs: {text: {type: File, inputBinding: {}}}
      outputs: {seen: stdout}
    in: {text: text}
    out: [seen]
"""
PARAMS = '{"text": {"class": "File", "location": "a b.txt"}}'


@pytest.fixture(scope="module")
def wes(docker: Docker, cwl_installation: object) -> Iterator[Wes]:
    with started_wes(environment={**docker.environment, "TES_RUNNER": "docker"}) as started:
        yield started


def test_each_step_runs_in_its_image(wes: Wes, docker: Docker) -> None:
    document = MARKER.replace("IMAGE", docker.image)
    run_id = wes.submit(form(workflow_params=PARAMS), parts(document, {"a b.txt": "and the input\n"}))
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["seen"]["location"]).text == "this is the image\nand the input\n"
    assert "containers of docker" in " ".join(wes.get(f"/runs/{run_id}/tasks")["task_logs"][0]["system_logs"])
    assert docker("ps", "--all", "--quiet", "--filter", "label=wes-tes.task") == ""


def test_an_image_that_can_not_be_had_is_named(wes: Wes) -> None:
    document = MARKER.replace("IMAGE", "127.0.0.1:9/no/such-image:1")
    log = wes.wait(wes.submit(form(workflow_params=PARAMS), parts(document, {"a b.txt": ""})))
    assert log["state"] == "EXECUTOR_ERROR"
    assert "127.0.0.1:9/no/such-image:1" in log["run_log"]["system_logs"][0]

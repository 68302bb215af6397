"""Clients that people already have, unchanged: submit, follow, list, logs, cancel."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.clients.environments import Client, installed
from tests.acceptance.stack import Wes

SAY = """\
cwlVersion: v1.2
class: Workflow
requirements: {InlineJavascriptRequirement: {}}
inputs: {word: string, seconds: int}
outputs:
  said: {type: string, outputSource: say/said}
steps:
  say:
    in: {word: word, seconds: seconds}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'sleep "$1"; echo "$0"']
      arguments: [$(inputs.word), $(inputs.seconds)]
      stdout: said.txt
      inputs: {word: string, seconds: int}
      outputs:
        said:
          type: string
          outputBinding: {glob: said.txt, loadContents: true, outputEval: '$(self[0].contents.trim())'}
"""
"""Its output is a string, as dnastack-client-library knows no other kind."""
WES = {"group": "org.ga4gh", "artifact": "wes", "version": "1.1.0"}
MakeClient = Callable[[str], Client]


@pytest.fixture
def client(open_tmp: Path) -> MakeClient:
    """A client by the name of its lock file, in a folder with a workflow and two files of params."""

    def make(lock_name: str) -> Client:
        (open_tmp / "main.cwl").write_text(SAY)
        (open_tmp / "job.json").write_text('{"word": "hello", "seconds": 0}')
        return Client(environment=installed(lock_name), folder=open_tmp)

    return make


def server(wes: Wes) -> str:
    return wes.url.removesuffix("/ga4gh/wes/v1")


def test_wes_client_submits_waits_lists_and_shows_logs(wes: Wes, client: MakeClient) -> None:
    program = client("wes-service-5.0")
    address = ("--proto", "http", "--host", server(wes).removeprefix("http://"))

    def wes_client(*arguments: str) -> str:
        return program.run("wes-client", [*address, *arguments])

    assert json.loads(wes_client("--info"))["type"] == WES
    assert json.loads(wes_client("main.cwl", "job.json")) == {"said": "hello"}
    run_id = wes_client("--no-wait", "main.cwl", "job.json").strip()
    assert run_id in {run["run_id"] for run in json.loads(wes_client("--list"))["runs"]}
    wes.wait(run_id)
    assert json.loads(wes_client("--get", run_id))["state"] == "COMPLETE"
    assert "task" in wes_client("--log", run_id)


def test_wes_client_as_a_library_cancels(wes: Wes, client: MakeClient) -> None:
    params = '{"word": "late", "seconds": 600}'
    arguments = [server(wes).removeprefix("http://"), "main.cwl", params]
    seen = json.loads(client("wes-service-5.0").script("wes_client_library.py", arguments))
    assert seen == {"canceled": "CANCELED"}


def test_gxy_wes_submits_follows_pages_reads_logs_and_cancels(wes: Wes, client: MakeClient) -> None:
    seen = json.loads(client("gxy-wes-0.1.0").script("gxy_client.py", [server(wes), "main.cwl"]))
    status, problem = seen.pop("refused")
    assert seen == {
        "type": WES,
        "state": "COMPLETE",
        "listed": True,
        "outputs": {"said": "hello"},
        "task": True,
        "stdout": "hello\n",
        "canceled": "CANCELED",
    }
    assert status == 400
    assert "workflow_url" in problem


def test_dnastack_client_library_submits_follows_lists_and_cancels(wes: Wes, client: MakeClient) -> None:
    seen = json.loads(client("dnastack-3.1.240").script("dnastack_client.py", [wes.url, "main.cwl"]))
    assert seen == {"type": WES, "state": "COMPLETE", "listed": True, "canceled": "CANCELED"}


def test_dnastack_client_library_reads_logs(wes: Wes, client: MakeClient) -> None:
    """In the last version that can: since it went to pydantic 2 (3.1.204), `Run.info()` asks a response for a method
    that responses don't have, whatever the server."""
    seen = json.loads(client("dnastack-3.1.179").script("dnastack_client.py", [wes.url, "main.cwl", "logs"]))
    assert seen.pop("id")
    assert seen == {
        "type": WES,
        "state": "COMPLETE",
        "listed": True,
        "outputs": {"said": "hello"},
        "tags": {"sample": "A1"},
        "steps": ["say"],
        "stdout": ["hello", ""],
        "canceled": "CANCELED",
    }

"""A workflow is Groovy, and so can try anything: what it gets is its own run's folder."""

from pathlib import Path

import pytest

from tests.acceptance.nextflow.running import Nextflow
from tests.acceptance.stack import embedded_only

READ = "workflow { println 'READ ' + new File(params.path).text }\n"
LIST = "workflow { println 'READ ' + new File(params.path).list().join(' ') }\n"
WRITE = "workflow { new File(params.path).text = 'mine' }\n"
MARK = "workflow { new File('mark.txt').text = 'the mark of another run' }\n"
GATEWAY = """\
def ask(token) {
  def connection = new URL('http://127.0.0.1:8765/ga4gh/tes/v1/tasks').openConnection()
  connection.setRequestProperty('Authorization', "Bearer $token")
  connection.responseCode
}
workflow {
  println "another: ${ask('the-token-of-another-run')}"
  println "own: ${ask(new File(params.token).text.trim())}"
}
"""
NETWORK = "workflow { println 'READ ' + new Socket(params.host, params.port).localPort }\n"


def refused(nextflow: Nextflow, workflow: str, path: Path | str) -> None:
    ended = nextflow.run(workflow, params={"path": str(path)})
    assert ended.state == "EXECUTOR_ERROR", ended.stdout
    assert "READ" not in ended.stdout
    assert ended.tasks == ()


@pytest.mark.parametrize("name", ["wes.sqlite", pytest.param("secrets/tes-token", marks=embedded_only), "up.log"])
def test_the_servers_own_files_can_not_be_read(nextflow: Nextflow, name: str) -> None:
    path = nextflow.wes.data / name
    assert path.is_file()
    refused(nextflow, READ, path)


def test_the_home_folder_can_not_be_read(nextflow: Nextflow) -> None:
    refused(nextflow, LIST, Path.home())


def test_another_runs_folder_can_not_be_read(nextflow: Nextflow) -> None:
    other = nextflow.complete(MARK).run_id
    folder = nextflow.wes.data / "runs" / other
    assert (folder / "work" / "mark.txt").read_text() == "the mark of another run"
    refused(nextflow, READ, folder / "work" / "mark.txt")
    refused(nextflow, LIST, folder / "control")


def test_nothing_outside_of_the_runs_folder_can_be_written(nextflow: Nextflow) -> None:
    for place in (nextflow.wes.data / "mine.txt", Path("/var/tmp/mine.txt"), Path("/usr/mine.txt")):
        refused(nextflow, WRITE, place)
        assert not place.exists()


def test_its_own_attachments_and_settings_can_not_be_written(nextflow: Nextflow) -> None:
    for name in ("../attachments/main.nf", "../control/nextflow.json"):
        refused(nextflow, WRITE, name)


def test_the_gateway_takes_the_runs_own_token_only(nextflow: Nextflow) -> None:
    ended = nextflow.complete(GATEWAY, params={"token": "../control/tes-token"})
    assert "another: 401" in ended.stdout
    assert "own: 200" in ended.stdout


def test_there_is_no_network(nextflow: Nextflow) -> None:
    port = nextflow.wes.port
    ended = nextflow.run(NETWORK, params={"host": "127.0.0.1", "port": port})
    assert ended.state == "EXECUTOR_ERROR"
    assert "READ" not in ended.stdout


def test_a_link_among_the_outputs_leads_nowhere_else(nextflow: Nextflow) -> None:
    workflow = """\
    process LINK { publishDir 'results'
      output: path 'passwd'
      script: "ln -s /etc/passwd passwd" }
    workflow { LINK() }
    """
    ended = nextflow.run(workflow)
    assert ended.outputs == {}
    assert ended.state in {"EXECUTOR_ERROR", "SYSTEM_ERROR"}

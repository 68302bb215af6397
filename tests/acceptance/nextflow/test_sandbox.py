"""A workflow is Groovy, and so can try anything: what it gets is its own run's folder."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.nextflow.running import Ended, Nextflow
from tests.acceptance.stack import OTHER_TES

MARK = "workflow { new File('mark.txt').text = 'the mark of another run' }\n"
ATTEMPTS = """\
def attempt(name, act) {
  try { act(); println "DONE $name" }
  catch (Exception problem) { println "REFUSED $name" }
}
def ask(token) {
  def connection = new URL('http://127.0.0.1:8765/ga4gh/tes/v1/tasks').openConnection()
  connection.setRequestProperty('Authorization', "Bearer $token")
  connection.responseCode
}
workflow {
  params.read.each { path -> attempt("read $path") { new File(path).text } }
  params.list.each { path -> attempt("list $path") { new File(path).list().join(' ') } }
  params.write.each { path -> attempt("write $path") { new File(path).text = 'mine' } }
  params.connect.each { port -> attempt("connect $port") { new Socket('127.0.0.1', port as int) } }
  attempt('own') { new File('own.txt').text = 'mine'; new File('own.txt').text; new File('.').list().join(' ') }
  println "token of another: ${ask('the-token-of-another-run')}"
  println "own token: ${ask(new File('../control/tes-token').text.trim())}"
}
"""


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """What one workflow tried, with files, folders and ports that are not its own, and what it printed of it."""

    read: list[Path]
    folders: list[Path]
    write: list[Path]
    connect: list[int]
    ended: Ended

    def refused(self, *attempts: str) -> None:
        lines = self.ended.stdout.splitlines()
        assert attempts
        for attempt in attempts:
            assert f"REFUSED {attempt}" in lines, self.ended.stdout
            assert f"DONE {attempt}" not in lines, self.ended.stdout


@pytest.fixture(scope="module")
def attempts(nextflow: Nextflow) -> Attempts:
    data = nextflow.wes.data
    other = data / "runs" / nextflow.complete(MARK).run_id
    assert (other / "work" / "mark.txt").read_text() == "the mark of another run"
    read = [data / "wes.sqlite", data / "up.log", other / "work" / "mark.txt"]
    if OTHER_TES is None:
        read.append(data / "secrets" / "tes-token")
    assert all(path.is_file() for path in read)
    folders = [Path.home(), other / "control"]
    assert all(path.is_dir() for path in folders)
    write = [data / "mine.txt", Path("/var/tmp/mine.txt"), Path("/usr/mine.txt")]
    own = ["../attachments/main.nf", "../control/nextflow.json"]
    ports = [nextflow.wes.port]
    params = {
        "read": [str(path) for path in read],
        "list": [str(path) for path in folders],
        "write": [*(str(path) for path in write), *own],
        "connect": ports,
    }
    ended = nextflow.complete(ATTEMPTS, params=params)
    # What is its own works, so that a refusal is not one of everything.
    assert "DONE own" in ended.stdout, ended.stdout
    assert ended.tasks == ()
    return Attempts(read=read, folders=folders, write=write, connect=ports, ended=ended)


def test_neither_the_servers_files_nor_another_runs_can_be_read(attempts: Attempts) -> None:
    attempts.refused(*(f"read {path}" for path in attempts.read))


def test_neither_the_home_folder_nor_another_runs_settings_can_be_listed(attempts: Attempts) -> None:
    attempts.refused(*(f"list {path}" for path in attempts.folders))


def test_nothing_outside_of_the_runs_folder_can_be_written(attempts: Attempts) -> None:
    attempts.refused(*(f"write {path}" for path in attempts.write))
    assert not any(path.exists() for path in attempts.write)


def test_its_own_attachments_and_settings_can_not_be_written(attempts: Attempts) -> None:
    attempts.refused("write ../attachments/main.nf", "write ../control/nextflow.json")


def test_the_gateway_takes_the_runs_own_token_only(attempts: Attempts) -> None:
    assert "token of another: 401" in attempts.ended.stdout
    assert "own token: 200" in attempts.ended.stdout


def test_there_is_no_network(attempts: Attempts) -> None:
    attempts.refused(*(f"connect {port}" for port in attempts.connect))


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

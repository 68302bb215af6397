"""Nextflow with this project's executor, straight on a TES."""

import json
import signal
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from common.location import file_path_of
from tests.engine_fixtures import EngineRun, Tes
from tests.integration.engines.adopting import adopting
from tests.integration.engines.nextflow.conftest import NextflowRuns
from tests.waiting import until

TWO = """\
process MAKE {
  input: val x
  output: path 'o.txt'
  script: "echo $x > o.txt"
}
process JOIN {
  publishDir 'results', mode: 'copy'
  input: path 'i?.txt'
  output: path 'all.txt'
  script: "cat i?.txt | sort > all.txt"
}
workflow { MAKE(channel.of('a', 'b')).collect() | JOIN }
"""


def tasks_of(tes: Tes, run: EngineRun) -> list[dict[str, Any]]:
    """Those that work in the run's folder, oldest first."""
    mine = [task for task in tes.tasks() if task["executors"][0]["workdir"].startswith(str(run.folder.work))]
    return sorted(mine, key=lambda task: str(task["creation_time"]))


def progress(run: EngineRun) -> dict[str, Any]:
    return dict(json.loads((run.folder.work / ".wes" / "progress.json").read_text()))


def test_paths_are_the_same_inside_and_outside_and_every_step_has_a_key(nextflow_runs: NextflowRuns, tes: Tes) -> None:
    run = nextflow_runs.new(TWO).start()
    assert list(run.outputs()) == ["all.txt"]
    tasks = tasks_of(tes, run)
    assert [task["name"] for task in tasks][-1] == "JOIN"
    for task in tasks:
        output = task["outputs"][0]
        assert output["url"] == f"file://{output['path']}"
        assert task["executors"][0]["image"] == "docker.io/library/python:3-slim"
        assert "resources" not in task or "ram_gb" not in task["resources"]
    assert len({task["tags"]["wes.step_key"] for task in tasks}) == 3
    assert {task["tags"]["wes.attempt"] for task in tasks} == {"1"}
    assert progress(run) == {"known": 3, "running": 0, "done": 3, "failed": 0, "cached": 0}


OPTIONAL = """\
params.extra = "$projectDir/NO_FILE"
process USE {
  publishDir 'results', mode: 'copy'
  input: path 'reads.txt'; path extra
  output: path 'out.txt'
  script:
  def given = extra.name != 'NO_FILE' ? "--extra $extra" : ''
  "echo found $given > out.txt"
}
workflow { USE(channel.of('a').collectFile(name: 'r.txt'), file(params.extra)) }
"""


def test_an_input_that_stands_for_none_is_a_file_that_is_not_there(nextflow_runs: NextflowRuns) -> None:
    run = nextflow_runs.new(OPTIONAL).start()
    [out] = run.outputs().values()
    assert Path(str(file_path_of(out["location"]))).read_text() == "found\n"


REPORTING = """\
trace.file = 'results/info/trace.txt'
timeline.enabled = false
"""


def test_reports_are_outputs_where_the_config_has_them_and_params_come_from_a_file_too(
    nextflow_runs: NextflowRuns,
) -> None:
    run = nextflow_runs.new(
        TWO + 'println "PARAMS $params.word $params.more"\n',
        {"nextflow.config": REPORTING, "given/more.yml": "word: file\nmore: 010\n"},
        params={"word": "request"},
        parameters={"reports": "true", "params_file": "given/more.yml"},
    ).start()
    reports = ["info/trace.txt", "pipeline_info/execution_report.html", "pipeline_info/pipeline_dag.html"]
    assert sorted(run.outputs()) == ["all.txt", *reports]
    # YAML as Nextflow itself reads it.
    assert "PARAMS request 8\n" in (run.folder.logs / "stdout").read_text()


def test_an_engine_started_again_in_the_same_folder_runs_nothing_twice(nextflow_runs: NextflowRuns, tes: Tes) -> None:
    first = nextflow_runs.new(TWO).start()
    whole = first.outputs()
    again = nextflow_runs.new(TWO, folder=first.folder).start()
    assert again.outputs() == whole
    assert len(tasks_of(tes, again)) == 3
    assert progress(again) == {"known": 3, "running": 0, "done": 0, "failed": 0, "cached": 3}


SLOW = """\
process MAKE {
  input: val x
  output: path 'o.txt'
  script: "echo $x > o.txt; sleep ${x == 'slow' ? 4 : 0}"
}
process SAME {
  input: tuple val(n), val(x)
  output: path 's.txt'
  script: "sleep 4; echo same > s.txt"
}
process FLAKY {
  errorStrategy 'retry'
  output: path 'f.txt'
  script: "test ${task.attempt} = 2 || exit 7; sleep 4; echo flaky > f.txt"
}
process JOIN {
  publishDir 'results', mode: 'copy'
  input: path 'i?.txt'
  output: path 'all.txt'
  script: "cat i?.txt | sort > all.txt"
}
workflow {
  MAKE(channel.of('fast', 'slow'))
  SAME(channel.of([1, 'x'], [1, 'x']))
  FLAKY()
  JOIN(MAKE.out.mix(SAME.out).mix(FLAKY.out).collect())
}
"""


def test_a_killed_engine_that_is_started_again_goes_on_with_the_tasks_that_run(
    nextflow_runs: NextflowRuns, tes: Tes
) -> None:
    with adopting(tes) as url:
        run = nextflow_runs.new(SLOW)
        run.tes_url = url
        run.start()
        until(lambda: len(tasks_of(tes, run)) == 6)
        until(lambda: sum(task["state"] == "COMPLETE" for task in tasks_of(tes, run)) >= 1)
        assert run.process is not None
        run.process.kill()
        run.wait()
        run.start().outputs()
    ran = sorted(task["name"] for task in tasks_of(tes, run))
    assert ran == ["FLAKY", "FLAKY", "JOIN", "MAKE (1)", "MAKE (2)", "SAME (1)", "SAME (2)"]
    made = (run.folder.work / "results" / "all.txt").read_text()
    assert made.split() == ["fast", "flaky", "same", "same", "slow"]


def test_what_was_not_done_is_done_after_a_restart(nextflow_runs: NextflowRuns, tes: Tes) -> None:
    broken = nextflow_runs.new(TWO.replace("cat i?.txt", "exit 1; cat i?.txt")).start()
    assert "The process 'JOIN' failed" in broken.reason()
    mended = nextflow_runs.new(TWO, folder=broken.folder).start()
    assert list(mended.outputs()) == ["all.txt"]
    assert [task["name"] for task in tasks_of(tes, mended)][2:] == ["JOIN", "JOIN"]
    assert progress(mended)["cached"] == 2


LINKS = """\
process FIRST {
  input: path data
  output: path data, includeInputs: true
  output: path 'same.txt'
  script: "ln -s $data same.txt"
}
process SECOND {
  publishDir 'results'
  input: path a
  input: path b
  output: path 'both.txt'
  script: "cat $a $b > both.txt"
}
workflow {
  FIRST(file('data.txt'))
  SECOND(FIRST.out[0], FIRST.out[1].map { it })
}
"""


def test_inputs_are_links_again_and_not_copies_after_a_task(nextflow_runs: NextflowRuns) -> None:
    run = nextflow_runs.new(LINKS, {"data.txt": "data\n"}).start()
    run.outputs()
    assert (run.folder.work / "results" / "both.txt").read_text() == "data\ndata\n"
    folder = next((run.folder.work / "nxf").glob("*/*/same.txt")).parent
    assert (folder / "data.txt").is_symlink()
    assert (folder / "same.txt").is_symlink()
    assert (folder / "same.txt").resolve() == run.folder.attachments / "data.txt"


WAIT = """\
process WAIT { input: val x
  script: "sleep 600" }
workflow { WAIT(channel.of(1, 2, 3)) }
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second_and_cancels_its_tasks(
    nextflow_runs: NextflowRuns, tes: Tes, number: int
) -> None:
    run = nextflow_runs.new(WAIT).start()
    deadline = time.monotonic() + 60
    # The third waits where the machine has two cores.
    while [task["state"] for task in tasks_of(tes, run)].count("RUNNING") < 2:
        assert time.monotonic() < deadline, tasks_of(tes, run)
        time.sleep(0.1)
    assert run.process is not None
    began = time.monotonic()
    run.process.send_signal(number)
    assert run.wait().exit_code != 0
    assert time.monotonic() - began < 30
    deadline = time.monotonic() + 10
    while {task["state"] for task in tasks_of(tes, run)} != {"CANCELED"}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_no_more_tasks_are_with_the_tes_than_asked_for(nextflow_runs: NextflowRuns, tes: Tes) -> None:
    workflow = WAIT.replace("sleep 600", "sleep 0.4")
    run = nextflow_runs.new(workflow, parameters={"parallel": "1"}).start()
    run.outputs()
    spans = sorted((task["creation_time"], task["logs"][0]["end_time"]) for task in tasks_of(tes, run))
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(spans))


class Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        # What is closed unread is reset, and the client may never see the answer.
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"msg": "no such zone"}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def refusing_tes() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ga4gh/tes/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_tes_that_refuses_is_the_reason(nextflow_runs: NextflowRuns, refusing_tes: str) -> None:
    reason = nextflow_runs.new(TWO, tes_url=refusing_tes).start().reason()
    assert reason in {f"The process 'MAKE ({n})' failed: the TES refused it (HTTP 400): no such zone" for n in (1, 2)}

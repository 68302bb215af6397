"""`wes up` is stopped, or programs of it are killed: nothing is left running, and nothing is lost."""

import json
import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tes.task import TAG_RUN
from tests.acceptance.conftest import StartWes, started_wes
from tests.acceptance.stack import OTHER_TES, Wes, gone
from tests.acceptance.workflows import ECHO, form, parts
from tests.bench.load import command, multipart
from tests.http_client import http
from tests.waiting import until


@pytest.fixture(scope="module")
def one_stack(cwl_installation: object) -> Iterator[Wes]:
    with started_wes(environment={"WES_LEASE_SECONDS": "3"}) as started:
        yield started


@pytest.fixture
def running(one_stack: Wes) -> Wes:
    """A stack on the same data for all tests, which may end it, also in the middle of what they do."""
    if not one_stack.is_running:
        one_stack.start()
    return one_stack


AFTER = """\
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: {all: {type: File, outputSource: second/all}}
steps:
  first:
    in: []
    out: [word]
    run: {class: CommandLineTool, baseCommand: [echo, first], stdout: word.txt, inputs: [], outputs: {word: stdout}}
  second:
    in: {word: first/word}
    out: [all]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$0"; sleep 5.71; echo second']
      stdout: all.txt
      inputs: {word: {type: File, inputBinding: {}}}
      outputs: {all: stdout}
"""


def waiting_run(wes: Wes) -> str:
    """A run whose first step is complete, and whose second one runs."""
    run_id = wes.submit(form(), parts(AFTER))
    until(lambda: sleeps(wes), lambda: f"{wes.get(f'/runs/{run_id}')}{wes.said()}")
    return run_id


def sleeps(wes: Wes) -> bool:
    return any(argv[:2] == ["sleep", "5.71"] for _, argv in wes.commands())


def goes_on(wes: Wes, run_id: str) -> None:
    """The run ends as if nothing had happened: a step that was complete has not run again, and the other one as often
    as its TES lost it and once more."""
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["all"]["location"]).text == "first\nsecond\n"
    assert any("attempt 2" in line for line in log["run_log"]["system_logs"])
    with closing(sqlite3.connect(wes.data / "wes.sqlite")) as database:
        names = database.execute("SELECT name FROM tasks WHERE run_id = ? ORDER BY created", (run_id,)).fetchall()
    assert names == [("first",), ("second",)]
    if OTHER_TES is None:
        assert submissions(wes, run_id)["first"] == 1


def submissions(wes: Wes, run_id: str) -> Counter[str]:
    """How often the embedded TES was given each step."""
    with closing(sqlite3.connect(wes.data / "tes" / "tes.sqlite")) as database:
        documents = [json.loads(row[0]) for row in database.execute("SELECT document FROM tasks")]
    return Counter(task["name"] for task in documents if task["tags"][TAG_RUN] == run_id)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_all_of_it_and_leaves_no_process(running: Wes, number: int) -> None:
    wes = running
    run_id = waiting_run(wes)
    processes = wes.tree()
    assert len(processes) > 6
    assert wes.stop(number) == 0, wes.said()
    assert gone(processes)
    assert "1 run goes on at the next 'wes up'" in wes.said()
    goes_on(wes.start(), run_id)


def test_drained_it_waits_for_its_runs_begins_none_and_ends(running: Wes) -> None:
    wes = running
    going = waiting_run(wes)
    processes = wes.tree()
    assert wes.process is not None
    wes.process.send_signal(signal.SIGUSR1)
    until(lambda: "draining: no run is begun any more" in wes.said())
    queued = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    assert wes.process.wait(60) == 0, wes.said()
    assert gone(processes)
    assert "goes on at the next" not in wes.said()
    wes.start()
    log = wes.wait(going)
    assert log["state"] == "COMPLETE"
    assert not any("attempt 2" in line for line in log["run_log"]["system_logs"])
    assert wes.wait(queued)["state"] == "COMPLETE"


def test_with_drain_ctrl_c_waits_and_a_second_one_hands_over(one_stack: Wes) -> None:
    wes = one_stack
    if wes.is_running:
        wes.stop()
    wes.options = ("--drain",)
    wes.start()
    run_id = waiting_run(wes)
    processes = wes.tree()
    assert wes.process is not None
    wes.process.send_signal(signal.SIGINT)
    until(lambda: "draining: no run is begun any more" in wes.said())
    assert wes.is_running
    assert wes.stop(signal.SIGINT) == 0, wes.said()
    assert gone(processes)
    assert "1 run goes on at the next 'wes up'" in wes.said()
    wes.options = ()
    goes_on(wes.start(), run_id)


def test_an_old_work_folder_goes_when_the_service_starts_again_and_the_outputs_stay(one_stack: Wes) -> None:
    wes, environment = one_stack, one_stack.environment
    if not wes.is_running:
        wes.start()
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO))
    log = wes.wait(run_id)
    location = log["outputs"]["said"]["location"]
    work = wes.data / "runs" / run_id / "work"
    before = len(list(work.rglob("*")))
    wes.stop()
    wes.environment = {**environment, "WES_KEEP_WORK": "1s"}
    wes.start()
    until(lambda: "Its work folder was removed" in str(wes.get(f"/runs/{run_id}")["run_log"]["system_logs"]))
    wes.environment = environment
    assert len(list(work.rglob("*"))) < before
    assert http.get(location).text == "x\n"
    assert wes.get(f"/runs/{run_id}")["outputs"] == log["outputs"]
    assert http.get(log["run_log"]["stderr"]).status_code == 200
    assert wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    wes.stop()


def test_every_run_that_was_answered_is_there_after_a_kill_of_every_process(
    start_wes: StartWes, tmp_path: Path
) -> None:
    wes = start_wes()
    wes.child("worker").suspend()
    body, answers = tmp_path / "form", tmp_path / "answers"
    content, content_type = multipart(form(workflow_params='{"word": "x"}'), {"main.cwl": ECHO})
    body.write_bytes(content)
    argv = [*command(f"{wes.url}/runs", 32, 100_000, body, content_type), "--answers", str(answers)]
    clients = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers.exists() and answers.stat().st_size >= 6000)
        processes = wes.tree()
        for process in processes:
            process.kill()
        assert gone(processes)
    finally:
        clients.wait(60)
    told = {json.loads(line)["run_id"] for line in answers.read_text().splitlines()}
    assert len(told) > 100
    again = start_wes()
    worker = again.child("worker")
    worker.suspend()
    listed, token = set(), ""
    while True:
        page = again.get(f"/runs?page_size=1000&page_token={token}")
        listed |= {run["run_id"] for run in page["runs"]}
        if not (token := page["next_page_token"]):
            break
    assert told <= listed
    for run_id in sorted(told)[::25]:
        assert (again.data / "runs" / run_id / "attachments" / "main.cwl").read_text() == ECHO
    worker.resume()


def test_kill_9_of_everything_leaves_no_process_and_the_run_goes_on_at_the_next_start(running: Wes) -> None:
    wes = running
    run_id = waiting_run(wes)
    processes = wes.tree()
    os.kill(processes[0].pid, signal.SIGKILL)
    assert gone(processes)
    goes_on(wes.start(), run_id)
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"


def test_the_run_of_a_killed_worker_goes_on_with_the_task_that_runs(running: Wes) -> None:
    wes = running
    run_id = waiting_run(wes)
    worker = wes.child("worker")
    children = worker.children(recursive=True)
    worker.kill()
    assert gone(children), "the engine outlived its worker"
    assert sleeps(wes), "the task did not outlive the worker"
    goes_on(wes, run_id)
    if OTHER_TES is None:
        assert submissions(wes, run_id) == {"first": 1, "second": 1}
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"
    assert "worker is started again" in wes.said()


@pytest.mark.parametrize("name", ["api", "tes", "redis"])
def test_a_program_of_the_stack_that_dies_is_started_again(running: Wes, name: str) -> None:
    wes = running
    redis = next(p for p in wes.tree() if "redis" in p.name() or "valkey" in p.name())
    (redis if name == "redis" else wes.child(name)).kill()
    until(lambda: f"{name} is started again" in wes.said(), wes.said)
    wes.wait_until_ready()
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"

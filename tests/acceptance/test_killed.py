"""`wes up` is stopped, or programs of it are killed: nothing is left running, and nothing is lost."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import StartWes, started_wes
from tests.acceptance.stack import Wes, gone
from tests.acceptance.workflows import BRANCHES, ECHO, form, parts
from tests.bench.load import command, multipart
from tests.waiting import until


@pytest.fixture(scope="module")
def one_stack(cwl_installation: object) -> Iterator[Wes]:
    with started_wes() as started:
        yield started


@pytest.fixture
def running(one_stack: Wes) -> Wes:
    """A stack on the same data for all tests, which may end it, also in the middle of what they do."""
    if not one_stack.is_running:
        one_stack.start()
    return one_stack


def waiting_run(wes: Wes) -> str:
    run_id = wes.submit(form(workflow_params='{"seconds": [600]}'), parts(BRANCHES))
    wes.wait(run_id, "RUNNING")
    until(
        lambda: any("sleep" in argv[:1] for _, argv in wes.commands()),
        wes.said,
    )
    return run_id


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_all_of_it_and_leaves_no_process(running: Wes, number: int) -> None:
    wes = running
    run_id = waiting_run(wes)
    processes = wes.tree()
    assert len(processes) > 6
    assert wes.stop(number) == 0, wes.said()
    assert gone(processes)
    log = wes.start().get(f"/runs/{run_id}")
    assert log["state"] == "SYSTEM_ERROR"
    assert "worker was stopped" in log["run_log"]["system_logs"][0]


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


def test_kill_9_of_everything_leaves_no_process_and_the_run_ends_with_a_sentence(running: Wes) -> None:
    wes = running
    run_id = waiting_run(wes)
    processes = wes.tree()
    os.kill(processes[0].pid, signal.SIGKILL)
    assert gone(processes)
    log = wes.start().wait(run_id)
    assert log["state"] == "SYSTEM_ERROR"
    assert "was lost" in log["run_log"]["system_logs"][0]
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"


def test_kill_9_of_the_worker_ends_its_run_and_the_next_run_works(running: Wes) -> None:
    wes = running
    run_id = waiting_run(wes)
    worker = wes.child("worker")
    children = worker.children(recursive=True)
    worker.kill()
    assert gone(children), "the engine outlived its worker"
    log = wes.wait(run_id)
    assert log["state"] == "SYSTEM_ERROR"
    assert "was lost" in log["run_log"]["system_logs"][0]
    assert not any("sleep" in argv[:1] for _, argv in wes.commands()), "a task outlived its run"
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"
    assert "worker is started again" in wes.said()


@pytest.mark.parametrize("name", ["api", "tes", "redis"])
def test_a_program_of_the_stack_that_dies_is_started_again(running: Wes, name: str) -> None:
    wes = running
    redis = next(p for p in wes.tree() if "redis" in p.name() or "valkey" in p.name())
    (redis if name == "redis" else wes.child(name)).kill()
    until(lambda: f"{name} is started again" in wes.said(), wes.said)
    wes._wait_until_ready()
    assert wes.wait(wes.submit(form(workflow_params='{"word": "x"}'), parts(ECHO)))["state"] == "COMPLETE"

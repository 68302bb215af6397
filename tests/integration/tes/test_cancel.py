"""Cancelling: at any moment, and nothing of the task is left."""

import threading
import uuid

from tests.integration.tes.server import TesServer, processes_with, system_logs, until


def test_a_running_task_is_canceled_once_its_processes_are_gone(tes: TesServer) -> None:
    marker = uuid.uuid4().hex
    task_id = tes.submit("sh", "-c", f"(setsid sleep 1000 '{marker}' || exec sleep 1000) & echo {marker}; sleep 1000")
    until(lambda: marker in str(tes.get(task_id)["logs"]), "it runs")
    assert processes_with(marker)
    assert tes.cancel(task_id).json() == {}
    until(lambda: tes.state(task_id) == "CANCELED", "it is canceled")
    assert processes_with(marker) == []


def test_cancel_is_idempotent_and_never_changes_an_end(tes: TesServer) -> None:
    task_id = tes.submit("sleep", "1000")
    for _ in range(3):
        assert tes.cancel(task_id).status_code == 200
    assert tes.ended(task_id)["state"] == "CANCELED"
    assert tes.cancel(task_id).status_code == 200
    done = tes.run("true")
    assert tes.cancel(done["id"]).status_code == 200
    assert tes.state(done["id"]) == "COMPLETE"


def test_a_waiting_task_is_canceled_at_once(tes: TesServer) -> None:
    cores = _all_cores(tes)
    first = tes.submit("sleep", "1000", resources={"cpu_cores": cores})
    second = tes.submit("true")
    assert tes.state(second) == "QUEUED"
    tes.cancel(second)
    assert tes.state(second) == "CANCELED"
    tes.cancel(first)
    assert tes.ended(first)["state"] == "CANCELED"
    assert tes.run("true")["state"] == "COMPLETE"


def test_tasks_start_first_in_first_out(tes: TesServer) -> None:
    cores = _all_cores(tes)
    blocker = tes.submit("sleep", "1000")
    large = tes.submit("true", resources={"cpu_cores": cores})
    small = tes.submit("true")
    until(lambda: tes.state(blocker) == "RUNNING", "the first runs")
    assert [tes.state(large), tes.state(small)] == ["QUEUED"] * 2
    tes.cancel(blocker)
    assert tes.ended(large)["logs"][0]["end_time"] <= tes.ended(small)["logs"][0]["start_time"]


def test_a_cancel_that_races_the_start_leaves_nothing_behind(tes: TesServer) -> None:
    marker = uuid.uuid4().hex
    ids = []
    for number in range(30):
        task_id = tes.submit("sh", "-c", f"sleep 1000; echo {marker}")
        canceler = threading.Timer(number * 0.001, tes.cancel, [task_id])
        canceler.start()
        ids.append((task_id, canceler))
        canceler.join()
    assert {tes.ended(task_id)["state"] for task_id, _ in ids} == {"CANCELED"}
    assert processes_with(marker) == []
    until(lambda: not list((tes.data / "tasks").iterdir()), "their folders are gone")


def test_processes_left_in_the_background_end_with_their_executor(tes: TesServer) -> None:
    marker = uuid.uuid4().hex
    task = tes.run("sh", "-c", f"sh -c 'sleep 1000; echo {marker}' & setsid sh -c 'sleep 1000; echo {marker}' & exit 0")
    assert task["state"] == "COMPLETE"
    assert processes_with(marker) == []


def test_a_canceled_task_delivers_nothing(tes: TesServer) -> None:
    task_id = tes.submit(
        "sh", "-c", "echo x > /out/x; echo made; sleep 1000", outputs=[{"url": str(tes.allow / "x"), "path": "/out/x"}]
    )
    until(lambda: "made" in str(tes.get(task_id)["logs"]), "the file is there")
    tes.cancel(task_id)
    task = tes.ended(task_id)
    assert task["state"] == "CANCELED"
    assert "missing" not in system_logs(task)
    assert not (tes.allow / "x").exists()


def _all_cores(tes: TesServer) -> int:
    """As many as this server has, which its refusal of more tells."""
    refused = tes.run("true", resources={"cpu_cores": 100_000})
    return int(system_logs(refused).rpartition(" has ")[2])

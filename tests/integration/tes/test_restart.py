"""The server ends, by a signal or by kill -9, and is started again."""

import json
import signal
import uuid
from pathlib import Path

import httpx
import pytest

from tests.integration.tes.server import TesServer, processes_with, running, tes_server, until


def _busy(tes: TesServer, marker: str) -> str:
    """A task that runs until something is in its input, which is looked at in place."""
    script = (
        f"setsid sh -c 'sleep 1000; echo {marker}' & echo up; until [ -s /go/go ]; do sleep 0.1; done; cp /go/go /out/x"
    )
    task_id = tes.submit(
        *("sh", "-c", f"{script}; echo {marker} >&2"),
        inputs=[{"url": (tes.readable / "go").as_uri(), "path": "/go/go"}],
        outputs=[{"url": str(tes.allow / "x"), "path": "/out/x"}],
    )
    until(lambda: "up" in str(tes.get(task_id)["logs"]), "the task runs")
    assert processes_with(marker)
    return task_id


@pytest.mark.parametrize("runner", ["bubblewrap", "process"])
def test_after_kill_9_no_process_is_left_and_the_task_is_run_again(own_folder: Path, runner: str) -> None:
    marker = uuid.uuid4().hex
    with tes_server(own_folder, TES_RUNNER=runner, TES_UNSANDBOXED="1", TES_CPUS="1") as tes:
        go = tes.readable / "go"
        go.touch()
        running = _busy(tes, marker)
        waiting = tes.submit("true")
        canceled = tes.submit("true")
        tes.cancel(canceled)
        tes.end(signal.SIGKILL)
        until(lambda: not processes_with(marker), "its processes end with the server")
        go.write_text("gone")
        tes.start()
        task = tes.ended(running)
        assert task["state"] == "COMPLETE", task["logs"]
        lost, done = task["logs"]
        assert lost["logs"] == []
        assert "run again from its beginning" in lost["system_logs"][-1]
        assert (done["logs"][0]["stdout"], done["logs"][0]["exit_code"]) == ("up\n", 0)
        assert (tes.allow / "x").read_text() == "gone"
        assert tes.ended(waiting)["state"] == "COMPLETE"
        assert tes.state(canceled) == "CANCELED"
        until(lambda: not list((tes.data / "tasks").iterdir()), "nothing is left of the tasks")


def test_a_task_whose_outputs_were_delivered_in_part_to_where_it_reads_is_whole_and_has_run_once(
    own_folder: Path,
) -> None:
    with tes_server(own_folder, TES_RUNNER="bubblewrap") as tes:
        place = tes.allow / "place"
        place.mkdir()
        (place / "script").write_text("for i in $(seq 8000); do echo $i > f$i; done; ln -s f1 link; echo $$ > run")
        task_id = tes.submit(
            *("sh", "-c", "cd /place; . ./script"),
            inputs=[{"url": (place / "script").as_uri(), "path": "/place/script"}],
            outputs=[{"url": place.as_uri(), "path": "/place", "type": "DIRECTORY"}],
        )
        until(lambda: len(list(place.iterdir())) > 1, "the delivery begins")
        tes.end(signal.SIGKILL)
        assert len(list(place.iterdir())) < 8003, "it was ended too late"
        tes.start()
        task = tes.ended(task_id)
        assert task["state"] == "COMPLETE", task["logs"]
        (log,) = task["logs"]
        assert "delivered them again" in " ".join(log["system_logs"])
        assert len(log["logs"]) == 1
        assert len(log["outputs"]) == 8003
        assert all((place / f"f{number}").read_text() == f"{number}\n" for number in range(1, 8001))
        assert sorted(path.name for path in place.iterdir() if not path.name.startswith("f")) == [
            *("link", "run", "script"),
        ]
        until(lambda: not list((tes.data / "tasks").iterdir()), "nothing is left of the task")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("runner", ["bubblewrap", "process"])
def test_a_signal_ends_the_server_and_its_tasks_which_are_run_again(
    own_folder: Path, runner: str, number: signal.Signals
) -> None:
    marker = uuid.uuid4().hex
    with tes_server(own_folder, TES_RUNNER=runner, TES_UNSANDBOXED="1", TES_CPUS="1") as tes:
        go = tes.readable / "go"
        go.touch()
        running = _busy(tes, marker)
        waiting = tes.submit("true")
        assert tes.end(number) == 0
        assert processes_with(marker) == []
        go.write_text("gone")
        tes.start()
        task = tes.ended(running)
        assert task["state"] == "COMPLETE"
        assert "shut down while this task ran" in task["logs"][0]["system_logs"][-1]
        assert [one["exit_code"] for one in task["logs"][0]["logs"]] == [137]
        assert tes.ended(waiting)["state"] == "COMPLETE"


def test_two_servers_can_not_share_a_data_folder(own_folder: Path) -> None:
    with tes_server(own_folder) as tes:
        with pytest.raises(AssertionError, match="another server uses"):
            TesServer(own_folder).start()
        assert tes.run("true")["state"] == "COMPLETE"


def test_finished_tasks_are_forgotten_after_their_time(own_folder: Path) -> None:
    with tes_server(own_folder) as tes:
        task = tes.run("true", tags={"a": "b"})
        tes.end(signal.SIGTERM)
        tes.settings["TES_KEEP_DAYS"] = "0.000001"
        tes.start()
        until(lambda: tes.client.get(f"/tasks/{task['id']}").status_code == 404, "it is forgotten")


def test_a_socket_can_take_the_place_of_a_port(own_folder: Path) -> None:

    socket = own_folder / "tes.sock"
    tes = TesServer(own_folder, TES_UDS=str(socket))
    tes._answers = socket.exists  # type: ignore[method-assign]
    try:
        tes.start()
        assert socket.stat().st_mode & 0o777 == 0o600
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=60) as client:
            assert client.get("http://tes/ga4gh/tes/v1/service-info").json()["type"]["artifact"] == "tes"
    finally:
        tes.close()
    assert not socket.exists()


def test_its_log_is_one_json_object_a_line(own_folder: Path) -> None:
    server = TesServer(own_folder)
    server.alone = True
    with running(server) as tes:
        assert tes.run("true")["state"] == "COMPLETE"
        assert tes.end(signal.SIGTERM) == 0
        lines = [json.loads(line) for line in (own_folder / "server.log").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["start", "end", "stop"]
    assert all(line["timestamp"] and line["level"] == "info" for line in lines)

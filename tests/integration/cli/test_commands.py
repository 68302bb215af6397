"""What a person types, against the service that answers."""

import hashlib
import json
import signal
import subprocess
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from standardwebhooks import Webhook

from tests.fakes.web_server import serving
from tests.integration.cli.conftest import Machine
from tests.unit.examples.test_read_report import EXAMPLE, OUTPUTS
from tests.waiting import until

Write = Callable[[str, str], Path]

SLOW = """
cwlVersion: v1.2
class: CommandLineTool
id: slow
baseCommand: [sh, -c, "echo began; for i in $(seq 600); do sleep 0.1; done"]
stdout: out.txt
inputs: {}
outputs: {out: {type: stdout}}
"""
SHOW = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'cat "$0" "$0.idx" "$1"/*/*; ls "$1"']
stdout: out.txt
inputs:
  a: {type: File, secondaryFiles: [.idx], inputBinding: {position: 1}}
  d: {type: Directory, inputBinding: {position: 2}}
outputs: {out: {type: stdout}}
"""
CAT = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
stdout: out.txt
inputs: {a: {type: File, inputBinding: {position: 1}}}
outputs: {out: {type: stdout}}
"""


def test_the_example_runs_and_leaves_the_known_bytes(machine: Machine) -> None:
    target = machine.home / "results"
    done = machine.wes(
        "run", EXAMPLE / "read-report.cwl", "--params", EXAMPLE / "params.yml", "--download", target, "--tag", "a=b"
    )
    assert done.returncode == 0, done.stderr
    assert {name: hashlib.sha256((target / name).read_bytes()).hexdigest() for name in OUTPUTS} == OUTPUTS
    for step in ("count_reads", "base_composition_2", "quality_by_position_3", "merge_report"):
        assert f"done    {step}" in done.stderr
    tasks = json.loads(machine.wes("tasks", "--json").stdout)
    assert len(tasks) == 10
    assert "a=b" in machine.wes("ls").stdout
    assert "COMPLETE" in machine.wes("status").stdout
    assert "fresh\t400\t40000" in machine.wes("logs", "last", "count_reads", "--stdout").stdout


def test_a_failed_step_is_told_with_its_words(machine: Machine, write: Write) -> None:
    failing = write("fail.cwl", SLOW.replace("echo began; for", "echo no such reads >&2; exit 3; for"))
    done = machine.wes("run", failing)
    assert done.returncode == 1
    assert "exit code 3" in done.stderr
    assert "no such reads" in done.stderr


def test_files_folders_and_secondary_files_arrive_where_they_are_named(machine: Machine, write: Write) -> None:
    write("far/reads 1#%20.txt", "reads\n")
    write("far/reads 1#%20.txt.idx", "index\n")
    write("far/db/sub/ü x", "database\n")
    params = write(
        "flow/p.yml",
        "a: {class: File, path: '../far/reads 1#%20.txt'}\nd: {class: Directory, path: ../far/db}\n",
    )
    done = machine.wes("run", write("flow/show.cwl", SHOW), "-p", params, "-d", machine.home / "shown")
    assert done.returncode == 0, done.stderr
    assert (machine.home / "shown/out.txt").read_text() == "reads\nindex\ndatabase\nsub\n"


def test_data_in_place_is_not_uploaded(machine: Machine, write: Write) -> None:
    data = write(str(machine.allowed / "big.txt"), "big\n")
    params = write("p.json", json.dumps({"a": {"class": "File", "path": str(data)}}))
    done = machine.wes(
        "run", write("cat.cwl", CAT), "-p", params, "--in-place", machine.allowed, "-d", machine.home / "big"
    )
    assert done.returncode == 0, done.stderr
    assert "uploading 1 file," in done.stderr
    assert (machine.home / "big/out.txt").read_text() == "big\n"


def test_the_same_key_gives_the_same_run(machine: Machine, write: Write) -> None:
    workflow = write("slow.cwl", SLOW)
    ids = {machine.wes("run", workflow, "--detach", "--idempotency-key", "k1").stdout for _ in range(2)}
    assert len(ids) == 1
    machine.wes("cancel", ids.pop().strip())


def test_ctrl_c_leaves_the_run_going_until_it_is_cancelled(machine: Machine, write: Write) -> None:
    argv = machine.argv("run", write("slow.cwl", SLOW))
    with subprocess.Popen(argv, env=machine.environment, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        seen = ""
        while "started" not in seen:
            line = watching.stderr.readline()
            assert line, seen
            seen += line
        watching.send_signal(signal.SIGINT)
        seen += watching.stderr.read()
    assert watching.returncode == 130
    assert "the run goes on" in seen
    assert json.loads(machine.wes("status", "--json").stdout)["state"] == "RUNNING"
    assert "CANCEL" in machine.wes("cancel", "last").stdout
    until(lambda: json.loads(machine.wes("status", "--json").stdout)["state"] == "CANCELED")


def test_logs_are_followed_while_a_step_runs(machine: Machine, write: Write) -> None:
    workflow = write(
        "short.cwl",
        SLOW.replace("seq 600", "seq 20")
        .replace("stdout: out.txt\n", "")
        .replace("outputs: {out: {type: stdout}}", "outputs: {}")
        .replace("; done", "; done; echo ended"),
    )
    run_id = machine.wes("run", workflow, "--detach").stdout.strip()
    until(lambda: machine.wes("tasks", run_id).stdout != "")
    name = json.loads(machine.wes("tasks", run_id, "--json").stdout)[0]["id"]
    followed = machine.wes("logs", "-f", run_id, name, "--stdout")
    assert followed.stdout == "began\nended\n"


def test_what_the_server_refuses_is_said_in_its_words(machine: Machine, write: Write) -> None:
    done = machine.wes("run", write("slow.cwl", SLOW), "--type-version", "v9")
    assert done.returncode == 2
    assert "workflow_type_version" in done.stderr


def test_the_demo_uses_the_service_that_runs(machine: Machine) -> None:
    done = machine.wes("demo", "--output", machine.home / "demo")
    assert done.returncode == 0, done.stderr
    assert f"Using the service that runs at http://127.0.0.1:{machine.service.port}" in done.stdout
    assert "done    merge_report" in done.stdout
    assert (machine.home / "demo/report.html").exists()


def test_the_doctor_finds_the_service_and_its_engine(machine: Machine) -> None:
    done = machine.wes("doctor", "--json")
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert [each["ok"] for each in found if each["name"] == "server"] == [True]
    assert any("cwltool" in each["found"] for each in found if each["name"] == "engine")


def test_a_run_that_has_ended_can_be_found_and_deleted_with_all_its_files(machine: Machine, write: Write) -> None:
    failing = write("gone.cwl", SLOW.replace("for i in", "exit 3; for i in"))
    assert machine.wes("run", failing, "--tag", "kind=gone").returncode == 1
    listed = machine.wes("ls", "--tag", "kind=gone", "--state", "executor_error", "--json")
    assert listed.returncode == 0, listed.stderr
    (run,) = json.loads(listed.stdout)
    assert machine.wes("ls", "--tag", "kind=gone", "--since", "1h", "--type", "cwl").stdout.count(run["run_id"]) == 1
    assert "EXECUTOR_ERROR" in machine.wes("events", run["run_id"]).stdout.splitlines()[-1]
    folder = machine.service.data / "runs" / run["run_id"]
    assert folder.is_dir()
    refused = machine.wes("rm", run["run_id"])
    assert (refused.returncode, folder.is_dir()) == (2, True)
    done = machine.wes("rm", run["run_id"], "--yes")
    assert done.returncode == 0, done.stderr
    until(lambda: not folder.exists())
    assert "no run of yours" in machine.wes("status", run["run_id"]).stderr
    assert run["run_id"] in machine.wes("deleted").stdout


def test_a_runs_own_webhook_is_told_and_told_again(machine: Machine, write: Write) -> None:
    came: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

    failing = write("told.cwl", SLOW.replace("for i in", "exit 3; for i in"))
    with serving(Receiver) as receiver:
        webhook = f"webhook=http://127.0.0.1:{receiver.server_address[1]}/told"
        assert machine.wes("run", failing, "--tag", "kind=told", "--engine-param", webhook).returncode == 1
        until(lambda: bool(came))
        (listed,) = json.loads(machine.wes("hooks", "--run", "last", "--json").stdout)
        again = machine.wes("hooks", "redeliver", listed["id"])
        assert again.returncode == 0, again.stderr
        until(lambda: len(came) == 2)
    secret = (machine.service.data / "secrets" / "webhook-secret").read_text()
    for headers, body in came:
        event = Webhook(secret).verify(body.decode(), headers)
        assert headers["webhook-id"] == listed["id"]
        assert event["data"]["state"] == "EXECUTOR_ERROR"
        assert event["data"]["tags"] == {"kind": "told"}
        assert "exit code 3" in event["data"]["reason"]
    until(lambda: json.loads(machine.wes("hooks", "--state", "delivered", "--json").stdout) != [])
    logs = "".join(path.read_text() for path in (machine.service.data / "logs").glob("*.log"))
    assert secret not in logs

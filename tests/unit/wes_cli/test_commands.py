import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fakes.wes_server import FakeRun, FakeWes, Moment
from tests.unit.wes_cli.conftest import Wes
from wes_cli import run as run_module
from wes_cli.main import COMMANDS, app
from wes_cli.options import complete_run

TASKS: list[dict[str, Any]] = [
    {
        "id": "t1",
        "name": "align",
        "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2026-01-01T00:00:05Z",
        "exit_code": 0,
    },
    {"id": "t2", "name": "sort", "start_time": "2026-01-01T00:00:05Z"},
]


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "wf.cwl"
    path.write_text('{"cwlVersion": "v1.1", "class": "CommandLineTool", "inputs": {}, "outputs": {}}')
    return path


def with_output(server: FakeWes, content: bytes = b"report", sha256: str | None = None) -> dict[str, object]:
    server.files["/out/r.txt"] = content
    return {
        "report": {
            "class": "File",
            "location": f"{server.url}/out/r.txt",
            "basename": "r.txt",
            "size": len(content),
            "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        }
    }


def test_the_overview_lists_the_commands_without_loading_them() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(entry.line[:30] in result.output for entry in COMMANDS.values() if not entry.hidden)
    assert "demo" not in result.output


@pytest.mark.parametrize(
    "name", ["run", "ls", "status", "tasks", "logs", "outputs", "cancel", "events", "rm", "deleted", "doctor", "demo"]
)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"wes {name}" in result.output.split("Options:")[0].removeprefix(f"Usage: wes {name}")


def test_an_unknown_command_is_answered_with_a_near_one() -> None:
    result = CliRunner().invoke(app, ["staus"])
    assert result.exit_code == 2
    assert "status" in result.output


def test_the_version_is_printed() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("wes-tes 0.")


def test_run_submits_shows_the_steps_and_the_outputs(server: FakeWes, wes: Wes, workflow: Path) -> None:
    server.next_run = FakeRun(
        id="r1", moments=[Moment(state="RUNNING", tasks=TASKS[:1]), Moment(state="COMPLETE", tasks=TASKS[:1])]
    )
    server.next_run.outputs = with_output(server) | {"n": 3}
    result = wes(
        "run",
        workflow,
        "--tag",
        "a=b=c",
        "--engine",
        "cwltool",
        "--engine-param",
        "x=1",
        "--idempotency-key",
        "k",
        "--priority",
        "-5",
        "--max-time",
        "2h",
        "--set",
        "sub.align.memory=4GB",
        "--set",
        "*.cpu=2",
    )
    assert result.exit_code == 0, result.output
    [submission] = server.submissions
    assert submission.form["workflow_url"] == "wf.cwl"
    assert (submission.form["workflow_type"], submission.form["workflow_type_version"]) == ("CWL", "v1.1")
    assert json.loads(submission.form["tags"]) == {"a": "b=c"}
    assert json.loads(submission.form["workflow_engine_parameters"]) == {
        "x": "1",
        "priority": "-5",
        "max_time": "2h",
        "step_resources": '{"sub.align": {"memory": "4GB"}, "*": {"cpu": "2"}}',
    }
    assert submission.headers["Idempotency-Key"] == "k"
    assert submission.files == {"wf.cwl": workflow.read_bytes()}
    assert "done    align" in result.stderr
    assert f"{server.url}/out/r.txt" in result.stdout
    assert "n" in result.stdout


def test_a_failed_run_exits_with_1_and_says_why_and_what_to_do(server: FakeWes, wes: Wes, workflow: Path) -> None:
    server.next_run = FakeRun(
        id="r1", moments=[Moment(state="EXECUTOR_ERROR")], reason="the step sort failed\nno space"
    )
    result = wes("run", workflow)
    assert result.exit_code == 1
    assert "the step sort failed" in result.stderr
    assert "wes logs r1" in result.stderr


def test_a_warning_of_the_server_is_shown_although_the_run_is_complete(
    server: FakeWes, wes: Wes, workflow: Path
) -> None:
    server.next_run = FakeRun(
        id="r1", moments=[Moment(state="COMPLETE")], reason="Warning: the workflow ended without a task"
    )
    result = wes("run", workflow)
    assert result.exit_code == 0
    assert "warning: the workflow ended without a task\n" in result.stderr


def test_detach_prints_the_id_alone(wes: Wes, workflow: Path) -> None:
    result = wes("run", workflow, "--detach")
    assert (result.exit_code, result.stdout) == (0, "new-1\n")


def test_ctrl_c_leaves_the_run_going(
    wes: Wes, workflow: Path, monkeypatch: pytest.MonkeyPatch, server: FakeWes
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "follow", interrupted)
    result = wes("run", workflow)
    assert result.exit_code == 130
    assert "the run goes on" in result.stderr
    assert "wes cancel new-1" in result.stderr
    assert not any(path.endswith("/cancel") for _, path, _ in server.asked)


def test_run_downloads_at_the_end(server: FakeWes, wes: Wes, workflow: Path, tmp_path: Path) -> None:
    server.next_run = FakeRun(id="r1", moments=[Moment(state="COMPLETE")])
    server.next_run.outputs = with_output(server)
    result = wes("run", workflow, "--download", tmp_path / "got")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "got/r.txt").read_bytes() == b"report"
    assert str(tmp_path / "got/r.txt") in result.stdout


def test_what_cannot_be_submitted_exits_with_2(wes: Wes, tmp_path: Path) -> None:
    result = wes("run", tmp_path / "gone.cwl")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_a_pair_without_a_value_is_refused(wes: Wes, workflow: Path) -> None:
    result = wes("run", workflow, "--tag", "oops")
    assert (result.exit_code, "NAME=VALUE" in result.stderr) == (2, True)


def test_the_servers_refusal_is_shown(server: FakeWes, wes: Wes, workflow: Path) -> None:
    server.token = "secret"
    result = wes("run", workflow)
    assert result.exit_code == 2
    assert "--token-file" in result.stderr


def test_the_token_is_read_from_its_file(server: FakeWes, wes: Wes, tmp_path: Path) -> None:
    server.token = "secret"
    (tmp_path / "token").write_text("secret\n")
    assert wes("ls", "--token-file", tmp_path / "token").exit_code == 0
    assert "can't be read" in wes("ls", "--token-file", tmp_path / "gone").stderr


def test_ls_lists_over_pages_up_to_the_limit(server: FakeWes, wes: Wes) -> None:
    for number in range(5):
        server.runs[f"r{number}"] = FakeRun(id=f"r{number}", moments=[Moment(state="COMPLETE")], tags={"k": "v"})
    lines = wes("ls", "-n", "3").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["RUN", "r0", "r1", "r2"]
    assert "k=v" in lines[1]
    assert len(json.loads(wes("ls", "--json").stdout)) == 5


def test_ls_of_nothing_says_so(wes: Wes) -> None:
    result = wes("ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no runs yet" in result.stderr


def test_status_shows_reason_and_steps(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="SYSTEM_ERROR", tasks=TASKS)], reason="the disk is full")
    output = wes("status").stdout
    assert "SYSTEM_ERROR" in output
    assert "the disk is full" in output
    assert "align" in output
    assert json.loads(wes("status", "r1", "--json").stdout)["state"] == "SYSTEM_ERROR"


def test_tasks_are_listed_with_exit_code_and_time(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="RUNNING", tasks=TASKS)])
    lines = wes("tasks", "last").stdout.splitlines()
    assert lines[1].split() == ["t1", "align", "done", "0", "5", "s"]
    assert lines[2].split()[:3] == ["t2", "sort", "running"]


def test_tasks_show_the_tes_that_has_each_where_the_server_tells(server: FakeWes, wes: Wes) -> None:
    route = "sent to far: asks 16 cpu, near has at most 4"
    tasks = [{**TASKS[0], "system_logs": ["TES state: COMPLETE", route]}, TASKS[1]]
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="RUNNING", tasks=tasks)])
    head, first, second = wes("tasks", "last").stdout.splitlines()
    assert head.endswith("  SENT TO")
    assert first.endswith(" far: asks 16 cpu, near has at most 4")
    assert second.split()[:3] == ["t2", "sort", "running"]


def test_cancel_says_the_new_state(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="RUNNING")])
    assert wes("cancel", "r").stdout == "r1 is CANCELED\n"


def test_logs_keep_the_two_streams_apart(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE")])
    server.files |= {
        "/ga4gh/wes/v1/runs/r1/logs/stdout": b"out\xff\n",
        "/ga4gh/wes/v1/runs/r1/logs/stderr": b"err\n",
    }
    result = wes("logs")
    assert (result.stdout_bytes, result.stderr_bytes) == (b"out\xff\n", b"err\n")
    only = wes("logs", "last", "--stderr")
    assert (only.stdout_bytes, only.stderr_bytes) == (b"err\n", b"")


def test_logs_follow_until_the_run_ends(server: FakeWes, wes: Wes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/ga4gh/wes/v1/runs/r1/logs/stdout"
    run = FakeRun(id="r1", moments=[Moment(state="RUNNING"), Moment(state="COMPLETE")])
    server.runs["r1"] = run
    server.files[path] = b"one "

    def later(_: float) -> None:
        server.files[path] += b"two"
        run.looks = 2

    monkeypatch.setattr("wes_cli.logs.time.sleep", later)
    assert wes("logs", "-f", "last", "--stdout").stdout == "one two"


def test_logs_of_a_step_are_found_by_its_name(server: FakeWes, wes: Wes) -> None:
    task = TASKS[0] | {"stdout": "/logs/t1"}
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE", tasks=[task, TASKS[1]])])
    server.files["/logs/t1"] = b"aligned"
    assert wes("logs", "r1", "align", "--stdout").stdout == "aligned"
    assert "its steps are: align, sort" in wes("logs", "r1", "gone").stderr


def test_outputs_that_exist_already_are_kept_or_refused(server: FakeWes, wes: Wes, tmp_path: Path) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE")], outputs=with_output(server))
    assert wes("outputs", "-d", tmp_path).exit_code == 0
    asked = len([path for _, path, _ in server.asked if path == "/out/r.txt"])
    assert wes("outputs", "-d", tmp_path).exit_code == 0
    assert len([path for _, path, _ in server.asked if path == "/out/r.txt"]) == asked
    (tmp_path / "r.txt").write_text("mine")
    refused = wes("outputs", "-d", tmp_path)
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert (tmp_path / "r.txt").read_text() == "mine"
    assert wes("outputs", "-d", tmp_path, "--force").exit_code == 0
    assert (tmp_path / "r.txt").read_text() == "report"


def test_a_download_with_a_wrong_sum_leaves_nothing(server: FakeWes, wes: Wes, tmp_path: Path) -> None:
    outputs = with_output(server, sha256="0" * 64)
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE")], outputs=outputs)
    result = wes("outputs", "-d", tmp_path / "got")
    assert (result.exit_code, "sha256" in result.stderr) == (2, True)
    assert list((tmp_path / "got").iterdir()) == []


def test_outputs_as_json_are_the_servers(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE")], outputs={"n": 3})
    assert json.loads(wes("outputs", "--json").stdout) == {"n": 3}


def test_run_ids_are_completed_from_the_server(server: FakeWes) -> None:
    class Context:
        params = {"server": server.url}

    server.runs["abc"] = FakeRun(id="abc", moments=[Moment(state="RUNNING")])
    assert complete_run(Context(), "a") == [("abc", "RUNNING")]
    assert complete_run(Context(), "l") == [("last", "the newest run")]


def test_completion_without_a_server_is_silent() -> None:
    class Context:
        params = {"server": "http://127.0.0.1:1"}

    assert complete_run(Context(), "a") == []


def test_an_ended_run_has_no_step_that_waits_or_runs(server: FakeWes, wes: Wes) -> None:
    tasks = [*TASKS, {"id": "t3", "name": "x"}]
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="EXECUTOR_ERROR", tasks=tasks)])
    for command in ("status", "tasks"):
        lines = [line.split() for line in wes(command, "r1").output.splitlines()]
        assert ["t2", "sort", "canceled"] in lines
        assert ["t3", "x", "canceled"] in lines


def test_a_run_that_went_well_tells_what_a_person_should_know(server: FakeWes, wes: Wes, workflow: Path) -> None:
    reason = "The image x:1 was not used: align ran with programs of the TES's machine."
    server.next_run = FakeRun(id="r1", moments=[Moment(state="COMPLETE")], reason=reason)
    assert f"warning: {reason}" in wes("run", workflow).output


def test_ls_names_the_workflow_of_each_run(server: FakeWes, wes: Wes) -> None:
    server.runs["r1"] = FakeRun(id="r1", moments=[Moment(state="COMPLETE")], workflow_url="https://e.org/x/align.cwl")
    server.runs["r2"] = FakeRun(id="r2", moments=[Moment(state="RUNNING")], workflow_url="Snakefile")
    first, second = wes("ls").output.splitlines()[1:]
    assert first.split()[:3] == ["r1", "align.cwl", "COMPLETE"]
    assert second.split()[:3] == ["r2", "Snakefile", "RUNNING"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("align=4GB", "write it as STEP.FIELD=VALUE, as in align.memory=4GB"),
        ("align.mem=4GB", "--set: align.mem: there is no such thing to change; there is cpu, memory, disk, image"),
        ("align.memory=lots", "--set: align.memory: 'lots' is no amount of memory: write 4GB, 512MB or 4GiB"),
    ],
)
def test_what_can_not_be_set_is_told_before_anything_is_sent(
    server: FakeWes, wes: Wes, workflow: Path, text: str, problem: str
) -> None:
    result = wes("run", workflow, "--set", text)
    assert (result.exit_code, server.submissions) == (2, [])
    assert problem in " ".join(result.output.split())

"""WDL through WES and TES, over HTTP only."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.conftest import StartWes, open_folder
from tests.acceptance.stack import Wes, attachment, embedded_only
from tests.http_client import http
from tests.unit.examples.test_read_report import EXAMPLE, OUTPUTS
from tests.waiting import until
from wes_cli.bundle import BundleRequest, build_bundle

BRANCHES = """
version 1.1
workflow w { scatter (i in range(3)) { call wait } }
task wait { command <<< sleep 600 >>> }
"""


def submit(wes: Wes, files: Mapping[str, str | bytes], params: Mapping[str, Any] | None = None, **fields: str) -> str:
    """The first of the files is the workflow."""
    form = {
        "workflow_type": "WDL",
        "workflow_type_version": "1.1",
        "workflow_url": next(iter(files)),
        "workflow_params": json.dumps(params or {}),
        **fields,
    }
    return wes.submit(form, [attachment(name, content) for name, content in files.items()])


def tasks_of(wes: Wes, run_id: str) -> list[dict[str, Any]]:
    return list(wes.get(f"/runs/{run_id}/tasks?page_size=1000")["task_logs"])


def test_service_info_lists_the_engine(wdl: Wes) -> None:
    info = wdl.get("/service-info")
    assert {"draft-2", "1.0", "1.1"} <= set(info["workflow_type_versions"]["WDL"]["workflow_type_version"])
    assert info["workflow_engine_versions"]["miniwdl"]["workflow_engine_version"] == ["1.16.0"]


def test_a_scattered_workflow_completes_with_tasks_progress_and_outputs(wdl: Wes) -> None:
    document = """
version 1.1
import "lib/tasks.wdl"
struct Sample { String name  File reads }
workflow w {
  input { Array[Sample] samples }
  scatter (sample in samples) { call tasks.count { input: f = sample.reads } }
  output {
    Array[Int] sizes = count.n
    Array[File] files = count.o
    Map[String, File] by = {samples[0].name: count.o[0]}
  }
}
"""
    tasks = """
version 1.0
task count {
  input { File f }
  command <<< wc -c < "~{f}" | tr -d ' ' | tee n.txt; echo counted >&2 >>>
  output { Int n = read_int("n.txt")  File o = "n.txt" }
}
"""
    params = {"w.samples": [{"name": "a", "reads": "r/a b.fq"}, {"name": "b", "reads": "r/b.fq"}]}
    files = {"main.wdl": document, "lib/tasks.wdl": tasks, "r/a b.fq": "12345", "r/b.fq": "1"}
    run_id = submit(wdl, files, params)
    log = wdl.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert log["outputs"]["w.sizes"] == [5, 1]
    assert [http.get(file["location"]).text for file in log["outputs"]["w.files"]] == ["5\n", "1\n"]
    assert log["outputs"]["w.by"]["a"]["sha256"] == hashlib.sha256(b"5\n").hexdigest()
    assert log["progress"] == {"known": 2, "running": 0, "done": 2, "failed": 0, "cached": 0}
    found = tasks_of(wdl, run_id)
    assert sorted(task["name"] for task in found) == ["count", "count_2"]
    for task in found:
        assert task["exit_code"] == 0
        assert http.get(task["stderr"]).text == "counted\n"


def test_the_example_gives_the_same_bytes_as_in_cwl(wdl: Wes) -> None:
    bundle = build_bundle(
        BundleRequest(workflow=str(EXAMPLE / "read-report.wdl"), params=EXAMPLE / "read-report.inputs.json")
    )
    assert bundle.warnings == ()
    assert (bundle.language, bundle.version) == ("WDL", "1.1")
    files = {name: path.read_bytes() for name, path in bundle.attachments.items()}
    ordered = {bundle.workflow_url: files.pop(bundle.workflow_url), **files}
    run_id = submit(wdl, ordered, bundle.params)
    log = wdl.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert {file["basename"]: file["sha256"] for file in log["outputs"].values()} == OUTPUTS
    names = ("count_reads", "base_composition", "quality_by_position")
    scattered = [f"{name}{index}" for name in names for index in ("", "_2", "_3")]
    assert sorted(task["name"] for task in tasks_of(wdl, run_id)) == sorted([*scattered, "merge_report"])


def test_a_failed_step_is_told_with_name_exit_code_and_stderr(wdl: Wes) -> None:
    document = """
version 1.1
workflow w { call align }
task align { command <<< echo reading; echo "no such genome" >&2; exit 3 >>> }
"""
    run_id = submit(wdl, {"main.wdl": document})
    log = wdl.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR"
    reason = log["run_log"]["system_logs"][0]
    assert reason.startswith("Step 'align' failed with exit code 3 (task ")
    assert "no such genome" in reason
    assert log["progress"]["failed"] == 1
    assert tasks_of(wdl, run_id)[0]["exit_code"] == 3


@pytest.mark.parametrize(
    ("files", "params", "expected"),
    [
        ({"main.wdl": "version 1.1\nworkflow w {"}, {}, "main.wdl:2"),
        (
            {"main.wdl": 'version 1.1\nimport "gone.wdl"\nworkflow w {}'},
            {},
            "Failed to import gone.wdl: there is no such",
        ),
        ({"main.wdl": "version 1.1\nworkflow w { input { File f } }"}, {}, "required inputs are missing: w.f (File)"),
        ({"main.wdl": "version 1.1\nworkflow w { input { File f } }"}, {"w.f": "gone.txt"}, "names the file gone.txt"),
        ({"main.wdl": "version 1.1\nworkflow w { }"}, {"w.f": "gone.txt"}, "'w' has no input 'w.f'"),
    ],
)
def test_bad_input_is_told_and_leaves_no_task(
    wdl: Wes, files: Mapping[str, str], params: Mapping[str, Any], expected: str
) -> None:
    run_id = submit(wdl, files, params)
    log = wdl.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR"
    assert expected in log["run_log"]["system_logs"][0]
    assert tasks_of(wdl, run_id) == []


def test_allowed_data_is_read_in_place(start_wes: StartWes, wdl_installation: object) -> None:
    shelf = open_folder()
    try:
        (shelf / "reads.txt").write_text("1234567")
        (shelf / "reads.txt").chmod(0o644)
        wes = start_wes("--allow-data", str(shelf))
        document = """
version 1.1
workflow w { input { File f }  call t { input: f = f }  output { Int n = t.n  File same = f } }
task t { input { File f }  command <<< wc -c < ~{f} >>>  output { Int n = read_int(stdout()) } }
"""
        log = wes.wait(submit(wes, {"main.wdl": document}, {"w.f": str(shelf / "reads.txt")}))
        assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
        assert log["outputs"]["w.n"] == 7
        assert http.get(log["outputs"]["w.same"]["location"]).text == "1234567"
    finally:
        shutil.rmtree(shelf)


def test_engine_parameters_are_checked_and_used(wdl: Wes) -> None:
    files = [attachment("main.wdl", BRANCHES)]
    form = {"workflow_type": "WDL", "workflow_type_version": "1.1", "workflow_url": "main.wdl"}
    for parameters in ('{"rm": "-rf"}', '{"parallel": "0"}', '{"on_error": "continue"}', '{"check_quant": "perhaps"}'):
        response = wdl.post({**form, "workflow_engine_parameters": parameters}, files)
        assert response.status_code == 400, parameters
        assert "workflow_engine_parameters" in response.json()["msg"]
    flaky = "version 1.1\nworkflow w { call t }\ntask t { command <<< exit 3 >>> }"
    run_id = submit(wdl, {"main.wdl": flaky}, workflow_engine_parameters='{"max_retries": "1"}')
    assert wdl.wait(run_id)["state"] == "EXECUTOR_ERROR"
    assert [task["name"] for task in tasks_of(wdl, run_id)] == ["t", "t"]
    response = wdl.post({**form, "workflow_engine": "miniwdl", "workflow_engine_version": "0.1"}, files)
    assert response.status_code == 400
    assert "0.1" in response.json()["msg"]


def waiting_run(wes: Wes) -> tuple[str, psutil.Process]:
    """A run with three open tasks, and its engine's process."""
    run_id = submit(wes, {"main.wdl": BRANCHES})
    until(lambda: len(tasks_of(wes, run_id)) >= 3, wes.said)
    return run_id, wes.engine(run_id)


def states_of(wes: Wes, run_id: str) -> list[str]:
    return [http.get(task["tes_uri"]).json()["state"] for task in tasks_of(wes, run_id)]


def test_cancel_ends_three_branches_within_two_seconds(wdl: Wes) -> None:
    run_id, engine = waiting_run(wdl)
    began = time.monotonic()
    assert http.post(f"{wdl.url}/runs/{run_id}/cancel").status_code == 200
    psutil.wait_procs([engine], timeout=60)
    assert time.monotonic() - began < 30
    log = wdl.wait(run_id)
    assert log["state"] == "CANCELED"
    assert log["run_log"]["system_logs"][0] == "The run was cancelled."
    assert states_of(wdl, run_id) == ["CANCELED"] * 3


PROBE = """
version 1.1
workflow w { input { String place }  call probe { input: place = place }  output { String said = probe.said } }
task probe {
  input { String place }
  command <<< ACTION >>>
  output { String said = read_string(stdout()) }
}
"""


def places(wes: Wes, other: str) -> list[Path]:
    return [
        wes.data / "secrets",
        wes.data / "wes.sqlite",
        wes.data / "runs" / other / "work",
        wes.data / "runs" / other / "control" / "tes-token",
        Path("~root").expanduser() if os.geteuid() == 0 else Path.home(),
        Path("/etc/shadow"),
    ]


@embedded_only
def test_a_step_reads_nothing_of_the_server_and_writes_nowhere_else(wdl: Wes) -> None:
    other = submit(wdl, {"main.wdl": "version 1.1\nworkflow w { output { Int n = 1 } }"})
    assert wdl.wait(other)["state"] == "COMPLETE"
    found = places(wdl, other)
    assert found[0].exists()
    assert found[2].exists()
    listing = " ; ".join(f"ls -A {place} || cat {place}" for place in found)
    log = wdl.wait(
        submit(wdl, {"main.wdl": PROBE.replace("ACTION", f"{{ {listing} ; true ; }} 2>/dev/null")}, {"w.place": ""})
    )
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert log["outputs"]["w.said"] == ""
    for place in (wdl.data / "runs" / other / "work", wdl.data, Path("/usr")):
        document = PROBE.replace("ACTION", f"echo x > {place}/intruder")
        assert wdl.wait(submit(wdl, {"main.wdl": document}, {"w.place": ""}))["state"] == "EXECUTOR_ERROR"
        assert not (place / "intruder").exists()


def test_the_engine_reads_nothing_of_the_server(wdl: Wes) -> None:
    other = submit(wdl, {"main.wdl": "version 1.1\nworkflow w { output { Int n = 1 } }"})
    assert wdl.wait(other)["state"] == "COMPLETE"
    as_input = "version 1.1\nworkflow w { input { File f }  output { String s = read_string(f) } }"
    by_name = 'version 1.1\nworkflow w { output { String s = read_string("PLACE") } }'
    by_import = 'version 1.1\nimport "PLACE" as x\nworkflow w { output { Int n = 1 } }'
    for place in map(str, places(wdl, other)):
        runs = [
            submit(wdl, {"main.wdl": as_input}, {"w.f": place}),
            submit(wdl, {"main.wdl": by_name.replace("PLACE", place)}),
            submit(wdl, {"main.wdl": by_import.replace("PLACE", place)}),
        ]
        logs = [wdl.wait(run_id) for run_id in runs]
        assert [log["state"] for log in logs] == ["EXECUTOR_ERROR"] * 3, logs
        assert all(tasks_of(wdl, run_id) == [] for run_id in runs)


def test_a_step_does_not_get_to_the_gateway(wdl: Wes) -> None:
    call = (
        "python3 -c 'import urllib.request as u; "
        'u.urlopen(u.Request("http://127.0.0.1:8765/ga4gh/tes/v1/tasks", headers={"Authorization": "Bearer other"}))\''
    )
    log = wdl.wait(submit(wdl, {"main.wdl": PROBE.replace("ACTION", call)}, {"w.place": ""}))
    assert log["state"] == "EXECUTOR_ERROR"
    assert "refused" in log["run_log"]["system_logs"][0] or "unreachable" in log["run_log"]["system_logs"][0]

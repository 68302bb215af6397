"""A workflow through WES and TES, over HTTP only, with nothing configured."""

import hashlib
import json
from datetime import datetime

from tests.acceptance.stack import Wes, embedded_only
from tests.acceptance.workflows import BRANCHES, COUNT, ECHO, FAIL, NUMBERS, form, parts
from tests.http_client import http
from tests.waiting import until


def test_service_info_lists_what_is_installed(wes: Wes) -> None:
    info = wes.get("/service-info")
    assert info["type"] == {"group": "org.ga4gh", "artifact": "wes", "version": "1.1.0"}
    assert info["supported_wes_versions"] == ["1.1.0"]
    assert info["workflow_type_versions"]["CWL"]["workflow_type_version"] == ["v1.0", "v1.1", "v1.2"]
    assert len(info["workflow_engine_versions"]["cwltool"]["workflow_engine_version"]) == 1


def test_a_one_step_workflow_completes_with_log_task_and_output(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"word": "hello"}', tags='{"sample": "A1"}'), parts(ECHO))
    assert wes.state(run_id) in {"QUEUED", "INITIALIZING", "RUNNING", "COMPLETE"}
    log = wes.wait(run_id)
    assert (log["state"], log["run_log"]["exit_code"]) == ("COMPLETE", 0), log
    assert log["request"]["workflow_params"] == {"word": "hello"}
    assert log["request"]["tags"] == {"sample": "A1"}
    said = log["outputs"]["said"]
    assert (said["class"], said["basename"], said["size"]) == ("File", "said.txt", 6)
    assert said["checksum"] == "sha1$" + hashlib.sha1(b"hello\n", usedforsecurity=False).hexdigest()
    assert said["sha256"] == hashlib.sha256(b"hello\n").hexdigest()
    assert http.get(said["location"]).content == b"hello\n"


def test_each_step_has_name_argv_times_exit_code_and_log_urls(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"seconds": [0, 0]}'), parts(BRANCHES))
    log = wes.wait(run_id)
    tasks = wes.get(f"/runs/{run_id}/tasks")["task_logs"]
    assert sorted(task["name"] for task in tasks) == ["wait", "wait_2"]
    assert log["progress"] == {"known": 2, "running": 0, "done": 2, "failed": 0, "cached": 0}
    assert log["task_logs"] == tasks
    for task in tasks:
        assert task["exit_code"] == 0
        assert any("sleep" in word for word in task["cmd"])
        started, ended = (datetime.strptime(task[k], "%Y-%m-%dT%H:%M:%SZ") for k in ("start_time", "end_time"))  # noqa: DTZ007
        assert started <= ended
        assert http.get(task["stdout"]).status_code == 200
        assert http.get(task["stderr"]).status_code == 200
        assert wes.get(f"/runs/{run_id}/tasks/{task['id']}") == task
        seen = http.get(task["tes_uri"], params={"view": "FULL"}).json()
        assert (seen["id"], seen["state"], seen["tags"]["wes.run_id"]) == (task["id"], "COMPLETE", run_id)


def test_log_urls_give_the_whole_output_of_a_step_and_ranges_of_it(wes: Wes) -> None:
    run_id = wes.submit(form(), parts(NUMBERS))
    assert wes.wait(run_id)["state"] == "COMPLETE"
    task = wes.get(f"/runs/{run_id}/tasks")["task_logs"][0]
    whole = "".join(f"{n}\n" for n in range(1, 20001))
    assert http.get(task["stdout"]).text == whole
    tail = http.get(task["stdout"], headers={"Range": "bytes=-6"})
    assert (tail.status_code, tail.text) == (206, whole[-6:])


def test_attachments_in_folders_are_found_where_params_name_them(wes: Wes) -> None:
    params = {"file": {"class": "File", "location": "reads/sub dir/a.txt"}}
    run_id = wes.submit(form(workflow_params=json.dumps(params)), parts(COUNT, {"reads/sub dir/a.txt": "12345"}))
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["count"]["location"]).text.split()[0] == "5"


def test_a_failed_step_is_told_with_name_exit_code_and_stderr(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"word": "x"}'), parts(FAIL))
    log = wes.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR"
    reason = log["run_log"]["system_logs"][0]
    assert reason.startswith("Step 'align' failed with exit code 3 (task ")
    assert "no such genome" in reason
    assert log["outputs"] == {}
    task = next(t for t in wes.get(f"/runs/{run_id}/tasks")["task_logs"] if t["name"] == "align")
    assert task["exit_code"] == 3
    assert http.get(task["stdout"]).text == "reading\n"
    assert http.get(task["stderr"]).text == "no such genome\n"


def test_a_workflow_that_does_not_parse_fails_without_a_task(wes: Wes) -> None:
    for document in ("cwlVersion: v1.2\nclass: Worfklow\n", "{not yaml", "class: CommandLineTool\n"):
        run_id = wes.submit(form(), parts(document))
        log = wes.wait(run_id)
        assert log["state"] == "EXECUTOR_ERROR", document
        assert log["run_log"]["system_logs"][0]
        assert "Traceback" not in log["run_log"]["system_logs"][0]
        assert wes.get(f"/runs/{run_id}/tasks") == {"task_logs": [], "next_page_token": ""}


def test_a_missing_input_file_is_one_clear_sentence(wes: Wes) -> None:
    params = {"file": {"class": "File", "location": "gone.txt"}}
    log = wes.wait(wes.submit(form(workflow_params=json.dumps(params)), parts(COUNT)))
    assert log["state"] == "EXECUTOR_ERROR"
    assert "gone.txt" in log["run_log"]["system_logs"][0]


def test_files_of_the_server_can_not_be_read(wes: Wes) -> None:
    params = {"file": {"class": "File", "location": "file:///etc/passwd"}}
    log = wes.wait(wes.submit(form(workflow_params=json.dumps(params)), parts(COUNT)))
    assert log["state"] == "EXECUTOR_ERROR"
    assert log["outputs"] == {}
    assert "root:" not in json.dumps(log)


def test_cancel_ends_three_branches_and_leaves_no_open_task(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"seconds": [600, 600, 600]}'), parts(BRANCHES))
    until(lambda: len(wes.get(f"/runs/{run_id}/tasks")["task_logs"]) >= 3, wes.said)
    assert http.post(f"{wes.url}/runs/{run_id}/cancel").json() == {"run_id": run_id}
    assert wes.state(run_id) in {"CANCELING", "CANCELED"}
    log = wes.wait(run_id)
    assert log["state"] == "CANCELED"
    assert log["run_log"]["system_logs"][0] == "The run was cancelled."
    states = [http.get(t["tes_uri"]).json()["state"] for t in wes.get(f"/runs/{run_id}/tasks")["task_logs"]]
    assert states == ["CANCELED"] * 3
    assert http.post(f"{wes.url}/runs/{run_id}/cancel").status_code == 200
    assert wes.state(run_id) == "CANCELED"


def test_the_same_idempotency_key_gives_the_same_run(wes: Wes) -> None:
    headers = {"Idempotency-Key": "sample-17"}
    first = wes.submit(form(workflow_params='{"word": "a"}'), parts(ECHO), headers=headers)
    assert wes.submit(form(workflow_params='{"word": "a"}'), parts(ECHO), headers=headers) == first
    assert wes.post(form(workflow_params='{"word": "b"}'), parts(ECHO), headers=headers).status_code == 409
    wes.wait(first)


def test_bad_requests_name_the_field_and_leave_nothing(wes: Wes) -> None:
    before = wes.get("/runs")["runs"]
    folders = sorted(path.name for path in (wes.data / "runs").iterdir() if not path.name.startswith("."))
    bad = [
        ("workflow_type", form(workflow_type="COBOL"), parts(ECHO)),
        ("workflow_type_version", form(workflow_type_version="v9"), parts(ECHO)),
        ("workflow_url", form(workflow_url="other.cwl"), parts(ECHO)),
        ("workflow_params", form(workflow_params="[1]"), parts(ECHO)),
        ("tags", form(tags="{"), parts(ECHO)),
        ("workflow_engine_parameters", form(workflow_engine_parameters='{"rm": "-rf"}'), parts(ECHO)),
        ("workflow_attachment", form(), parts(ECHO, {"../x": "y"})),
    ]
    for field, fields, files in bad:
        response = wes.post(fields, files)
        assert response.status_code == 400, response.text
        assert response.json()["status_code"] == 400
        assert field in response.json()["msg"]
    assert wes.get("/runs")["runs"] == before
    assert sorted(p.name for p in (wes.data / "runs").iterdir() if not p.name.startswith(".")) == folders


@embedded_only
def test_the_system_log_of_each_task_says_how_it_ran(wes: Wes) -> None:
    run_id = wes.submit(form(workflow_params='{"word": "hello"}'), parts(ECHO))
    assert "runs in a bubblewrap sandbox" in " ".join(wes.wait(run_id)["run_log"]["system_logs"])
    lines = " ".join(wes.get(f"/runs/{run_id}/tasks")["task_logs"][0]["system_logs"])
    assert "bubblewrap" in lines or "container" in lines, lines

"""POST /tasks: what is refused, and that the field is named (acceptance: tes, 1 and 5)."""

import json
from typing import Any

import pytest

from tests.contract.tes.served import EXECUTOR, Tes

FINE_INPUT = {"content": "x", "path": "/in/x"}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"executors": None}, "executors"),
    ({"executors": []}, "executors"),
    ({"executors": {}}, "executors"),
    ({"executors": ["x"]}, "executors[0]"),
    ({"executors": [{"command": ["x"]}]}, "executors[0].image"),
    ({"executors": [{"image": "", "command": ["x"]}]}, "executors[0].image"),
    ({"executors": [{"image": "--privileged", "command": ["x"]}]}, "executors[0].image"),
    ({"executors": [{"image": "x"}]}, "executors[0].command"),
    ({"executors": [EXECUTOR, {"image": "x", "command": []}]}, "executors[1].command"),
    ({"executors": [{"image": "x", "command": "true"}]}, "executors[0].command"),
    ({"executors": [{"image": "x", "command": ["a", 1]}]}, "executors[0].command[1]"),
    ({"executors": [{"image": "x", "command": ["a\0b"]}]}, "executors[0].command[0]"),
    ({"executors": [{**EXECUTOR, "workdir": "work"}]}, "executors[0].workdir"),
    ({"executors": [{**EXECUTOR, "stdin": "in"}]}, "executors[0].stdin"),
    ({"executors": [{**EXECUTOR, "stdout": "./out"}]}, "executors[0].stdout"),
    ({"executors": [{**EXECUTOR, "stderr": "err"}]}, "executors[0].stderr"),
    ({"executors": [{**EXECUTOR, "stdout": "/out/../../x"}]}, "executors[0].stdout"),
    ({"executors": [{**EXECUTOR, "env": {"A": 1}}]}, "executors[0].env.A"),
    ({"executors": [{**EXECUTOR, "env": {"A=B": "x"}}]}, "executors[0].env.A=B"),
    ({"executors": [{**EXECUTOR, "ignore_error": "yes"}]}, "executors[0].ignore_error"),
    ({"volumes": ["/fine", "vol"]}, "volumes[1]"),
    ({"volumes": "/fine"}, "volumes"),
    ({"inputs": [{"url": "http://x/y", "path": "in"}]}, "inputs[0].path"),
    ({"inputs": [{"url": "http://x/y"}]}, "inputs[0].path"),
    ({"inputs": [{"url": "http://x/y", "path": "/"}]}, "inputs[0].path"),
    ({"inputs": [FINE_INPUT, {"path": "/in/y"}]}, "inputs[1].url"),
    ({"inputs": [{**FINE_INPUT, "url": "http://x/y"}]}, "inputs[0].content"),
    ({"inputs": [{**FINE_INPUT, "type": "PIPE"}]}, "inputs[0].type"),
    ({"inputs": [{**FINE_INPUT, "type": "DIRECTORY"}]}, "inputs[0].type"),
    ({"inputs": [FINE_INPUT, {**FINE_INPUT, "content": "y"}]}, "inputs[1].path"),
    ({"inputs": [FINE_INPUT, {"content": "x", "path": "/in/x/y"}]}, "inputs[1].path"),
    ({"inputs": [FINE_INPUT], "volumes": ["/in/x"]}, "volumes[0]"),
    ({"outputs": [{"path": "/x"}]}, "outputs[0].url"),
    ({"outputs": [{"url": "s3://b/x"}]}, "outputs[0].path"),
    ({"outputs": [{"url": "s3://b/x", "path": "/x"}]}, "outputs[0].url"),
    ({"outputs": [{"url": "file:///x", "path": "/x/*"}]}, "outputs[0].path_prefix"),
    ({"outputs": [{"url": "file:///x", "path": "/x/*", "path_prefix": "/y"}]}, "outputs[0].path_prefix"),
    ({"resources": {"cpu_cores": -1}}, "resources.cpu_cores"),
    ({"resources": {"cpu_cores": 1.5}}, "resources.cpu_cores"),
    ({"resources": {"cpu_cores": True}}, "resources.cpu_cores"),
    ({"resources": {"ram_gb": -0.1}}, "resources.ram_gb"),
    ({"resources": {"disk_gb": "1"}}, "resources.disk_gb"),
    ({"resources": {"zones": "a"}}, "resources.zones"),
    ({"resources": []}, "resources"),
    ({"tags": {"a": 1}}, "tags.a"),
    ({"tags": []}, "tags"),
    ({"name": 1}, "name"),
    ({"name": "\ud800"}, "name"),
    (
        {"resources": {"backend_parameters": {"network": "some"}}},
        "resources.backend_parameters.network",
    ),
    (
        {"resources": {"backend_parameters": {"queue": "x"}, "backend_parameters_strict": True}},
        "resources.backend_parameters.queue",
    ),
]


@pytest.mark.parametrize(("task", "field"), CASES, ids=[f"{number}-{field}" for number, (_, field) in enumerate(CASES)])
def test_a_bad_field_is_refused_by_its_name(tes: Tes, task: dict[str, Any], field: str) -> None:
    body = json.dumps({"executors": [EXECUTOR], **task})
    response = tes.client.post("/tasks", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400, response.text
    assert response.json()["msg"].startswith(f"{field}: ")


def test_an_empty_content_is_fine(tes: Tes) -> None:
    assert (
        tes.ended(tes.create(inputs=[{"content": "", "path": "/in/x"}], executors=[_exits(0)]))["state"] == "COMPLETE"
    )


def test_null_and_empty_stand_for_absent(tes: Tes) -> None:
    executor = {**_exits(0), "workdir": "", "stdin": None, "env": None}
    task = tes.ended(tes.create(executors=[executor], inputs=None, outputs=[], tags=None, resources=None, name=None))
    assert task["state"] == "COMPLETE"
    assert task["executors"] == [{**_exits(0), "workdir": ""}]


def test_unknown_and_read_only_fields_are_ignored(tes: Tes) -> None:
    task_id = tes.create(id="mine", state="COMPLETE", color="red", executors=[{**_exits(0), "gpu": 1}], logs=[{}])
    assert task_id != "mine"
    task = tes.ended(task_id)
    assert task["id"] == task_id
    assert "color" not in task
    assert "gpu" not in task["executors"][0]


def test_unknown_backend_parameters_are_dropped_and_the_log_says_so(tes: Tes) -> None:
    resources = {"backend_parameters": {"queue": "long", "network": "false"}, "cpu_cores": 1}
    task = tes.ended(tes.create(resources=resources, executors=[_exits(0)]))
    assert task["resources"] == {"cpu_cores": 1, "backend_parameters": {"network": "false"}}
    assert any("'queue'" in line for line in task["logs"][0]["system_logs"])


def test_what_was_sent_comes_back(tes: Tes) -> None:
    sent = {
        "name": "näme",
        "description": "what it is for",
        "inputs": [
            {"name": "n", "description": "d", "content": "x", "path": "/in/x", "type": "FILE", "streamable": True}
        ],
        "outputs": [],
        "resources": {"cpu_cores": 1, "ram_gb": 0.5, "disk_gb": 0.1, "preemptible": True, "zones": ["a"]},
        "executors": [{**_exits(0), "env": {"A": "b"}, "ignore_error": True}],
        "volumes": ["/vol"],
        "tags": {"run": "1"},
    }
    task = tes.ended(tes.create(**sent))
    assert {key: task[key] for key in sent} == sent


def _exits(code: int) -> dict[str, Any]:
    return {"image": f"x:{code}", "command": ["true"]}

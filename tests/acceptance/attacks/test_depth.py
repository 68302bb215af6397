"""Outputs and documents that are too deep, too many or too large to look at: the run ends with a sentence and can be
read, listed and deleted, and so can all others."""

import json
from typing import Any

import pytest

from tests.acceptance.attacks.conftest import Fort
from tests.acceptance.attacks.hostile import Submission, submission
from tests.acceptance.stack import embedded_only
from tests.http_client import http
from tests.waiting import until

# How deep a step's outputs are is seen where they are brought back, which is the same with every runner.
pytestmark = [embedded_only, pytest.mark.timeout(900), pytest.mark.parametrize("fort", ["bubblewrap"], indirect=True)]

DEEP = "head -c 200000 /dev/zero | tr '\\0' '['"
STEPS = {
    "deep JSON": f"{DEEP} > cwl.output.json",
    "deep objects": "yes '{\"a\":' | head -n 100000 > cwl.output.json",
    "a large number": 'echo \'{"out": {"class": "File", "path": "x", "size": 1e400}}\' > cwl.output.json',
    "deep folders": "mkdir out; cd out; n=0; while [ $n -lt 1600 ]; do mkdir d; cd d; n=$((n + 1)); done",
    "links to folders": "mkdir out; cd out; mkdir 0; echo x > 0/x; n=0; while [ $n -lt 24 ]; do m=$n; n=$((n + 1)); "
    "mkdir $n; ln -s ../$m $n/a; ln -s ../$m $n/b; done",
    "a sparse file": "mkdir out; truncate -s 8T out/large",
    "a pipe": "mkdir out; mkfifo out/pipe",
}
NOTES = f"""
import os, subprocess
os.makedirs(".wes", exist_ok=True)
for name in os.listdir(".wes") + ["notes.json", "progress.json", "outputs.json"]:
    subprocess.run("{DEEP.replace(chr(92), chr(92) * 2)} > .wes/" + name, shell=True)
rule all:
    output: "done"
    shell: "touch done"
"""


def step(command: str, image: str) -> Submission:
    document = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": {"DockerRequirement": {"dockerPull": image}, "ResourceRequirement": {"outdirMin": 100}},
        "baseCommand": ["sh", "-c", command],
        "inputs": {},
        "outputs": {"out": {"type": ["null", "File", "Directory"], "outputBinding": {"glob": "out"}}},
    }
    return submission(("CWL", "v1.2", "main.cwl"), {"main.cwl": json.dumps(document)})


@pytest.fixture(scope="module")
def ended(fort: Fort) -> dict[str, Any]:
    cases = {name: step(command, fort.image) for name, command in STEPS.items()}
    cases["deep notes"] = submission(("SMK", "9", "Snakefile"), {"Snakefile": NOTES})
    runs = {name: fort.wes.submit(one.form, one.parts) for name, one in cases.items()}
    return {name: fort.wes.wait(run_id, seconds=300) for name, run_id in runs.items()}


@pytest.mark.parametrize("name", [*STEPS, "deep notes"])
def test_it_ends_with_a_sentence_and_can_be_deleted(fort: Fort, ended: dict[str, Any], name: str) -> None:
    log = ended[name]
    reason = log["run_log"]["system_logs"][0]
    assert log["state"] in {"COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR"}
    assert len(reason.split()) > 3
    assert "RecursionError" not in json.dumps(log)
    assert "The service failed" not in reason
    for task in fort.tasks(log["run_id"]):
        assert task["id"]
    deleted = http.delete(f"{fort.wes.url}/runs/{log['run_id']}")
    assert deleted.status_code in {200, 204}, deleted.text
    until(lambda: not fort.folder(log["run_id"]).exists(), fort.wes.said)

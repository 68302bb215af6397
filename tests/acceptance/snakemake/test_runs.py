"""Snakemake workflows as a client runs them, over HTTP."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engines.snakemake.recipe import VERSIONS
from tests.acceptance.stack import Parts, Wes, attachment, embedded_only
from tests.http_client import http
from tests.unit.examples.test_read_report import EXAMPLE, OUTPUTS
from tests.waiting import until

CHAIN = """
rule all:
    input: "out/5.txt"
rule one:
    output: "out/1.txt"
    shell: "echo {config[word]} > {output}"
""" + "".join(
    f"""
rule {name}:
    input: "out/{number - 1}.txt"
    output: "out/{number}.txt"
    shell: "cat {{input}} > {{output}}; echo {number} >> {{output}}"
"""
    for number, name in enumerate(("two", "three", "four", "five"), 2)
)
BRANCHES = """
rule all:
    input: expand("{i}.txt", i=range(3))
rule wait:
    output: "{i}.txt"
    shell: "sleep 600; touch {output}"
"""


def form(**fields: str) -> dict[str, str]:
    return {"workflow_type": "SMK", "workflow_type_version": "9", "workflow_url": "Snakefile", **fields}


def parts(snakefile: str, files: Mapping[str, str] | None = None) -> Parts:
    return [attachment("Snakefile", snakefile), *(attachment(name, text) for name, text in (files or {}).items())]


def tasks(wes: Wes, run_id: str) -> dict[str, Any]:
    return {task["name"]: task for task in wes.get(f"/runs/{run_id}/tasks")["task_logs"]}


def reason(wes: Wes, run_id: str) -> str:
    log = wes.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR", log["run_log"]["system_logs"]
    return str(log["run_log"]["system_logs"][0])


def test_five_steps_follow_each_other(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    run_id = wes.submit(form(workflow_params='{"word": "hello"}'), parts(CHAIN))
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    (name, file), *more = log["outputs"].items()
    assert (name, more) == ("out/5.txt", [])
    assert http.get(file["location"]).text == "hello\n2\n3\n4\n5\n"
    assert file["class"] == "File"
    assert file["size"] == 14
    assert len(file["sha256"]) == 64
    assert sorted(tasks(wes, run_id)) == ["five", "four", "one", "three", "two"]


def test_a_version_is_chosen_and_the_newest_is_the_default(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    script = "open(snakemake.output[0], 'w').write(__import__('snakemake').__version__)\n"
    files = {"v.py": script}
    snakefile = 'rule a:\n    output: "v.txt"\n    script: "v.py"\n'
    for wanted in (None, *VERSIONS):
        fields = {"workflow_engine": "snakemake", "workflow_engine_version": wanted} if wanted else {}
        log = wes.wait(wes.submit(form(**fields), parts(snakefile, files)))
        assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
        assert http.get(log["outputs"]["v.txt"]["location"]).text == (wanted or VERSIONS[0])
    refused = wes.post(form(workflow_engine="snakemake", workflow_engine_version="7.0"), parts(snakefile, files))
    assert refused.status_code == 400
    assert "no worker has version '7.0' of snakemake" in refused.json()["msg"]


@pytest.mark.parametrize(
    ("workflow_type", "version"), [("SMK", "9"), ("SMK", "8"), ("Snakemake", "1.0"), ("snakemake", "9")]
)
def test_the_type_has_several_names(wes_with_snakemake: Wes, workflow_type: str, version: str) -> None:
    fields = form(workflow_type=workflow_type, workflow_type_version=version)
    run_id = wes_with_snakemake.submit(fields, parts('rule a:\n    output: "x"\n    shell: "touch x"\n'))
    log = wes_with_snakemake.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert log["request"]["workflow_type"] == workflow_type


def test_engine_parameters_are_checked_and_used(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    for parameters in ('{"cores": "4"}', '{"parallel": "0"}', '{"on_error": "ask"}', '{"config": "a=b"}'):
        answer = wes.post(form(workflow_engine_parameters=parameters), parts(CHAIN))
        assert answer.status_code == 400, parameters
        assert "workflow_engine_parameters" in answer.json()["msg"]
    wanted = form(workflow_engine_parameters='{"targets": "one"}', workflow_params='{"word": "x"}')
    assert list(wes.wait(wes.submit(wanted, parts(CHAIN)))["outputs"]) == ["out/1.txt"]


def test_the_example_makes_the_same_bytes_as_in_cwl(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    samples = {name: f"reads/{name}.fastq.gz" for name in ("fresh", "aged", "degraded")}
    names = ["Snakefile", *samples.values(), *(f"scripts/{path.name}" for path in (EXAMPLE / "scripts").iterdir())]
    files = [attachment(name, (EXAMPLE / name).read_bytes()) for name in names if (EXAMPLE / name).is_file()]
    run_id = wes.submit(form(workflow_params=json.dumps({"samples": samples})), files)
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert {name: file["sha256"] for name, file in log["outputs"].items()} == OUTPUTS
    assert "base_composition (sample=aged)" in tasks(wes, run_id)
    assert len(tasks(wes, run_id)) == 10


def test_a_failed_step_is_told_with_name_exit_code_and_stderr(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    snakefile = """
rule align:
    output: "{sample}.bam"
    shell: "echo reading; echo 'no such genome' >&2; exit 3"
"""
    run_id = wes.submit(form(workflow_engine_parameters='{"targets": "A.bam"}'), parts(snakefile))
    told = reason(wes, run_id)
    assert told.startswith("Step 'align (sample=A)' failed with exit code 3 (task ")
    assert "no such genome" in told
    task = tasks(wes, run_id)["align (sample=A)"]
    assert http.get(task["stdout"]).text == "reading\n"


@pytest.mark.parametrize(
    ("snakefile", "told"),
    [
        ("rule a:\n    output: 'x\n", "Snakefile:2: syntax error"),
        ("include: 'https://example.org/a.smk'\nrule a:\n    shell: ''\n", "this server gives engines no network"),
    ],
)
def test_a_workflow_that_can_not_run_says_why_and_leaves_no_task(
    wes_with_snakemake: Wes, snakefile: str, told: str
) -> None:
    run_id = wes_with_snakemake.submit(form(), parts(snakefile))
    said = reason(wes_with_snakemake, run_id)
    assert told in said
    assert "Traceback" not in said
    assert tasks(wes_with_snakemake, run_id) == {}


def test_a_conda_rule_where_there_is_no_conda(wes_with_snakemake: Wes) -> None:
    snakefile = "rule a:\n    output: 'x'\n    conda: 'env.yml'\n    shell: 'touch x'\n"
    run_id = wes_with_snakemake.submit(form(), parts(snakefile, {"env.yml": "dependencies: [samtools]\n"}))
    assert "the rule a needs conda for its software (conda:)" in reason(wes_with_snakemake, run_id)


def test_cancel_in_the_middle_of_three_branches(wes_with_snakemake: Wes) -> None:
    wes = wes_with_snakemake
    run_id = _with_three_branches(wes)
    engine = wes.engine(run_id)
    began = time.monotonic()
    assert http.post(f"{wes.url}/runs/{run_id}/cancel").status_code == 200
    engine.wait(5)
    assert time.monotonic() - began < 30
    log = wes.wait(run_id)
    assert log["state"] == "CANCELED"
    assert _task_states(wes, run_id) == {"CANCELED"}


# A container has a system of its own, which its tasks may read and write.
@pytest.mark.parametrize("where", ["engine", pytest.param("task", marks=embedded_only)])
def test_foreign_code_sees_nothing_of_the_server(wes_with_snakemake: Wes, where: str) -> None:
    wes = wes_with_snakemake
    other = wes.submit(form(workflow_params='{"word": "secret"}'), parts(CHAIN))
    wes.wait(other)
    home = Path.home()
    run = wes.data / "runs" / other
    closed = [wes.data / "wes.sqlite", wes.data / "secrets", run, run / "attachments" / "Snakefile", home]
    assert all(path.exists() for path in closed)
    code = f"""
import os
def tried(path, write=False):
    try:
        if write:
            open(path + "/made-by-a-workflow", "w").close()
        elif os.path.isdir(path):
            return f"{{path}}: {{os.listdir(path)}}"
        else:
            open(path).read()
        return f"{{path}}: open"
    except OSError:
        return None
paths = {list(map(str, closed))}
places = ["/", "/usr", "/etc", {str(wes.data)!r}, {str(wes.data / "runs")!r}, {str(home)!r}]
found = [said for said in [*map(tried, paths), *(tried(place, write=True) for place in places)] if said]
"""
    if where == "engine":
        snakefile = (
            f"{code}\nif found:\n    raise SystemExit(str(found))\nrule a:\n    output: 'x'\n    shell: 'touch x'\n"
        )
        run_id = wes.submit(form(), parts(snakefile))
    else:
        snakefile = "rule a:\n    output: 'x'\n    script: 'look.py'\n"
        script = f"{code}\nopen(snakemake.output[0], 'w').write(str(found))\nassert not found, found\n"
        run_id = wes.submit(form(), parts(snakefile, {"look.py": script}))
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]


def test_the_gateway_wants_the_runs_own_token(wes_with_snakemake: Wes) -> None:
    snakefile = """
import json, urllib.request, urllib.error
url = json.load(open(workflow.basedir + "/../control/snakemake.json"))["tes_url"]
def answer(token):
    request = urllib.request.Request(url + "/tasks", headers={"Authorization": "Bearer " + token})
    try:
        return urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code
own = open(workflow.basedir + "/../control/tes-token").read().strip()
assert (answer(own), answer("another"), answer("x" * len(own))) == (200, 401, 401)
rule a:
    output: "x"
    shell: "touch x"
"""
    log = wes_with_snakemake.wait(wes_with_snakemake.submit(form(), parts(snakefile)))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]


def _with_three_branches(wes: Wes) -> str:
    run_id = wes.submit(form(), parts(BRANCHES))
    until(lambda: len(tasks(wes, run_id)) >= 3, wes.said)
    return run_id


def _task_states(wes: Wes, run_id: str) -> set[str]:
    return {http.get(task["tes_uri"]).json()["state"] for task in tasks(wes, run_id).values()}

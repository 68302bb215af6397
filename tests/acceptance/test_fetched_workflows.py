"""Workflows that are not attached but fetched, over HTTP and from git, by clients of both kinds of form."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.stack import Wes, attachment
from tests.acceptance.workflows import COUNT, ECHO, form
from tests.fakes.git_server import GitSite, git, git_site
from tests.fakes.web_server import Reply, Site, web_site
from tests.http_client import http
from tests.program_server import run_wes
from tests.waiting import until

FLOW = """\
cwlVersion: v1.2
class: Workflow
inputs: {word: string}
outputs:
  said: {type: File, outputSource: say/said}
steps:
  say:
    run: ../tools/echo.cwl
    in: {word: word}
    out: [said]
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with web_site() as running:
        yield running


@pytest.fixture(scope="module")
def gits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitSite]:
    with git_site(tmp_path_factory.mktemp("gits")) as running:
        yield running


def test_a_workflow_on_the_web_runs_with_the_tools_that_it_refers_to(wes: Wes, site: Site) -> None:
    site.pages |= {
        "/latest": Reply(status=302, headers={"Location": "/lib/flows/say.cwl"}),
        "/lib/flows/say.cwl": FLOW,
        "/lib/tools/echo.cwl": ECHO,
    }
    # As wes-client sends it: a form without files is urlencoded.
    fields = form(workflow_url=f"{site.url}/latest", workflow_params='{"word": "hello"}')
    response = http.post(f"{wes.url}/runs", data=fields)
    assert response.status_code == 200, response.text
    log = wes.wait(response.json()["run_id"])
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["said"]["location"]).text == "hello\n"
    assert log["request"]["workflow_url"] == f"{site.url}/latest"
    assert log["workflow_source"] == {
        "url": f"{site.url}/latest",
        "final_url": f"{site.url}/lib/flows/say.cwl",
        "sha256": hashlib.sha256(FLOW.encode()).hexdigest(),
        "files": 2,
    }
    assert any(f"was fetched from {site.url}/lib/flows/say.cwl" in line for line in log["run_log"]["system_logs"])


def test_a_workflow_in_git_runs_at_the_commit_that_was_asked_for(wes: Wes, gits: GitSite) -> None:
    folder = gits.repository("lab/flows.git", {"flows/say.cwl": FLOW, "tools/echo.cwl": ECHO})
    pinned = git(folder, "rev-parse", "HEAD")
    git(folder, "tag", "v1")
    gits.commit(folder, {"tools/echo.cwl": ECHO.replace("echo", "false")})
    url = f"git+{gits.url}/lab/flows.git@v1#flows/say.cwl"
    run_id = wes.submit(form(workflow_url=url, workflow_params='{"word": "hello"}'))
    log = wes.wait(run_id)
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["said"]["location"]).text == "hello\n"
    assert log["run_log"]["name"] == "say.cwl"
    assert (log["workflow_source"]["revision"], log["workflow_source"]["requested_revision"]) == (pinned, "v1")


def test_attachments_and_a_workflow_that_is_fetched_go_together(wes: Wes, site: Site) -> None:
    site.pages["/count.cwl"] = COUNT
    params = {"file": {"class": "File", "location": "reads/a.txt"}}
    fields = form(workflow_url=f"{site.url}/count.cwl", workflow_params=json.dumps(params))
    log = wes.wait(wes.submit(fields, [attachment("reads/a.txt", "12345")]))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert http.get(log["outputs"]["count"]["location"]).text.split()[0] == "5"


def test_an_input_that_came_with_the_workflow_is_told(wes: Wes, gits: GitSite) -> None:
    gits.repository("count", {"count.cwl": COUNT, "data/a.txt": "12345"})
    params = {"file": {"class": "File", "location": "data/a.txt"}}
    fields = form(workflow_url=f"git+{gits.url}/count#count.cwl", workflow_params=json.dumps(params))
    log = wes.wait(wes.submit(fields))
    assert log["state"] == "COMPLETE", log["run_log"]["system_logs"]
    assert "workflow_params name files of the fetched workflow: data/a.txt." in log["run_log"]["system_logs"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("{site}/gone.cwl", "gone.cwl does not exist"),
        ("{site}/page", "is a web page, not a workflow"),
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254, which is not a public one"),
        ("http://[::1]:6379/wf.cwl", "which is not a public one"),
        ("git+{gits}/none@v1#wf.cwl", "is no git repository"),
        ("{site}/absolute.cwl", "undefined reference to 'https://example.org/tool.cwl'; this server gives"),
    ],
)
def test_what_can_not_be_fetched_fails_with_a_sentence_and_without_a_task(
    wes: Wes, site: Site, gits: GitSite, url: str, says: str
) -> None:
    site.pages |= {
        "/page": "<!doctype html>",
        "/absolute.cwl": FLOW.replace("../tools/echo", "https://example.org/tool"),
    }
    run_id = wes.submit(form(workflow_url=url.format(site=site.url, gits=gits.url), workflow_params='{"word": "a"}'))
    log = wes.wait(run_id)
    assert log["state"] == "EXECUTOR_ERROR"
    assert says in log["run_log"]["system_logs"][0]
    assert wes.get(f"/runs/{run_id}/tasks")["task_logs"] == []
    assert not (wes.data / "runs" / run_id / ".fetch").exists()


def test_a_slow_fetch_is_canceled_at_once(wes: Wes, site: Site) -> None:
    site.pages["/slow.cwl"] = Reply(body=b"x", wait_seconds=60)
    run_id = wes.submit(form(workflow_url=f"{site.url}/slow.cwl"))
    until(lambda: "/slow.cwl" in site.paths(), wes.said)
    assert wes.state(run_id) == "INITIALIZING"
    began = time.monotonic()
    assert http.post(f"{wes.url}/runs/{run_id}/cancel").status_code == 200
    assert wes.wait(run_id)["state"] == "CANCELED"
    assert time.monotonic() - began < 30
    assert [argv for _, argv in wes.commands() if "wes_service.fetch.program" in argv] == []


def test_the_command_line_passes_a_url_on(wes: Wes, gits: GitSite, tmp_path: Path) -> None:
    gits.repository("cli", {"wf/say.cwl": ECHO})
    (tmp_path / "p.json").write_text('{"word": "hello"}')
    options = ["--server", wes.url, "--params", tmp_path / "p.json", "--download", tmp_path / "out"]
    done = run_wes("run", f"git+{gits.url}/cli@main#wf/say.cwl", *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/said.txt").read_text() == "hello\n"

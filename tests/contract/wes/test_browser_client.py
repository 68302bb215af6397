"""A client that is a web page (as ELIXIR cloud-components are): served from elsewhere, it follows what it is told."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tes.task import TaskState
from tests.contract.wes.harness import Api, attached, make_api
from wes_service.core.ports import RunChange
from wes_service.core.run import EngineProcess, RunState

PORTAL = "https://portal.example"


@pytest.fixture(params=["a token", "a named origin"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Api:
    """A server that pages of the portal may use, by either way; all requests come from such a page."""
    api = make_api(tmp_path, token="t") if request.param == "a token" else make_api(tmp_path, cors_origins=(PORTAL,))
    api.headers["Origin"] = PORTAL
    return api


def test_a_page_submits_follows_and_reads_every_url_that_it_is_given(page: Api) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = page.request("OPTIONS", "/runs", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] in {"*", PORTAL}
    submitted = page.post_form(files=[attached("main.cwl")])
    assert submitted.headers["access-control-allow-origin"] in {"*", PORTAL}
    run = page.claim()
    page.end_task(page.add_task(run, "t1"), TaskState.COMPLETE, {})
    said = {"class": "File", "location": "wes-output:said.txt"}
    page.folders.folder(run.id).work.mkdir(exist_ok=True)
    (page.folders.folder(run.id).work / "said.txt").write_text("hello")
    page.end(run, RunState.COMPLETE, RunChange(process=EngineProcess(exit_code=0), outputs={"said": said}))

    log = page.json(f"/runs/{submitted.json()['run_id']}")
    (task,) = log["task_logs"]
    urls = [
        *(log["run_log"][stream] for stream in ("stdout", "stderr")),
        *(task[stream] for stream in ("stdout", "stderr")),
        log["task_logs_url"],
        task["tes_uri"],
        log["outputs"]["said"]["location"],
    ]
    for url in urls:
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("http", "localhost:8080"), "absolute, and of this server"
        response = page.get("/" + parts.path)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] in {"*", PORTAL}
        assert "Content-Range" in response.headers["access-control-expose-headers"]
